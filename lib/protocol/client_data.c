// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The data of a zero-copied request, as its handler sees them: one buffer, which stands for the
 * client's pages, and which fuse_buf_copy() moves without the bytes ever being here.
 *
 * Old write_buf() handlers expect data in memory or in a pipe, and most of them do nothing but
 * have fuse_buf_copy() bring them to a file. Which are of that kind is found out by a trial: a
 * write's data are fetched, and presented as a piece of the file that the payload buffer is part
 * of. A handler that reads its descriptor finds them, and one that copies is seen doing so. That
 * one gets the pages themselves from then on, and the other one memory.
 *
 * In the buffer of pages the descriptor is -1. So a handler that after its trial reads the
 * descriptor after all gets an error, never other bytes than the client's; and ends
 * the experiment.
 */
#include <errno.h>
#include <stdlib.h>

#include "protocol/opcode.h"
#include "protocol/reply.h"

static struct fuse_req *req_of(struct fuse_client_data *data)
{
	return (struct fuse_req *)((char *)data - offsetof(struct fuse_req, client_data));
}

static int load(struct fuse_client_data *data, void **memory)
{
	struct fuse_req *req = req_of(data);
	int error = req->transport->load(req);

	*memory = (void *)req->view.payload;
	return error;
}

static ssize_t transfer(struct fuse_client_data *data, size_t off, size_t len, int fd,
			off_t pos)
{
	struct fuse_req *req = req_of(data);
	ssize_t moved = req->transport->transfer(req, off, len, fd, pos);

	if (moved > 0)
		req->transferred += (size_t)moved;
	return moved;
}

static ssize_t fill(struct fuse_client_data *data, size_t off, const void *memory,
		    size_t len)
{
	struct fuse_req *req = req_of(data);
	ssize_t moved = req->transport->fill(req, off, memory, len);

	if (moved > 0)
		req->filled += (size_t)moved;
	return moved;
}

static const struct fuse_client_data_ops of_write = {
	.load = load,
	.send = transfer,
};

static const struct fuse_client_data_ops of_read = {
	.receive = transfer,
	.fill = fill,
};

static struct fuse_buf buffer_of(struct fuse_req *req,
				 const struct fuse_client_data_ops *ops, size_t size)
{
	req->client_data.ops = ops;
	req->client_data.size = size;
	return (struct fuse_buf){
		.size = size,
		.flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK | FUSE_BUF_WITH_CLIENT,
		.mem = &req->client_data,
		.fd = -1,
	};
}

/* ---- Writes ---- */

static bool copes_by_its_word(const struct fuse_req *req)
{
	return req->protocol->conn.want_ext & FUSE_CAP_ZERO_COPY_WRITE;
}

static int habit(const struct fuse_req *req)
{
	return atomic_load_explicit(&req->protocol->write_habit, memory_order_relaxed);
}

enum fuse_load_time fuse_protocol_load_time(const struct fuse_req *req)
{
	if (!fuse_req_ops(req)->write_buf)
		return FUSE_LOAD_FIRST;
	if (copes_by_its_word(req))
		return FUSE_LOAD_ON_DEMAND;
	return habit(req) == FUSE_WRITES_COPY ? FUSE_LOAD_FOR_WORKERS : FUSE_LOAD_FIRST;
}

/* A handler for which descriptors were ruled out may look at nothing but memory. */
static bool is_to_be_tried(const struct fuse_req *req)
{
	return fuse_req_ops(req)->write_buf && !copes_by_its_word(req) &&
	       habit(req) == FUSE_WRITES_UNKNOWN &&
	       (req->protocol->conn.want_ext & FUSE_CAP_SPLICE_READ);
}

bool fuse_write_data(struct fuse_req *req, size_t size, struct fuse_buf *buf)
{
	if (!req->zero_copied || (req->loaded && !is_to_be_tried(req)))
		return false;
	*buf = buffer_of(req, &of_write, size);
	if (req->loaded) {
		req->on_trial = true;
		req->transport->locate_payload(req, &buf->fd, &buf->pos);
		req->client_data.origin = buf->pos;
	}
	return true;
}

static void conclude(struct fuse_req *req, int found)
{
	_Atomic int *known = &req->protocol->write_habit;
	int unknown = FUSE_WRITES_UNKNOWN;

	if (found == FUSE_WRITES_COPY)
		atomic_compare_exchange_strong(known, &unknown, found);
	else
		atomic_store(known, found);
	if (req->protocol->debug)
		fuse_log(FUSE_LOG_DEBUG, "fuse: write_buf() %s\n",
			 found == FUSE_WRITES_COPY
				 ? "copies what it gets: it gets its client's pages"
				 : "looks at the data: it gets them in memory");
}

void fuse_write_answered(struct fuse_req *req, int error, size_t count)
{
	bool copied = req->client_data.to_file;
	bool had_pages = req->client_data.ops && !req->loaded && !copes_by_its_word(req);

	if (error == -EBADF && had_pages && !copied)
		conclude(req, FUSE_WRITES_LOOK);
	else if (req->on_trial && !error && count)
		conclude(req, copied ? FUSE_WRITES_COPY : FUSE_WRITES_LOOK);
}

/* ---- For handlers that want to know ---- */

/* Without rings a reply leaves from anywhere. */
static int own_memory(struct fuse_req *req, struct fuse_buf *data)
{
	*data = (struct fuse_buf){ .size = req->data.size, .fd = -1 };
	if (req->reply_room) {
		data->mem = req->reply_room;
		return 0;
	}
	if (!req->memory)
		req->memory = malloc(req->data.size ? req->data.size : 1);
	data->mem = req->memory;
	return req->memory ? 0 : -ENOMEM;
}

int fuse_req_get_data(fuse_req_t req, struct fuse_buf *data)
{
	if (req->opcode == FUSE_WRITE) {
		*data = req->data;
		return 0;
	}
	if (req->opcode != FUSE_READ ||
	    (req->reply_room && req->data.size > req->reply_room_size))
		return -EINVAL;
	if (!req->zero_copied)
		return own_memory(req, data);
	*data = buffer_of(req, &of_read, req->data.size);
	return 0;
}

/* More than has arrived in the client's pages would be what they held before. */
static bool is_filled(const struct fuse_req *req, size_t size)
{
	if (req->opcode != FUSE_READ || size > req->data.size)
		return false;
	if (req->zero_copied)
		return size <= req->transferred + req->filled;
	return size <= req->reply_room_size || req->memory;
}

int fuse_reply_read_filled(fuse_req_t req, size_t size)
{
	if (!fuse_reply_claim(req))
		return -EINVAL;
	if (!is_filled(req, size)) {
		fuse_log(FUSE_LOG_ERR,
			 "fuse: #%llu %s: %zu bytes have not been filled in\n",
			 (unsigned long long)req->unique, fuse_opcode_name(req->opcode),
			 size);
		fuse_reply_deliver_error(req, -EIO);
		return -EINVAL;
	}
	return fuse_reply_deliver_filled(req, size);
}
