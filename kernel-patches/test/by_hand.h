/* SPDX-License-Identifier: GPL-2.0-only */
/* For tests in which a single thread plays the server, step by step */
#ifndef BY_HAND_H
#define BY_HAND_H

#include <liburing.h>

/* Of this thread and those it starts: all that they ask for comes to the first queue. */
void stay_on_cpu_0(void);
struct completion {
	uint64_t user_data;
	int res;
};

/* Submits what there is, and takes the next completion; dies of a minute without one. */
struct completion ring_next(struct io_uring *ring);
/* Less than n; the same numbers in each run */
unsigned int chance(unsigned int n);
/* What a thread of its own begins with, as its argument */
void *another_seed(void);

#endif
