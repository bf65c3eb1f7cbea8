/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The live channel: an ioctl on a mount's root by which its owner and root ask the library
 * itself for a session's statistics, whatever the filesystem does with ioctls.
 *
 * Of all requests it is the one that the kernel passes on every time: it never concludes from one
 * refusal that there are no ioctls, as it does with extended attributes.
 *
 * The number's group, 0xE5, is FUSE's own, of which the kernel keeps 0 to 0x3F for /dev/fuse. The
 * structure's size is part of the number, so it stays; members come out of the rooms in it, and
 * `version` grows when that is not enough to tell.
 */
#ifndef FUSE_LIVE_H
#define FUSE_LIVE_H

#include <linux/ioctl.h>
#include <stdint.h>

#define FUSE_LIVE_VERSION  1
#define FUSE_LIVE_NAME	   16  /* bytes of a name, with its end */
#define FUSE_LIVE_COUNTERS 120 /* room; how many there are is told */

/* The same for programs of 32 and of 64 bits. */
struct fuse_live_stats {
	uint32_t version;
	uint32_t size;	   /* of all this */
	uint64_t time_ns;  /* when the counters were read, CLOCK_MONOTONIC */
	uint32_t counters; /* how many of them this library has */
	uint32_t queues;
	uint32_t zero_copy;
	uint32_t pid; /* the server's, as itself sees it */
	char transport[FUSE_LIVE_NAME];
	char dialect[FUSE_LIVE_NAME];
	char pool[FUSE_LIVE_NAME];
	/* All queues together, in the order of struct fuse_transport_stats. */
	uint64_t counter[FUSE_LIVE_COUNTERS];
};

_Static_assert(sizeof(struct fuse_live_stats) == 80 + 8 * FUSE_LIVE_COUNTERS,
	       "no holes, whatever an alignment is");

#define FUSE_LIVE_IOC_STATS _IOR(0xE5, 0xC5, struct fuse_live_stats)

#endif
