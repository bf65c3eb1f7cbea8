// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Files that are removed while they are open. A filesystem of paths could not read them any
 * more; so they get a hidden name in the same directory, and are removed when nobody has
 * them open.
 *
 * A node is opened under a shared claim, and hidden under an exclusive one, so it cannot be
 * opened meanwhile. It can be closed, if that needs no path. So both look whether the node is
 * hidden and not open, under the tree's lock: who closes it last, when it has got a claim, for
 * until then the name may have been given back, or the file been opened by its hidden one; and who
 * hides it, when that is for good.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "path/path.h"

#define NAME_SIZE 32
#define ATTEMPTS  10

bool fuse_is_to_be_hidden(struct fuse *f, const struct fuse_place *place)
{
	bool open;

	if (f->conf.hard_remove || !place->node)
		return false;
	fuse_tree_lock(&f->tree);
	open = place->node->opens > 0;
	fuse_tree_unlock(&f->tree);
	return open;
}

bool fuse_is_hidden(struct fuse *f, const struct fuse_place *place)
{
	bool hidden;

	fuse_tree_lock(&f->tree);
	hidden = place->node && place->node->hidden;
	fuse_tree_unlock(&f->tree);
	return hidden;
}

/* The path of another name in the directory of a path. */
static char *sibling(const char *path, const char *name)
{
	size_t directory = (size_t)(strrchr(path, '/') + 1 - path);
	char *sibling = malloc(directory + strlen(name) + 1);

	if (sibling) {
		memcpy(sibling, path, directory);
		strcpy(sibling + directory, name);
	}
	return sibling;
}

static bool is_free(struct fuse *f, const struct fuse_place *place, const char *name,
		    const char *path)
{
	struct fuse_node *node;
	struct stat attr;

	fuse_tree_lock(&f->tree);
	node = fuse_node_child(&f->tree.nodes, place->dir, name);
	fuse_tree_unlock(&f->tree);
	return !node && fuse_fs_getattr(f->fs, path, &attr, NULL) == -ENOENT;
}

/* A name that nobody has, and its path, which the caller frees. */
static int make_up_name(struct fuse *f, const struct fuse_place *place, char *name,
			char **path)
{
	for (int i = 0; i < ATTEMPTS; i++) {
		snprintf(name, NAME_SIZE, ".fuse_hidden%08x%08x",
			 (unsigned)place->node->id, ++f->hidden_count);
		*path = sibling(place->path, name);
		if (!*path)
			return -ENOMEM;
		if (is_free(f, place, name, *path))
			return 0;
		free(*path);
	}
	*path = NULL;
	return -EBUSY;
}

static int note_hidden(struct fuse *f, struct fuse_place *place, const char *name)
{
	struct fuse_nodes *nodes = &f->tree.nodes;
	int error;

	fuse_tree_lock(&f->tree);
	error = fuse_node_rename(nodes, place->node, place->dir, name);
	if (!error)
		fuse_node_set_hidden(nodes, place->node, true);
	fuse_tree_unlock(&f->tree);
	return error;
}

int fuse_hide(struct fuse *f, struct fuse_place *place, char **hidden_path)
{
	char name[NAME_SIZE];
	int error = make_up_name(f, place, name, hidden_path);

	if (error)
		return error;
	error = fuse_fs_rename(f->fs, place->path, *hidden_path, 0);
	if (!error)
		error = note_hidden(f, place, name);
	if (error) {
		free(*hidden_path);
		*hidden_path = NULL;
	}
	return error;
}

/*
 * With an exclusive claim. The tree's name goes last: it is by this that the claim keeps the
 * path as it is.
 */
static void remove_now(struct fuse *f, struct fuse_node *node, const char *path,
		       bool though_open)
{
	bool is_due;

	fuse_tree_lock(&f->tree);
	is_due = node->hidden && (though_open || !node->opens);
	fuse_tree_unlock(&f->tree);
	if (!is_due)
		return;
	fuse_fs_unlink(f->fs, path);
	fuse_tree_lock(&f->tree);
	fuse_node_set_hidden(&f->tree.nodes, node, false);
	fuse_node_remove_name(&f->tree.nodes, node);
	fuse_tree_unlock(&f->tree);
}

void fuse_hidden_for_good(struct fuse *f, struct fuse_place *place,
			  const char *hidden_path)
{
	remove_now(f, place->node, hidden_path, false);
}

/* Nobody has removed it: if it has to keep the name it was given, it stays there all the same. */
void fuse_unhide(struct fuse *f, struct fuse_place *place, const char *hidden_path,
		 bool was_hidden)
{
	int error = fuse_fs_rename(f->fs, hidden_path, place->path, 0);

	fuse_tree_lock(&f->tree);
	fuse_node_set_hidden(&f->tree.nodes, place->node, was_hidden);
	if (!error)
		fuse_node_rename(&f->tree.nodes, place->node, place->dir, place->name);
	fuse_tree_unlock(&f->tree);
}

static void claim_and_remove(struct fuse *f, fuse_ino_t ino, bool though_open)
{
	struct fuse_claims claims = {
		.place = { { .ino = ino, .exclusive = true } },
		.count = 1,
		.urgent = true,
	};

	if (fuse_tree_claim(&f->tree, &claims) != 0)
		return;
	remove_now(f, claims.place[0].node, claims.place[0].path, though_open);
	fuse_tree_drop(&f->tree, &claims);
}

void fuse_remove_hidden(struct fuse *f, fuse_ino_t ino)
{
	claim_and_remove(f, ino, false);
}

/* Nobody is at work any more: what cannot be removed now never will be. */
void fuse_remove_all_hidden(struct fuse *f)
{
	struct fuse_node *node;
	fuse_ino_t ino;

	for (;;) {
		fuse_tree_lock(&f->tree);
		node = fuse_nodes_any_hidden(&f->tree.nodes);
		ino = node ? node->id : 0;
		fuse_tree_unlock(&f->tree);
		if (!node)
			return;
		claim_and_remove(f, ino, true);
		fuse_tree_lock(&f->tree);
		node = fuse_node_find(&f->tree.nodes, ino);
		if (node && node->hidden)
			fuse_node_set_hidden(&f->tree.nodes, node, false);
		fuse_tree_unlock(&f->tree);
	}
}
