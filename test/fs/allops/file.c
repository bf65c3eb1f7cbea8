// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files: opening them, and what is in them.
 */
#include "allops.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE_LIMIT (64 << 20)
#define BLOCK	   4096 /* a block of zeros counts as a hole */

int resize(struct node *node, off_t size)
{
	size_t wanted = (size_t)size;
	char *data;

	if (size < 0 || size > SIZE_LIMIT)
		return EFBIG;
	if (wanted > node->room) {
		data = realloc(node->data, wanted);
		if (!data)
			return ENOMEM;
		node->data = data;
		node->room = wanted;
	}
	if (size > node->attr.st_size)
		memset(node->data + node->attr.st_size, 0,
		       wanted - (size_t)node->attr.st_size);
	node->attr.st_size = size;
	node->attr.st_blocks = (size + 511) / 512;
	return 0;
}

/* A regular file by its number; 0 or an errno. With the lock held. */
static int find_file(fuse_ino_t ino, struct node **node)
{
	*node = node_find(ino);
	if (!*node)
		return is_special(ino) ? EINVAL : ESTALE;
	return S_ISREG((*node)->attr.st_mode) ? 0 : EINVAL;
}

/* ---- Opening and closing ---- */

void open_file(struct node *node, struct fuse_file_info *fi)
{
	node->opens++;
	fi->fh = node->attr.st_ino;
	fi->keep_cache = options.timeout > 0;
}

static void close_file(fuse_ino_t ino)
{
	struct node *node;

	pthread_mutex_lock(&lock);
	node = node_find(ino);
	if (node && node->opens) {
		node->opens--;
		node_settle(node);
	} else {
		mishap("a file was released that is not open");
	}
	pthread_mutex_unlock(&lock);
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *node;
	int res;

	if (is_special(ino)) {
		special_open(req, ino, fi);
		return;
	}
	called(OP_open, ino);
	pthread_mutex_lock(&lock);
	res = find_file(ino, &node);
	if (!res && (fi->flags & O_TRUNC)) {
		res = resize(node, 0);
		drop_privileges(node);
		touch_contents(node);
	}
	if (!res)
		open_file(node, fi);
	pthread_mutex_unlock(&lock);
	if (res)
		fuse_reply_err(req, res);
	else if (fuse_reply_open(req, fi) != 0)
		close_file(ino);
}

void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *node;

	called(OP_flush, ino);
	pthread_mutex_lock(&lock);
	node = node_find(ino);
	if (node)
		lock_table_drop(&node->posix_locks, fi->lock_owner);
	pthread_mutex_unlock(&lock);
	fuse_reply_err(req, 0);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *node;

	called(OP_release, ino);
	if (is_special(ino)) {
		special_release(fi);
		fuse_reply_err(req, 0);
		return;
	}
	pthread_mutex_lock(&lock);
	node = node_find(ino);
	if (node && fi->flock_release)
		lock_table_drop(&node->bsd_locks, fi->lock_owner);
	pthread_mutex_unlock(&lock);
	close_file(fi->fh);
	fuse_reply_err(req, 0);
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	called(OP_fsync, ino);
	fuse_reply_err(req, 0);
}

/* ---- Reading ---- */

static int reply_in_pieces(fuse_req_t req, const char *data, size_t size)
{
	size_t third = size / 3;
	struct iovec pieces[3] = {
		{ .iov_base = (void *)data, .iov_len = third },
		{ .iov_base = (void *)(data + third), .iov_len = third },
		{ .iov_base = (void *)(data + 2 * third), .iov_len = size - 2 * third },
	};

	return fuse_reply_iov(req, pieces, 3);
}

/* The first half from memory, the second one out of a file, where it lies behind 100 bytes. */
static int reply_mixed(fuse_req_t req, const char *data, size_t size)
{
	char room[sizeof(struct fuse_bufvec) + sizeof(struct fuse_buf)]
		__attribute__((aligned(8))) = { 0 };
	struct fuse_bufvec *vector = (void *)room;
	size_t half = size / 2, rest = size - half;
	int fd = memfd_create("data", MFD_CLOEXEC);
	int res;

	if (fd < 0 || pwrite(fd, data + half, rest, 100) != (ssize_t)rest) {
		res = fuse_reply_err(req, EIO);
	} else {
		vector->count = 2;
		vector->buf[0].mem = (void *)data;
		vector->buf[0].size = half;
		vector->buf[1].flags =
			FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK | FUSE_BUF_FD_RETRY;
		vector->buf[1].fd = fd;
		vector->buf[1].pos = 100;
		vector->buf[1].size = rest;
		res = fuse_reply_data(req, vector, 0);
	}
	if (fd >= 0)
		close(fd);
	return res;
}

