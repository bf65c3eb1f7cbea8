// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include "by_hand.h"

#include <sched.h>
#include <stdlib.h>

#include "mount.h"

void stay_on_cpu_0(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	CHECK(!sched_setaffinity(0, sizeof(set), &set));
}

struct completion ring_next(struct io_uring *ring)
{
	struct __kernel_timespec minute = { .tv_sec = 60 };
	struct completion completion;
	struct io_uring_cqe *cqe;
	int error;

	io_uring_submit(ring);
	do {
		error = io_uring_wait_cqe_timeout(ring, &cqe, &minute);
	} while (error == -EINTR);
	if (error)
		die("no completion: %s", strerror(-error));
	completion = (struct completion){ .user_data = cqe->user_data, .res = cqe->res };
	io_uring_cqe_seen(ring, cqe);
	return completion;
}

unsigned int chance(unsigned int n)
{
	static unsigned int seed = 1;

	return rand_r(&seed) % n;
}

void *another_seed(void)
{
	return (void *)(uintptr_t)chance(RAND_MAX);
}
