// SPDX-License-Identifier: GPL-2.0-only
/*
 * The nodes of the path-based interface: names, numbers, lives, and what they cost.
 */
#include "check.h"
#include "path/node.h"

#include <errno.h>
#include <stdint.h>
#include <time.h>

#include "fuse_lowlevel.h"

static struct fuse_nodes nodes;

static struct fuse_node *look_up(struct fuse_node *parent, const char *name)
{
	struct fuse_node *node = fuse_node_look_up(&nodes, parent, name);

	CHECK(node);
	return node;
}

static const char *path_of(const struct fuse_node *node, const char *name)
{
	static char room[64];
	static char *path;

	if (path != room)
		free(path);
	path = NULL;
	return fuse_node_path(&nodes, node, name, room, sizeof(room), &path) == 0 ? path
										  : NULL;
}

/* Nodes that there are, the root not counted. */
static size_t others(void)
{
	return nodes.by_id.nodes - 1;
}

static void test_names_and_numbers(void)
{
	struct fuse_node *a, *b, *c;

	CASE("names and numbers");
	CHECK_INT(fuse_nodes_init(&nodes, 0, false), 0);
	CHECK_INT(nodes.root->id, FUSE_ROOT_ID);
	CHECK(fuse_node_find(&nodes, FUSE_ROOT_ID) == nodes.root);
	CHECK(!fuse_node_find(&nodes, 0));
	CHECK(!fuse_node_find(&nodes, 2));

	a = look_up(nodes.root, "a");
	b = look_up(a, "b");
	c = look_up(b, "c");
	CHECK(a->id > FUSE_ROOT_ID && b->id > a->id && c->id > b->id);
	CHECK(fuse_node_find(&nodes, b->id) == b);
	CHECK(fuse_node_child(&nodes, a, "b") == b);
	CHECK(!fuse_node_child(&nodes, a, "c"));
	CHECK(!fuse_node_child(&nodes, nodes.root, "b"));
	CHECK(look_up(nodes.root, "a") == a);
	CHECK_INT(a->lookups, 2);

	CHECK_TEXT(path_of(nodes.root, NULL), "/");
	CHECK_TEXT(path_of(nodes.root, "x"), "/x");
	CHECK_TEXT(path_of(a, NULL), "/a");
	CHECK_TEXT(path_of(c, NULL), "/a/b/c");
	CHECK_TEXT(path_of(c, "d"), "/a/b/c/d");
	CHECK(fuse_node_is_above(a, c) && fuse_node_is_above(c, c));
	CHECK(fuse_node_is_above(nodes.root, c) && !fuse_node_is_above(c, a));

	/* A directory stays while something in it is known. */
	fuse_node_forget(&nodes, a, 2);
	CHECK_TEXT(path_of(c, NULL), "/a/b/c");
	fuse_node_forget(&nodes, b, 1);
	CHECK_INT(others(), 3);
	fuse_node_forget(&nodes, c, 1);
	CHECK_INT(others(), 0);
	fuse_nodes_destroy(&nodes);
}

static void test_forgetting_too_much(void)
{
	struct fuse_node *a;

	CASE("forgetting more than was looked up, and the root");
	CHECK_INT(fuse_nodes_init(&nodes, 0, false), 0);
	a = look_up(nodes.root, "a");
	fuse_node_forget(&nodes, a, UINT64_MAX);
	CHECK_INT(others(), 0);
	fuse_node_forget(&nodes, nodes.root, 7);
	CHECK(fuse_node_find(&nodes, FUSE_ROOT_ID) == nodes.root);
	a = look_up(nodes.root, "a");
	fuse_node_ref(a);
	fuse_node_forget(&nodes, a, 1);
	fuse_node_forget(&nodes, a, 1);
	CHECK_INT(others(), 1);
	fuse_node_unref(&nodes, a);
	CHECK_INT(others(), 0);
	fuse_nodes_destroy(&nodes);
}

