// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Replies to reads and writes that name descriptors instead of bytes. A transport that can
 * moves the data between them and the client itself; otherwise they are copied here, so
 * that a filesystem calls these functions for every request.
 */
#include <errno.h>
#include <stdlib.h>

#include "protocol/opcode.h"
#include "protocol/reply.h"

/* All sizes together; false if there are too many ranges or they overflow. */
static bool measure(const struct fuse_fd_range *ranges, size_t count, size_t *size)
{
	*size = 0;
	if (count > FUSE_FD_RANGES_MAX || (count && !ranges))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (__builtin_add_overflow(*size, ranges[i].size, size))
			return false;
	}
	return true;
}

/* One allocation for all, or NULL. */
static struct fuse_bufvec *vector_of(const struct fuse_fd_range *ranges, size_t count)
{
	struct fuse_bufvec *vector =
		malloc(sizeof(*vector) + count * sizeof(vector->buf[0]));

	if (!vector)
		return NULL;
	*vector = (struct fuse_bufvec){ .count = count };
	for (size_t i = 0; i < count; i++) {
		vector->buf[i] = (struct fuse_buf){
			.size = ranges[i].size,
			.flags = FUSE_BUF_IS_FD,
			.fd = ranges[i].fd,
		};
		if (ranges[i].off >= 0) {
			vector->buf[i].flags |= FUSE_BUF_FD_SEEK;
			vector->buf[i].pos = ranges[i].off;
		}
	}
	return vector;
}

static int read_copied(struct fuse_req *req, const struct fuse_fd_range *ranges,
		       size_t count)
{
	struct fuse_bufvec *vector = vector_of(ranges, count);
	int res;

	if (!vector)
		return fuse_reply_deliver_error(req, -ENOMEM);
	res = fuse_reply_deliver_data(req, vector, 0);
	free(vector);
	return res;
}

static int write_copied(struct fuse_req *req, const struct fuse_fd_range *ranges,
			size_t count)
{
	struct fuse_bufvec *to = vector_of(ranges, count);
	struct fuse_bufvec from = { .count = 1, .buf = { req->data } };
	ssize_t written = to ? fuse_buf_copy(to, &from, 0) : -ENOMEM;

	free(to);
	if (written < 0)
		return fuse_reply_deliver_error(req, (int)written);
	return fuse_reply_deliver_written(req, (size_t)written);
}

static int reply_ranges(struct fuse_req *req, uint32_t opcode,
			const struct fuse_fd_range *ranges, size_t count)
{
	size_t size;

	if (!fuse_reply_claim(req))
		return -EINVAL;
	if (req->opcode != opcode || !measure(ranges, count, &size) ||
	    size > req->data.size) {
		fuse_log(FUSE_LOG_ERR,
			 "fuse: #%llu %s cannot be answered with these descriptors\n",
			 (unsigned long long)req->unique, fuse_opcode_name(req->opcode));
		fuse_reply_deliver_error(req, -EIO);
		return -EINVAL;
	}
	req->client_data.to_file = true;
	if (req->zero_copied)
		return fuse_reply_deliver_ranges(req, ranges, count);
	return opcode == FUSE_READ ? read_copied(req, ranges, count)
				   : write_copied(req, ranges, count);
}

int fuse_reply_read_fdv(fuse_req_t req, const struct fuse_fd_range *ranges, size_t count)
{
	return reply_ranges(req, FUSE_READ, ranges, count);
}

int fuse_reply_write_fdv(fuse_req_t req, const struct fuse_fd_range *ranges, size_t count)
{
	return reply_ranges(req, FUSE_WRITE, ranges, count);
}

int fuse_reply_read_fd(fuse_req_t req, int fd, off_t off, size_t size)
{
	const struct fuse_fd_range range = { .fd = fd, .off = off, .size = size };

	return fuse_reply_read_fdv(req, &range, 1);
}

int fuse_reply_write_fd(fuse_req_t req, int fd, off_t off, size_t size)
{
	const struct fuse_fd_range range = { .fd = fd, .off = off, .size = size };

	return fuse_reply_write_fdv(req, &range, 1);
}
