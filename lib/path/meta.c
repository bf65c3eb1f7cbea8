// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Names and what they stand for: lookups, attributes, links' contents.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "path/path.h"

/* ---- Attributes ---- */

static mode_t mode_from_masks(const struct fuse_config *conf, mode_t mode)
{
	mode_t mask = conf->umask;

	if (S_ISDIR(mode) && conf->dmask)
		mask = conf->dmask;
	else if (!S_ISDIR(mode) && conf->fmask)
		mask = conf->fmask;
	return (mode & S_IFMT) | (0777 & ~mask);
}

static void adapt_attr(const struct fuse *f, fuse_ino_t ino, struct stat *attr)
{
	const struct fuse_config *conf = &f->conf;

	if (!conf->use_ino)
		attr->st_ino = ino;
	if (conf->set_mode)
		attr->st_mode = mode_from_masks(conf, attr->st_mode);
	if (conf->set_uid)
		attr->st_uid = conf->uid;
	if (conf->set_gid)
		attr->st_gid = conf->gid;
}

/* A hidden name is none. Few filesystems ever see one, and they do not pay for it. */
static bool has_hidden_name(struct fuse *f, fuse_ino_t ino)
{
	struct fuse_node *node;
	bool hidden;

	if (!f->hidden_count)
		return false;
	fuse_tree_lock(&f->tree);
	node = fuse_node_find(&f->tree.nodes, ino);
	hidden = node && node->hidden;
	fuse_tree_unlock(&f->tree);
	return hidden;
}

void fuse_adapt_attr(struct fuse *f, fuse_ino_t ino, struct stat *attr)
{
	adapt_attr(f, ino, attr);
	if (attr->st_nlink && has_hidden_name(f, ino))
		attr->st_nlink--;
}

/* With the tree's lock held. */
static void note_attr(struct fuse_node *node, const struct stat *attr)
{
	struct fuse_node_seen *seen = fuse_node_seen(node);

	if (attr->st_size != seen->size || attr->st_mtim.tv_sec != seen->mtime.tv_sec ||
	    attr->st_mtim.tv_nsec != seen->mtime.tv_nsec)
		seen->valid = false;
	seen->size = attr->st_size;
	seen->mtime = attr->st_mtim;
	seen->when = fuse_clock();
}

void fuse_note_attr(struct fuse *f, fuse_ino_t ino, const struct stat *attr)
{
	struct fuse_node *node;

	if (!f->conf.auto_cache)
		return;
	fuse_tree_lock(&f->tree);
	node = fuse_node_find(&f->tree.nodes, ino);
	if (node)
		note_attr(node, attr);
	fuse_tree_unlock(&f->tree);
}

static void reply_attr(struct fuse_op *op, fuse_ino_t ino, int error, struct stat *attr)
{
	struct fuse *f = op->f;

	fuse_op_end(op);
	if (error) {
		fuse_reply_err(op->req, -error);
		return;
	}
	fuse_note_attr(f, ino, attr);
	fuse_adapt_attr(f, ino, attr);
	fuse_reply_attr(op->req, attr, f->conf.attr_timeout);
}

void fuse_path_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr = { 0 };
	struct fuse_op op;
	int error = fuse_op_begin_open(&op, req, ino, fi);

	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	error = fuse_fs_getattr(op.f->fs, fuse_op_path(&op), &attr, fi);
	reply_attr(&op, ino, error, &attr);
}

static void adapt_statx(struct fuse *f, fuse_ino_t ino, struct statx *stx)
{
	struct stat attr = {
		.st_ino = stx->stx_ino,
		.st_mode = stx->stx_mode,
		.st_uid = stx->stx_uid,
		.st_gid = stx->stx_gid,
		.st_nlink = stx->stx_nlink,
	};

	fuse_adapt_attr(f, ino, &attr);
	stx->stx_ino = attr.st_ino;
	stx->stx_mode = (uint16_t)attr.st_mode;
	stx->stx_uid = attr.st_uid;
	stx->stx_gid = attr.st_gid;
	stx->stx_nlink = (uint32_t)attr.st_nlink;
}

void fuse_path_statx(fuse_req_t req, fuse_ino_t ino, int flags, int mask,
		     struct fuse_file_info *fi)
{
	struct statx stx = { 0 };
	struct fuse_op op;
	int error = fuse_op_begin_open(&op, req, ino, fi);

	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	error = fuse_fs_statx(op.f->fs, fuse_op_path(&op), flags, mask, &stx, fi);
	fuse_op_end(&op);
	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	adapt_statx(op.f, ino, &stx);
	fuse_reply_statx(req, 0, &stx, op.f->conf.attr_timeout);
}

static struct timespec new_time(int to_set, int set, int now, struct timespec time)
{
	if (to_set & now)
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	if (to_set & set)
		return time;
	return (struct timespec){ .tv_nsec = UTIME_OMIT };
}

