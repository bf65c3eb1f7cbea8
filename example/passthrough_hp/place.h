/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Mounts and filesystems below SOURCE, and SOURCE itself.
 */
#ifndef PASSTHROUGH_HP_PLACE_H
#define PASSTHROUGH_HP_PLACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct statx;

/* A filesystem. Never freed: there are as many as there are mounts, or fewer. */
struct device {
	struct device *next;
	uint64_t dev;

	/*
	 * Added to inode numbers, because the client sees one st_dev for everything, and
	 * tools take two files of one number for the same file. 0 for SOURCE's own.
	 */
	uint64_t ino_offset;

	/*
	 * More than one mount shows this filesystem. A file can then be two inodes, and
	 * what the kernel caches for one would miss what is done to the other: nothing is
	 * cached.
	 */
	atomic_bool in_two_places;

	/* The kernel has refused to read and write its files itself. */
	atomic_bool no_backing;

	/* The mount that it was first seen in; 0 for none yet. */
	uint64_t first_mount;
};

/* A mount. Never freed either. */
struct mount {
	struct mount *next;
	uint64_t id;

	/* A descriptor that open_by_handle_at() takes for this mount; -1 for none yet. */
	atomic_int anchor;
};

/* What identifies device and mount of a file, for statx(2)'s mask. */
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000U
#endif
#define STATX_PLACE (STATX_MNT_ID | STATX_MNT_ID_UNIQUE)

uint64_t place_dev(const struct statx *stx);
uint64_t place_mount(const struct statx *stx);

/*
 * Find or make a file's device and mount.
 *
 * fd: the file's descriptor, which can become the mount's anchor
 * Returns 0 or -ENOMEM.
 */
int place_find(const struct statx *stx, int fd, struct device **device,
	       struct mount **mount);

/*
 * Learn which filesystems are mounted more than once. Those that are mounted later are
 * seen when somebody goes there.
 *
 * source: an open directory
 * stx: what statx(2) says about it
 */
void place_scan(int source, const struct statx *stx);

#endif
