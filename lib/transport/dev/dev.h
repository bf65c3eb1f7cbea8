/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * /dev/fuse as a transport: one message per read, one reply per write, with splice where
 * it saves a copy. Every reader has a channel: the session's descriptor, or a clone
 * of it that spares the kernel's shared lock. A reply leaves by the channel on
 * which its request came.
 */
#ifndef FUSE_DEV_H
#define FUSE_DEV_H

#include "transport/transport.h"

struct fuse_dev;
struct fuse_dev_channel;

/* What a reader's buffer has beyond the payload of the largest WRITE, in bytes. */
#define FUSE_DEV_HEADER_ROOM 4096

struct fuse_dev_config {
	int fd; /* owned by the session; -1: nothing can be received or sent */
	const struct fuse_custom_io
		*io; /* how bytes move; NULL: system calls. Not owned */
	void *io_userdata;
	size_t bufsize; /* until fuse_dev_configure() is called */
	struct fuse_transport_handler handler;
};

/* NULL if memory ran out. */
struct fuse_dev *fuse_dev_new(const struct fuse_dev_config *config);
/* All readers have ended. Requests that are still held are gone with it. */
void fuse_dev_free(struct fuse_dev *dev);

/*
 * Gives up the connection: clones let go of it, although requests that are in flight keep
 * the numbers of their descriptors taken, and later replies fail with -ENOENT. The
 * session's own descriptor stays as it is.
 */
void fuse_dev_shutdown(struct fuse_dev *dev);

/* The session's own descriptor as a channel. */
struct fuse_dev_channel *fuse_dev_first_channel(struct fuse_dev *dev);
/* A clone of the descriptor; NULL with errno set. Counted: requests in flight hold it. */
struct fuse_dev_channel *fuse_dev_clone(struct fuse_dev *dev);
void fuse_dev_channel_put(struct fuse_dev_channel *channel);
int fuse_dev_channel_fd(const struct fuse_dev_channel *channel);

/*
 * After INIT: how large a message may become and whether splice may be used.
 * bufsize is in bytes and includes the header.
 */
void fuse_dev_configure(struct fuse_dev *dev, size_t bufsize, bool splice_read,
			bool splice_write, bool splice_move);
size_t fuse_dev_bufsize(const struct fuse_dev *dev);

/*
 * Receives one message into *buf, which the caller keeps from call to call and ends with
 * fuse_dev_buf_free(). Returns its size in bytes, 0 when the
 * filesystem was unmounted, or a negative errno (-EINTR and -EAGAIN: nothing came).
 *
 * Memory for the message is allocated so that the data of a WRITE begin on a page.
 */
int fuse_dev_receive(struct fuse_dev_channel *channel, struct fuse_buf *buf);
void fuse_dev_buf_free(struct fuse_buf *buf);

/*
 * The same into memory of the caller's, of buf->mem_size bytes: it is never replaced. -EMSGSIZE if
 * it has become too small, because fuse_dev_bufsize() has grown since the caller looked.
 */
int fuse_dev_receive_into(struct fuse_dev_channel *channel, struct fuse_buf *buf);

/*
 * Makes a request of the message and dispatches it. A message too short is logged. The
 * request's view lies in the message: it is valid until the handler returns, even if
 * the request is answered later.
 */
void fuse_dev_process(struct fuse_dev_channel *channel, const struct fuse_buf *buf);

/* For struct fuse_notify_channel; transport is the struct fuse_dev. */
int fuse_dev_notify(void *dev, int code, const struct iovec *iov, int count);
int fuse_dev_notify_data(void *dev, int code, const void *header, size_t header_size,
			 struct fuse_bufvec *data, enum fuse_buf_copy_flags flags);

struct fuse_counters *fuse_dev_counters(struct fuse_dev *dev);

#endif
