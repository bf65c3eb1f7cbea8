// SPDX-License-Identifier: GPL-2.0-only
/*
 * Extended attributes, locks, ioctl and poll.
 */
#include "allops.h"
#include "ioctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

/* ---- Extended attributes ---- */

static struct xattr **find_xattr(struct node *node, const char *name)
{
	struct xattr **link = &node->xattrs;

	while (*link && strcmp((*link)->name, name) != 0)
		link = &(*link)->next;
	return link;
}

static struct xattr *make_xattr(const char *name, const char *value, size_t size)
{
	struct xattr *xattr = malloc(sizeof(*xattr) + size);

	if (!xattr)
		return NULL;
	xattr->name = strdup(name);
	if (!xattr->name) {
		free(xattr);
		return NULL;
	}
	xattr->next = NULL;
	xattr->size = size;
	if (size)
		memcpy(xattr->value, value, size);
	return xattr;
}

static void remove_xattr(struct xattr **link)
{
	struct xattr *xattr = *link;

	*link = xattr->next;
	free(xattr->name);
	free(xattr);
}

static int set_xattr(struct node *node, const char *name, const char *value, size_t size,
		     int flags)
{
	struct xattr **link = find_xattr(node, name);
	struct xattr *xattr;

	if (*link && (flags & XATTR_CREATE))
		return EEXIST;
	if (!*link && (flags & XATTR_REPLACE))
		return ENODATA;
	xattr = make_xattr(name, value, size);
	if (!xattr)
		return ENOMEM;
	if (*link)
		remove_xattr(link);
	xattr->next = node->xattrs;
	node->xattrs = xattr;
	touch_node(node);
	return 0;
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
		 size_t size, int flags)
{
	struct node *node;
	int res = ENOTSUP;

	called(OP_setxattr, ino);
	pthread_mutex_lock(&lock);
	node = node_find(ino);
	if (node)
		res = set_xattr(node, name, value, size, flags);
	pthread_mutex_unlock(&lock);
	fuse_reply_err(req, res);
}

/* Answers with what is there, its size, or ERANGE. */
static void answer_value(fuse_req_t req, const char *value, size_t size, size_t room)
{
	if (room == 0)
		fuse_reply_xattr(req, size);
	else if (size > room)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, value, size);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct xattr *xattr = NULL;
	char *value = NULL;
	size_t length = 0;
	struct node *node;

	called(OP_getxattr, ino);
	pthread_mutex_lock(&lock);
	node = node_find(ino);
	if (node)
		xattr = *find_xattr(node, name);
	if (xattr) {
		length = xattr->size;
		value = malloc(length + 1);
		if (value)
			memcpy(value, xattr->value, length);
	}
	pthread_mutex_unlock(&lock);
	if (value)
		answer_value(req, value, length, size);
	else
		fuse_reply_err(req, xattr ? ENOMEM : ENODATA);
	free(value);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	size_t length = 0;
	char *list = NULL;
	struct node *node;
	FILE *out;

	called(OP_listxattr, ino);
	out = open_memstream(&list, &length);
	if (!out) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	pthread_mutex_lock(&lock);
	node = node_find(ino);
	for (struct xattr *xattr = node ? node->xattrs : NULL; xattr; xattr = xattr->next)
		fwrite(xattr->name, strlen(xattr->name) + 1, 1, out);
	pthread_mutex_unlock(&lock);
	fclose(out);
	answer_value(req, list, length, size);
	free(list);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct node *node;
	int res = ENODATA;

	called(OP_removexattr, ino);
	pthread_mutex_lock(&lock);
	node = node_find(ino);
	if (node && *find_xattr(node, name)) {
		remove_xattr(find_xattr(node, name));
		touch_node(node);
		res = 0;
	}
	pthread_mutex_unlock(&lock);
	fuse_reply_err(req, res);
}

/* ---- Locks ---- */

/* The file is open as long as its locks are asked about, so it stays. */
static struct node *find(fuse_ino_t ino)
{
	struct node *node;

	pthread_mutex_lock(&lock);
	node = node_find(ino);
	pthread_mutex_unlock(&lock);
	return node;
}

void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
	      struct flock *wanted)
{
	struct node *node = find(ino);

