/* SPDX-License-Identifier: GPL-2.0-only */
/* The queues of a server of Linux 7.2 with its patches, and their rings */
#ifndef RING_H
#define RING_H

#include "mount.h"

#include <liburing.h>

#define ALL_FLAGS                                                                     \
	(FUSE_URING_BUFRING | FUSE_URING_PINNED_HEADERS | FUSE_URING_PINNED_BUFFERS | \
	 FUSE_URING_ZERO_COPY)

struct setup {
	uint64_t flags;
	uint32_t buf_size;
	uint16_t depth;
	uint16_t nr_bufs;
	bool shared_memory; /* regions of a memfd, not anonymous */
	bool lazy; /* requests come to the thread only when it waits for completions */
};

struct queue {
	struct mounted *mount;
	struct setup setup;
	int qid;
	struct io_uring ring;
	struct fuse_uring_req_header *headers;
	char *pool;
	size_t headers_size, pool_size;
	struct iovec iov[2];	/* both regions, for buffer rings */
	struct iovec (*own)[2]; /* of each entry, without */
};

void queue_init(struct queue *queue, struct mounted *mounted, int qid,
		const struct setup *setup);
void queue_free(struct queue *queue);

struct io_uring_sqe *queue_sqe(struct queue *queue);
struct io_uring_sqe *queue_command(struct queue *queue, uint32_t op, uint64_t data);
struct io_uring_sqe *queue_register(struct queue *queue, unsigned int slot);
struct io_uring_sqe *queue_commit(struct queue *queue, uint64_t commit_id,
				  unsigned int slot);
struct fuse_uring_cmd_req *sqe_command(struct io_uring_sqe *sqe);

/* Registers one entry, and returns what the kernel has against it, or 0 if it has accepted it. */
int queue_try_register(struct queue *queue, struct io_uring_sqe *sqe);

#endif
