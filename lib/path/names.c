// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What makes, moves and removes names. The filesystem is asked first; when it has done it,
 * so does the tree, before the claims are dropped.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "path/path.h"

/* ---- New names ---- */

/* Tells the kernel what the filesystem has made, or why it has not. */
static void end_with_new_name(struct fuse_op *op, int error, fuse_ino_t parent,
			      const char *name)
{
	struct fuse_entry_param e;

	if (!error)
		error = fuse_look_up(op, parent, name, &e, NULL);
	fuse_op_end_with_entry(op, error, &e);
}

/* Filesystems that have create() need not have mknod() for regular files. */
static int make_regular(struct fuse_op *op, mode_t mode)
{
	struct fuse_file_info fi = { .flags = O_CREAT | O_EXCL | O_WRONLY };
	const char *path = fuse_op_path(op);
	int error = fuse_fs_create(op->f->fs, path, mode, &fi);

	if (!error)
		fuse_fs_release(op->f->fs, path, &fi);
	return error;
}

void fuse_path_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		     dev_t rdev)
{
	struct fuse_op op;
	int error = fuse_op_begin_entry(&op, req, parent, name);

	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	error = -ENOSYS;
	if (S_ISREG(mode))
		error = make_regular(&op, mode);
	if (error == -ENOSYS)
		error = fuse_fs_mknod(op.f->fs, fuse_op_path(&op), mode, rdev);
	end_with_new_name(&op, error, parent, name);
}

void fuse_path_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct fuse_op op;
	int error = fuse_op_begin_entry(&op, req, parent, name);

	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	error = fuse_fs_mkdir(op.f->fs, fuse_op_path(&op), mode);
	end_with_new_name(&op, error, parent, name);
}

void fuse_path_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
		       const char *name)
{
	struct fuse_op op;
	int error = fuse_op_begin_entry(&op, req, parent, name);

	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	error = fuse_fs_symlink(op.f->fs, target, fuse_op_path(&op));
	end_with_new_name(&op, error, parent, name);
}

static void ask_for(struct fuse_op *op, int i, fuse_ino_t ino, const char *name,
		    bool exclusive)
{
	op->claims.place[i].ino = ino;
	op->claims.place[i].name = name;
	op->claims.place[i].exclusive = exclusive;
}

void fuse_path_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent,
		    const char *newname)
{
	struct fuse_entry_param e;
	struct stat attr = { 0 };
	struct fuse_op op;
	const char *path;
	int error;

	ask_for(&op, 0, ino, NULL, false);
	ask_for(&op, 1, newparent, newname, false);
	error = fuse_op_begin_places(&op, req, 2);
	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	path = op.claims.place[1].path;
	error = fuse_fs_link(op.f->fs, fuse_op_path(&op), path);
	if (!error)
		error = fuse_fs_getattr(op.f->fs, path, &attr, NULL);
	if (!error)
		error = fuse_enter(op.f, newparent, newname, &attr, &e);
	fuse_op_end_with_entry(&op, error, &e);
}

/* ---- Names that go ---- */

static int begin_exclusive(struct fuse_op *op, fuse_req_t req, fuse_ino_t parent,
			   const char *name)
{
	ask_for(op, 0, parent, name, true);
	return fuse_op_begin_places(op, req, 1);
}

static void forget_name(struct fuse_op *op)
{
	struct fuse_node *node = op->claims.place[0].node;

	if (!node)
		return;
	fuse_tree_lock(&op->f->tree);
	fuse_node_remove_name(&op->f->tree.nodes, node);
	fuse_tree_unlock(&op->f->tree);
}

static int unlink_or_hide(struct fuse_op *op)
{
	struct fuse_place *place = &op->claims.place[0];
	char *hidden_path = NULL;
	int error = -ENOSYS;

	if (fuse_is_to_be_hidden(op->f, place))
		error = fuse_hide(op->f, place, &hidden_path);
	if (!error)
		fuse_hidden_for_good(op->f, place, hidden_path);
	free(hidden_path);
	if (error != -ENOSYS)
		return error;
	error = fuse_fs_unlink(op->f->fs, place->path);
	if (!error)
		forget_name(op);
	return error;
}

void fuse_path_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_op op;
	int error = begin_exclusive(&op, req, parent, name);

	if (error)
		fuse_reply_err(req, -error);
	else
		fuse_op_end_with(&op, unlink_or_hide(&op));
}

void fuse_path_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_op op;
	int error = begin_exclusive(&op, req, parent, name);

	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	error = fuse_fs_rmdir(op.f->fs, fuse_op_path(&op));
	if (!error)
		forget_name(&op);
	fuse_op_end_with(&op, error);
}

/* ---- Names that move ---- */

static int move_in_tree(struct fuse *f, struct fuse_place *from, struct fuse_place *to,
			unsigned int flags)
{
	struct fuse_nodes *nodes = &f->tree.nodes;
	int error = 0;

	fuse_tree_lock(&f->tree);
	if ((flags & RENAME_EXCHANGE) && from->node && to->node) {
		error = fuse_node_exchange(nodes, from->node, to->node);
	} else if (flags & RENAME_EXCHANGE) {
		/* One has never been looked up: it will be, at its new place. */
		if (from->node)
			error = fuse_node_rename(nodes, from->node, to->dir, to->name);
		else if (to->node)
			error = fuse_node_rename(nodes, to->node, from->dir, from->name);
	} else if (from->node) {
		error = fuse_node_rename(nodes, from->node, to->dir, to->name);
	} else if (to->node && !to->node->hidden) {
		fuse_node_remove_name(nodes, to->node);
	}
	/* Who moves a hidden file keeps it; an exchange moves both. */
	if (!error && from->node && from->node->hidden)
		fuse_node_set_hidden(nodes, from->node, false);
	if (!error && (flags & RENAME_EXCHANGE) && to->node && to->node->hidden)
		fuse_node_set_hidden(nodes, to->node, false);
	fuse_tree_unlock(&f->tree);
	return error;
}

/* What is replaced may be open. Where nothing can be hidden, it is replaced all the same. */
static int rename_over(struct fuse_op *op, struct fuse_place *from, struct fuse_place *to,
		       unsigned int flags)
{
	bool replaces = !(flags & (RENAME_EXCHANGE | RENAME_NOREPLACE));
	bool was_hidden = false;
	char *hidden_path = NULL;
	int error = 0;

	if (replaces && fuse_is_to_be_hidden(op->f, to)) {
		was_hidden = fuse_is_hidden(op->f, to);
		error = fuse_hide(op->f, to, &hidden_path);
	}
	if (error && error != -ENOSYS)
		return error;
	error = fuse_fs_rename(op->f->fs, from->path, to->path, flags);
	if (error && hidden_path)
		fuse_unhide(op->f, to, hidden_path, was_hidden);
	else if (hidden_path)
		fuse_hidden_for_good(op->f, to, hidden_path);
	free(hidden_path);
	return error ? error : move_in_tree(op->f, from, to, flags);
}

void fuse_path_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
		      fuse_ino_t newparent, const char *newname, unsigned int flags)
{
	struct fuse_op op;
	struct fuse_place *place = op.claims.place;
	int error;

	ask_for(&op, 0, parent, name, true);
	ask_for(&op, 1, newparent, newname, true);
	error = fuse_op_begin_places(&op, req, 2);
	if (error)
		fuse_reply_err(req, -error);
	else
		fuse_op_end_with(&op, rename_over(&op, &place[0], &place[1], flags));
}
