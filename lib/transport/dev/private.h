/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of this folder share.
 *
 * One lock, dev->lock, guards the lists: spare requests, clones and pipes.
 * It is held for a few instructions, no handler runs under it, and no other lock is
 * taken while it is held.
 */
#ifndef FUSE_DEV_PRIVATE_H
#define FUSE_DEV_PRIVATE_H

#include <pthread.h>

#include "support/scratch.h"
#include "transport/dev/dev.h"

/*
 * Data below this travel faster through memory: a pipe costs two or three more system
 * calls, which a copy of two pages does not outweigh.
 */
#define FUSE_DEV_SPLICE_PAGES 2

struct fuse_dev_channel {
	struct fuse_dev *dev;
	struct fuse_dev_channel *next; /* in dev->clones */
	int fd;
	bool clone;	/* fd belongs to the channel */
	unsigned users; /* guarded by dev->lock */
	/*
	 * A small message that arrived in a pipe has cost a system call too many. So
	 * messages are spliced only while large ones are coming: this counts down from the last
	 * of them. Approximate, since the readers of a channel race for it.
	 */
	_Atomic int splice_credit;
};

/* The transport's request comes first: one address serves for both. */
struct fuse_dev_req {
	struct fuse_req req;
	struct fuse_dev_channel *channel;
	struct fuse_dev_req *next_spare;
};

struct fuse_dev_chunk; /* of requests */

struct fuse_dev_pipe {
	struct fuse_dev_pipe *next;
	int read_fd, write_fd; /* both with O_NONBLOCK */
	size_t capacity;       /* in bytes, as whole pages */
	bool busy;
};

struct fuse_dev {
	struct fuse_transport_handler handler;
	const struct fuse_custom_io *io;
	void *io_userdata;
	size_t page_size;
	struct fuse_counters counters;
	struct fuse_dev_channel first;

	/* Written by fuse_dev_configure(), while other threads may be receiving. */
	_Atomic size_t bufsize;
	_Atomic bool splice_read, splice_write, splice_move;

	_Atomic bool closed; /* nothing arrives and nothing is sent any more */

	pthread_mutex_t lock;
	struct fuse_dev_channel *clones;
	struct fuse_dev_chunk *chunks;
	struct fuse_dev_req *spare_first, **spare_end;
	struct fuse_dev_pipe *pipes;
	struct fuse_scratches scratches; /* in which replies are gathered */
};

/* send.c */

extern const struct fuse_transport_ops fuse_dev_ops;

/* Answers a message that no request could be made for. */
void fuse_dev_refuse(struct fuse_dev_channel *channel, uint64_t unique, int error);

/* dev.c */

void fuse_dev_finish(struct fuse_req *req);

/* splice.c: all sizes in bytes; functions that return int return 0 or a negative errno */

/*
 * A pipe with room for a message of that size, or NULL if there is none to be had. It is
 * the caller's until fuse_dev_pipe_put().
 */
struct fuse_dev_pipe *fuse_dev_pipe_get(struct fuse_dev *dev, size_t size);
/* What is left in a pipe that is not known to be empty is thrown away. */
void fuse_dev_pipe_put(struct fuse_dev *dev, struct fuse_dev_pipe *pipe, bool empty);
/* The pipe in use with this reading end; NULL if the descriptor is not one of ours. */
struct fuse_dev_pipe *fuse_dev_pipe_find(struct fuse_dev *dev, int read_fd);
void fuse_dev_free_pipes(struct fuse_dev *dev);

/* Fails unless all of it can be had, or put in, at once. */
int fuse_dev_pipe_read(int fd, void *mem, size_t size);
int fuse_dev_pipe_write(struct fuse_dev_pipe *pipe, const void *mem, size_t size);

/*
 * Moves data from its place on into the pipe and returns how much. *stopped tells why it
 * was not all: 0 for an end of file or a read that came out short, else a negative errno.
 */
size_t fuse_dev_pipe_fill(struct fuse_dev_pipe *pipe, struct fuse_bufvec *data,
			  unsigned splice_flags, int *stopped);
/* The message of that size is all that the pipe holds. */
int fuse_dev_pipe_send(struct fuse_dev_channel *channel, struct fuse_dev_pipe *pipe,
		       size_t size, unsigned splice_flags);

/*
 * Receives a message into a pipe, and from there into buf->mem if it is small. Returns
 * its size or a negative errno; FUSE_DEV_NOT_SPLICED if it has to be read instead.
 */
ssize_t fuse_dev_splice_receive(struct fuse_dev_channel *channel, struct fuse_buf *buf);
#define FUSE_DEV_NOT_SPLICED (-4096)

#endif