static int set_attr(struct fuse_op *op, const struct stat *attr, int to_set,
		    struct fuse_file_info *fi)
{
	const int owner = FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID;
	const int times = FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME |
			  FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW;
	const char *path = fuse_op_path(op);
	struct fuse_fs *fs = op->f->fs;
	int error = 0;

	if (to_set & FUSE_SET_ATTR_MODE)
		error = fuse_fs_chmod(fs, path, attr->st_mode, fi);
	if (!error && (to_set & owner))
		error = fuse_fs_chown(
			fs, path, to_set & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1,
			to_set & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1, fi);
	if (!error && (to_set & FUSE_SET_ATTR_SIZE))
		error = fuse_fs_truncate(fs, path, attr->st_size, fi);
	if (!error && (to_set & times)) {
		const struct timespec tv[2] = {
			new_time(to_set, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW,
				 attr->st_atim),
			new_time(to_set, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW,
				 attr->st_mtim),
		};

		error = fuse_fs_utimens(fs, path, tv, fi);
	}
	return error;
}

void fuse_path_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi)
{
	struct stat now = { 0 };
	struct fuse_op op;
	int error = fuse_op_begin_open(&op, req, ino, fi);

	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	error = set_attr(&op, attr, to_set, fi);
	if (!error)
		error = fuse_fs_getattr(op.f->fs, fuse_op_path(&op), &now, fi);
	reply_attr(&op, ino, error, &now);
}

void fuse_path_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	struct fuse_op op;
	int error = fuse_op_begin(&op, req, ino);

	if (error)
		fuse_reply_err(req, -error);
	else
		fuse_op_end_with(&op, fuse_fs_access(op.f->fs, fuse_op_path(&op), mask));
}

void fuse_path_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char target[PATH_MAX + 1];
	struct fuse_op op;
	int error = fuse_op_begin(&op, req, ino);

	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	error = fuse_fs_readlink(op.f->fs, fuse_op_path(&op), target, sizeof(target));
	fuse_op_end(&op);
	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	target[PATH_MAX] = '\0';
	fuse_reply_readlink(req, target);
}

void fuse_path_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs figures = { 0 };
	struct fuse_op op;
	int error = fuse_op_begin(&op, req, ino ? ino : FUSE_ROOT_ID);

	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	error = fuse_fs_statfs(op.f->fs, fuse_op_path(&op), &figures);
	fuse_op_end(&op);
	if (error)
		fuse_reply_err(req, -error);
	else
		fuse_reply_statfs(req, &figures);
}

void fuse_path_bmap(fuse_req_t req, fuse_ino_t ino, size_t blocksize, uint64_t idx)
{
	struct fuse_op op;
	int error = fuse_op_begin(&op, req, ino);

	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	error = fuse_fs_bmap(op.f->fs, fuse_op_path(&op), blocksize, &idx);
	fuse_op_end(&op);
	if (error)
		fuse_reply_err(req, -error);
	else
		fuse_reply_bmap(req, idx);
}

/* ---- Lookups ---- */

static void fill_entry(struct fuse *f, struct fuse_node *node, const struct stat *attr,
		       struct fuse_entry_param *e)
{
	memset(e, 0, sizeof(*e));
	e->ino = node->id;
	e->generation = f->tree.nodes.generation;
	e->attr = *attr;
	e->entry_timeout = f->conf.entry_timeout;
	e->attr_timeout = f->conf.attr_timeout;
	if (f->conf.auto_cache)
		note_attr(node, attr);
	adapt_attr(f, node->id, &e->attr);
}

int fuse_enter(struct fuse *f, fuse_ino_t parent, const char *name,
	       const struct stat *attr, struct fuse_entry_param *e)
{
	struct fuse_node *dir, *node;
	int error = 0;

	fuse_tree_lock(&f->tree);
	dir = fuse_node_find(&f->tree.nodes, parent);
	node = dir ? fuse_node_look_up(&f->tree.nodes, dir, name) : NULL;
	if (node)
		fill_entry(f, node, attr, e);
	else
		error = dir ? -ENOMEM : -ESTALE;
	fuse_tree_unlock(&f->tree);
	return error;
}

void fuse_forget(struct fuse *f, fuse_ino_t ino, uint64_t count)
{
	struct fuse_node *node;

	fuse_tree_lock(&f->tree);
	node = fuse_node_find(&f->tree.nodes, ino);
	if (node)
		fuse_node_forget(&f->tree.nodes, node, count);
	fuse_tree_unlock(&f->tree);
}

int fuse_look_up(struct fuse_op *op, fuse_ino_t parent, const char *name,
		 struct fuse_entry_param *e, struct fuse_file_info *fi)
{
	struct stat attr = { 0 };
	int error = fuse_fs_getattr(op->f->fs, fuse_op_path(op), &attr, fi);

	return error ? error : fuse_enter(op->f, parent, name, &attr, e);
}