/* Puts it where it will leave from, if there is such a place. */
static int reply_in_place(fuse_req_t req, const char *data, size_t size)
{
	size_t room;
	char *place;

	if (fuse_req_get_payload(req, &place, &room, NULL) != 0)
		return fuse_reply_buf(req, data, size);
	if (size > room)
		return fuse_reply_err(req, EIO);
	memcpy(place, data, size);
	return fuse_reply_buf(req, place, size);
}

int reply_in_style(fuse_req_t req, const char *data, size_t size)
{
	if (strcmp(options.reply, "iov") == 0)
		return reply_in_pieces(req, data, size);
	if (strcmp(options.reply, "data") == 0)
		return reply_mixed(req, data, size);
	if (strcmp(options.reply, "payload") == 0)
		return reply_in_place(req, data, size);
	return fuse_reply_buf(req, data, size);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
	     struct fuse_file_info *fi)
{
	char *data = NULL;
	struct node *node;
	int res;

	if (is_special(ino)) {
		special_read(req, size, off, fi);
		return;
	}
	called(OP_read, ino);
	pthread_mutex_lock(&lock);
	res = find_file(ino, &node);
	if (!res) {
		size_t left =
			off < node->attr.st_size ? (size_t)(node->attr.st_size - off) : 0;

		size = size < left ? size : left;
		data = malloc(size + 1);
		if (data && size)
			memcpy(data, node->data + off, size);
	}
	pthread_mutex_unlock(&lock);
	if (data)
		reply_in_style(req, data, size);
	else
		fuse_reply_err(req, res ? res : ENOMEM);
	free(data);
}

/* ---- Writing ---- */

/* Makes room, and finds where the bytes go. With the lock held; 0 or an errno. */
static int prepare_write(fuse_ino_t ino, size_t size, off_t off, char **place)
{
	struct node *node;
	int res = find_file(ino, &node);

	if (!res && (off < 0 || off > SIZE_LIMIT || size > SIZE_LIMIT))
		res = EFBIG;
	if (!res && off + (off_t)size > node->attr.st_size)
		res = resize(node, off + (off_t)size);
	if (res)
		return res;
	drop_privileges(node);
	touch_contents(node);
	*place = node->data + off;
	return 0;
}

static void answer_write(fuse_req_t req, int res, size_t size)
{
	if (res)
		fuse_reply_err(req, res);
	else
		fuse_reply_write(req, size);
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
	      struct fuse_file_info *fi)
{
	char *place;
	int res;

	if (ino == CONTROL) {
		control_write(req, buf, size);
		return;
	}
	called(OP_write, ino);
	pthread_mutex_lock(&lock);
	res = prepare_write(ino, size, off, &place);
	if (!res)
		memcpy(place, buf, size);
	pthread_mutex_unlock(&lock);
	answer_write(req, res, size);
}

static void write_control(fuse_req_t req, struct fuse_bufvec *bufv)
{
	struct fuse_bufvec text = FUSE_BUFVEC_INIT(fuse_buf_size(bufv));
	ssize_t size;

	text.buf[0].mem = malloc(text.buf[0].size + 1);
	size = text.buf[0].mem ? fuse_buf_copy(&text, bufv, 0) : -ENOMEM;
	if (size < 0)
		fuse_reply_err(req, (int)-size);
	else
		control_write(req, text.buf[0].mem, (size_t)size);
	free(text.buf[0].mem);
}

void op_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *bufv, off_t off,
		  struct fuse_file_info *fi)
{
	struct fuse_bufvec to = FUSE_BUFVEC_INIT(fuse_buf_size(bufv));
	ssize_t copied = 0;
	char *place;
	int res;

