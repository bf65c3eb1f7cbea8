// SPDX-License-Identifier: LGPL-2.1-or-later
#include "path/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "fuse_lowlevel.h"

/* Longer ones are elsewhere, and so are those that got too long for their node's room. */
#define NAME_ROOM_MAX 256

/* There has to be room for the address of a long one. */
#define NAME_ROOM_LEAST sizeof(char *)

/* ---- Memory ---- */

static struct fuse_node_memory *memory_of(const struct fuse_nodes *nodes,
					  struct fuse_node *node)
{
	return (struct fuse_node_memory *)((char *)node - nodes->prefix);
}

static bool remembers(const struct fuse_nodes *nodes)
{
	return nodes->remember > 0;
}

static struct fuse_node *new_node(struct fuse_nodes *nodes, size_t name_size)
{
	size_t size = name_size < NAME_ROOM_LEAST ? NAME_ROOM_LEAST : name_size;
	struct fuse_node *node;
	char *block;

	if (size > NAME_ROOM_MAX)
		size = NAME_ROOM_LEAST;
	size = (size + FUSE_SLAB_STEP - 1) & ~(size_t)(FUSE_SLAB_STEP - 1);
	block = fuse_slab_alloc(&nodes->slabs, nodes->prefix + sizeof(*node) + size);
	if (!block)
		return NULL;
	memset(block, 0, nodes->prefix + sizeof(*node));
	node = (struct fuse_node *)(block + nodes->prefix);
	node->id = ++nodes->last_id;
	node->room = (uint16_t)size;
	return node;
}

static void free_long_name(struct fuse_nodes *nodes, struct fuse_node *node)
{
	char *name;

	if (!node->long_name)
		return;
	name = fuse_node_long_name(node);
	nodes->long_names -= strlen(name) + 1;
	free(name);
	node->long_name = false;
}

static void free_node(struct fuse_nodes *nodes, struct fuse_node *node)
{
	free_long_name(nodes, node);
	nodes->hidden -= node->hidden;
	fuse_slab_free(&nodes->slabs, (char *)node - nodes->prefix,
		       nodes->prefix + sizeof(*node) + node->room);
}

static int set_name(struct fuse_nodes *nodes, struct fuse_node *node, const char *name)
{
	size_t size = strlen(name) + 1;
	char *copy = NULL;

	if (size > node->room) {
		copy = malloc(size);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, name, size);
	}
	free_long_name(nodes, node);
	if (copy) {
		memcpy(node->name_room, &copy, sizeof(copy));
		node->long_name = true;
		nodes->long_names += size;
	} else {
		memcpy(node->name_room, name, size);
	}
	return 0;
}

size_t fuse_nodes_memory(const struct fuse_nodes *nodes)
{
	return nodes->slabs.mapped + nodes->long_names +
	       fuse_index_memory(&nodes->by_id) + fuse_index_memory(&nodes->by_name);
}

/* ---- All of them ---- */

int fuse_nodes_init(struct fuse_nodes *nodes, int remember, bool keeps_seen)
{
	memset(nodes, 0, sizeof(*nodes));
	nodes->remember = remember < 0 ? -1 : (int64_t)remember * 1000000000;
	nodes->keeps_seen = keeps_seen;
	if (remembers(nodes))
		nodes->prefix += sizeof(struct fuse_node_memory);
	if (keeps_seen)
		nodes->prefix += sizeof(struct fuse_node_seen);
	/* Without it names that collide could be foreseen; it is no secret of any worth. */
	if (getrandom(&nodes->seed, sizeof(nodes->seed), GRND_NONBLOCK) < 0)
		nodes->seed = (uint64_t)fuse_clock();

	if (fuse_index_init(&nodes->by_id, FUSE_INDEX_ID) != 0 ||
	    fuse_index_init(&nodes->by_name, FUSE_INDEX_NAME) != 0)
		goto fail;
	nodes->last_id = FUSE_ROOT_ID - 1;
	nodes->generation = (uint64_t)time(NULL);
	nodes->root = new_node(nodes, 1);
	if (!nodes->root)
		goto fail;
	nodes->root->name_room[0] = '\0';
	nodes->root->refs = 1;
	fuse_index_add(&nodes->by_id, nodes->root);
	return 0;
fail:
	fuse_nodes_destroy(nodes);
	return -ENOMEM;
}

void fuse_nodes_destroy(struct fuse_nodes *nodes)
{
	struct fuse_node *node, *next;

	for (size_t i = 0; nodes->root && i < nodes->by_id.buckets; i++) {
		for (node = fuse_index_chain(&nodes->by_id, i); node; node = next) {
			next = node->next[FUSE_INDEX_ID];
			free_node(nodes, node);
		}
	}
	nodes->root = NULL;
	fuse_index_destroy(&nodes->by_id);
	fuse_index_destroy(&nodes->by_name);
	fuse_slabs_destroy(&nodes->slabs);
}

