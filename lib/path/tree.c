// SPDX-License-Identifier: LGPL-2.1-or-later
#include "path/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* For how long who waits holds up others, and for how long it then lets them pass. */
#define TURN ((int64_t)1000000000)

void fuse_tree_init(struct fuse_tree *tree)
{
	memset(tree, 0, sizeof(*tree));
	pthread_mutex_init(&tree->lock, NULL);
	tree->waiting_end = &tree->waiting;
}

void fuse_tree_destroy(struct fuse_tree *tree)
{
	fuse_nodes_destroy(&tree->nodes);
	pthread_mutex_destroy(&tree->lock);
}

/* ---- Which nodes a request is about ---- */

static void forget_nodes(struct fuse_tree *tree, struct fuse_claims *claims)
{
	for (int i = 0; i < 2; i++) {
		if (claims->claimed[i])
			fuse_node_unref(&tree->nodes, claims->claimed[i]);
		claims->claimed[i] = NULL;
	}
}

static int find_place(struct fuse_tree *tree, struct fuse_place *place)
{
	struct fuse_node *node = fuse_node_find(&tree->nodes, place->ino);

	if (!node)
		return -ESTALE;
	place->dir = place->name ? node : NULL;
	place->node =
		place->name ? fuse_node_child(&tree->nodes, node, place->name) : node;
	return 0;
}

/* The kernel does not ask for that. But a loop of directories would be the end of us. */
static bool would_make_a_loop(const struct fuse_claims *claims)
{
	for (int i = 0; claims->count == 2 && i < 2; i++) {
		const struct fuse_place *from = &claims->place[i];
		const struct fuse_place *to = &claims->place[1 - i];

		if (from->exclusive && to->exclusive && from->node && to->dir &&
		    fuse_node_is_above(from->node, to->dir))
			return true;
	}
	return false;
}

static int find_nodes(struct fuse_tree *tree, struct fuse_claims *claims)
{
	struct fuse_place *place;
	int error;

	claims->exclusive = false;
	for (int i = 0; i < claims->count; i++) {
		place = &claims->place[i];
		error = find_place(tree, place);
		if (error)
			return error;
	}
	if (would_make_a_loop(claims))
		return -EINVAL;
	for (int i = 0; i < claims->count; i++) {
		place = &claims->place[i];
		claims->claimed[i] = place->node ? place->node : place->dir;
		fuse_node_ref(claims->claimed[i]);
		claims->exclusive |= place->exclusive && place->node;
	}
	return 0;
}

/* ---- Conflicts ---- */

static bool is_exclusive(const struct fuse_claims *claims, int i)
{
	return claims->place[i].exclusive && claims->place[i].node;
}

static bool conflict(const struct fuse_claims *one, const struct fuse_claims *other)
{
	if (!one->exclusive && !other->exclusive)
		return false;
	for (int i = 0; i < one->count; i++) {
		for (int j = 0; j < other->count; j++) {
			const struct fuse_node *a = one->claimed[i];
			const struct fuse_node *b = other->claimed[j];

			if (is_exclusive(one, i) && fuse_node_is_above(a, b))
				return true;
			if (is_exclusive(other, j) && fuse_node_is_above(b, a))
				return true;
		}
	}
	return false;
}

static bool conflicts_with_any(const struct fuse_claims *list,
			       const struct fuse_claims *claims)
{
	for (; list; list = list->next) {
		if (conflict(list, claims))
			return true;
	}
	return false;
}

static bool holds_up_others(const struct fuse_claims *waiting, int64_t now)
{
	return (now - waiting->since) / TURN % 2 == 0;
}

/* The claims themselves may be in the list: those behind them came later. */
static bool conflicts_with_earlier(const struct fuse_tree *tree,
				   const struct fuse_claims *claims)
{
	const struct fuse_claims *earlier = tree->waiting;
	int64_t now;

	if (!earlier || claims->urgent)
		return false;
	now = fuse_clock();
	for (; earlier && earlier != claims; earlier = earlier->next) {
		if (holds_up_others(earlier, now) && conflict(earlier, claims))
			return true;
	}
	return false;
}

static bool has_to_wait(const struct fuse_tree *tree, const struct fuse_claims *claims)
{
	return conflicts_with_any(tree->held[true], claims) ||
	       (claims->exclusive && conflicts_with_any(tree->held[false], claims)) ||
	       conflicts_with_earlier(tree, claims);
}

/* ---- Paths ---- */

static void free_paths(struct fuse_claims *claims)
{
	for (int i = 0; i < claims->count; i++) {
		if (claims->place[i].path != claims->place[i].room)
			free(claims->place[i].path);
		claims->place[i].path = NULL;
	}
}

static int make_paths(struct fuse_tree *tree, struct fuse_claims *claims)
{
	for (int i = 0; i < claims->count; i++) {
		struct fuse_place *place = &claims->place[i];
		const struct fuse_node *node = place->name ? place->dir : place->node;
		int error = fuse_node_path(&tree->nodes, node, place->name, place->room,
					   sizeof(place->room), &place->path);

		if (error == -ENOENT && claims->nameless_ok)
			place->path = NULL;
		else if (error)
			return error;
	}
	return 0;
}

/* ---- Claiming ---- */

/* by: 1 or -1 */
static void count(struct fuse_tree *tree, bool in_way_of_all, int by)
{
	atomic_fetch_add_explicit(&tree->in_way_of_exclusive, (unsigned)by,
				  memory_order_relaxed);
	if (in_way_of_all)
		atomic_fetch_add_explicit(&tree->in_way_of_all, (unsigned)by,
					  memory_order_relaxed);
}

