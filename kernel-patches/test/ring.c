// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include "ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *region(size_t size, bool shared)
{
	int flags = shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
	int fd = shared ? memfd_create("region", MFD_CLOEXEC) : -1;
	void *memory;

	if (shared && (fd < 0 || ftruncate(fd, size)))
		die("memfd: %s", strerror(errno));
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (memory == MAP_FAILED)
		die("mmap of %zu bytes: %s", size, strerror(errno));
	if (shared)
		close(fd);
	return memory;
}

void queue_init(struct queue *queue, struct mounted *mounted, int qid,
		const struct setup *setup)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SQE128 | IORING_SETUP_CQSIZE, .cq_entries = 4096
	};
	int error;

	if (setup->lazy)
		params.flags |= IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
	memset(queue, 0, sizeof(*queue));
	queue->mount = mounted;
	queue->setup = *setup;
	queue->qid = qid;
	error = io_uring_queue_init_params(512, &queue->ring, &params);
	if (error)
		die("io_uring: %s", strerror(-error));
	/* a client that is forked off has no use for it */
	io_uring_ring_dontfork(&queue->ring);
	if (setup->flags & FUSE_URING_ZERO_COPY) {
		error = io_uring_register_buffers_sparse(&queue->ring, setup->depth);
		if (error)
			die("sparse table: %s", strerror(-error));
	}
	queue->headers_size = setup->depth * sizeof(*queue->headers);
	queue->pool_size = (size_t)setup->nr_bufs * setup->buf_size;
	queue->headers = region(queue->headers_size, setup->shared_memory);
	queue->pool = region(queue->pool_size, setup->shared_memory);
	queue->iov[0] = (struct iovec){ queue->headers, queue->headers_size };
	queue->iov[1] = (struct iovec){ queue->pool, queue->pool_size };
	queue->own = calloc(setup->depth, sizeof(*queue->own));
	for (unsigned int i = 0; i < setup->depth && i < setup->nr_bufs; i++) {
		queue->own[i][0] =
			(struct iovec){ &queue->headers[i], sizeof(*queue->headers) };
		queue->own[i][1] =
			(struct iovec){ queue->pool + (size_t)i * setup->buf_size,
					setup->buf_size };
	}
}

void queue_free(struct queue *queue)
{
	io_uring_queue_exit(&queue->ring);
	free(queue->own);
	munmap(queue->headers, queue->headers_size);
	munmap(queue->pool, queue->pool_size);
}

struct io_uring_sqe *queue_sqe(struct queue *queue)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&queue->ring);

	if (!sqe) {
		io_uring_submit(&queue->ring);
		sqe = io_uring_get_sqe(&queue->ring);
	}
	memset(sqe, 0, 2 * sizeof(*sqe));
	return sqe;
}

struct fuse_uring_cmd_req *sqe_command(struct io_uring_sqe *sqe)
{
	return (void *)sqe->cmd;
}

struct io_uring_sqe *queue_command(struct queue *queue, uint32_t op, uint64_t data)
{
	struct io_uring_sqe *sqe = queue_sqe(queue);

	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = queue->mount->fuse;
	sqe->cmd_op = op;
	sqe->user_data = data;
	sqe_command(sqe)->qid = queue->qid;
	return sqe;
}

struct io_uring_sqe *queue_register(struct queue *queue, unsigned int slot)
{
	struct io_uring_sqe *sqe = queue_command(queue, FUSE_IO_URING_CMD_REGISTER, slot);
	struct fuse_uring_cmd_req *command = sqe_command(sqe);

	sqe->addr = (uintptr_t)queue->iov;
	sqe->len = 2;
	if (!queue->setup.flags) {
		sqe->addr = (uintptr_t)queue->own[slot];
		return sqe;
	}
	sqe->buf_index = slot;
	command->flags = queue->setup.flags;
	command->init.buf_size = queue->setup.buf_size;
	command->init.max_queue_depth = queue->setup.depth;
	return sqe;
}

struct io_uring_sqe *queue_commit(struct queue *queue, uint64_t commit_id,
				  unsigned int slot)
{
	struct io_uring_sqe *sqe =
		queue_command(queue, FUSE_IO_URING_CMD_COMMIT_AND_FETCH, slot);

	sqe_command(sqe)->commit_id = commit_id;
	return sqe;
}

int queue_try_register(struct queue *queue, struct io_uring_sqe *sqe)
{
	struct __kernel_timespec soon = { .tv_nsec = 20000000 };
	struct io_uring_cqe *cqe;
	int result = 0;

	(void)sqe;
	io_uring_submit(&queue->ring);
	if (!io_uring_wait_cqe_timeout(&queue->ring, &cqe, &soon)) {
		result = cqe->res;
		io_uring_cqe_seen(&queue->ring, cqe);
	}
	return result;
}
