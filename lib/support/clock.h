/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The monotonic clock, by which everything here is timed: nobody sets it.
 */
#ifndef FUSE_CLOCK_H
#define FUSE_CLOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

/* In nanoseconds. */
static inline int64_t fuse_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A condition whose waits end by that clock. */
static inline void fuse_clock_cond_init(pthread_cond_t *condition)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(condition, &attributes);
	pthread_condattr_destroy(&attributes);
}

/* Waits for such a condition. Returns 0 or, when that time of fuse_clock() has come, ETIMEDOUT. */
static inline int fuse_clock_cond_wait(pthread_cond_t *condition, pthread_mutex_t *lock,
				       int64_t until)
{
	const struct timespec time = {
		.tv_sec = (time_t)(until / 1000000000),
		.tv_nsec = (long)(until % 1000000000),
	};

	return pthread_cond_timedwait(condition, lock, &time);
}

#endif
