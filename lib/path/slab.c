// SPDX-License-Identifier: LGPL-2.1-or-later
#include "path/slab.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#define SLAB_SIZE ((size_t)64 * 1024)

struct fuse_slab {
	struct fuse_slab *next, **link; /* in with_room; link is NULL if it is full */
	void *freed;	/* blocks that were freed; each points to the next */
	uint32_t fresh; /* where the blocks begin that were never used */
	uint32_t used;	/* blocks */
};

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define USE_MALLOC
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define USE_MALLOC
#endif

static size_t round_up(size_t size)
{
	return (size + FUSE_SLAB_STEP - 1) & ~(size_t)(FUSE_SLAB_STEP - 1);
}

#ifdef USE_MALLOC

/* The sanitizer is to see every block's end. */
void *fuse_slab_alloc(struct fuse_slabs *slabs, size_t size)
{
	void *block = malloc(size);

	if (block) {
		slabs->used += round_up(size);
		slabs->mapped = slabs->used;
	}
	return block;
}

void fuse_slab_free(struct fuse_slabs *slabs, void *block, size_t size)
{
	free(block);
	slabs->used -= round_up(size);
	slabs->mapped = slabs->used;
}

void fuse_slabs_destroy(struct fuse_slabs *slabs)
{
	(void)slabs;
}

#else

/* The kernel aligns to pages: what is too much on either side is given back. */
static struct fuse_slab *map_slab(void)
{
	char *start = mmap(NULL, 2 * SLAB_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t before;

	if (start == MAP_FAILED)
		return NULL;
	before = -(uintptr_t)start & (SLAB_SIZE - 1);
	if (before)
		munmap(start, before);
	munmap(start + before + SLAB_SIZE, SLAB_SIZE - before);
	return (struct fuse_slab *)(start + before);
}

static void insert(struct fuse_slab **list, struct fuse_slab *slab)
{
	slab->next = *list;
	slab->link = list;
	if (slab->next)
		slab->next->link = &slab->next;
	*list = slab;
}

static void take_out(struct fuse_slab *slab)
{
	*slab->link = slab->next;
	if (slab->next)
		slab->next->link = slab->link;
	slab->link = NULL;
}

static struct fuse_slab *add_slab(struct fuse_slabs *slabs, struct fuse_slab **list)
{
	struct fuse_slab *slab = map_slab();

	if (!slab)
		return NULL;
	slab->fresh = (uint32_t)round_up(sizeof(*slab));
	slabs->mapped += SLAB_SIZE;
	insert(list, slab);
	return slab;
}

void *fuse_slab_alloc(struct fuse_slabs *slabs, size_t size)
{
	struct fuse_slab **list, *slab;
	void *block;

	size = round_up(size);
	list = &slabs->with_room[size / FUSE_SLAB_STEP];
	slab = *list ? *list : add_slab(slabs, list);
	if (!slab)
		return NULL;
	if (slab->freed) {
		block = slab->freed;
		slab->freed = *(void **)block;
	} else {
		block = (char *)slab + slab->fresh;
		slab->fresh += (uint32_t)size;
	}
	slab->used++;
	slabs->used += size;
	if (!slab->freed && slab->fresh + size > SLAB_SIZE)
		take_out(slab);
	return block;
}

/* The last slab of its size stays: the next block may be needed at once. */
static void unmap_if_not_last(struct fuse_slabs *slabs, struct fuse_slab *slab,
			      struct fuse_slab *const *list)
{
	if (*list == slab && !slab->next)
		return;
	take_out(slab);
	munmap(slab, SLAB_SIZE);
	slabs->mapped -= SLAB_SIZE;
}

void fuse_slab_free(struct fuse_slabs *slabs, void *block, size_t size)
{
	struct fuse_slab *slab = (void *)((uintptr_t)block & ~(SLAB_SIZE - 1));
	struct fuse_slab **list;

	size = round_up(size);
	list = &slabs->with_room[size / FUSE_SLAB_STEP];
	*(void **)block = slab->freed;
	slab->freed = block;
	slab->used--;
	slabs->used -= size;
	if (!slab->link)
		insert(list, slab);
	if (!slab->used)
		unmap_if_not_last(slabs, slab, list);
}

void fuse_slabs_destroy(struct fuse_slabs *slabs)
{
	const size_t sizes = sizeof(slabs->with_room) / sizeof(slabs->with_room[0]);

	for (size_t i = 0; i < sizes; i++) {
		struct fuse_slab *slab = slabs->with_room[i];

		if (!slab || slab->used)
			continue;
		take_out(slab);
		munmap(slab, SLAB_SIZE);
		slabs->mapped -= SLAB_SIZE;
	}
}

#endif
