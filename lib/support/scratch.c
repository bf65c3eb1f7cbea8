// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Memory that requests hand on to each other.
 */
#include <stdlib.h>
#include <unistd.h>

#include "support/scratch.h"

void fuse_scratches_init(struct fuse_scratches *scratches, size_t usual)
{
	pthread_mutex_init(&scratches->lock, NULL);
	scratches->spare = NULL;
	atomic_init(&scratches->usual, usual);
}

static void release(struct fuse_scratch *scratch)
{
	free(scratch->mem);
	free(scratch);
}

void fuse_scratches_destroy(struct fuse_scratches *scratches)
{
	while (scratches->spare) {
		struct fuse_scratch *scratch = scratches->spare;

		scratches->spare = scratch->next;
		release(scratch);
	}
	pthread_mutex_destroy(&scratches->lock);
}

static struct fuse_scratch *make(size_t size)
{
	struct fuse_scratch *scratch = malloc(sizeof(*scratch));
	void *mem;

	if (!scratch)
		return NULL;
	if (posix_memalign(&mem, (size_t)sysconf(_SC_PAGESIZE), size) != 0) {
		free(scratch);
		return NULL;
	}
	scratch->size = size;
	scratch->mem = mem;
	return scratch;
}

struct fuse_scratch *fuse_scratch_get(struct fuse_scratches *scratches, size_t size)
{
	size_t usual = atomic_load_explicit(&scratches->usual, memory_order_relaxed);
	struct fuse_scratch *scratch;

	pthread_mutex_lock(&scratches->lock);
	scratch = scratches->spare;
	if (scratch)
		scratches->spare = scratch->next;
	pthread_mutex_unlock(&scratches->lock);

	if (scratch && scratch->size >= size)
		return scratch;
	if (scratch)
		release(scratch);
	return make(size > usual ? size : usual);
}

void fuse_scratch_put(struct fuse_scratches *scratches, struct fuse_scratch *scratch)
{
	if (scratch->size >
	    atomic_load_explicit(&scratches->usual, memory_order_relaxed)) {
		release(scratch);
		return;
	}
	pthread_mutex_lock(&scratches->lock);
	scratch->next = scratches->spare;
	scratches->spare = scratch;
	pthread_mutex_unlock(&scratches->lock);
}
