/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The nodes: what the kernel knows by number, and what has which name in which directory.
 *
 * A node lives as long as somebody needs it, counted in refs: the kernel (one, while its
 * lookup count is not 0), each node whose parent it is, each operation that works on it,
 * and, for a while or for good, `remember`. Numbers are never used twice in a session; the
 * generation tells sessions apart, for file servers that outlive one.
 *
 * A node without a parent has no name: it is the root, or was removed.
 *
 * The caller holds the tree's lock (tree.h) for everything here.
 */
#ifndef FUSE_PATH_NODE_H
#define FUSE_PATH_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "path/index.h"
#include "path/slab.h"
#include "support/clock.h"

struct fuse_node {
	struct fuse_node *next[FUSE_INDEX_KINDS]; /* in the chains of the indexes */
	struct fuse_node *parent;
	uint64_t id;
	uint64_t lookups; /* what the kernel has to forget */
	uint32_t refs;
	uint32_t opens;
	uint32_t hash;		/* of parent and name */
	uint16_t room;		/* bytes for the name */
	uint16_t long_name : 1; /* the name is elsewhere: its address is in its place */
	uint16_t
		hidden : 1; /* removed, but for a hidden name, which goes with its last open */
	uint16_t kept : 1; /* `remember` has a reference for good */
	char name_room[];  /* see fuse_node_name() */
};

/* What auto_cache knows about a file. In memory in front of the node, if there is any. */
struct fuse_node_seen {
	struct timespec mtime;
	int64_t size;
	int64_t when; /* in nanoseconds of the monotonic clock */
	bool valid;   /* what the kernel has cached is still right */
};

/* A node that is remembered. In memory in front of all that. */
struct fuse_node_memory {
	struct fuse_node *next, *previous; /* in the order in which their time comes */
	int64_t until;			   /* nanoseconds; 0: not in the list */
};

struct fuse_nodes {
	struct fuse_index by_id, by_name;
	struct fuse_slabs slabs;
	struct fuse_node *root;
	uint64_t last_id;
	uint64_t generation; /* of all nodes */
	uint64_t seed;
	size_t prefix;	  /* bytes in front of each node */
	int64_t remember; /* in nanoseconds; negative: for good */
	bool keeps_seen;
	struct fuse_node *oldest, *newest; /* of those remembered */
	size_t long_names;		   /* bytes in names that are elsewhere */
	size_t hidden;			   /* nodes that are */
};

/*
 * remember as in struct fuse_config. Returns 0 or -ENOMEM. There is a root then.
 */
int fuse_nodes_init(struct fuse_nodes *nodes, int remember, bool keeps_seen);
/* Frees all nodes, whoever needs them. */
void fuse_nodes_destroy(struct fuse_nodes *nodes);

/* Where a long name is. The pointer to it lies at no particular alignment. */
static inline char *fuse_node_long_name(const struct fuse_node *node)
{
	char *name;

	memcpy(&name, node->name_room, sizeof(name));
	return name;
}

static inline const char *fuse_node_name(const struct fuse_node *node)
{
	return node->long_name ? fuse_node_long_name(node) : node->name_room;
}

/* Only if nodes->keeps_seen. */
static inline struct fuse_node_seen *fuse_node_seen(struct fuse_node *node)
{
	return (struct fuse_node_seen *)node - 1;
}

/* NULL if there is none. */
struct fuse_node *fuse_node_find(const struct fuse_nodes *nodes, uint64_t id);
struct fuse_node *fuse_node_child(const struct fuse_nodes *nodes,
				  const struct fuse_node *parent, const char *name);

/*
 * The kernel is about to be told of a name: its node, made if need be. The lookup count goes
 * up by one. NULL if memory ran out.
 */
struct fuse_node *fuse_node_look_up(struct fuse_nodes *nodes, struct fuse_node *parent,
				    const char *name);
/* One more lookup of a node that there is. */
void fuse_node_looked_up(struct fuse_nodes *nodes, struct fuse_node *node);
/* The kernel forgets so many lookups. The node may be gone then. */
void fuse_node_forget(struct fuse_nodes *nodes, struct fuse_node *node, uint64_t count);

void fuse_node_ref(struct fuse_node *node);
/* The node may be gone then, and directories above it. */
void fuse_node_unref(struct fuse_nodes *nodes, struct fuse_node *node);

/* The name is gone; the node is there as long as it is needed. */
void fuse_node_remove_name(struct fuse_nodes *nodes, struct fuse_node *node);
/* The node has another name, and what had that before has none. Returns 0 or -ENOMEM. */
int fuse_node_rename(struct fuse_nodes *nodes, struct fuse_node *node,
		     struct fuse_node *parent, const char *name);
/* Two nodes change places. Returns 0 or -ENOMEM. */
int fuse_node_exchange(struct fuse_nodes *nodes, struct fuse_node *one,
		       struct fuse_node *other);

/* The name that a node has now is a hidden one; or it is not, for it has none. */
void fuse_node_set_hidden(struct fuse_nodes *nodes, struct fuse_node *node, bool hidden);
/* Any that is hidden, or NULL. Slow if there is one. */
struct fuse_node *fuse_nodes_any_hidden(const struct fuse_nodes *nodes);

/* Whether one node is the other, or a directory somewhere above it. */
bool fuse_node_is_above(const struct fuse_node *node, const struct fuse_node *other);

/*
 * The path of a node; or, with a name, of that name in it. In `room` if it fits, otherwise in
 * memory of its own. Returns 0, -ENOENT for a node without a name, or -ENOMEM.
 */
int fuse_node_path(const struct fuse_nodes *nodes, const struct fuse_node *node,
		   const char *name, char *room, size_t room_size, char **path);

/* Forgets those whose time is over at `now`. Returns nanoseconds until the next one, or -1. */
int64_t fuse_nodes_clean(struct fuse_nodes *nodes, int64_t now);

/* All that nodes and indexes take, in bytes. */
size_t fuse_nodes_memory(const struct fuse_nodes *nodes);

#endif
