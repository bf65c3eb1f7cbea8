// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Directories. A filesystem lists one in either of two ways: all at once, without offsets,
 * and then the list is kept and the kernel served from it; or from an offset on, as much as
 * the kernel has asked for.
 *
 * The lock of an open directory is taken by who has claimed its path, if at all, and nobody
 * waits for claims who holds it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "path/path.h"

/* An entry of a kept list. Attributes follow, if there are any, and the name. */
struct entry {
	ino_t ino;
	mode_t mode;
	bool has_attr;
};

struct fuse_dir {
	pthread_mutex_t lock;
	uint64_t fh; /* the filesystem's */

	/* All entries, if it is one that lists them all. */
	bool complete;
	char *list;
	size_t list_size, list_room;
	size_t *starts; /* of the entries in the list */
	size_t count, starts_room;

	/* The request that is being answered. */
	struct fuse *f;
	fuse_req_t req;
	fuse_ino_t ino;
	bool plus;
	bool listing; /* an entry without an offset has come */
	bool filling; /* one with */
	int error;
	char *own; /* memory for replies */
	size_t own_size;
	char *buf;
	size_t used, size;
	fuse_ino_t *looked_up; /* what the kernel will know if it gets the reply */
	size_t looked_up_count, looked_up_room;
};

/* Room for one more of something, in memory that doubles. Returns 0 or -ENOMEM. */
static int make_room(void *memory, size_t *room, size_t needed, size_t unit)
{
	size_t more = *room ? *room : 64;
	void *larger;

	if (needed <= *room)
		return 0;
	while (more < needed)
		more *= 2;
	larger = realloc(*(void **)memory, more * unit);
	if (!larger)
		return -ENOMEM;
	memcpy(memory, &larger, sizeof(larger));
	*room = more;
	return 0;
}

static struct fuse_dir *dir_of(const struct fuse_file_info *fi)
{
	return (struct fuse_dir *)(uintptr_t)fi->fh;
}

struct fuse_file_info fuse_dir_file(const struct fuse_file_info *fi)
{
	struct fuse_file_info file = *fi;

	file.fh = dir_of(fi)->fh;
	return file;
}

/* ---- Replies ---- */

