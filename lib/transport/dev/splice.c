// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Pipes, as the memory between two descriptors that no process has mapped.
 *
 * A pipe must never be too small for what the kernel is about to put in: a request
 * that does not fit is answered with EIO by the kernel itself, before this process has
 * seen it. Hence a pipe is enlarged beforehand, and where it cannot be (the limits in
 * /proc/sys/fs/pipe-*), messages are read into memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "support/buf.h"
#include "support/tsan.h"
#include "transport/dev/private.h"

/* Bytes in the header's page, and in a first and a last page that are not whole. */
#define EXTRA_PAGES 3

static bool enlarge(struct fuse_dev_pipe *pipe, size_t capacity)
{
	int got;

	if (pipe->capacity >= capacity)
		return true;
	if (capacity > INT32_MAX)
		return false;
	got = fcntl(pipe->write_fd, F_SETPIPE_SZ, (int)capacity);
	if (got < 0 || (size_t)got < capacity)
		return false;
	pipe->capacity = (size_t)got;
	return true;
}

/* With the lock held. Takes the largest one that is free. */
static struct fuse_dev_pipe *take_spare(struct fuse_dev *dev)
{
	struct fuse_dev_pipe *best = NULL;

	for (struct fuse_dev_pipe *pipe = dev->pipes; pipe; pipe = pipe->next) {
		if (!pipe->busy && (!best || pipe->capacity > best->capacity))
			best = pipe;
	}
	if (best)
		best->busy = true;
	return best;
}

static struct fuse_dev_pipe *new_pipe(struct fuse_dev *dev)
{
	struct fuse_dev_pipe *pipe = calloc(1, sizeof(*pipe));
	int fd[2];

	if (!pipe)
		return NULL;
	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) != 0) {
		free(pipe);
		return NULL;
	}
	pipe->read_fd = fd[0];
	pipe->write_fd = fd[1];
	pipe->busy = true;
	pthread_mutex_lock(&dev->lock);
	pipe->next = dev->pipes;
	dev->pipes = pipe;
	pthread_mutex_unlock(&dev->lock);
	return pipe;
}

struct fuse_dev_pipe *fuse_dev_pipe_get(struct fuse_dev *dev, size_t size)
{
	size_t pages = size / dev->page_size + EXTRA_PAGES;
	struct fuse_dev_pipe *pipe;

	pthread_mutex_lock(&dev->lock);
	pipe = take_spare(dev);
	pthread_mutex_unlock(&dev->lock);
	if (!pipe)
		pipe = new_pipe(dev);
	if (!pipe || enlarge(pipe, pages * dev->page_size))
		return pipe;
	fuse_dev_pipe_put(dev, pipe, true);
	return NULL;
}

static bool is_empty(const struct fuse_dev_pipe *pipe)
{
	int left;

	return ioctl(pipe->read_fd, FIONREAD, &left) == 0 && left == 0;
}

static void destroy_pipe(struct fuse_dev_pipe *pipe)
{
	close(pipe->read_fd);
	close(pipe->write_fd);
	free(pipe);
}

void fuse_dev_pipe_put(struct fuse_dev *dev, struct fuse_dev_pipe *pipe, bool empty)
{
	struct fuse_dev_pipe **link = &dev->pipes;

	if (!empty)
		empty = is_empty(pipe);
	pthread_mutex_lock(&dev->lock);
	if (empty) {
		pipe->busy = false;
	} else {
		while (*link != pipe)
			link = &(*link)->next;
		*link = pipe->next;
	}
	pthread_mutex_unlock(&dev->lock);
	if (!empty)
		destroy_pipe(pipe);
}

struct fuse_dev_pipe *fuse_dev_pipe_find(struct fuse_dev *dev, int read_fd)
{
	struct fuse_dev_pipe *pipe;

	pthread_mutex_lock(&dev->lock);
	for (pipe = dev->pipes; pipe; pipe = pipe->next) {
		if (pipe->busy && pipe->read_fd == read_fd)
			break;
	}
	pthread_mutex_unlock(&dev->lock);
	return pipe;
}

void fuse_dev_free_pipes(struct fuse_dev *dev)
{
	while (dev->pipes) {
		struct fuse_dev_pipe *pipe = dev->pipes;

		dev->pipes = pipe->next;
		destroy_pipe(pipe);
	}
}

int fuse_dev_pipe_read(int fd, void *mem, size_t size)
{
	char *to = mem;

	while (size > 0) {
		ssize_t got = read(fd, to, size);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		to += got;
		size -= (size_t)got;
	}
	return 0;
}

