// SPDX-License-Identifier: GPL-2.0-only
/*
 * Names: making them, taking them away, listing them.
 */
#include "allops.h"

#include <errno.h>
#include <stdio.h> /* RENAME_ flags */
#include <stdlib.h>
#include <string.h>

#define NAME_LIMIT 200 /* as statfs() says */

/* ---- Names in memory ---- */

struct name *name_find(struct node *dir, const char *text)
{
	struct name *name;

	for (name = dir->names; name; name = name->next)
		if (strcmp(name->text, text) == 0)
			return name;
	return NULL;
}

int name_add(struct node *dir, const char *text, struct node *node)
{
	struct name **link = &dir->names, *name;
	size_t length = strlen(text);

	if (length > NAME_LIMIT)
		return ENAMETOOLONG;
	name = malloc(sizeof(*name) + length + 1);
	if (!name)
		return ENOMEM;
	memcpy(name->text, text, length + 1);
	name->next = NULL;
	name->node = node;
	name->cookie = dir->next_cookie++;
	while (*link)
		link = &(*link)->next;
	*link = name;

	node->attr.st_nlink++;
	if (S_ISDIR(node->attr.st_mode)) {
		node->attr.st_nlink = 2;
		node->parent = dir;
		dir->attr.st_nlink++;
	}
	touch_node(node);
	touch_contents(dir);
	return 0;
}

void name_remove(struct node *dir, struct name *name)
{
	struct name **link = &dir->names;
	struct node *node = name->node;

	while (*link != name)
		link = &(*link)->next;
	*link = name->next;
	free(name);

	node->attr.st_nlink--;
	if (S_ISDIR(node->attr.st_mode)) {
		node->attr.st_nlink = 0;
		dir->attr.st_nlink--;
	}
	touch_node(node);
	touch_contents(dir);
	node_settle(node);
}

/* A directory that may get names, and may have them. */
static int find_directory(fuse_ino_t ino, struct node **dir)
{
	*dir = node_find(ino);
	if (!*dir)
		return is_special(ino) ? ENOTDIR : ESTALE;
	return S_ISDIR((*dir)->attr.st_mode) ? 0 : ENOTDIR;
}

int path_walk(const char *path, struct node **dir, const char **last)
{
	const char *slash;

	*dir = node_find(FUSE_ROOT_ID);
	while ((slash = strchr(path, '/'))) {
		char *part = strndup(path, (size_t)(slash - path));
		struct name *name = part ? name_find(*dir, part) : NULL;

		free(part);
		if (!name)
			return ENOENT;
		*dir = name->node;
		path = slash + 1;
	}
	*last = path;
	return 0;
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *text)
{
	struct fuse_entry_param e = { .entry_timeout = options.timeout };
	struct name *name = NULL;
	struct node *dir;
	int res;

	if (parent == FUSE_ROOT_ID && special_find(text)) {
		e.ino = special_find(text);
		e.attr = special_attr(e.ino);
		fuse_reply_entry(req, &e);
		return;
	}
	called(OP_lookup, parent);
	pthread_mutex_lock(&lock);
	res = find_directory(parent, &dir);
	if (!res && strlen(text) > NAME_LIMIT)
		res = ENAMETOOLONG;
	if (!res)
		name = name_find(dir, text);
	if (name)
		e = entry_for(name->node);
	pthread_mutex_unlock(&lock);
	if (res)
		fuse_reply_err(req, res);
	else if (name)
		reply_entry(req, &e);
	else
		fuse_reply_entry(req, &e); /* there is none, for as long as any other */
}

/* ---- Making ---- */

/* Makes a node and names it. With the lock held; 0 or an errno. */
static int make(fuse_req_t req, fuse_ino_t parent, const char *text, mode_t mode,
		struct node **made)
{
	struct node *dir;
	int res = find_directory(parent, &dir);

	if (res)
		return res;
	if (name_find(dir, text))
		return EEXIST;
	*made = node_new(mode, fuse_req_ctx(req));
	if (!*made)
		return ENOMEM;
	res = name_add(dir, text, *made);
	if (res)
		node_settle(*made);
	return res;
}

static void answer_made(fuse_req_t req, int res, const struct fuse_entry_param *e)
{
	if (res)
		fuse_reply_err(req, res);
	else
		reply_entry(req, e);
}

static void make_and_answer(fuse_req_t req, fuse_ino_t parent, const char *text,
			    mode_t mode, dev_t rdev, const char *contents)
{
	struct fuse_entry_param e = { 0 };
	struct node *node;
	int res;

	pthread_mutex_lock(&lock);
	res = make(req, parent, text, mode, &node);
	if (!res && contents) {
		res = resize(node, (off_t)strlen(contents));
		if (!res)
			memcpy(node->data, contents, strlen(contents));
	}
	if (!res) {
		node->attr.st_rdev = rdev;
		e = entry_for(node);
	}
	pthread_mutex_unlock(&lock);
	answer_made(req, res, &e);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	      dev_t rdev)
{
	called(OP_mknod, parent);
	make_and_answer(req, parent, name, mode, rdev, NULL);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	called(OP_mkdir, parent);
	make_and_answer(req, parent, name, S_IFDIR | (mode & 07777), 0, NULL);
}

