/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The least of a server that a test of the kernel needs apart from its rings: a mount, FUSE_INIT,
 * and a reader of /dev/fuse. No library is between test and kernel.
 */
#ifndef MOUNT_H
#define MOUNT_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* of the patched kernel */
#include "fuse.h"

#define MAX_PAYLOAD (1U << 20)

struct mounted {
	const char *path;
	int fuse;
	int nr_queues;
	uint64_t kernel_flags;
	pthread_t reader;
};

_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define CHECK(condition)                                                      \
	do {                                                                  \
		if (!(condition))                                             \
			die("%s:%d: %s (%s)", __func__, __LINE__, #condition, \
			    strerror(errno));                                 \
	} while (0)

/* Of mounts from now on: the connection ends if a request takes as many seconds. 0: it may. */
extern unsigned int request_timeout;

void mount_begin(struct mounted *mounted, const char *path);
/* Unmounts, and waits until the reader has seen it. Threads with rings may still need the device. */
void mount_leave(struct mounted *mounted);
/* The same, and closes the device. */
void mount_end(struct mounted *mounted);
void mount_abort(struct mounted *mounted);
/* Waits until there are so many requests that were not answered. */
void mount_wait_for(struct mounted *mounted, int requests);

#endif