	if (ino == CONTROL) {
		write_control(req, bufv);
		return;
	}
	called(OP_write_buf, ino);
	pthread_mutex_lock(&lock);
	res = prepare_write(ino, to.buf[0].size, off, &place);
	if (!res) {
		to.buf[0].mem = place;
		copied = fuse_buf_copy(&to, bufv, 0);
	}
	pthread_mutex_unlock(&lock);
	if (copied < 0)
		res = (int)-copied;
	answer_write(req, res, (size_t)copied);
}

/* ---- What else can be done to contents ---- */

static int allocate(struct node *node, int mode, off_t offset, off_t length)
{
	off_t end = offset + length;
	bool zero = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);
	int res = 0;

	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		return EOPNOTSUPP;
	if (end > SIZE_LIMIT)
		return EFBIG;
	if (!(mode & FALLOC_FL_KEEP_SIZE) && end > node->attr.st_size)
		res = resize(node, end);
	if (end > node->attr.st_size)
		end = node->attr.st_size;
	if (!res && zero && offset < end)
		memset(node->data + offset, 0, (size_t)(end - offset));
	if (!res)
		touch_contents(node);
	return res;
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
		  struct fuse_file_info *fi)
{
	struct node *node;
	int res;

	called(OP_fallocate, ino);
	pthread_mutex_lock(&lock);
	res = find_file(ino, &node);
	if (!res)
		res = allocate(node, mode, offset, length);
	pthread_mutex_unlock(&lock);
	fuse_reply_err(req, res);
}

static bool is_hole(const struct node *node, off_t at)
{
	off_t end = at / BLOCK * BLOCK + BLOCK;

	if (end > node->attr.st_size)
		end = node->attr.st_size;
	for (at = at / BLOCK * BLOCK; at < end; at++)
		if (node->data[at])
			return false;
	return true;
}

/* Behind the last byte there is a hole. */
static int find_data_or_hole(const struct node *node, off_t *off, int whence)
{
	off_t size = node->attr.st_size;

	if (*off < 0 || *off >= size)
		return ENXIO;
	while (*off < size && is_hole(node, *off) != (whence == SEEK_HOLE))
		*off = *off / BLOCK * BLOCK + BLOCK;
	if (*off < size)
		return 0;
	*off = size;
	return whence == SEEK_HOLE ? 0 : ENXIO;
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
	      struct fuse_file_info *fi)
{
	struct node *node;
	int res;

	called(OP_lseek, ino);
	pthread_mutex_lock(&lock);
	res = find_file(ino, &node);
	if (!res && whence != SEEK_DATA && whence != SEEK_HOLE)
		res = EINVAL;
	if (!res)
		res = find_data_or_hole(node, &off, whence);
	pthread_mutex_unlock(&lock);
	if (res)
		fuse_reply_err(req, res);
	else
		fuse_reply_lseek(req, off);
}

static int copy(struct node *from, off_t off_in, struct node *to, off_t off_out,
		size_t *length)
{
	size_t left =
		off_in < from->attr.st_size ? (size_t)(from->attr.st_size - off_in) : 0;
	int res = 0;

	if (*length > left)
		*length = left;
	if (off_out > SIZE_LIMIT)
		return EFBIG;
	if (off_out + (off_t)*length > to->attr.st_size)
		res = resize(to, off_out + (off_t)*length);
	if (res || !*length)
		return res;
	memmove(to->data + off_out, from->data + off_in, *length);
	drop_privileges(to);
	touch_contents(to);
	return 0;
}

void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
			struct fuse_file_info *fi_out, size_t len, int flags)
{
	struct node *from, *to;
	int res;

	called(OP_copy_file_range, ino_in);
	pthread_mutex_lock(&lock);
	res = find_file(ino_in, &from);
	if (!res)
		res = find_file(ino_out, &to);
	if (!res)
		res = flags ? EINVAL : copy(from, off_in, to, off_out, &len);
	pthread_mutex_unlock(&lock);
	answer_write(req, res, len);
}

/* Some number by which a block can be told from others. */
void op_bmap(fuse_req_t req, fuse_ino_t ino, size_t blocksize, uint64_t idx)
{
	struct node *node;
	int res;

	called(OP_bmap, ino);
	pthread_mutex_lock(&lock);
	res = find_file(ino, &node);
	pthread_mutex_unlock(&lock);
	if (res)
		fuse_reply_err(req, res);
	else
		fuse_reply_bmap(req, blocksize + 1000 * idx);
}