void op_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
	called(OP_symlink, parent);
	make_and_answer(req, parent, name, S_IFLNK | 0777, 0, link);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char *contents = NULL;
	struct node *node;

	called(OP_readlink, ino);
	pthread_mutex_lock(&lock);
	node = node_find(ino);
	if (node && S_ISLNK(node->attr.st_mode))
		contents = strndup(node->data, (size_t)node->attr.st_size);
	pthread_mutex_unlock(&lock);
	if (contents)
		fuse_reply_readlink(req, contents);
	else
		fuse_reply_err(req, node ? EINVAL : ESTALE);
	free(contents);
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	struct fuse_entry_param e = { 0 };
	struct node *dir, *node;
	int res;

	called(OP_link, ino);
	pthread_mutex_lock(&lock);
	res = find_directory(newparent, &dir);
	node = node_find(ino);
	if (!res && !node)
		res = is_special(ino) ? EPERM : ESTALE;
	else if (!res && name_find(dir, newname))
		res = EEXIST;
	if (!res)
		res = name_add(dir, newname, node);
	if (!res)
		e = entry_for(node);
	pthread_mutex_unlock(&lock);
	answer_made(req, res, &e);
}

static void answer_open(fuse_req_t req, const struct fuse_entry_param *e,
			const struct fuse_file_info *fi)
{
	struct node *node;

	if (fuse_reply_create(req, e, fi) == 0)
		return;
	pthread_mutex_lock(&lock);
	node = node_find(e->ino);
	node->opens--;
	node_lose_lookups(node, 1);
	pthread_mutex_unlock(&lock);
}

/* Somebody else may have been quicker: then it is opened. */
static int make_or_find(fuse_req_t req, fuse_ino_t parent, const char *text, mode_t mode,
			int flags, struct node **node)
{
	int res = make(req, parent, text, mode, node);
	struct node *dir = node_find(parent);

	if (res != EEXIST || (flags & O_EXCL))
		return res;
	*node = name_find(dir, text)->node;
	return flags & O_TRUNC ? resize(*node, 0) : 0;
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi)
{
	struct fuse_entry_param e = { 0 };
	struct node *node;
	int res;

	called(OP_create, parent);
	pthread_mutex_lock(&lock);
	res = make_or_find(req, parent, name, S_IFREG | (mode & 07777), fi->flags, &node);
	if (!res) {
		open_file(node, fi);
		e = entry_for(node);
	}
	pthread_mutex_unlock(&lock);
	if (res)
		fuse_reply_err(req, res);
	else
		answer_open(req, &e, fi);
}

void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi)
{
	struct fuse_entry_param e = { 0 };
	struct node *node, *dir;
	int res;

	called(OP_tmpfile, parent);
	pthread_mutex_lock(&lock);
	res = find_directory(parent, &dir);
	node = res ? NULL : node_new(S_IFREG | (mode & 07777), fuse_req_ctx(req));
	if (node) {
		open_file(node, fi);
		e = entry_for(node);
	} else if (!res) {
		res = ENOMEM;
	}
	pthread_mutex_unlock(&lock);
	if (res)
		fuse_reply_err(req, res);
	else
		answer_open(req, &e, fi);
}

/* ---- Taking away, and moving ---- */

static int remove_name(fuse_ino_t parent, const char *text, bool directory)
{
	struct name *name;
	struct node *dir;
	int res = find_directory(parent, &dir);

	if (res)
		return res;
	name = name_find(dir, text);
	if (!name)
		return ENOENT;
	if (directory != S_ISDIR(name->node->attr.st_mode))
		return directory ? ENOTDIR : EISDIR;
	if (name->node->names)
		return ENOTEMPTY;
	name_remove(dir, name);
	return 0;
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	int res;

	called(OP_unlink, parent);
	pthread_mutex_lock(&lock);
	res = remove_name(parent, name, false);
	pthread_mutex_unlock(&lock);
	fuse_reply_err(req, res);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	int res;

	called(OP_rmdir, parent);
	pthread_mutex_lock(&lock);
	res = remove_name(parent, name, true);
	pthread_mutex_unlock(&lock);
	fuse_reply_err(req, res);
}

static void adopt(struct node *dir, struct node *former, struct node *child)
{
	if (!S_ISDIR(child->attr.st_mode))
		return;
	child->parent = dir;
	former->attr.st_nlink--;
	dir->attr.st_nlink++;
}

static int exchange(struct node *dir, struct name *name, struct node *newdir,
		    struct name *newname)
{
	struct node *node = name->node;

	if (!newname)
		return ENOENT;
	name->node = newname->node;
	newname->node = node;
	adopt(newdir, dir, newname->node);
	adopt(dir, newdir, name->node);
	touch_contents(dir);
	touch_contents(newdir);
	return 0;
}