	called(OP_getlk, ino);
	if (!node) {
		fuse_reply_err(req, ENOTSUP);
		return;
	}
	lock_table_find(&node->posix_locks, fi->lock_owner, wanted);
	fuse_reply_lock(req, wanted);
}

void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
	      struct flock *wanted, int sleep)
{
	struct node *node = find(ino);
	int res = ENOTSUP;

	called(OP_setlk, ino);
	if (node)
		res = lock_table_set(&node->posix_locks, req, fi->lock_owner, wanted,
				     sleep);
	fuse_reply_err(req, res);
}

void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
	struct node *node = find(ino);
	int res = ENOTSUP;

	called(OP_flock, ino);
	if (node)
		res = lock_table_flock(&node->bsd_locks, req, fi->lock_owner, op);
	fuse_reply_err(req, res);
}

/* ---- ioctl ---- */

static void get_size(fuse_req_t req, fuse_ino_t ino, size_t room)
{
	uint64_t size = 0;
	struct node *node;

	pthread_mutex_lock(&lock);
	node = node_find(ino);
	if (node && S_ISREG(node->attr.st_mode))
		size = (uint64_t)node->attr.st_size;
	for (struct name *name = node ? node->names : NULL; name; name = name->next)
		size++;
	pthread_mutex_unlock(&lock);
	if (room < sizeof(size))
		fuse_reply_err(req, EINVAL);
	else
		fuse_reply_ioctl(req, 0, &size, sizeof(size));
}

static void set_size(fuse_req_t req, fuse_ino_t ino, const void *in, size_t in_size)
{
	int res = EINVAL;
	struct node *node;
	uint64_t size;

	if (in_size == sizeof(size)) {
		memcpy(&size, in, sizeof(size));
		pthread_mutex_lock(&lock);
		node = node_find(ino);
		if (node && S_ISREG(node->attr.st_mode))
			res = resize(node, (off_t)size);
		pthread_mutex_unlock(&lock);
	}
	if (res)
		fuse_reply_err(req, res);
	else
		fuse_reply_ioctl(req, 0, NULL, 0);
}

/* Every byte a piece of its own. */
static void reverse(fuse_req_t req, const char *in, size_t in_size, size_t room)
{
	struct iovec pieces[16];

	if (in_size != 16 || room < 16) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	for (int i = 0; i < 16; i++)
		pieces[i] =
			(struct iovec){ .iov_base = (void *)(in + 15 - i), .iov_len = 1 };
	fuse_reply_ioctl_iov(req, 3, pieces, 16);
}

static void retry(fuse_req_t req, void *arg)
{
	struct iovec in = { .iov_base = arg, .iov_len = 8 };
	struct iovec out = { .iov_base = arg, .iov_len = 8 };

	fuse_reply_ioctl_retry(req, &in, 1, &out, 1);
}

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
	      struct fuse_file_info *fi, unsigned flags, const void *in_buf,
	      size_t in_bufsz, size_t out_bufsz)
{
	struct node *node = find(ino);

	called(OP_ioctl, ino);
	if (node && S_ISDIR(node->attr.st_mode) != !!(flags & FUSE_IOCTL_DIR))
		mishap("ioctl() does not know what it is for");
	switch (cmd) {
	case ALLOPS_SUM:
		fuse_reply_ioctl(req, (int)(uintptr_t)arg + 1, NULL, 0);
		break;
	case ALLOPS_GET_SIZE:
		get_size(req, ino, out_bufsz);
		break;
	case ALLOPS_SET_SIZE:
		set_size(req, ino, in_buf, in_bufsz);
		break;
	case ALLOPS_REVERSE:
		reverse(req, in_buf, in_bufsz, out_bufsz);
		break;
	case ALLOPS_RETRY:
		retry(req, arg);
		break;
	default:
		fuse_reply_err(req, ENOTTY);
	}
}

/* ---- poll ---- */

void op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
	     struct fuse_pollhandle *ph)
{
	struct fuse_pollhandle *former = ph;
	struct node *node;
	unsigned events = 0;

	called(OP_poll, ino);
	pthread_mutex_lock(&lock);
	node = node_find(ino);
	if (node) {
		events = node->events & fi->poll_events;
		if (ph) {
			former = node->pollhandle;
			node->pollhandle = ph;
		}
	}
	pthread_mutex_unlock(&lock);
	if (former)
		fuse_pollhandle_destroy(former);
	fuse_reply_poll(req, events);
}
