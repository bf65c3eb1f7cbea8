// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include "pools.h"

#include <linux/capability.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *map(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("mmap of %zu bytes: %s", size, strerror(errno));
	return memory;
}

static void ring_init(struct io_uring *ring, unsigned int entries)
{
	struct io_uring_params params = { .flags = IORING_SETUP_SQE128 |
						   IORING_SETUP_CQSIZE,
					  .cq_entries = 4096 };
	int error = io_uring_queue_init_params(entries, ring, &params);

	if (error)
		die("io_uring: %s", strerror(-error));
	/* a client that is forked off has no use for it */
	io_uring_ring_dontfork(ring);
}

/* Submits what is prepared last, and waits for its completion, where no other is to come. */
static int command_now(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	int result;

	do {
		result = io_uring_submit_and_wait(ring, 1);
	} while (result == -EINTR);
	if (result < 0 || io_uring_peek_cqe(ring, &cqe))
		die("a command: %s", strerror(-result));
	result = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return result;
}

/* Behind the slots of the entries' pages, if any */
static unsigned int pool_index(const struct setup *setup)
{
	return setup->zero_copy ? setup->depth : 0;
}

static void queue_register_table(struct queue *queue)
{
	struct iovec pool = { queue->pool, queue->pool_size };
	int error;

	error = io_uring_register_buffers_sparse(&queue->ring,
						 pool_index(&queue->setup) + 1);
	if (!error && queue->setup.payload == REGISTERED_POOL)
		error = io_uring_register_buffers_update_tag(
			&queue->ring, pool_index(&queue->setup), &pool, NULL, 1);
	if (error < 0)
		die("table of buffers: %s", strerror(-error));
}

static void make_fixed(struct queue *queue, struct io_uring_sqe *sqe)
{
	if (queue->setup.payload != REGISTERED_POOL)
		return;
	sqe->uring_cmd_flags = IORING_URING_CMD_FIXED;
	sqe->buf_index = pool_index(&queue->setup);
}

static void queue_add_pool(struct queue *queue)
{
	struct io_uring_sqe *sqe;
	int error;

	sqe = queue_command(queue, FUSE_IO_URING_CMD_ADD_QUEUE, 0);
	if (queue->setup.zero_copy)
		sqe_command(sqe)->flags = FUSE_URING_ZERO_COPY;
	error = command_now(&queue->ring);
	if (error)
		die("ADD_QUEUE: %s", strerror(-error));

	sqe = queue_command(queue, FUSE_IO_URING_CMD_ADD_BUFPOOL, 0);
	sqe_command(sqe)->bufpool.uaddr = (uintptr_t)queue->pool;
	sqe_command(sqe)->bufpool.len = queue->pool_size;
	make_fixed(queue, sqe);
	error = command_now(&queue->ring);
	if (error)
		die("ADD_BUFPOOL: %s", strerror(-error));
}

void queue_init(struct queue *queue, struct mounted *mounted, int qid,
		const struct setup *setup)
{
	memset(queue, 0, sizeof(*queue));
	queue->mount = mounted;
	queue->setup = *setup;
	queue->qid = qid;
	ring_init(&queue->ring, 512);
	queue->headers_size = setup->depth * sizeof(*queue->headers);
	queue->headers = map(queue->headers_size);
	queue->pool_size =
		(size_t)(setup->payload == OWN ? setup->depth : setup->nr_bufs) *
		MAX_PAYLOAD;
	queue->pool = map(queue->pool_size);
	queue->entries = calloc(setup->depth, sizeof(*queue->entries));
	for (unsigned int i = 0; i < setup->depth; i++) {
		queue->entries[i][0] =
			(struct iovec){ &queue->headers[i], sizeof(*queue->headers) };
		if (setup->payload == OWN)
			queue->entries[i][1] =
				(struct iovec){ queue->pool + (size_t)i * MAX_PAYLOAD,
						MAX_PAYLOAD };
	}
	if (setup->payload == OWN)
		return;
	queue_register_table(queue);
	queue_add_pool(queue);
}

void queue_free(struct queue *queue)
{
	io_uring_queue_exit(&queue->ring);
	free(queue->entries);
	munmap(queue->headers, queue->headers_size);
	munmap(queue->pool, queue->pool_size);
}