static void hold(struct fuse_tree *tree, struct fuse_claims *claims)
{
	struct fuse_claims **list = &tree->held[claims->exclusive];

	count(tree, claims->exclusive, 1);
	claims->next = *list;
	claims->link = list;
	if (claims->next)
		claims->next->link = &claims->next;
	*list = claims;
}

static void take_out(struct fuse_claims *claims)
{
	*claims->link = claims->next;
	if (claims->next)
		claims->next->link = claims->link;
	claims->link = NULL;
}

static void start_waiting(struct fuse_tree *tree, struct fuse_claims *claims)
{
	count(tree, true, 1);
	fuse_clock_cond_init(&claims->settlement);
	claims->since = fuse_clock();
	claims->next = NULL;
	claims->link = tree->waiting_end;
	*claims->link = claims;
	tree->waiting_end = &claims->next;
}

static void stop_waiting(struct fuse_tree *tree, struct fuse_claims *claims)
{
	if (!claims->link)
		return;
	count(tree, true, -1);
	if (tree->waiting_end == &claims->next)
		tree->waiting_end = claims->link;
	take_out(claims);
}

/* Looks whether the request can have its claims, or fails. If not, it has to wait. */
static void try(struct fuse_tree *tree, struct fuse_claims *claims)
{
	forget_nodes(tree, claims);
	claims->result = find_nodes(tree, claims);
	if (!claims->result && has_to_wait(tree, claims))
		return;
	claims->settled = true;
	stop_waiting(tree, claims);
	if (!claims->result)
		claims->result = make_paths(tree, claims);
	if (!claims->result) {
		hold(tree, claims);
		claims->held = true;
	} else {
		free_paths(claims);
		forget_nodes(tree, claims);
	}
}

static void try_those_who_wait(struct fuse_tree *tree)
{
	struct fuse_claims *claims, *next;

	for (claims = tree->waiting; claims; claims = next) {
		next = claims->next;
		try(tree, claims);
		if (claims->settled)
			pthread_cond_signal(&claims->settlement);
	}
}

/* Until settled, or it is time to see whether somebody's turn is over. */
static void wait_a_while(struct fuse_tree *tree, struct fuse_claims *claims)
{
	int64_t until = fuse_clock() + TURN / 4;

	while (!claims->settled &&
	       fuse_clock_cond_wait(&claims->settlement, &tree->lock, until) == 0)
		;
}

/* ---- Whether to ask ---- */

/* What such a claim could have to do with one on a node in that directory, or on the directory. */
static bool is_near(const struct fuse_claims *claims, const struct fuse_node *dir,
		    bool exclusive)
{
	for (int i = 0; i < claims->count; i++) {
		const struct fuse_node *node = claims->claimed[i];

		if (!node)
			continue;
		if (exclusive && fuse_node_is_above(dir, node))
			return true;
		if (is_exclusive(claims, i) &&
		    (fuse_node_is_above(node, dir) || node->parent == dir))
			return true;
	}
	return false;
}

static bool any_is_near(const struct fuse_claims *list, const struct fuse_node *dir,
			bool exclusive)
{
	for (; list; list = list->next) {
		if (is_near(list, dir, exclusive))
			return true;
	}
	return false;
}

bool fuse_tree_may_wait(struct fuse_tree *tree, fuse_ino_t ino, bool exclusive)
{
	const struct fuse_node *dir;
	bool may_wait;

	if (!atomic_load_explicit(exclusive ? &tree->in_way_of_exclusive
					    : &tree->in_way_of_all,
				  memory_order_relaxed))
		return false;
	fuse_tree_lock(tree);
	dir = fuse_node_find(&tree->nodes, ino);
	may_wait = dir && (any_is_near(tree->held[true], dir, exclusive) ||
			   any_is_near(tree->waiting, dir, exclusive) ||
			   (exclusive && any_is_near(tree->held[false], dir, exclusive)));
	fuse_tree_unlock(tree);
	return may_wait;
}

bool fuse_tree_may_wait_anywhere(struct fuse_tree *tree)
{
	return atomic_load_explicit(&tree->in_way_of_all, memory_order_relaxed) != 0;
}

/* ---- Asking ---- */

int fuse_tree_claim(struct fuse_tree *tree, struct fuse_claims *claims)
{
	claims->settled = claims->held = false;
	claims->link = NULL;
	claims->claimed[0] = claims->claimed[1] = NULL;

	fuse_tree_lock(tree);
	try(tree, claims);
	if (!claims->settled) {
		start_waiting(tree, claims);
		while (!claims->settled) {
			wait_a_while(tree, claims);
			if (!claims->settled)
				try_those_who_wait(tree);
		}
		pthread_cond_destroy(&claims->settlement);
	}
	fuse_tree_unlock(tree);
	return claims->result;
}

void fuse_tree_let_go(struct fuse_tree *tree, struct fuse_claims *claims)
{
	fuse_tree_lock(tree);
	take_out(claims);
	count(tree, claims->exclusive, -1);
	forget_nodes(tree, claims);
	if (tree->waiting)
		try_those_who_wait(tree);
	fuse_tree_unlock(tree);
	claims->held = false;
}

void fuse_tree_drop(struct fuse_tree *tree, struct fuse_claims *claims)
{
	/* Not the link, which changes with what is beside it in the list. */
	if (claims->held)
		fuse_tree_let_go(tree, claims);
	free_paths(claims);
}