/* The kernel has seen to it that none of them is moved into itself. */
static int move(struct node *dir, struct name *name, struct node *newdir,
		struct name *former, const char *text)
{
	struct node *node = name->node;
	bool directory = S_ISDIR(node->attr.st_mode);
	int res;

	if (strlen(text) > NAME_LIMIT)
		return ENAMETOOLONG;
	if (former) {
		if (former->node == node)
			return 0;
		if (directory != S_ISDIR(former->node->attr.st_mode))
			return directory ? ENOTDIR : EISDIR;
		if (former->node->names)
			return ENOTEMPTY;
		name_remove(newdir, former);
	}
	node->lookups++; /* or without a name it would go */
	name_remove(dir, name);
	res = name_add(newdir, text, node);
	node->lookups--;
	node_settle(node);
	return res;
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *text, fuse_ino_t newparent,
	       const char *newtext, unsigned int flags)
{
	struct node *dir, *newdir;
	int res;

	called(OP_rename, parent);
	pthread_mutex_lock(&lock);
	res = find_directory(parent, &dir);
	if (!res)
		res = find_directory(newparent, &newdir);
	if (!res) {
		struct name *name = name_find(dir, text);
		struct name *newname = name_find(newdir, newtext);

		if (!name)
			res = ENOENT;
		else if (flags == RENAME_EXCHANGE)
			res = exchange(dir, name, newdir, newname);
		else if (flags == RENAME_NOREPLACE && newname)
			res = EEXIST;
		else if (flags & ~(unsigned)RENAME_NOREPLACE)
			res = EINVAL;
		else
			res = move(dir, name, newdir, newname, newtext);
	}
	pthread_mutex_unlock(&lock);
	fuse_reply_err(req, res);
}

/* ---- Listing ---- */

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *dir;
	int res;

	called(OP_opendir, ino);
	pthread_mutex_lock(&lock);
	res = find_directory(ino, &dir);
	if (!res) {
		dir->opens++;
		fi->fh = ino;
	}
	pthread_mutex_unlock(&lock);
	if (res) {
		fuse_reply_err(req, res);
	} else if (fuse_reply_open(req, fi) != 0) {
		pthread_mutex_lock(&lock);
		dir->opens--;
		node_settle(dir);
		pthread_mutex_unlock(&lock);
	}
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *dir;

	called(OP_releasedir, ino);
	pthread_mutex_lock(&lock);
	dir = node_find(fi->fh);
	if (dir && dir->opens) {
		dir->opens--;
		node_settle(dir);
	} else {
		mishap("a directory was released that is not open");
	}
	pthread_mutex_unlock(&lock);
	fuse_reply_err(req, 0);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	called(OP_fsyncdir, ino);
	fuse_reply_err(req, 0);
}

struct listing {
	fuse_req_t req;
	bool plus;
	char *buffer;
	size_t size, used;
};

/* False if it did not fit. */
static bool list(struct listing *listing, const char *text, struct node *node,
		 off_t cookie)
{
	bool dots = strcmp(text, ".") == 0 || strcmp(text, "..") == 0;
	char *at = listing->buffer + listing->used;
	size_t left = listing->size - listing->used, need;

	if (!listing->plus) {
		need = fuse_add_direntry(listing->req, at, left, text, &node->attr,
					 cookie);
	} else {
		struct fuse_entry_param e = { .attr = node->attr };

		if (!dots)
			e = entry_for(node);
		need = fuse_add_direntry_plus(listing->req, at, left, text, &e, cookie);
		if (need > left && !dots)
			node->lookups--; /* it has a name, so it stays */
	}
	if (need > left)
		return false;
	listing->used += need;
	return true;
}

static void list_from(struct listing *listing, struct node *dir, off_t off)
{
	struct name *name;

	if (off < 1 && !list(listing, ".", dir, 1))
		return;
	if (off < 2 && !list(listing, "..", dir->parent, 2))
		return;
	for (name = dir->names; name; name = name->next)
		if (name->cookie > off &&
		    !list(listing, name->text, name->node, name->cookie))
			return;
}

static void answer_listing(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			   bool plus)
{
	struct listing listing = {
		.req = req,
		.plus = plus,
		.buffer = malloc(size),
		.size = size,
	};
	struct node *dir;
	int res = 0;

	if (!listing.buffer) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	pthread_mutex_lock(&lock);
	res = find_directory(ino, &dir);
	if (!res)
		list_from(&listing, dir, off);
	pthread_mutex_unlock(&lock);
	if (res)
		fuse_reply_err(req, res);
	else if (fuse_reply_buf(req, listing.buffer, listing.used) != 0 && plus)
		mishap("a directory's listing did not arrive");
	free(listing.buffer);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		struct fuse_file_info *fi)
{
	called(OP_readdir, ino);
	answer_listing(req, ino, size, off, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	called(OP_readdirplus, ino);
	answer_listing(req, ino, size, off, true);
}
