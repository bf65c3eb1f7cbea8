/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tree of nodes, and who is at work where in it.
 *
 * An operation is given a path, which has to stay right until it returns. So before it
 * is called, it *claims* the one or two nodes that it works on:
 *
 *   shared      the names of this node, and of all directories above it, stay
 *   exclusive   the name of this node is about to change or to go: nobody else has a
 *               claim on it, or on anything below it
 *
 * THE RULE
 *
 * Two claims conflict if one of them is exclusive and its node is the other one's, or above
 * that. A request gets all its claims at once, when none of them conflicts with one that
 * is held, or with those of a request that waits and came earlier. Until then it holds
 * none. Claims are not added to later.
 *
 * There is no deadlock, because nobody waits who holds a claim: those who hold claims run,
 * and when they have dropped them the first one who waits can have its own. Nobody starves,
 * because none may pass who conflicts with one that has waited longer.
 *
 * That would be all, if operations never waited for each other behind the library's back.
 * But a read may wait for a write, and a lock for an unlock; and a rename of a directory
 * above both would wait for the one and hold up the other. So two exceptions:
 *
 * - Who waits holds others up in every other second only, counted from its arrival. In
 *   the seconds between, they pass; what is under way then may get what it waits for.
 * - Unlocking, flushing and releasing pass always.
 *
 * A request that waits is looked at anew whenever claims are dropped: it asks for numbers
 * and names, and which nodes these are may have changed. The thread that drops them does
 * all that, in the order of arrival, and wakes those who got their claims.
 *
 * Over rings one thread takes all requests of a CPU. If it waited itself, what it waits for might
 * be one that it would have to take, whatever the exceptions say. So a request goes to another
 * thread if it might have to wait (may_wait() in fs.c). That is looked at before it asks for its
 * claims, and what comes in between has just begun, so that it is waited for after all.
 *
 * One mutex guards the tree. No operation is called under it, and nothing waits.
 */
#ifndef FUSE_PATH_TREE_H
#define FUSE_PATH_TREE_H

#include <pthread.h>
#include <stdatomic.h>

#include "fuse_lowlevel.h"
#include "path/node.h"

/* Longer paths have memory of their own. */
#define FUSE_PLACE_ROOM 256

/* A place in the tree: what is asked for, and what has been claimed. */
struct fuse_place {
	fuse_ino_t ino;
	const char *name; /* of an entry of that directory; NULL: the node itself */
	bool exclusive;

	struct fuse_node *dir;	/* the directory, if there is a name */
	struct fuse_node *node; /* NULL if there is none of that name (yet) */
	char *path;		/* NULL if it was not asked for, or there is none */
	char room[FUSE_PLACE_ROOM];
};

struct fuse_claims {
	struct fuse_place place[2];
	int count; /* of places; 0: nothing is claimed */
	bool urgent;
	bool nameless_ok; /* no path is no error */

	/* tree.c's own */
	struct fuse_claims *next, **link;
	struct fuse_node *claimed[2]; /* with a reference each */
	bool exclusive;
	bool settled;
	bool held; /* and not let go of */
	int result;
	int64_t since;
	pthread_cond_t settlement;
};

struct fuse_tree {
	pthread_mutex_t lock;
	struct fuse_nodes nodes;
	struct fuse_claims
		*held[2]; /* by whether any of a request's claims is exclusive */
	struct fuse_claims *waiting, **waiting_end;

	/* Changed under the lock, and looked at without. */
	_Atomic unsigned in_way_of_all; /* claims that are exclusive, or waited for */
	_Atomic unsigned in_way_of_exclusive; /* all of them */
};

void fuse_tree_init(struct fuse_tree *tree);
void fuse_tree_destroy(struct fuse_tree *tree);

/*
 * Waits for the claims on all places, and makes their paths. Returns 0; -ESTALE for a number
 * that is not known, -ENOENT for what has no path, -EINVAL for a directory that would be moved
 * into itself, or -ENOMEM: then nothing is claimed.
 */
int fuse_tree_claim(struct fuse_tree *tree, struct fuse_claims *claims);
/*
 * Whether one that asked now for a claim on that node, or on one in that directory, might have to
 * wait. Where few threads take requests, none of them should.
 */
bool fuse_tree_may_wait(struct fuse_tree *tree, fuse_ino_t ino, bool exclusive);
/* The same for a shared claim on whatever node. */
bool fuse_tree_may_wait_anywhere(struct fuse_tree *tree);
/* Holds none of them any more; the paths stay as they were. */
void fuse_tree_let_go(struct fuse_tree *tree, struct fuse_claims *claims);
/* The end: claims, if held still, and paths. */
void fuse_tree_drop(struct fuse_tree *tree, struct fuse_claims *claims);

static inline void fuse_tree_lock(struct fuse_tree *tree)
{
	pthread_mutex_lock(&tree->lock);
}

static inline void fuse_tree_unlock(struct fuse_tree *tree)
{
	pthread_mutex_unlock(&tree->lock);
}

#endif