static bool is_dot_or_dotdot(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* Returns false if there is no room for it. */
static bool put_plain(struct fuse_dir *dir, const char *name, const struct stat *attr,
		      off_t next)
{
	size_t left = dir->size - dir->used;
	size_t need =
		fuse_add_direntry(dir->req, dir->buf + dir->used, left, name, attr, next);

	if (need > left)
		return false;
	dir->used += need;
	return true;
}

/* The kernel will know it by the reply: its lookup count goes up, and is noted. */
static int look_up(struct fuse_dir *dir, const char *name, const struct stat *attr,
		   struct fuse_entry_param *e)
{
	int error = make_room(&dir->looked_up, &dir->looked_up_room,
			      dir->looked_up_count + 1, sizeof(*dir->looked_up));

	if (!error)
		error = fuse_enter(dir->f, dir->ino, name, attr, e);
	if (!error)
		dir->looked_up[dir->looked_up_count++] = e->ino;
	return error;
}

static bool put_plus(struct fuse_dir *dir, const char *name, const struct stat *attr,
		     bool complete, off_t next)
{
	struct fuse_entry_param e = { .attr = *attr };
	size_t left = dir->size - dir->used;
	size_t need = fuse_add_direntry_plus(dir->req, NULL, 0, name, &e, next);

	if (need > left)
		return false;
	if (complete && !is_dot_or_dotdot(name)) {
		dir->error = look_up(dir, name, attr, &e);
		if (dir->error)
			return false;
	}
	fuse_add_direntry_plus(dir->req, dir->buf + dir->used, left, name, &e, next);
	dir->used += need;
	return true;
}

static bool put(struct fuse_dir *dir, const char *name, const struct stat *attr,
		bool complete, off_t next)
{
	return dir->plus ? put_plus(dir, name, attr, complete, next)
			 : put_plain(dir, name, attr, next);
}

/* The number that readdir(3) shows. */
static ino_t shown_ino(const struct fuse_dir *dir, const char *name,
		       const struct stat *attr)
{
	struct fuse *f = dir->f;
	struct fuse_node *parent, *node = NULL;
	ino_t ino = FUSE_UNKNOWN_INO;

	if (f->conf.use_ino)
		return attr ? attr->st_ino : FUSE_UNKNOWN_INO;
	if (!f->conf.readdir_ino)
		return FUSE_UNKNOWN_INO;
	fuse_tree_lock(&f->tree);
	parent = fuse_node_find(&f->tree.nodes, dir->ino);
	if (parent)
		node = fuse_node_child(&f->tree.nodes, parent, name);
	if (node)
		ino = node->id;
	fuse_tree_unlock(&f->tree);
	return ino;
}

/* ---- Lists ---- */

static int keep(struct fuse_dir *dir, const char *name, const struct stat *attr,
		ino_t ino, bool complete)
{
	struct entry entry = {
		.ino = ino,
		.mode = attr ? attr->st_mode : 0,
		.has_attr = complete,
	};
	size_t name_size = strlen(name) + 1;
	size_t attr_size = complete ? sizeof(*attr) : 0;
	size_t size = sizeof(entry) + attr_size + name_size;
	char *to;

	if (make_room(&dir->list, &dir->list_room, dir->list_size + size, 1) != 0 ||
	    make_room(&dir->starts, &dir->starts_room, dir->count + 1,
		      sizeof(*dir->starts)) != 0)
		return -ENOMEM;
	to = dir->list + dir->list_size;
	memcpy(to, &entry, sizeof(entry));
	if (complete)
		memcpy(to + sizeof(entry), attr, attr_size);
	memcpy(to + sizeof(entry) + attr_size, name, name_size);
	dir->starts[dir->count++] = dir->list_size;
	dir->list_size += size;
	return 0;
}

/* The offset of an entry in a list is the number of those up to it. */
static void serve_from_list(struct fuse_dir *dir, off_t off)
{
	for (size_t i = (size_t)off; i < dir->count && !dir->error; i++) {
		const char *from = dir->list + dir->starts[i];
		struct stat attr = { 0 };
		struct entry entry;

		memcpy(&entry, from, sizeof(entry));
		from += sizeof(entry);
		if (entry.has_attr) {
			memcpy(&attr, from, sizeof(attr));
			from += sizeof(attr);
		}
		attr.st_mode = entry.mode;
		attr.st_ino = entry.ino;
		if (!put(dir, from, &attr, entry.has_attr, (off_t)i + 1))
			return;
	}
}

/* ---- What a filesystem lists ---- */

static int fill(void *buf, const char *name, const struct stat *attr, off_t next,
		enum fuse_fill_dir_flags flags)
{
	struct fuse_dir *dir = buf;
	bool complete = dir->plus && attr && (flags & FUSE_FILL_DIR_PLUS);
	ino_t ino = shown_ino(dir, name, attr);
	struct stat shown = { 0 };

	if (dir->error)
		return 1;
	if ((next && dir->listing) || (!next && dir->filling)) {
		fuse_log(FUSE_LOG_ERR, "fuse: the filesystem lists a directory both with "
				       "offsets and without\n");
		dir->error = -EIO;
		return 1;
	}
	if (!next) {
		dir->listing = true;
		dir->error = keep(dir, name, attr, ino, complete);
		return dir->error ? 1 : 0;
	}
	dir->filling = true;
	if (complete)
		shown = *attr;
	else if (attr)
		shown.st_mode = attr->st_mode;
	shown.st_ino = ino;
	return put(dir, name, &shown, complete, next) ? 0 : 1;
}

static void ask(struct fuse_dir *dir, const char *path, off_t off,
		const struct fuse_file_info *fi)
{
	struct fuse_file_info file = fuse_dir_file(fi);
	int error;

	dir->complete = false;
	dir->listing = dir->filling = false;
	dir->list_size = dir->count = 0;
	error = fuse_fs_readdir(dir->f->fs, path, dir, fill, off, &file,
				dir->plus ? FUSE_READDIR_PLUS : FUSE_READDIR_DEFAULTS);
	/* An error counts if nothing was found: otherwise it will come again. */
	if (error && !dir->used)
		dir->error = error;
	/* An empty directory without even "." might be either; asking again will tell. */
	dir->complete = dir->listing && !dir->error;
}

/* ---- Handlers ---- */

static void forget_looked_up(struct fuse_dir *dir)
{
	for (size_t i = 0; i < dir->looked_up_count; i++)
		fuse_forget(dir->f, dir->looked_up[i], 1);
}

static int find_memory(struct fuse_dir *dir, size_t size)
{
	size_t room = 0;

	if (fuse_req_get_payload(dir->req, &dir->buf, &room, NULL) != 0 || room < size) {
		if (make_room(&dir->own, &dir->own_size, size, 1) != 0)
			return -ENOMEM;
		dir->buf = dir->own;
	}
	dir->used = 0;
	dir->size = size;
	return 0;
}

/* With the lock held, from which on the reply's memory is this request's. */
static void answer(struct fuse_dir *dir, struct fuse_op *op, size_t size, off_t off,
		   const struct fuse_file_info *fi)
{
	dir->looked_up_count = 0;
	dir->error = find_memory(dir, size);
	if (!dir->error && (off == 0 || !dir->complete))
		ask(dir, fuse_op_path(op), off, fi);
	if (!dir->error && dir->complete)
		serve_from_list(dir, off);
	fuse_op_end(op);
	if (dir->error && !dir->used)
		fuse_reply_err(dir->req, -dir->error);
	else if (fuse_reply_buf(dir->req, dir->buf, dir->used) == -ENOENT)
		forget_looked_up(dir);
}

static void read_dir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		     const struct fuse_file_info *fi, bool plus)
{
	struct fuse_dir *dir = dir_of(fi);
	struct fuse_op op;
	int error = fuse_op_begin_open(&op, req, ino, fi);

	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	pthread_mutex_lock(&dir->lock);
	dir->f = op.f;
	dir->req = req;
	dir->ino = ino;
	dir->plus = plus;
	answer(dir, &op, size, off, fi);
	pthread_mutex_unlock(&dir->lock);
}