int fuse_dev_pipe_write(struct fuse_dev_pipe *pipe, const void *mem, size_t size)
{
	ssize_t put = write(pipe->write_fd, mem, size);

	if (put < 0)
		return -errno;
	return (size_t)put == size ? 0 : -EAGAIN;
}

static ssize_t fill_some(struct fuse_dev_pipe *pipe, const struct fuse_buf *buf,
			 size_t off, size_t size, unsigned splice_flags)
{
	bool seek = buf->flags & FUSE_BUF_FD_SEEK;
	ssize_t moved;
	off_t pos = 0;

	if (seek && __builtin_add_overflow(buf->pos, off, &pos))
		return -EOVERFLOW;
	do {
		if (buf->flags & FUSE_BUF_IS_FD)
			moved = splice(buf->fd, seek ? &pos : NULL, pipe->write_fd, NULL,
				       size, splice_flags | SPLICE_F_NONBLOCK);
		else
			moved = write(pipe->write_fd, (char *)buf->mem + off, size);
	} while (moved < 0 && errno == EINTR);
	return moved < 0 ? -errno : moved;
}

/* A file with a position of its own to read at gives less only at its end. */
static bool ends_when_short(const struct fuse_buf *buf)
{
	return (buf->flags & FUSE_BUF_IS_FD) &&
	       !(buf->flags & (FUSE_BUF_FD_SEEK | FUSE_BUF_FD_RETRY));
}

size_t fuse_dev_pipe_fill(struct fuse_dev_pipe *pipe, struct fuse_bufvec *data,
			  unsigned splice_flags, int *stopped)
{
	const struct fuse_buf *buf;
	size_t filled = 0;
	size_t left;

	*stopped = 0;
	while ((buf = fuse_bufvec_current(data, &left)) != NULL) {
		ssize_t moved = fill_some(pipe, buf, data->off, left, splice_flags);

		if (moved < 0) {
			*stopped = (int)moved;
			break;
		}
		fuse_bufvec_advance(data, (size_t)moved);
		filled += (size_t)moved;
		if (moved == 0 || ((size_t)moved < left && ends_when_short(buf)))
			break;
	}
	return filled;
}

int fuse_dev_pipe_send(struct fuse_dev_channel *channel, struct fuse_dev_pipe *pipe,
		       size_t size, unsigned splice_flags)
{
	struct fuse_dev *dev = channel->dev;
	ssize_t sent;

	if (atomic_load_explicit(&dev->closed, memory_order_relaxed))
		return -ENOENT;
	FUSE_REPLY_LEAVES(dev->handler.protocol);
	if (dev->io)
		sent = dev->io->splice_send(pipe->read_fd, NULL, channel->fd, NULL, size,
					    splice_flags, dev->io_userdata);
	else
		sent = splice(pipe->read_fd, NULL, channel->fd, NULL, size, splice_flags);
	if (sent < 0)
		return -errno;
	return (size_t)sent == size ? 0 : -EIO;
}

ssize_t fuse_dev_splice_receive(struct fuse_dev_channel *channel, struct fuse_buf *buf)
{
	struct fuse_dev *dev = channel->dev;
	size_t size = fuse_dev_bufsize(dev);
	struct fuse_dev_pipe *pipe = fuse_dev_pipe_get(dev, size);
	ssize_t got;
	int error;

	if (!pipe) {
		atomic_store(&dev->splice_read, false);
		return FUSE_DEV_NOT_SPLICED;
	}
	if (dev->io)
		got = dev->io->splice_receive(channel->fd, NULL, pipe->write_fd, NULL,
					      size, 0, dev->io_userdata);
	else
		got = splice(channel->fd, NULL, pipe->write_fd, NULL, size, 0);
	if (got <= 0) {
		error = got < 0 ? errno : 0;
		fuse_dev_pipe_put(dev, pipe, false);
		if (error == EINVAL || error == ENOSYS) {
			atomic_store(&dev->splice_read, false);
			return FUSE_DEV_NOT_SPLICED;
		}
		return -error;
	}
	if ((size_t)got >= FUSE_DEV_SPLICE_PAGES * dev->page_size) {
		buf->flags = FUSE_BUF_IS_FD;
		buf->fd = pipe->read_fd;
		return got;
	}
	error = fuse_dev_pipe_read(pipe->read_fd, buf->mem, (size_t)got);
	fuse_dev_pipe_put(dev, pipe, error == 0);
	return error ? error : got;
}