void fuse_op_end_with_entry(struct fuse_op *op, int error, struct fuse_entry_param *e)
{
	fuse_op_end(op);
	if (error)
		fuse_reply_err(op->req, -error);
	else if (fuse_reply_entry(op->req, e) == -ENOENT && e->ino)
		fuse_forget(op->f, e->ino, 1);
}

static bool is_dot_or_dotdot(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* The number of what "." and ".." stand for; 0 if they stand for nothing. */
static fuse_ino_t resolve_dots(struct fuse *f, fuse_ino_t ino, const char *dots)
{
	struct fuse_node *node;
	fuse_ino_t found = 0;

	fuse_tree_lock(&f->tree);
	node = fuse_node_find(&f->tree.nodes, ino);
	if (node && dots[1] && node != f->tree.nodes.root)
		node = node->parent;
	if (node)
		found = node->id;
	fuse_tree_unlock(&f->tree);
	return found;
}

/* A file server has a number and wants to know what it is, or what is above. */
static void look_up_dots(fuse_req_t req, fuse_ino_t ino, const char *dots)
{
	struct fuse *f = fuse_of(req);
	fuse_ino_t found = resolve_dots(f, ino, dots);
	struct fuse_entry_param e;
	struct stat attr = { 0 };
	struct fuse_node *node;
	struct fuse_op op;
	int error = found ? fuse_op_begin(&op, req, found) : -ESTALE;

	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	error = fuse_fs_getattr(f->fs, fuse_op_path(&op), &attr, NULL);
	if (!error) {
		fuse_tree_lock(&f->tree);
		node = op.claims.place[0].node;
		fuse_node_looked_up(&f->tree.nodes, node);
		fill_entry(f, node, &attr, &e);
		fuse_tree_unlock(&f->tree);
	}
	fuse_op_end_with_entry(&op, error, &e);
}

void fuse_path_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e;
	struct fuse_op op;
	int error;

	if (is_dot_or_dotdot(name)) {
		look_up_dots(req, parent, name);
		return;
	}
	error = fuse_op_begin_entry(&op, req, parent, name);
	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	error = fuse_look_up(&op, parent, name, &e, NULL);
	if (error == -ENOENT && op.f->conf.negative_timeout != 0) {
		memset(&e, 0, sizeof(e));
		e.entry_timeout = op.f->conf.negative_timeout;
		error = 0;
	}
	fuse_op_end_with_entry(&op, error, &e);
}

void fuse_path_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	fuse_forget(fuse_of(req), ino, nlookup);
	fuse_reply_none(req);
}

void fuse_path_forget_multi(fuse_req_t req, size_t count,
			    struct fuse_forget_data *forgets)
{
	struct fuse *f = fuse_of(req);
	struct fuse_node *node;

	fuse_tree_lock(&f->tree);
	for (size_t i = 0; i < count; i++) {
		node = fuse_node_find(&f->tree.nodes, forgets[i].ino);
		if (node)
			fuse_node_forget(&f->tree.nodes, node, forgets[i].nlookup);
	}
	fuse_tree_unlock(&f->tree);
	fuse_reply_none(req);
}

/* ---- Extended attributes ---- */

void fuse_path_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
			const char *value, size_t size, int flags)
{
	struct fuse_op op;
	int error = fuse_op_begin(&op, req, ino);

	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	error = fuse_fs_setxattr(op.f->fs, fuse_op_path(&op), name, value, size, flags);
	fuse_op_end_with(&op, error);
}

void fuse_path_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct fuse_op op;
	int error = fuse_op_begin(&op, req, ino);

	if (error)
		fuse_reply_err(req, -error);
	else
		fuse_op_end_with(&op,
				 fuse_fs_removexattr(op.f->fs, fuse_op_path(&op), name));
}

/* A value, or with a name of NULL the list of names. */
static int get_xattr(struct fuse_op *op, const char *name, char *value, size_t size)
{
	if (name)
		return fuse_fs_getxattr(op->f->fs, fuse_op_path(op), name, value, size);
	return fuse_fs_listxattr(op->f->fs, fuse_op_path(op), value, size);
}

static void answer_xattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	char *value = size ? malloc(size) : NULL;
	struct fuse_op op;
	int res = size && !value ? -ENOMEM : fuse_op_begin(&op, req, ino);

	if (res == 0) {
		res = get_xattr(&op, name, value, size);
		fuse_op_end(&op);
	}
	if (res >= 0 && size && (size_t)res > size)
		res = -ERANGE;
	if (res < 0)
		fuse_reply_err(req, -res);
	else if (size)
		fuse_reply_buf(req, value, (size_t)res);
	else
		fuse_reply_xattr(req, (size_t)res);
	free(value);
}

void fuse_path_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	answer_xattr(req, ino, name, size);
}

void fuse_path_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	answer_xattr(req, ino, NULL, size);
}
