// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Files from open to release.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "path/path.h"

/* ---- Opening ---- */

/*
 * With the claims held: nobody hides it meanwhile. An open file keeps its node, for the kernel
 * may have forgotten it before the release is served: they are on their way at the same time.
 */
void fuse_opened(struct fuse *f, fuse_ino_t ino)
{
	struct fuse_node *node;

	fuse_tree_lock(&f->tree);
	node = fuse_node_find(&f->tree.nodes, ino);
	if (node && node->opens++ == 0)
		fuse_node_ref(node);
	fuse_tree_unlock(&f->tree);
}

/* What has been open for the last time, and was removed before, is removed now. */
static void close_node(struct fuse *f, fuse_ino_t ino)
{
	struct fuse_node *node;
	bool last, hidden;

	fuse_tree_lock(&f->tree);
	node = fuse_node_find(&f->tree.nodes, ino);
	last = node && node->opens && --node->opens == 0;
	hidden = last && node->hidden;
	fuse_tree_unlock(&f->tree);
	if (!last)
		return;
	if (hidden)
		fuse_remove_hidden(f, ino);
	fuse_tree_lock(&f->tree);
	fuse_node_unref(&f->tree.nodes, node);
	fuse_tree_unlock(&f->tree);
}

static void apply_options(const struct fuse *f, struct fuse_file_info *fi)
{
	if (f->conf.direct_io)
		fi->direct_io = 1;
	if (f->conf.kernel_cache)
		fi->keep_cache = 1;
	if (fi->direct_io && f->conf.parallel_direct_writes)
		fi->parallel_direct_writes = 1;
	if (f->conf.no_rofd_flush && (fi->flags & O_ACCMODE) == O_RDONLY)
		fi->noflush = 1;
}

static bool is_seen_recently(struct fuse *f, fuse_ino_t ino, bool *valid)
{
	int64_t limit = (int64_t)(f->conf.ac_attr_timeout * 1e9);
	struct fuse_node *node;
	bool recently = false;

	*valid = false;
	fuse_tree_lock(&f->tree);
	node = fuse_node_find(&f->tree.nodes, ino);
	if (node) {
		*valid = fuse_node_seen(node)->valid;
		recently = fuse_clock() - fuse_node_seen(node)->when <= limit;
	}
	fuse_tree_unlock(&f->tree);
	return recently;
}

/* From now on the kernel's cache is right, until the file is seen to change. */
static bool take_cache_over(struct fuse *f, fuse_ino_t ino)
{
	struct fuse_node *node;
	bool was_valid = false;

	fuse_tree_lock(&f->tree);
	node = fuse_node_find(&f->tree.nodes, ino);
	if (node) {
		was_valid = fuse_node_seen(node)->valid;
		fuse_node_seen(node)->valid = true;
	}
	fuse_tree_unlock(&f->tree);
	return was_valid;
}

static void auto_cache(struct fuse_op *op, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr = { 0 };
	bool valid;

	if (!is_seen_recently(op->f, ino, &valid)) {
		if (fuse_fs_getattr(op->f->fs, fuse_op_path(op), &attr, fi) != 0)
			return; /* nobody knows what it is like */
		fuse_note_attr(op->f, ino, &attr);
	}
	if (take_cache_over(op->f, ino))
		fi->keep_cache = 1;
}

/* The kernel does not know of the open file after all, so nobody else will close it. */
static void take_back_open(struct fuse *f, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fuse_op op;

	fuse_op_begin_taking_back(&op, f, ino);
	fuse_fs_release(f->fs, fuse_op_path(&op), fi);
	fuse_op_end(&op);
	close_node(f, ino);
}

void fuse_path_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fuse_op op;
	int error = fuse_op_begin(&op, req, ino);

	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	error = fuse_fs_open(op.f->fs, fuse_op_path(&op), fi);
	if (!error) {
		apply_options(op.f, fi);
		if (op.f->conf.auto_cache)
			auto_cache(&op, ino, fi);
		fuse_opened(op.f, ino);
	}
	fuse_op_end(&op);
	if (error)
		fuse_reply_err(req, -error);
	else if (fuse_reply_open(req, fi) == -ENOENT)
		take_back_open(op.f, ino, fi);
}

/* Only what is a regular file can be open like one. */
static int look_up_created(struct fuse_op *op, fuse_ino_t parent, const char *name,
			   struct fuse_entry_param *e, struct fuse_file_info *fi)
{
	int error = fuse_look_up(op, parent, name, e, fi);

	if (!error && !S_ISREG(e->attr.st_mode)) {
		fuse_forget(op->f, e->ino, 1);
		error = -EIO;
	}
	if (error)
		fuse_fs_release(op->f->fs, fuse_op_path(op), fi);
	return error;
}

void fuse_path_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	struct fuse_entry_param e;
	struct fuse_op op;
	int error = fuse_op_begin_entry(&op, req, parent, name);

	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	error = fuse_fs_create(op.f->fs, fuse_op_path(&op), mode, fi);
	if (!error)
		error = look_up_created(&op, parent, name, &e, fi);
	if (!error) {
		apply_options(op.f, fi);
		fuse_opened(op.f, e.ino);
	}
	fuse_op_end(&op);
	if (error) {
		fuse_reply_err(req, -error);
	} else if (fuse_reply_create(req, &e, fi) == -ENOENT) {
		take_back_open(op.f, e.ino, fi);
		fuse_forget(op.f, e.ino, 1);
	}
}

/* ---- Open ---- */

static int flush(struct fuse_op *op, fuse_ino_t ino, struct fuse_file_info *fi)
{
	int flushed = fuse_fs_flush(op->f->fs, fuse_op_path(op), fi);

	return fuse_flush_locks(op, ino, fi, flushed);
}

void fuse_path_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fuse_op op;

	fuse_op_begin_closing(&op, req, ino);
	fuse_op_end_with(&op, flush(&op, ino, fi));
}

void fuse_path_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
		     struct fuse_file_info *fi)
{
	struct fuse_op op;
	int error = fuse_op_begin_open(&op, req, ino, fi);

	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	error = fuse_fs_fsync(op.f->fs, fuse_op_path(&op), datasync, fi);
	fuse_op_end_with(&op, error);
}

/* ---- Closing ---- */

void fuse_path_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fuse_op op;
	int error = 0;

	fuse_op_begin_closing(&op, req, ino);
	if (fi->flush)
		error = flush(&op, ino, fi);
	if (error == -ENOSYS)
		error = 0;
	fuse_fs_release(op.f->fs, fuse_op_path(&op), fi);
	fuse_op_end(&op);
	close_node(op.f, ino);
	fuse_reply_err(req, -error);
}
