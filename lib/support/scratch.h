/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory for the data of one request, kept for the next one: fresh memory of that size comes from the
 * kernel, which clears it page by page and takes as long as the data itself.
 */
#ifndef FUSE_SCRATCH_H
#define FUSE_SCRATCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

/* The caller's, between get and put. */
struct fuse_scratch {
	struct fuse_scratch *next;
	size_t size; /* in bytes */
	char *mem;   /* begins on a page */
};

struct fuse_scratches {
	pthread_mutex_t lock;
	struct fuse_scratch *spare; /* the one used last comes first: caches have it */
	_Atomic size_t usual;	    /* in bytes; what is larger is not kept */
};

void fuse_scratches_init(struct fuse_scratches *scratches, size_t usual);
/* All have been put back. */
void fuse_scratches_destroy(struct fuse_scratches *scratches);

/* At least that many bytes; NULL if memory ran out. */
struct fuse_scratch *fuse_scratch_get(struct fuse_scratches *scratches, size_t size);
void fuse_scratch_put(struct fuse_scratches *scratches, struct fuse_scratch *scratch);

#endif