struct fuse_node *fuse_node_find(const struct fuse_nodes *nodes, uint64_t id)
{
	struct fuse_node *node;

	if (!nodes->root)
		return NULL;
	node = fuse_index_chain(&nodes->by_id, id);
	while (node && node->id != id)
		node = node->next[FUSE_INDEX_ID];
	return node;
}

/* ---- Names ---- */

/* FNV-1a, with a seed; the last steps spread over the low bits what has gathered above. */
static uint32_t hash_name(const struct fuse_nodes *nodes, const struct fuse_node *parent,
			  const char *name)
{
	uint64_t hash = nodes->seed ^ (parent->id * 0x9e3779b97f4a7c15);

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 0x100000001b3;
	hash ^= hash >> 32;
	hash *= 0xd6e8feb86659fd93;
	return (uint32_t)(hash >> 32);
}

struct fuse_node *fuse_node_child(const struct fuse_nodes *nodes,
				  const struct fuse_node *parent, const char *name)
{
	uint32_t hash = hash_name(nodes, parent, name);
	struct fuse_node *node = fuse_index_chain(&nodes->by_name, hash);

	for (; node; node = node->next[FUSE_INDEX_NAME]) {
		if (node->hash == hash && node->parent == parent &&
		    !strcmp(fuse_node_name(node), name))
			break;
	}
	return node;
}

static void attach(struct fuse_nodes *nodes, struct fuse_node *node,
		   struct fuse_node *parent)
{
	node->hash = hash_name(nodes, parent, fuse_node_name(node));
	node->parent = parent;
	fuse_node_ref(parent);
	fuse_index_add(&nodes->by_name, node);
}

/* Returns the former parent, which the caller has to unref. */
static struct fuse_node *detach(struct fuse_nodes *nodes, struct fuse_node *node)
{
	struct fuse_node *parent = node->parent;

	if (parent)
		fuse_index_remove(&nodes->by_name, node);
	node->parent = NULL;
	return parent;
}

/* What has no name and no lookups cannot be looked up again: there is no use in keeping it. */
static void stop_keeping(struct fuse_nodes *nodes, struct fuse_node *node)
{
	if (!node->kept || node->parent || node->lookups)
		return;
	node->kept = false;
	fuse_node_unref(nodes, node);
}

void fuse_node_remove_name(struct fuse_nodes *nodes, struct fuse_node *node)
{
	struct fuse_node *parent = detach(nodes, node);

	stop_keeping(nodes, node);
	if (parent)
		fuse_node_unref(nodes, parent);
}

int fuse_node_rename(struct fuse_nodes *nodes, struct fuse_node *node,
		     struct fuse_node *parent, const char *name)
{
	struct fuse_node *replaced = fuse_node_child(nodes, parent, name);
	struct fuse_node *former;
	int error;

	if (replaced == node)
		return 0;
	fuse_node_ref(parent);
	former = detach(nodes, node);
	error = set_name(nodes, node, name);
	if (!error) {
		if (replaced)
			fuse_node_remove_name(nodes, replaced);
		attach(nodes, node, parent);
	} else if (former) {
		attach(nodes, node, former);
	}
	if (former)
		fuse_node_unref(nodes, former);
	fuse_node_unref(nodes, parent);
	return error;
}

/* What a node had as a name, for as long as two of them have none. */
static char *copy_name(const struct fuse_node *node)
{
	return strdup(fuse_node_name(node));
}

int fuse_node_exchange(struct fuse_nodes *nodes, struct fuse_node *one,
		       struct fuse_node *other)
{
	char *one_name = copy_name(one), *other_name = copy_name(other);
	struct fuse_node *one_parent, *other_parent;
	int error = -ENOMEM;

	if (!one_name || !other_name)
		goto out;
	one_parent = detach(nodes, one);
	other_parent = detach(nodes, other);
	error = set_name(nodes, one, other_name);
	if (!error)
		error = set_name(nodes, other, one_name);
	if (error) {
		/* Wrong names are worse than none: the kernel will look them up again. */
		fuse_node_unref(nodes, one_parent);
		fuse_node_unref(nodes, other_parent);
		goto out;
	}
	attach(nodes, one, other_parent);
	attach(nodes, other, one_parent);
	fuse_node_unref(nodes, one_parent);
	fuse_node_unref(nodes, other_parent);
out:
	free(one_name);
	free(other_name);
	return error;
}

void fuse_node_set_hidden(struct fuse_nodes *nodes, struct fuse_node *node, bool hidden)
{
	if (node->hidden != hidden)
		nodes->hidden += hidden ? 1 : (size_t)-1;
	node->hidden = hidden;
}

struct fuse_node *fuse_nodes_any_hidden(const struct fuse_nodes *nodes)
{
	struct fuse_node *node;

