// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Channels, and the way of a message from the descriptor to the handler.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fuse_log.h"
#include "transport/dev/private.h"

#define DEVICE "/dev/fuse"

/*
 * A request that was finished goes to the end of the list of spares and stays there for
 * some time, so that a filesystem that answers twice is found out by the request's state.
 */
#define CHUNK_REQUESTS 64

struct fuse_dev_chunk {
	struct fuse_dev_chunk *next;
	struct fuse_dev_req req[CHUNK_REQUESTS];
};

/* Messages that may be small in a row before splice is given up for the next ones. */
#define SPLICE_CREDIT 16

/* What lies before the payload of a WRITE, and is taken out of a pipe by itself. */
#define WRITE_HEAD (sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in))

struct fuse_dev *fuse_dev_new(const struct fuse_dev_config *config)
{
	struct fuse_dev *dev = calloc(1, sizeof(*dev));

	if (!dev)
		return NULL;
	dev->handler = config->handler;
	dev->io = config->io;
	dev->io_userdata = config->io_userdata;
	dev->page_size = (size_t)sysconf(_SC_PAGESIZE);
	dev->first.dev = dev;
	dev->first.fd = config->fd;
	dev->spare_end = &dev->spare_first;
	atomic_init(&dev->bufsize, config->bufsize);
	fuse_scratches_init(&dev->scratches, config->bufsize);
	pthread_mutex_init(&dev->lock, NULL);
	return dev;
}

void fuse_dev_free(struct fuse_dev *dev)
{
	if (!dev)
		return;
	while (dev->clones) {
		struct fuse_dev_channel *channel = dev->clones;

		dev->clones = channel->next;
		close(channel->fd);
		free(channel);
	}
	while (dev->chunks) {
		struct fuse_dev_chunk *chunk = dev->chunks;

		dev->chunks = chunk->next;
		free(chunk);
	}
	fuse_dev_free_pipes(dev);
	fuse_scratches_destroy(&dev->scratches);
	pthread_mutex_destroy(&dev->lock);
	free(dev);
}

void fuse_dev_shutdown(struct fuse_dev *dev)
{
	struct fuse_dev_channel *channel;
	int null;

	atomic_store(&dev->closed, true);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return;
	/* Closed, a number could become another file's while a reply is on its way to it. */
	pthread_mutex_lock(&dev->lock);
	for (channel = dev->clones; channel; channel = channel->next)
		dup3(null, channel->fd, O_CLOEXEC);
	pthread_mutex_unlock(&dev->lock);
	close(null);
}

struct fuse_dev_channel *fuse_dev_first_channel(struct fuse_dev *dev)
{
	return &dev->first;
}

int fuse_dev_channel_fd(const struct fuse_dev_channel *channel)
{
	return channel->fd;
}

