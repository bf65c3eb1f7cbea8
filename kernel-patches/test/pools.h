/* SPDX-License-Identifier: GPL-2.0-only */
/* The queues of a server of Linux 7.3, and the memory that it shares with clients */
#ifndef POOLS_H
#define POOLS_H

#include "mount.h"

#include <liburing.h>

enum payload {
	OWN, /* each entry has its own buffer */
	POOL,
	REGISTERED_POOL
};

struct setup {
	enum payload payload;
	bool zero_copy; /* with a pool of either kind */
	uint16_t depth;
	uint16_t nr_bufs; /* of a pool */
};

struct queue {
	struct mounted *mount;
	struct setup setup;
	int qid;
	struct io_uring ring;
	struct fuse_uring_req_header *headers;
	char *pool;
	size_t headers_size, pool_size;
	struct iovec (*entries)[2];
};

/* With all that comes before the first REGISTER */
void queue_init(struct queue *queue, struct mounted *mounted, int qid,
		const struct setup *setup);
void queue_free(struct queue *queue);

struct io_uring_sqe *queue_sqe(struct queue *queue);
struct io_uring_sqe *queue_command(struct queue *queue, uint32_t op, uint64_t data);
struct io_uring_sqe *queue_register(struct queue *queue, unsigned int slot);
struct io_uring_sqe *queue_commit(struct queue *queue, unsigned int slot, int error,
				  uint32_t size);
struct fuse_uring_cmd_req *sqe_command(struct io_uring_sqe *sqe);
char *queue_payload(struct queue *queue, unsigned int slot);

static inline struct fuse_in_header *queue_in(struct queue *queue, unsigned int slot)
{
	return (void *)queue->headers[slot].in_out;
}

/* A ring for commands that are answered at once */
struct commander {
	int fuse;
	struct io_uring ring;
};

void commander_init(struct commander *commander, const struct mounted *mounted);
void commander_free(struct commander *commander);
/* Their cqe->res */
int memory_command(struct commander *commander, uint32_t op,
		   const struct fuse_uring_cmd_req *command);
int memory_add(struct commander *commander, int fd, uint64_t flags);
int memory_remove(struct commander *commander, uint32_t id);

#define MEMORY_BOTH (FUSE_URING_MEMORY_READ | FUSE_URING_MEMORY_WRITE)

void drop_capabilities(void);
void regain_capabilities(void);

#endif