static void test_renames(void)
{
	char room[32], longer[300];
	struct fuse_node *a, *b, *c;
	char *path;

	CASE("renames, to longer names too");
	CHECK_INT(fuse_nodes_init(&nodes, 0, false), 0);
	a = look_up(nodes.root, "a");
	b = look_up(a, "b");
	c = look_up(nodes.root, "c");
	CHECK_INT(fuse_node_rename(&nodes, b, nodes.root,
				   "a-much-longer-name-than-before"),
		  0);
	CHECK_TEXT(path_of(b, NULL), "/a-much-longer-name-than-before");
	CHECK(!fuse_node_child(&nodes, a, "b"));
	CHECK_INT(fuse_node_rename(&nodes, b, a, "x"), 0);
	CHECK_TEXT(path_of(b, NULL), "/a/x");
	CHECK_INT((long long)nodes.long_names, 0);

	/* What is replaced has no name any more, but its number still. */
	CHECK_INT(fuse_node_rename(&nodes, c, a, "x"), 0);
	CHECK(fuse_node_child(&nodes, a, "x") == c);
	CHECK(!b->parent);
	CHECK_INT(fuse_node_path(&nodes, b, NULL, room, sizeof(room), &path), -ENOENT);
	CHECK_INT(fuse_node_path(&nodes, b, "y", room, sizeof(room), &path), -ENOENT);
	CHECK(fuse_node_find(&nodes, b->id) == b);
	CHECK_INT(fuse_node_rename(&nodes, c, a, "x"), 0);
	CHECK_TEXT(path_of(c, NULL), "/a/x");

	memset(longer, 'l', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	look_up(a, longer);
	CHECK(fuse_node_child(&nodes, a, longer));
	CHECK_INT((long long)nodes.long_names, sizeof(longer));
	fuse_node_forget(&nodes, fuse_node_child(&nodes, a, longer), 1);
	CHECK_INT((long long)nodes.long_names, 0);

	fuse_node_forget(&nodes, b, 1);
	fuse_node_forget(&nodes, c, 1);
	fuse_node_forget(&nodes, a, 1);
	CHECK_INT(others(), 0);
	fuse_nodes_destroy(&nodes);
}

static void test_exchange(void)
{
	struct fuse_node *a, *b, *in_a, *in_b;

	CASE("two that change places");
	CHECK_INT(fuse_nodes_init(&nodes, 0, false), 0);
	a = look_up(nodes.root, "a");
	b = look_up(nodes.root, "a-longer-name");
	in_a = look_up(a, "inside");
	in_b = look_up(b, "inside");
	CHECK_INT(fuse_node_exchange(&nodes, a, b), 0);
	CHECK_TEXT(path_of(in_a, NULL), "/a-longer-name/inside");
	CHECK_TEXT(path_of(in_b, NULL), "/a/inside");
	CHECK_INT(fuse_node_exchange(&nodes, in_a, in_b), 0);
	CHECK_TEXT(path_of(in_a, NULL), "/a/inside");
	CHECK(fuse_node_child(&nodes, b, "inside") == in_a);
	fuse_nodes_destroy(&nodes);
}

static void test_remembering(void)
{
	struct fuse_node *a, *b;
	uint64_t a_id;
	int64_t left;

	CASE("remember: for a while");
	CHECK_INT(fuse_nodes_init(&nodes, 100, true), 0);
	a = look_up(nodes.root, "a");
	a_id = a->id;
	b = look_up(a, "b");
	fuse_node_forget(&nodes, b, 1);
	fuse_node_forget(&nodes, a, 1);
	CHECK_INT(others(), 2);
	CHECK(look_up(nodes.root, "a") == a);
	CHECK_INT(a->id, a_id);
	left = fuse_nodes_clean(&nodes, fuse_clock());
	CHECK(left > (int64_t)99 * 1000000000 && left <= (int64_t)100 * 1000000000);
	CHECK_INT(others(), 2);
	CHECK_INT(fuse_nodes_clean(&nodes, fuse_clock() + (int64_t)101 * 1000000000), -1);
	CHECK_INT(others(), 1);
	/* What has no name is not worth remembering. */
	fuse_node_remove_name(&nodes, a);
	fuse_node_forget(&nodes, a, 1);
	CHECK_INT(others(), 0);
	fuse_nodes_destroy(&nodes);

	CASE("remember: for good");
	CHECK_INT(fuse_nodes_init(&nodes, -1, false), 0);
	a = look_up(nodes.root, "a");
	b = look_up(a, "b");
	a_id = a->id;
	fuse_node_forget(&nodes, b, 1);
	fuse_node_forget(&nodes, a, 1);
	CHECK_INT(fuse_nodes_clean(&nodes, INT64_MAX), -1);
	CHECK_INT(others(), 2);
	CHECK_INT(look_up(nodes.root, "a")->id, a_id);
	fuse_node_remove_name(&nodes, b);
	CHECK_INT(others(), 1);
	fuse_node_remove_name(&nodes, a);
	CHECK_INT(others(), 1);
	fuse_node_forget(&nodes, a, 1);
	CHECK_INT(others(), 0);
	fuse_nodes_destroy(&nodes);
}

static void test_hidden(void)
{
	struct fuse_node *a;

	CASE("hidden ones are found");
	CHECK_INT(fuse_nodes_init(&nodes, 0, false), 0);
	a = look_up(nodes.root, "a");
	CHECK(!fuse_nodes_any_hidden(&nodes));
	fuse_node_set_hidden(&nodes, a, true);
	fuse_node_set_hidden(&nodes, a, true);
	CHECK(fuse_nodes_any_hidden(&nodes) == a);
	fuse_node_forget(&nodes, a, 1);
	CHECK(!fuse_nodes_any_hidden(&nodes));
	fuse_nodes_destroy(&nodes);
}

static void test_a_deep_tree(void)
{
	struct fuse_node *node;
	const int depth = 100000;

	CASE("%d directories below each other", depth);
	CHECK_INT(fuse_nodes_init(&nodes, 0, false), 0);
	node = nodes.root;
	for (int i = 0; i < depth; i++) {
		struct fuse_node *next = look_up(node, "directory");

		if (node != nodes.root)
			fuse_node_forget(&nodes, node, 1);
		node = next;
	}
	CHECK_INT(strlen(path_of(node, NULL)), 10 * depth);
	fuse_node_forget(&nodes, node, 1);
	CHECK_INT(others(), 0);
	fuse_nodes_destroy(&nodes);
	path_of(NULL == NULL ? &(struct fuse_node){ 0 } : NULL, NULL);
}

static int64_t slowest;

/* The time that fn takes for each of a number of nodes, in nanoseconds. */
static int64_t time_each(int from, int to, void (*fn)(int))
{
	int64_t start = fuse_clock(), before = start, now;

	for (int i = from; i < to; i++) {
		fn(i);
		now = fuse_clock();
		if (now - before > slowest)
			slowest = now - before;
		before = now;
	}
	return (before - start) / (to - from);
}

static void add_one(int i)
{
	char name[16];

	snprintf(name, sizeof(name), "file%06d", i);
	look_up(nodes.root, name);
}

static void find_one(int i)
{
	char name[16];

	snprintf(name, sizeof(name), "file%06d", i);
	CHECK(fuse_node_child(&nodes, nodes.root, name));
	CHECK(fuse_node_find(&nodes, (uint64_t)i + FUSE_ROOT_ID + 1));
}

static void forget_one(int i)
{
	fuse_node_forget(&nodes, fuse_node_find(&nodes, (uint64_t)i + FUSE_ROOT_ID + 1),
			 1);
}

static size_t longest_chain(const struct fuse_index *index)
{
	size_t longest = 0;

	for (size_t i = 0; i < index->buckets; i++) {
		struct fuse_node *node = fuse_index_chain(index, i);
		size_t length = 0;

		for (; node; node = node->next[index->kind])
			length++;
		if (length > longest)
			longest = length;
	}
	return longest;
}

static void test_a_million(void)
{
	const int million = 1000000;
	size_t empty, full;
	int64_t add, few, many, forget;

	CASE("a million of them");
	CHECK_INT(fuse_nodes_init(&nodes, 0, false), 0);
	empty = fuse_nodes_memory(&nodes);
	add = time_each(0, 1000, add_one);
	few = time_each(0, 1000, find_one);
	slowest = 0;
	add = time_each(1000, million, add_one);
	full = fuse_nodes_memory(&nodes);
	printf("add: %lld ns each, the slowest %lld us; %zu bytes per node\n",
	       (long long)add, (long long)slowest / 1000,
	       (full - empty) / (size_t)million);
	CHECK((full - empty) / (size_t)million <= 112);

	slowest = 0;
	many = time_each(0, million, find_one);
	printf("find: %lld ns each of 1000, %lld ns each of %d\n", (long long)few,
	       (long long)many, million);
	/* Chains, not times: on a busy machine these say nothing. */
	CHECK_INT((long long)nodes.by_id.buckets, million + 1);
	CHECK(longest_chain(&nodes.by_id) <= 2);
	CHECK(longest_chain(&nodes.by_name) <= 16);

	forget = time_each(0, million, forget_one);
	printf("forget: %lld ns each\n", (long long)forget);
	CHECK_INT(others(), 0);
	CHECK_INT((long long)nodes.by_id.buckets, FUSE_INDEX_LEAST);
	CHECK_INT((long long)nodes.by_name.buckets, FUSE_INDEX_LEAST);
	printf("memory: %zu bytes before, %zu with them, %zu after\n", empty, full,
	       fuse_nodes_memory(&nodes));
	CHECK(fuse_nodes_memory(&nodes) <= empty + 65536);
	fuse_nodes_destroy(&nodes);
}

/* Names and numbers against a list of what there should be. */
static void test_against_a_list(void)
{
	enum {
		COUNT = 3000,
		STEPS = 200000
	};
	static struct fuse_node *list[COUNT];
	unsigned state = 1;
	char name[16];

	CASE("%d random steps against a list", STEPS);
	CHECK_INT(fuse_nodes_init(&nodes, 0, false), 0);
	for (int step = 0; step < STEPS; step++) {
		unsigned i;

		state = state * 1103515245 + 12345;
		i = state / 65536 % COUNT;
		snprintf(name, sizeof(name), "%u", i);
		if (!list[i]) {
			CHECK(!fuse_node_child(&nodes, nodes.root, name));
			list[i] = look_up(nodes.root, name);
		} else {
			CHECK(fuse_node_child(&nodes, nodes.root, name) == list[i]);
			CHECK(fuse_node_find(&nodes, list[i]->id) == list[i]);
			fuse_node_forget(&nodes, list[i], 1);
			list[i] = NULL;
		}
		/* Shrinks and grows over and over. */
		if (step % 20000 == 19999) {
			for (i = 0; i < COUNT; i++) {
				if (list[i])
					fuse_node_forget(&nodes, list[i], 1);
				list[i] = NULL;
			}
			CHECK_INT(others(), 0);
		}
	}
	fuse_nodes_destroy(&nodes);
}

int main(void)
{
	test_names_and_numbers();
	test_forgetting_too_much();
	test_renames();
	test_exchange();
	test_remembering();
	test_hidden();
	test_a_deep_tree();
	test_a_million();
	test_against_a_list();
	return 0;
}