void fuse_path_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	read_dir(req, ino, size, off, fi, false);
}

void fuse_path_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			   struct fuse_file_info *fi)
{
	read_dir(req, ino, size, off, fi, true);
}

static void free_dir(struct fuse_dir *dir)
{
	pthread_mutex_destroy(&dir->lock);
	free(dir->list);
	free(dir->starts);
	free(dir->own);
	free(dir->looked_up);
	free(dir);
}

static void close_dir(struct fuse *f, const char *path, struct fuse_file_info *fi)
{
	struct fuse_file_info file = fuse_dir_file(fi);
	struct fuse_dir *dir = dir_of(fi);

	fuse_fs_releasedir(f->fs, path, &file);
	/* Who got the last reply may have closed it before its sender has unlocked. */
	pthread_mutex_lock(&dir->lock);
	pthread_mutex_unlock(&dir->lock);
	free_dir(dir);
}

/* The kernel does not know of the open directory after all. */
static void take_back_open(struct fuse *f, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fuse_op op;

	fuse_op_begin_taking_back(&op, f, ino);
	close_dir(f, fuse_op_path(&op), fi);
	fuse_op_end(&op);
}

void fuse_path_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fuse_dir *dir = calloc(1, sizeof(*dir));
	struct fuse_op op;
	int error = dir ? fuse_op_begin(&op, req, ino) : -ENOMEM;

	if (error) {
		free(dir);
		fuse_reply_err(req, -error);
		return;
	}
	pthread_mutex_init(&dir->lock, NULL);
	error = fuse_fs_opendir(op.f->fs, fuse_op_path(&op), fi);
	fuse_op_end(&op);
	/* The kernel must not stop asking: what it then has for a handle is none of ours. */
	if (error && error != -ENOSYS) {
		free_dir(dir);
		fuse_reply_err(req, -error);
		return;
	}
	dir->fh = fi->fh;
	fi->fh = (uintptr_t)dir;
	if (fuse_reply_open(req, fi) == -ENOENT)
		take_back_open(op.f, ino, fi);
}

void fuse_path_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fuse_op op;

	fuse_op_begin_closing(&op, req, ino);
	close_dir(op.f, fuse_op_path(&op), fi);
	fuse_op_end_with(&op, 0);
}

void fuse_path_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
			struct fuse_file_info *fi)
{
	struct fuse_file_info file = fuse_dir_file(fi);
	struct fuse_op op;
	int error;

	fuse_op_begin_closing(&op, req, ino);
	error = fuse_fs_fsyncdir(op.f->fs, fuse_op_path(&op), datasync, &file);
	fuse_op_end_with(&op, error);
}