static int clone_descriptor(struct fuse_dev *dev)
{
	uint32_t master = (uint32_t)dev->first.fd;
	int fd, error;

	if (dev->io && !dev->io->clone_fd) {
		errno = EOPNOTSUPP;
		return -1;
	}
	if (dev->io)
		return dev->io->clone_fd(dev->first.fd);

	fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (ioctl(fd, FUSE_DEV_IOC_CLONE, &master) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

struct fuse_dev_channel *fuse_dev_clone(struct fuse_dev *dev)
{
	struct fuse_dev_channel *channel = calloc(1, sizeof(*channel));

	if (!channel)
		return NULL;
	channel->dev = dev;
	channel->clone = true;
	channel->users = 1;
	channel->fd = clone_descriptor(dev);
	if (channel->fd < 0) {
		free(channel);
		return NULL;
	}
	pthread_mutex_lock(&dev->lock);
	channel->next = dev->clones;
	dev->clones = channel;
	pthread_mutex_unlock(&dev->lock);
	return channel;
}

/* With the lock held. Returns true if the caller has to close and free it. */
static bool drop_user(struct fuse_dev_channel *channel)
{
	struct fuse_dev_channel **link = &channel->dev->clones;

	if (!channel->clone || --channel->users > 0)
		return false;
	while (*link != channel)
		link = &(*link)->next;
	*link = channel->next;
	return true;
}

static void close_channel(struct fuse_dev_channel *channel)
{
	close(channel->fd);
	free(channel);
}

void fuse_dev_channel_put(struct fuse_dev_channel *channel)
{
	struct fuse_dev *dev = channel->dev;
	bool last;

	pthread_mutex_lock(&dev->lock);
	last = drop_user(channel);
	pthread_mutex_unlock(&dev->lock);
	if (last)
		close_channel(channel);
}

void fuse_dev_configure(struct fuse_dev *dev, size_t bufsize, bool splice_read,
			bool splice_write, bool splice_move)
{
	atomic_store(&dev->bufsize, bufsize);
	atomic_store(&dev->scratches.usual, bufsize);
	atomic_store(&dev->splice_read, splice_read);
	atomic_store(&dev->splice_write, splice_write);
	atomic_store(&dev->splice_move, splice_move);
}

size_t fuse_dev_bufsize(const struct fuse_dev *dev)
{
	return atomic_load_explicit(&dev->bufsize, memory_order_relaxed);
}

struct fuse_counters *fuse_dev_counters(struct fuse_dev *dev)
{
	return &dev->counters;
}

/* With the lock held. */
static void append_spare(struct fuse_dev *dev, struct fuse_dev_req *spare)
{
	spare->next_spare = NULL;
	*dev->spare_end = spare;
	dev->spare_end = &spare->next_spare;
}

static bool add_chunk(struct fuse_dev *dev)
{
	struct fuse_dev_chunk *chunk = calloc(1, sizeof(*chunk));

	if (!chunk)
		return false;
	chunk->next = dev->chunks;
	dev->chunks = chunk;
	for (unsigned i = 0; i < CHUNK_REQUESTS; i++)
		append_spare(dev, &chunk->req[i]);
	return true;
}

/* Chunks live as long as the device: a filesystem may hold a stale request. */
static struct fuse_dev_req *take_req(struct fuse_dev_channel *channel)
{
	struct fuse_dev *dev = channel->dev;
	struct fuse_dev_req *taken = NULL;

	pthread_mutex_lock(&dev->lock);
	if (dev->spare_first || add_chunk(dev)) {
		taken = dev->spare_first;
		dev->spare_first = taken->next_spare;
		if (!dev->spare_first)
			dev->spare_end = &dev->spare_first;
		if (channel->clone)
			channel->users++;
	}
	pthread_mutex_unlock(&dev->lock);
	if (taken)
		taken->channel = channel;
	return taken;
}

void fuse_dev_finish(struct fuse_req *req)
{
	struct fuse_dev_req *done = (struct fuse_dev_req *)req;
	struct fuse_dev_channel *channel = done->channel;
	struct fuse_dev *dev = channel->dev;
	bool last;

	pthread_mutex_lock(&dev->lock);
	append_spare(dev, done);
	last = drop_user(channel);
	pthread_mutex_unlock(&dev->lock);
	if (last)
		close_channel(channel);
}

/* The memory before a buffer's first byte that makes the data of a WRITE begin on a page. */
static size_t lead(void)
{
	return (size_t)sysconf(_SC_PAGESIZE) - WRITE_HEAD;
}

void fuse_dev_buf_free(struct fuse_buf *buf)
{
	if (buf->mem)
		free((char *)buf->mem - lead());
	buf->mem = NULL;
	buf->mem_size = 0;
}

static int reserve(struct fuse_dev *dev, struct fuse_buf *buf)
{
	size_t size = fuse_dev_bufsize(dev);
	void *mem;

	if (buf->mem && buf->mem_size >= size)
		return 0;
	fuse_dev_buf_free(buf);
	if (posix_memalign(&mem, dev->page_size, lead() + size) != 0)
		return -ENOMEM;
	buf->mem = (char *)mem + lead();
	buf->mem_size = size;
	return 0;
}

static ssize_t read_message(struct fuse_dev_channel *channel, struct fuse_buf *buf)
{
	struct fuse_dev *dev = channel->dev;
	ssize_t got;

	if (dev->io)
		got = dev->io->read(channel->fd, buf->mem, buf->mem_size,
				    dev->io_userdata);
	else
		got = read(channel->fd, buf->mem, buf->mem_size);
	return got < 0 ? -errno : got;
}

static ssize_t receive_once(struct fuse_dev_channel *channel, struct fuse_buf *buf)
{
	if (atomic_load_explicit(&channel->splice_credit, memory_order_relaxed) > 0 &&
	    atomic_load_explicit(&channel->dev->splice_read, memory_order_relaxed)) {
		ssize_t got = fuse_dev_splice_receive(channel, buf);

		if (got != FUSE_DEV_NOT_SPLICED)
			return got;
	}
	return read_message(channel, buf);
}

/* INIT, which another thread answers, may let messages grow before the read. */
static bool is_outgrown(const struct fuse_dev_channel *channel,
			const struct fuse_buf *buf)
{
	return buf->mem_size < fuse_dev_bufsize(channel->dev);
}

int fuse_dev_receive(struct fuse_dev_channel *channel, struct fuse_buf *buf)
{
	int got;

	do {
		got = reserve(channel->dev, buf);
		if (!got)
			got = fuse_dev_receive_into(channel, buf);
	} while (got == -EMSGSIZE && is_outgrown(channel, buf));
	return got;
}

int fuse_dev_receive_into(struct fuse_dev_channel *channel, struct fuse_buf *buf)
{
	ssize_t got;

	buf->flags = (enum fuse_buf_flags)0;
	buf->fd = -1;
	buf->size = 0;

	/* ENOENT: a request was taken back by its caller while it was being read. */
	do {
		got = receive_once(channel, buf);
	} while (got == -ENOENT);

	if (got == -ENODEV || got == -ECONNABORTED)
		return 0;
	if (got == -EINVAL && is_outgrown(channel, buf))
		return -EMSGSIZE;
	if (got < 0) {
		if (got != -EINTR && got != -EAGAIN)
			fuse_log(FUSE_LOG_ERR, "fuse: cannot receive a request: %s\n",
				 strerror((int)-got));
		return (int)got;
	}
	if (got > 0 && (size_t)got < sizeof(struct fuse_in_header)) {
		fuse_log(FUSE_LOG_ERR, "fuse: received %zd bytes, less than a header\n",
			 got);
		return -EIO;
	}
	buf->size = (size_t)got;
	return (int)got;
}

/* Races between the readers of a channel only make the count a little less exact. */
static void account_size(struct fuse_dev_channel *channel, size_t size)
{
	int credit;

	if (!atomic_load_explicit(&channel->dev->splice_read, memory_order_relaxed))
		return;
	credit = atomic_load_explicit(&channel->splice_credit, memory_order_relaxed);
	if (size >= FUSE_DEV_SPLICE_PAGES * channel->dev->page_size + WRITE_HEAD)
		credit = SPLICE_CREDIT;
	else if (credit > 0)
		credit--;
	else
		return;
	atomic_store_explicit(&channel->splice_credit, credit, memory_order_relaxed);
}

static void dispatch(struct fuse_dev_channel *channel, const struct fuse_view *view)
{
	struct fuse_dev *dev = channel->dev;
	struct fuse_dev_req *taken = take_req(channel);

	if (!taken) {
		fuse_log(FUSE_LOG_ERR, "fuse: no memory for a request\n");
		fuse_dev_refuse(channel, view->header->unique, -ENOMEM);
		return;
	}
	taken->req.transport = &fuse_dev_ops;
	taken->req.protocol = dev->handler.protocol;
	taken->req.counters = &dev->counters;
	taken->req.view = *view;
	fuse_count(&dev->counters.requests, 1);
	dev->handler.dispatch(&taken->req);
}

static void process_memory(struct fuse_dev_channel *channel, void *mem, size_t size)
{
	struct fuse_view view = {
		.header = mem,
		.arg = (char *)mem + sizeof(struct fuse_in_header),
		.arg_size = size - sizeof(struct fuse_in_header),
		.payload_fd = -1,
		.contiguous = true,
	};

	dispatch(channel, &view);
}

static void process_pipe(struct fuse_dev_channel *channel, const struct fuse_buf *buf)
{
	struct fuse_dev *dev = channel->dev;
	struct fuse_dev_pipe *pipe = fuse_dev_pipe_find(dev, buf->fd);
	size_t head_size = buf->size < WRITE_HEAD ? buf->size : WRITE_HEAD;
	char head[WRITE_HEAD] __attribute__((aligned(8)));
	struct fuse_view view = {
		.header = (void *)head,
		.arg = head + sizeof(struct fuse_in_header),
		.arg_size = head_size - sizeof(struct fuse_in_header),
		.payload_size = buf->size - head_size,
		.payload_fd = buf->fd,
	};
	int error = fuse_dev_pipe_read(buf->fd, head, head_size);

	if (error)
		fuse_log(FUSE_LOG_ERR, "fuse: cannot read a request from its pipe: %s\n",
			 strerror(-error));
	else
		dispatch(channel, &view);
	if (pipe)
		fuse_dev_pipe_put(dev, pipe, false);
}

/* Messages from custom code may lie anywhere; headers are read in place. */
static void process_unaligned(struct fuse_dev_channel *channel,
			      const struct fuse_buf *buf)
{
	void *mem = malloc(buf->size);
	struct fuse_in_header header;

	if (!mem) {
		fuse_log(FUSE_LOG_ERR, "fuse: no memory for a request\n");
		memcpy(&header, buf->mem, sizeof(header));
		fuse_dev_refuse(channel, header.unique, -ENOMEM);
		return;
	}
	memcpy(mem, buf->mem, buf->size);
	process_memory(channel, mem, buf->size);
	free(mem);
}

void fuse_dev_process(struct fuse_dev_channel *channel, const struct fuse_buf *buf)
{
	bool in_pipe = buf->flags & FUSE_BUF_IS_FD;

	if (buf->size < sizeof(struct fuse_in_header) || (!in_pipe && !buf->mem)) {
		fuse_log(FUSE_LOG_ERR, "fuse: a message of %zu bytes is too short\n",
			 buf->size);
		return;
	}
	account_size(channel, buf->size);
	if (in_pipe)
		process_pipe(channel, buf);
	else if ((uintptr_t)buf->mem % _Alignof(struct fuse_in_header))
		process_unaligned(channel, buf);
	else
		process_memory(channel, buf->mem, buf->size);
}
