// SPDX-License-Identifier: GPL-2.0-only
/*
 * Inodes: their numbers, which are never used again, their attributes, and how long they
 * live: as long as there is a name, an open, or somebody in the kernel who knows them.
 */
#include "allops.h"

#include <errno.h>
#include <linux/stat.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static struct node *
	*nodes; /* by number, from FIRST_FREE_INO on; NULL where one is gone */
static size_t nodes_used, nodes_room;
static struct node *root;
static unsigned count;

struct node *node_find(fuse_ino_t ino)
{
	if (ino == FUSE_ROOT_ID)
		return root;
	if (ino < FIRST_FREE_INO || ino - FIRST_FREE_INO >= nodes_used)
		return NULL;
	return nodes[ino - FIRST_FREE_INO];
}

static struct timespec now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	return time;
}

static struct node *allocate(mode_t mode)
{
	struct node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	lock_table_init(&node->posix_locks);
	lock_table_init(&node->bsd_locks);
	node->next_cookie = 3; /* behind "." and ".." */
	node->events = POLLIN | POLLOUT;
	node->attr.st_mode = mode;
	node->attr.st_blksize = 4096;
	node->btime = now();
	node->attr.st_atim = node->attr.st_mtim = node->attr.st_ctim = node->btime;
	count++;
	return node;
}

static void destroy(struct node *node)
{
	while (node->names) {
		struct name *next = node->names->next;

		free(node->names);
		node->names = next;
	}
	while (node->xattrs) {
		struct xattr *next = node->xattrs->next;

		free(node->xattrs->name);
		free(node->xattrs);
		node->xattrs = next;
	}
	if (node->pollhandle)
		fuse_pollhandle_destroy(node->pollhandle);
	lock_table_destroy(&node->posix_locks);
	lock_table_destroy(&node->bsd_locks);
	free(node->data);
	free(node);
	count--;
}

struct node *node_new(mode_t mode, const struct fuse_ctx *ctx)
{
	struct node *node;

	if (nodes_used == nodes_room) {
		size_t room = nodes_room ? 2 * nodes_room : 64;
		struct node **more = reallocarray(nodes, room, sizeof(*more));

		if (!more)
			return NULL;
		nodes = more;
		nodes_room = room;
	}
	node = allocate(mode);
	if (!node)
		return NULL;
	node->attr.st_ino = FIRST_FREE_INO + nodes_used;
	node->attr.st_uid = ctx->uid;
	node->attr.st_gid = ctx->gid;
	nodes[nodes_used++] = node;
	return node;
}

void node_settle(struct node *node)
{
	if (node == root || node->lookups || node->opens || node->attr.st_nlink)
		return;
	nodes[node->attr.st_ino - FIRST_FREE_INO] = NULL;
	destroy(node);
}

void node_lose_lookups(struct node *node, uint64_t by)
{
	if (by > node->lookups) {
		mishap("forgotten more often than looked up");
		by = node->lookups;
	}
	node->lookups -= by;
	node_settle(node);
}

void node_for_each(void (*visit)(const struct node *node, void *data), void *data)
{
	visit(root, data);
	for (size_t i = 0; i < nodes_used; i++)
		if (nodes[i])
			visit(nodes[i], data);
}

unsigned node_count(void)
{
	return count;
}

bool node_make(void)
{
	root = allocate(S_IFDIR | 0755);
	if (!root)
		return false;
	root->attr.st_ino = FUSE_ROOT_ID;
	root->attr.st_nlink = 2;
	root->parent = root;
	return true;
}

void node_free_all(void)
{
	for (size_t i = 0; i < nodes_used; i++)
		if (nodes[i])
			destroy(nodes[i]);
	destroy(root);
	free(nodes);
}

void touch_node(struct node *node)
{
	node->attr.st_ctim = now();
}

void touch_contents(struct node *node)
{
	touch_node(node);
	node->attr.st_mtim = node->attr.st_ctim;
}

void drop_privileges(struct node *node)
{
	node->attr.st_mode &= ~(mode_t)S_ISUID;
	if (node->attr.st_mode & S_IXGRP)
		node->attr.st_mode &= ~(mode_t)S_ISGID;
}

/* ---- Lookup counts ---- */

struct fuse_entry_param entry_for(struct node *node)
{
	node->lookups++;
	return (struct fuse_entry_param){
		.ino = node->attr.st_ino,
		.attr = node->attr,
		.attr_timeout = options.timeout,
		.entry_timeout = options.timeout,
	};
}

void unreplied_entry(fuse_ino_t ino)
{
	struct node *node;

	pthread_mutex_lock(&lock);
	node = node_find(ino);
	if (node)
		node_lose_lookups(node, 1);
	pthread_mutex_unlock(&lock);
}

void reply_entry(fuse_req_t req, const struct fuse_entry_param *e)
{
	if (fuse_reply_entry(req, e) != 0)
		unreplied_entry(e->ino);
}

static void forget(fuse_ino_t ino, uint64_t nlookup)
{
	struct node *node = node_find(ino);

	if (node)
		node_lose_lookups(node, nlookup);
	else if (!is_special(ino))
		mishap("an unknown inode was forgotten");
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	called(OP_forget, ino);
	pthread_mutex_lock(&lock);
	forget(ino, nlookup);
	pthread_mutex_unlock(&lock);
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t number, struct fuse_forget_data *forgets)
{
	called(OP_forget_multi, 0);
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < number; i++)
		forget(forgets[i].ino, forgets[i].nlookup);
	pthread_mutex_unlock(&lock);
	fuse_reply_none(req);
}

/* ---- Attributes ---- */

struct stat special_attr(fuse_ino_t ino)
{
	return (struct stat){
		.st_ino = ino,
		.st_mode = S_IFREG | (ino == CONTROL ? 0222 : 0444),
		.st_nlink = 1,
		.st_size = 0,
	};
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr = { 0 };
	struct node *node;

