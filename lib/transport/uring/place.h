/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the owners run: each on the CPU of its callers, or on any.
 *
 * A caller that waits for its answer had best meet the owner on its own CPU: no other one has to
 * be woken, and the data lie in the cache. But one that is being read ahead for, or written
 * behind, goes on meanwhile, and then the two take turns on one CPU while others may be idle.
 * An owner cannot see which it is. So, when much data come by in large requests, they try, and
 * stay where more come by. They do it together: a caller that changes its CPU changes its owner,
 * too, and the bytes of a single one would say nothing.
 */
#ifndef FUSE_URING_PLACE_H
#define FUSE_URING_PLACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum fuse_uring_stage {
	FUSE_PLACE_HOME,
	FUSE_PLACE_TRIAL,    /* away, to compare */
	FUSE_PLACE_AWAY,     /* because that was better */
	FUSE_PLACE_REVISION, /* at home, to compare again */
};

/* All zeros is a good start. */
struct fuse_uring_place {
	/* Any thread's. */
	_Atomic(enum fuse_uring_stage) stage; /* changed by the judging one */
	_Atomic(uint64_t) requests, bytes;    /* of this period */
	_Atomic(int64_t) since;		      /* when it began, ns */
	atomic_flag judging;		      /* whoever sets it has what follows */

	unsigned countdown;  /* periods until the next comparison... */
	unsigned interval;   /* ...and how many there were at first */
	unsigned bad;	     /* periods in a row that home would have been better in */
	uint64_t home_speed; /* of the latest period there, bytes/s... */
	uint64_t away_speed; /* ...and of the latest away */
};

/* An owner keeps what it has to tell until there are so many bytes, or so many nanoseconds. */
#define FUSE_PLACE_TELL_BYTES (1u << 20)
#define FUSE_PLACE_TELL_NS    100000000

static inline bool fuse_uring_place_is_away(struct fuse_uring_place *place)
{
	enum fuse_uring_stage stage =
		atomic_load_explicit(&place->stage, memory_order_relaxed);

	return stage == FUSE_PLACE_TRIAL || stage == FUSE_PLACE_AWAY;
}

/*
 * Tells it that so many more requests were served, and bytes moved, by that time in
 * nanoseconds. From any thread.
 */
void fuse_uring_place_tell(struct fuse_uring_place *place, int64_t now, uint64_t requests,
			   uint64_t bytes);

#endif