static struct io_uring_sqe *get_sqe(struct io_uring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (!sqe) {
		io_uring_submit(ring);
		sqe = io_uring_get_sqe(ring);
	}
	memset(sqe, 0, 2 * sizeof(*sqe));
	return sqe;
}

struct io_uring_sqe *queue_sqe(struct queue *queue)
{
	return get_sqe(&queue->ring);
}

struct fuse_uring_cmd_req *sqe_command(struct io_uring_sqe *sqe)
{
	return (void *)sqe->cmd;
}

static void prepare_command(struct io_uring_sqe *sqe, int fuse, uint32_t op)
{
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = fuse;
	sqe->cmd_op = op;
}

struct io_uring_sqe *queue_command(struct queue *queue, uint32_t op, uint64_t data)
{
	struct io_uring_sqe *sqe = queue_sqe(queue);

	prepare_command(sqe, queue->mount->fuse, op);
	sqe->user_data = data;
	sqe_command(sqe)->qid = queue->qid;
	return sqe;
}

struct io_uring_sqe *queue_register(struct queue *queue, unsigned int slot)
{
	struct io_uring_sqe *sqe = queue_command(queue, FUSE_IO_URING_CMD_REGISTER, slot);

	sqe->addr = (uintptr_t)queue->entries[slot];
	sqe->len = 2;
	if (queue->setup.zero_copy)
		sqe_command(sqe)->ent_zero_copy_buf_index = slot;
	make_fixed(queue, sqe);
	return sqe;
}

struct io_uring_sqe *queue_commit(struct queue *queue, unsigned int slot, int error,
				  uint32_t size)
{
	struct fuse_uring_req_header *header = &queue->headers[slot];
	struct fuse_out_header out = { .unique = queue_in(queue, slot)->unique,
				       .error = error,
				       .len = sizeof(out) + size };
	struct io_uring_sqe *sqe;

	sqe = queue_command(queue, FUSE_IO_URING_CMD_COMMIT_AND_FETCH, slot);
	sqe_command(sqe)->commit_id = header->ring_ent_in_out.commit_id;
	make_fixed(queue, sqe);
	memcpy(header->in_out, &out, sizeof(out));
	header->ring_ent_in_out.payload_sz = size;
	return sqe;
}

char *queue_payload(struct queue *queue, unsigned int slot)
{
	if (queue->setup.payload == OWN)
		return queue->entries[slot][1].iov_base;
	return queue->pool + queue->headers[slot].ring_ent_in_out.offset;
}

void commander_init(struct commander *commander, const struct mounted *mounted)
{
	commander->fuse = mounted->fuse;
	ring_init(&commander->ring, 4);
}

void commander_free(struct commander *commander)
{
	io_uring_queue_exit(&commander->ring);
}

int memory_command(struct commander *commander, uint32_t op,
		   const struct fuse_uring_cmd_req *command)
{
	struct io_uring_sqe *sqe = get_sqe(&commander->ring);

	prepare_command(sqe, commander->fuse, op);
	*sqe_command(sqe) = *command;
	return command_now(&commander->ring);
}

int memory_add(struct commander *commander, int fd, uint64_t flags)
{
	struct fuse_uring_cmd_req command = { .flags = flags, .memory.fd = fd };

	return memory_command(commander, FUSE_IO_URING_CMD_ADD_MEMORY, &command);
}

int memory_remove(struct commander *commander, uint32_t id)
{
	struct fuse_uring_cmd_req command = { .memory.id = id };

	return memory_command(commander, FUSE_IO_URING_CMD_REMOVE_MEMORY, &command);
}

static void set_capabilities(bool all)
{
	struct __user_cap_header_struct header = { .version =
							   _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	CHECK(!syscall(SYS_capget, &header, data));
	for (int i = 0; i < 2; i++)
		data[i].effective = all ? data[i].permitted : 0;
	CHECK(!syscall(SYS_capset, &header, data));
}

void drop_capabilities(void)
{
	set_capabilities(false);
}

void regain_capabilities(void)
{
	set_capabilities(true);
}