	called(OP_getattr, ino);
	if (is_special(ino)) {
		attr = special_attr(ino);
		fuse_reply_attr(req, &attr, 0);
		return;
	}
	pthread_mutex_lock(&lock);
	node = node_find(ino);
	if (node)
		attr = node->attr;
	pthread_mutex_unlock(&lock);
	if (node)
		fuse_reply_attr(req, &attr, options.timeout);
	else
		fuse_reply_err(req, ESTALE);
}

static int change(struct node *node, const struct stat *to, int what)
{
	struct stat *attr = &node->attr;
	int res = 0;

	if (what & FUSE_SET_ATTR_SIZE) {
		res = S_ISREG(attr->st_mode) ? resize(node, to->st_size) : EINVAL;
		if (res)
			return res;
		drop_privileges(node);
		touch_contents(node);
	}
	if (what & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID | FUSE_SET_ATTR_KILL_SUID))
		drop_privileges(node);
	if (what & FUSE_SET_ATTR_MODE)
		attr->st_mode = (attr->st_mode & S_IFMT) | (to->st_mode & 07777);
	if (what & FUSE_SET_ATTR_UID)
		attr->st_uid = to->st_uid;
	if (what & FUSE_SET_ATTR_GID)
		attr->st_gid = to->st_gid;
	if (what & FUSE_SET_ATTR_ATIME)
		attr->st_atim = what & FUSE_SET_ATTR_ATIME_NOW ? now() : to->st_atim;
	if (what & FUSE_SET_ATTR_MTIME)
		attr->st_mtim = what & FUSE_SET_ATTR_MTIME_NOW ? now() : to->st_mtim;
	touch_node(node);
	if (what & FUSE_SET_ATTR_CTIME)
		attr->st_ctim = to->st_ctim;
	return 0;
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *to, int to_set,
		struct fuse_file_info *fi)
{
	struct stat attr = { 0 };
	struct node *node;
	int res = ESTALE;

	called(OP_setattr, ino);
	pthread_mutex_lock(&lock);
	node = node_find(ino);
	if (node) {
		res = change(node, to, to_set);
		attr = node->attr;
	}
	pthread_mutex_unlock(&lock);
	if (res)
		fuse_reply_err(req, res);
	else
		fuse_reply_attr(req, &attr, options.timeout);
}

static struct statx_timestamp statx_time(struct timespec time)
{
	return (struct statx_timestamp){ .tv_sec = time.tv_sec,
					 .tv_nsec = (uint32_t)time.tv_nsec };
}

static struct statx statx_of(const struct node *node)
{
	const struct stat *attr = &node->attr;

	return (struct statx){
		.stx_mask = STATX_BASIC_STATS | STATX_BTIME,
		.stx_blksize = (uint32_t)attr->st_blksize,
		.stx_nlink = (uint32_t)attr->st_nlink,
		.stx_uid = attr->st_uid,
		.stx_gid = attr->st_gid,
		.stx_mode = (uint16_t)attr->st_mode,
		.stx_ino = attr->st_ino,
		.stx_size = (uint64_t)attr->st_size,
		.stx_blocks = (uint64_t)attr->st_blocks,
		.stx_atime = statx_time(attr->st_atim),
		.stx_btime = statx_time(node->btime),
		.stx_ctime = statx_time(attr->st_ctim),
		.stx_mtime = statx_time(attr->st_mtim),
		.stx_rdev_major = major(attr->st_rdev),
		.stx_rdev_minor = minor(attr->st_rdev),
	};
}

void op_statx(fuse_req_t req, fuse_ino_t ino, int flags, int mask,
	      struct fuse_file_info *fi)
{
	struct statx statx = { 0 };
	struct node *node;

	called(OP_statx, ino);
	pthread_mutex_lock(&lock);
	node = node_find(ino);
	if (node)
		statx = statx_of(node);
	pthread_mutex_unlock(&lock);
	if (node)
		fuse_reply_statx(req, 0, &statx, options.timeout);
	else
		fuse_reply_err(req, ESTALE);
}

static bool in_groups(fuse_req_t req, gid_t gid)
{
	gid_t groups[64];
	int number = fuse_req_getgroups(req, 64, groups);

	if (fuse_req_ctx(req)->gid == gid)
		return true;
	for (int i = 0; i < number && i < 64; i++)
		if (groups[i] == gid)
			return true;
	return false;
}

void op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct stat attr = { 0 };
	struct node *node;
	unsigned granted;

	called(OP_access, ino);
	pthread_mutex_lock(&lock);
	node = node_find(ino);
	if (node)
		attr = node->attr;
	pthread_mutex_unlock(&lock);
	if (ctx->uid == 0)
		granted = attr.st_mode & 0111 || S_ISDIR(attr.st_mode) ? 7 : 6;
	else if (ctx->uid == attr.st_uid)
		granted = attr.st_mode >> 6 & 7;
	else if (in_groups(req, attr.st_gid))
		granted = attr.st_mode >> 3 & 7;
	else
		granted = attr.st_mode & 7;
	if (is_special(ino))
		granted = 7;
	fuse_reply_err(req, (unsigned)mask & 7 & ~granted ? EACCES : 0);
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs figures = {
		.f_bsize = 4096,
		.f_frsize = 1024,
		.f_blocks = 1000000,
		.f_bfree = 700000,
		.f_bavail = 600000,
		.f_ffree = 5000,
		.f_namemax = 200,
	};

	called(OP_statfs, ino);
	pthread_mutex_lock(&lock);
	figures.f_files = node_count();
	pthread_mutex_unlock(&lock);
	fuse_reply_statfs(req, &figures);
}