	for (size_t i = 0; nodes->hidden && i < nodes->by_id.buckets; i++) {
		node = fuse_index_chain(&nodes->by_id, i);
		while (node && !node->hidden)
			node = node->next[FUSE_INDEX_ID];
		if (node)
			return node;
	}
	return NULL;
}

bool fuse_node_is_above(const struct fuse_node *node, const struct fuse_node *other)
{
	while (other && other != node)
		other = other->parent;
	return other;
}

/* Puts text in front of what is there. */
static char *prepend(char *start, const char *text, size_t length)
{
	start -= length;
	memcpy(start, text, length);
	*--start = '/';
	return start;
}

int fuse_node_path(const struct fuse_nodes *nodes, const struct fuse_node *node,
		   const char *name, char *room, size_t room_size, char **path)
{
	size_t size = name ? strlen(name) + 2 : 1;
	const struct fuse_node *up;
	char *start = room;

	for (up = node; up->parent; up = up->parent)
		size += strlen(fuse_node_name(up)) + 1;
	if (up != nodes->root)
		return -ENOENT;
	if (size == 1)
		size = 2; /* the root's */
	if (size > room_size)
		start = malloc(size);
	if (!start)
		return -ENOMEM;

	*path = start;
	start += size - 1;
	*start = '\0';
	if (name)
		start = prepend(start, name, strlen(name));
	for (up = node; up->parent; up = up->parent)
		start = prepend(start, fuse_node_name(up), strlen(fuse_node_name(up)));
	if (start > *path)
		*--start = '/';
	return 0;
}

/* ---- Lives ---- */

void fuse_node_ref(struct fuse_node *node)
{
	node->refs++;
}

void fuse_node_unref(struct fuse_nodes *nodes, struct fuse_node *node)
{
	/* Not recursive: a tree may be deep. */
	while (node && --node->refs == 0) {
		struct fuse_node *parent = detach(nodes, node);

		fuse_index_remove(&nodes->by_id, node);
		free_node(nodes, node);
		node = parent;
	}
}

static void keep_in_memory(struct fuse_nodes *nodes, struct fuse_node *node)
{
	struct fuse_node_memory *memory = memory_of(nodes, node);

	fuse_node_ref(node);
	memory->until = fuse_clock() + nodes->remember;
	memory->previous = nodes->newest;
	memory->next = NULL;
	if (nodes->newest)
		memory_of(nodes, nodes->newest)->next = node;
	else
		nodes->oldest = node;
	nodes->newest = node;
}

static void drop_from_memory(struct fuse_nodes *nodes, struct fuse_node *node)
{
	struct fuse_node_memory *memory = memory_of(nodes, node);

	if (memory->previous)
		memory_of(nodes, memory->previous)->next = memory->next;
	else
		nodes->oldest = memory->next;
	if (memory->next)
		memory_of(nodes, memory->next)->previous = memory->previous;
	else
		nodes->newest = memory->previous;
	memory->until = 0;
	fuse_node_unref(nodes, node);
}

void fuse_node_looked_up(struct fuse_nodes *nodes, struct fuse_node *node)
{
	if (node->lookups++ > 0 || node == nodes->root)
		return;
	fuse_node_ref(node);
	if (remembers(nodes) && memory_of(nodes, node)->until)
		drop_from_memory(nodes, node);
}

struct fuse_node *fuse_node_look_up(struct fuse_nodes *nodes, struct fuse_node *parent,
				    const char *name)
{
	struct fuse_node *node = fuse_node_child(nodes, parent, name);

	if (!node) {
		node = new_node(nodes, strlen(name) + 1);
		if (!node)
			return NULL;
		if (set_name(nodes, node, name) != 0) {
			free_node(nodes, node);
			return NULL;
		}
		if (nodes->remember < 0) {
			node->kept = true;
			fuse_node_ref(node);
		}
		attach(nodes, node, parent);
		fuse_index_add(&nodes->by_id, node);
	}
	fuse_node_looked_up(nodes, node);
	return node;
}

void fuse_node_forget(struct fuse_nodes *nodes, struct fuse_node *node, uint64_t count)
{
	bool had_any = node->lookups > 0;

	/* The root is there always, and nobody may forget what was not looked up. */
	node->lookups -= count < node->lookups ? count : node->lookups;
	if (node->lookups || !had_any || node == nodes->root)
		return;
	if (remembers(nodes) && node->parent)
		keep_in_memory(nodes, node);
	stop_keeping(nodes, node);
	fuse_node_unref(nodes, node);
}

int64_t fuse_nodes_clean(struct fuse_nodes *nodes, int64_t now)
{
	while (nodes->oldest) {
		int64_t left = memory_of(nodes, nodes->oldest)->until - now;

		if (left > 0)
			return left;
		drop_from_memory(nodes, nodes->oldest);
	}
	return -1;
}
