// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Replies and notifications: one message, one write. A message is a head, which begins
 * with struct fuse_out_header, and data behind it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuse_log.h"
#include "support/buf.h"
#include "support/tsan.h"
#include "transport/dev/private.h"

/* Pieces that need no memory to be listed. */
#define FEW_PIECES 16

/* The largest header of a notification that data follow. */
#define NOTIFY_HEADER_MAX 64

struct message {
	struct fuse_dev_channel *channel;
	union {
		struct fuse_out_header out;
		char bytes[sizeof(struct fuse_out_header) + NOTIFY_HEADER_MAX];
	} head;
	size_t head_size;
	bool on_its_way; /* the kernel has been given it, whatever it made of it */
};

static int set_size(struct message *message, size_t data_size)
{
	if (data_size > UINT32_MAX - message->head_size)
		return -EMSGSIZE;
	message->head.out.len = (uint32_t)(message->head_size + data_size);
	return 0;
}

/* iov[0] is left free for the head. */
static int send_pieces(struct message *message, struct iovec *iov, int count)
{
	struct fuse_dev_channel *channel = message->channel;
	struct fuse_dev *dev = channel->dev;
	ssize_t sent;

	if (atomic_load_explicit(&dev->closed, memory_order_relaxed))
		return -ENOENT;
	FUSE_REPLY_LEAVES(dev->handler.protocol);
	iov[0].iov_base = &message->head;
	iov[0].iov_len = message->head_size;
	message->on_its_way = true;
	if (dev->io)
		sent = dev->io->writev(channel->fd, iov, count, dev->io_userdata);
	else
		sent = writev(channel->fd, iov, count);
	return sent < 0 ? -errno : 0;
}

static size_t sum_sizes(const struct iovec *iov, int count)
{
	size_t sum = 0;

	for (int i = 0; i < count; i++) {
		if (__builtin_add_overflow(sum, iov[i].iov_len, &sum))
			return SIZE_MAX;
	}
	return sum;
}

/* More pieces than writev() takes: they are copied into one. */
static int send_joined(struct message *message, const struct iovec *iov, int count,
		       size_t size)
{
	struct iovec pair[2];
	char *mem = malloc(size + 1);
	size_t done = 0;
	int error;

	if (!mem)
		return -ENOMEM;
	for (int i = 0; i < count; i++) {
		if (iov[i].iov_len)
			memcpy(mem + done, iov[i].iov_base, iov[i].iov_len);
		done += iov[i].iov_len;
	}
	pair[1].iov_base = mem;
	pair[1].iov_len = size;
	error = send_pieces(message, pair, 2);
	free(mem);
	return error;
}

static int send_iov(struct message *message, const struct iovec *iov, int count)
{
	size_t size = sum_sizes(iov, count);
	struct iovec list[1 + FEW_PIECES];
	int error = set_size(message, size);

	if (error)
		return error;
	if (count > FEW_PIECES)
		return send_joined(message, iov, count, size);
	if (count > 0)
		memcpy(list + 1, iov, (size_t)count * sizeof(*iov));
	return send_pieces(message, list, 1 + count);
}

static void begin_reply(struct message *message, struct fuse_dev_channel *channel,
			uint64_t unique, int error)
{
	message->channel = channel;
	message->head.out.unique = unique;
	message->head.out.error = error;
	message->head_size = sizeof(message->head.out);
	message->on_its_way = false;
}

static void count_reply(struct fuse_dev *dev, int error)
{
	fuse_count(&dev->counters.replies, 1);
	if (error)
		fuse_count(&dev->counters.errors, 1);
}

static int reply(struct fuse_req *req, int error, const struct iovec *iov, int count)
{
	struct fuse_dev_channel *channel = ((struct fuse_dev_req *)req)->channel;
	struct message message;
	int sent;

	begin_reply(&message, channel, req->unique, error);
	sent = send_iov(&message, iov, count);
	/* Nobody would answer the request if there is no memory to put the pieces together in. */
	if (sent && count > 0 && !message.on_its_way)
		reply(req, sent, NULL, 0);
	else if (!sent)
		count_reply(channel->dev, error);
	return sent;
}

