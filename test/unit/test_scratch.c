// SPDX-License-Identifier: GPL-2.0-only
/*
 * Scratch memory: begins on a page, is used again, and none of unusual size is kept.
 */
#include "check.h"
#include "support/scratch.h"

#include <stdint.h>
#include <unistd.h>

#define USUAL 65536

static struct fuse_scratches scratches;

static struct fuse_scratch *get(size_t size)
{
	struct fuse_scratch *scratch = fuse_scratch_get(&scratches, size);

	CHECK(scratch && scratch->size >= size);
	CHECK((uintptr_t)scratch->mem % (uintptr_t)sysconf(_SC_PAGESIZE) == 0);
	memset(scratch->mem, 1, scratch->size);
	return scratch;
}

static void test_used_again(void)
{
	struct fuse_scratch *first, *second;

	CASE("what was put back last is used first");
	first = get(1);
	second = get(USUAL);
	CHECK(first != second && first->size == USUAL);
	fuse_scratch_put(&scratches, second);
	fuse_scratch_put(&scratches, first);
	CHECK(scratches.spare == first && first->next == second);
	CHECK(get(USUAL) == first);
	CHECK(get(USUAL) == second);
	CHECK(!scratches.spare);
	fuse_scratch_put(&scratches, first);
	fuse_scratch_put(&scratches, second);
}

static void test_unusual(void)
{
	struct fuse_scratch *large;

	CASE("what is larger than usual is not kept, until that is usual");
	large = get(USUAL + 1);
	CHECK(large->size == USUAL + 1);
	fuse_scratch_put(&scratches, large);
	CHECK(scratches.spare && !scratches.spare->next);
	atomic_store(&scratches.usual, 2 * USUAL);
	large = get(USUAL + 1);
	CHECK(large->size == 2 * USUAL && !scratches.spare);
	fuse_scratch_put(&scratches, large);
	CHECK(scratches.spare == large);
}

int main(void)
{
	fuse_scratches_init(&scratches, USUAL);
	test_used_again();
	test_unusual();
	fuse_scratches_destroy(&scratches);
	return 0;
}
