/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether zero-copy is worth asking for, learned from how requests are answered.
 */
#ifndef FUSE_POLICY_H
#define FUSE_POLICY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define FUSE_POLICY_FILES 1024
#define FUSE_POLICY_MODES 6

/* All relaxed: an update lost to another thread's costs a guess, and nothing else. */
struct fuse_policy {
	/* By a hash of the nodeid: 24 bits of it, and the file's score. */
	_Atomic uint32_t files[FUSE_POLICY_FILES];

	/* By what a file was opened for. */
	struct {
		_Atomic int score;
		_Atomic unsigned declined; /* opens, since the last one that was not */
		_Atomic unsigned patience; /* how many of them until the next try */
	} modes[FUSE_POLICY_MODES];

	_Atomic bool told; /* that it does without, for the first time */

	/* For kernels that do not ask: is it worth it at all? */
	_Atomic bool for_all;
	_Atomic unsigned moved, copied;
};

struct fuse_req;
struct fuse_protocol;

/* Whether an open shall ask. `flags` are open(2)'s. */
bool fuse_policy_asks(struct fuse_protocol *protocol, uint64_t nodeid, int flags);
/* A read or write was answered; by moving its data, or it would have been. */
void fuse_policy_learn(struct fuse_req *req, bool moved);

#endif