void fuse_dev_refuse(struct fuse_dev_channel *channel, uint64_t unique, int error)
{
	struct message message;

	begin_reply(&message, channel, unique, error);
	if (!send_iov(&message, NULL, 0))
		count_reply(channel->dev, error);
}

/*
 * Data that is on its way out. Whether it is spliced or copied, the head's length has to
 * be right before a byte reaches the kernel, and a file may end early.
 */
struct outflow {
	struct message *message;
	struct fuse_bufvec *data;
	enum fuse_buf_copy_flags flags;
	size_t size; /* of all the data */
	bool exact;  /* less than all is an error */
	size_t sent;
};

static int send_memory(struct outflow *flow, void *mem, size_t size)
{
	struct iovec iov = { .iov_base = mem, .iov_len = size };
	int error;

	if (flow->exact && size < flow->size)
		return -EIO;
	error = send_iov(flow->message, &iov, 1);
	if (!error)
		flow->sent = size;
	return error;
}

/* All data is in memory already. */
static int send_in_place(struct outflow *flow)
{
	struct iovec few[FEW_PIECES], *iov = few;
	struct fuse_bufvec *data = flow->data;
	size_t left;
	int count = 0;
	int error;
	const struct fuse_buf *buf;

	if (data->count > FEW_PIECES) {
		iov = data->count > INT_MAX ? NULL : calloc(data->count, sizeof(*iov));
		if (!iov)
			return -ENOMEM;
	}
	while ((buf = fuse_bufvec_current(data, &left)) != NULL) {
		iov[count].iov_base = (char *)buf->mem + data->off;
		iov[count].iov_len = left;
		count++;
		fuse_bufvec_advance(data, left);
	}
	error = send_iov(flow->message, iov, count);
	if (!error)
		flow->sent = flow->size;
	if (iov != few)
		free(iov);
	return error;
}

/*
 * The first `done` bytes are in the memory. The rest is copied behind them, if there is
 * more to be had.
 */
static int send_copied(struct outflow *flow, char *mem, size_t done, bool more)
{
	struct fuse_bufvec to = FUSE_BUFVEC_INIT(flow->size - done);
	ssize_t copied = 0;

	to.buf[0].mem = mem + done;
	if (more)
		copied = fuse_buf_copy(&to, flow->data, flow->flags);
	if (copied < 0 && done == 0)
		return (int)copied;
	if (copied > 0)
		done += (size_t)copied;
	return send_memory(flow, mem, done);
}

static int send_by_copy(struct outflow *flow)
{
	struct fuse_dev *dev = flow->message->channel->dev;
	struct fuse_scratch *scratch = fuse_scratch_get(&dev->scratches, flow->size);
	int error;

	if (!scratch)
		return -ENOMEM;
	error = send_copied(flow, scratch->mem, 0, true);
	fuse_scratch_put(&dev->scratches, scratch);
	return error;
}

/*
 * Less than all of the data went into the pipe, behind a head that promised all. It comes
 * out again, into memory; that is as cheap as sorting it over into a second pipe.
 */
static int send_taken_back(struct outflow *flow, struct fuse_dev_pipe *pipe,
			   size_t filled, int stopped)
{
	struct fuse_dev *dev = flow->message->channel->dev;
	struct fuse_scratch *scratch = fuse_scratch_get(&dev->scratches, flow->size);
	char head[sizeof(flow->message->head)];
	int error = -ENOMEM;

	if (scratch) {
		error = fuse_dev_pipe_read(pipe->read_fd, head, flow->message->head_size);
		if (!error)
			error = fuse_dev_pipe_read(pipe->read_fd, scratch->mem, filled);
	}
	fuse_dev_pipe_put(dev, pipe, error == 0);
	if (!error)
		error = send_copied(flow, scratch->mem, filled, stopped != 0);
	if (scratch)
		fuse_scratch_put(&dev->scratches, scratch);
	return error;
}

