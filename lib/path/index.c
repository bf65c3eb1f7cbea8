// SPDX-License-Identifier: LGPL-2.1-or-later
#include "path/index.h"

#include <errno.h>
#include <stdlib.h>

#include "path/node.h"

static size_t highest_bit(size_t number)
{
	return (size_t)1 << (8 * sizeof(number) - 1 - (size_t)__builtin_clzl(number));
}

/* Segment 0 has FUSE_INDEX_LEAST buckets, and so has segment 1; then they double. */
static size_t segment_of(size_t bucket, size_t *start)
{
	if (bucket < FUSE_INDEX_LEAST) {
		*start = 0;
		return 0;
	}
	*start = highest_bit(bucket);
	return (size_t)__builtin_ctzl(*start / FUSE_INDEX_LEAST) + 1;
}

static struct fuse_node **bucket_at(const struct fuse_index *index, size_t bucket)
{
	size_t start;
	size_t segment = segment_of(bucket, &start);

	return &index->segment[segment][bucket - start];
}

/* The bucket whose nodes go to a new last bucket, or come back from it. */
static size_t buddy_of(size_t bucket)
{
	return bucket - highest_bit(bucket);
}

static size_t bucket_of(const struct fuse_index *index, uint64_t hash)
{
	size_t top = highest_bit(index->buckets);
	size_t bucket = (size_t)hash & (2 * top - 1);

	return bucket < index->buckets ? bucket : bucket - top;
}

static uint64_t hash_of(const struct fuse_index *index, const struct fuse_node *node)
{
	return index->kind == FUSE_INDEX_ID ? node->id : node->hash;
}

static void push(const struct fuse_index *index, struct fuse_node **bucket,
		 struct fuse_node *node)
{
	node->next[index->kind] = *bucket;
	*bucket = node;
}

int fuse_index_init(struct fuse_index *index, enum fuse_index_kind kind)
{
	*index = (struct fuse_index){ .kind = kind, .buckets = FUSE_INDEX_LEAST };
	index->segment[0] = calloc(FUSE_INDEX_LEAST, sizeof(*index->segment[0]));
	return index->segment[0] ? 0 : -ENOMEM;
}

void fuse_index_destroy(struct fuse_index *index)
{
	for (size_t i = 0; i < FUSE_INDEX_SEGMENTS; i++) {
		free(index->segment[i]);
		index->segment[i] = NULL;
	}
}

/* Without memory for a segment the chains get longer, that is all. */
static void grow(struct fuse_index *index)
{
	size_t start, last = index->buckets;
	size_t segment = segment_of(last, &start);
	struct fuse_node **from, *node, *next;

	if (segment >= FUSE_INDEX_SEGMENTS)
		return;
	if (!index->segment[segment])
		index->segment[segment] = calloc(start, sizeof(*index->segment[0]));
	if (!index->segment[segment])
		return;
	index->buckets++;
	from = bucket_at(index, buddy_of(last));
	node = *from;
	*from = NULL;
	for (; node; node = next) {
		next = node->next[index->kind];
		push(index, bucket_at(index, bucket_of(index, hash_of(index, node))),
		     node);
	}
}

static void shrink(struct fuse_index *index)
{
	size_t start, last = index->buckets - 1;
	size_t segment = segment_of(last, &start);
	struct fuse_node **to = bucket_at(index, buddy_of(last));
	struct fuse_node *node = *bucket_at(index, last), *next;

	index->buckets--;
	for (; node; node = next) {
		next = node->next[index->kind];
		push(index, to, node);
	}
	if (last == start) {
		free(index->segment[segment]);
		index->segment[segment] = NULL;
	} else {
		*bucket_at(index, last) = NULL;
	}
}

void fuse_index_add(struct fuse_index *index, struct fuse_node *node)
{
	push(index, bucket_at(index, bucket_of(index, hash_of(index, node))), node);
	index->nodes++;
	if (index->nodes > index->buckets)
		grow(index);
}

/* It shrinks twice for each node gone, and only far below: never to and fro. */
void fuse_index_remove(struct fuse_index *index, struct fuse_node *node)
{
	struct fuse_node **link =
		bucket_at(index, bucket_of(index, hash_of(index, node)));

	while (*link != node)
		link = &(*link)->next[index->kind];
	*link = node->next[index->kind];
	index->nodes--;
	for (int i = 0; i < 2; i++) {
		if (index->buckets > FUSE_INDEX_LEAST &&
		    index->nodes < index->buckets / 2)
			shrink(index);
	}
}

struct fuse_node *fuse_index_chain(const struct fuse_index *index, uint64_t hash)
{
	return *bucket_at(index, bucket_of(index, hash));
}

size_t fuse_index_memory(const struct fuse_index *index)
{
	size_t sum = 0;

	for (size_t i = 0; i < FUSE_INDEX_SEGMENTS && index->segment[i]; i++)
		sum += i ? FUSE_INDEX_LEAST << (i - 1) : FUSE_INDEX_LEAST;
	return sum * sizeof(*index->segment[0]);
}
