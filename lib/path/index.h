/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An index of nodes: a hash table of chains that grows and shrinks by one bucket at a time
 * (linear hashing), so that no single operation ever has to move them all.
 *
 * Buckets lie in segments, each as large as all before it together. A segment comes into
 * being when its first bucket does, and goes with it; buckets never move.
 */
#ifndef FUSE_PATH_INDEX_H
#define FUSE_PATH_INDEX_H

#include <stddef.h>
#include <stdint.h>

struct fuse_node;

/* The number of the first segment's buckets, and of those that there are at least. */
#define FUSE_INDEX_LEAST    ((size_t)256)
#define FUSE_INDEX_SEGMENTS 48

enum fuse_index_kind {
	FUSE_INDEX_ID,
	FUSE_INDEX_NAME,
	FUSE_INDEX_KINDS
};

struct fuse_index {
	enum fuse_index_kind kind;
	struct fuse_node **segment[FUSE_INDEX_SEGMENTS];
	size_t buckets;
	size_t nodes;
};

/* 0 or -ENOMEM */
int fuse_index_init(struct fuse_index *index, enum fuse_index_kind kind);
void fuse_index_destroy(struct fuse_index *index);

void fuse_index_add(struct fuse_index *index, struct fuse_node *node);
void fuse_index_remove(struct fuse_index *index, struct fuse_node *node);

/*
 * The chain in which a node of that hash is, if there is one: the rest is for the caller. The
 * numbers below index->buckets, taken as hashes, name each chain once.
 */
struct fuse_node *fuse_index_chain(const struct fuse_index *index, uint64_t hash);

/* Bytes of the segments. */
size_t fuse_index_memory(const struct fuse_index *index);

#endif
