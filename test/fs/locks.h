/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Locks of one file, kept in memory. Who has to wait does so in the calling thread, which
 * is what a filesystem had better not do, and what many do.
 */
#ifndef TEST_FS_LOCKS_H
#define TEST_FS_LOCKS_H

#include <pthread.h>

#include "../../example/serve.h"

struct held_lock;

struct lock_table {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct held_lock *held;
	unsigned waiting;
};

void lock_table_init(struct lock_table *table);
void lock_table_destroy(struct lock_table *table);

/*
 * Sets or, with F_UNLCK, removes a lock. Waits for it if `wait` is not 0; an interrupt of
 * req ends that. Returns 0, EAGAIN, EINTR, EINVAL or ENOMEM.
 */
int lock_table_set(struct lock_table *table, fuse_req_t req, uint64_t owner,
		   const struct flock *lock, int wait);
/* The same for a whole file, as flock(2) has it. */
int lock_table_flock(struct lock_table *table, fuse_req_t req, uint64_t owner, int op);
/* Turns *lock into one that is in its way, or into one of type F_UNLCK. */
void lock_table_find(struct lock_table *table, uint64_t owner, struct flock *lock);
/* Removes all that an owner has. */
void lock_table_drop(struct lock_table *table, uint64_t owner);
/* How many wait. */
unsigned lock_table_waiting(struct lock_table *table);

#endif