static int send_by_pipe(struct outflow *flow, struct fuse_dev_pipe *pipe)
{
	struct message *message = flow->message;
	struct fuse_dev *dev = message->channel->dev;
	unsigned how = 0;
	size_t filled;
	int stopped, error;

	if ((flow->flags & FUSE_BUF_SPLICE_MOVE) && atomic_load(&dev->splice_move))
		how = SPLICE_F_MOVE;
	set_size(message, flow->size);
	error = fuse_dev_pipe_write(pipe, &message->head, message->head_size);
	if (error) {
		fuse_dev_pipe_put(dev, pipe, false);
		return send_by_copy(flow);
	}
	filled = fuse_dev_pipe_fill(pipe, flow->data, how, &stopped);
	if (filled < flow->size)
		return send_taken_back(flow, pipe, filled, stopped);

	message->on_its_way = true;
	error = fuse_dev_pipe_send(message->channel, pipe, message->head.out.len, how);
	fuse_dev_pipe_put(dev, pipe, error == 0);
	if (!error)
		flow->sent = flow->size;
	return error;
}

static bool splice_pays(const struct outflow *flow)
{
	const struct fuse_dev *dev = flow->message->channel->dev;

	if (!atomic_load(&dev->splice_write) || (flow->flags & FUSE_BUF_NO_SPLICE))
		return false;
	return (flow->flags & FUSE_BUF_FORCE_SPLICE) ||
	       flow->size >= FUSE_DEV_SPLICE_PAGES * dev->page_size;
}

static int send_data(struct outflow *flow)
{
	struct fuse_dev *dev = flow->message->channel->dev;
	bool force = flow->flags & FUSE_BUF_FORCE_SPLICE;
	struct fuse_dev_pipe *pipe = NULL;

	flow->size = fuse_bufvec_left(flow->data);
	if (set_size(flow->message, flow->size))
		return -EMSGSIZE;
	if (!force && fuse_bufvec_in_memory(flow->data))
		return send_in_place(flow);
	if (splice_pays(flow))
		pipe = fuse_dev_pipe_get(dev, flow->size);
	return pipe ? send_by_pipe(flow, pipe) : send_by_copy(flow);
}

static int reply_data(struct fuse_req *req, struct fuse_bufvec *data,
		      enum fuse_buf_copy_flags flags, size_t *sent)
{
	struct fuse_dev_channel *channel = ((struct fuse_dev_req *)req)->channel;
	struct message message;
	struct outflow flow = { .message = &message, .data = data, .flags = flags };
	int error;

	begin_reply(&message, channel, req->unique, 0);
	error = send_data(&flow);
	*sent = flow.sent;
	/* Nobody would answer the request if the data alone were at fault. */
	if (error && !message.on_its_way)
		return reply(req, error, NULL, 0);
	if (!error)
		count_reply(channel->dev, 0);
	return error;
}

static void begin_notify(struct message *message, struct fuse_dev *dev, int code)
{
	begin_reply(message, &dev->first, 0, code);
}

/*
 * Newer kernels, 7.2 at the latest, find all notifications invalid after the unmount. Others find
 * nothing that they could be about, and that is what filesystems know how to take.
 */
static int end_notify(const struct fuse_dev *dev, int res)
{
	struct pollfd device = { .fd = dev->first.fd };

	if (res == -EINVAL && !dev->io && poll(&device, 1, 0) == 1 &&
	    (device.revents & POLLERR))
		return -ENOENT;
	return res;
}

int fuse_dev_notify(void *transport, int code, const struct iovec *iov, int count)
{
	struct message message;

	begin_notify(&message, transport, code);
	return end_notify(transport, send_iov(&message, iov, count));
}

int fuse_dev_notify_data(void *transport, int code, const void *header,
			 size_t header_size, struct fuse_bufvec *data,
			 enum fuse_buf_copy_flags flags)
{
	struct message message;
	struct outflow flow = {
		.message = &message,
		.data = data,
		.flags = flags,
		.exact = true,
	};

	if (header_size > NOTIFY_HEADER_MAX)
		return -EINVAL;
	begin_notify(&message, transport, code);
	memcpy(message.head.bytes + message.head_size, header, header_size);
	message.head_size += header_size;
	return end_notify(transport, send_data(&flow));
}

const struct fuse_transport_ops fuse_dev_ops = {
	.is_uring = false,
	.reply = reply,
	.reply_data = reply_data,
	.finish = fuse_dev_finish,
};
