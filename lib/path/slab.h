/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory for very many small blocks, which goes back to the system when they are freed.
 *
 * Blocks of one size come out of slabs of 64 KiB, aligned to that, so that a block's slab
 * is found by its address and a block has no header. A slab without blocks is unmapped.
 * The caller's lock guards it all.
 */
#ifndef FUSE_PATH_SLAB_H
#define FUSE_PATH_SLAB_H

#include <stddef.h>

/* Blocks are multiples of this, which is also what they are aligned to. */
#define FUSE_SLAB_STEP 8

/* What is larger has to be had elsewhere. */
#define FUSE_SLAB_BLOCK_MAX 512

struct fuse_slab;

struct fuse_slabs {
	struct fuse_slab *with_room[FUSE_SLAB_BLOCK_MAX / FUSE_SLAB_STEP + 1];
	size_t mapped; /* bytes had from the system */
	size_t used;   /* bytes in blocks */
};

/* NULL if memory ran out. A slab structure of zeros is an empty one. */
void *fuse_slab_alloc(struct fuse_slabs *slabs, size_t size);
/* With the size that it was allocated with. */
void fuse_slab_free(struct fuse_slabs *slabs, void *block, size_t size);
/* Unmaps what is left without blocks. */
void fuse_slabs_destroy(struct fuse_slabs *slabs);

#endif
