// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Requests whose data lie in memory that their clients share with this process: kernels with
 * FUSE_HAS_IO_URING_SHARED_MEMORY, over any dialect. The slot says where; nothing is copied, and there is
 * no buffer for a read. A write has one for its reply.
 */
#include "fuse_config.h"

#include <errno.h>

#include "memory/memory.h"
#include "transport/uring/dialect.h"

/* ---- Telling the kernel: under the lock of the memories, so one at a time ---- */

static int add(void *context, int fd, bool writable)
{
	struct fuse_uring *uring = context;
	struct fuse_uring_cmd_req command = { .flags = FUSE_URING_MEMORY_READ };

	if (writable)
		command.flags |= FUSE_URING_MEMORY_WRITE;
	command.memory.fd = fd;
	return fuse_uring_control_send(&uring->control, uring->fd,
				       FUSE_IO_URING_CMD_ADD_MEMORY, &command);
}

static int forget(void *context, unsigned number)
{
	struct fuse_uring *uring = context;
	struct fuse_uring_cmd_req command = { .memory.id = number };

	return fuse_uring_control_send(&uring->control, uring->fd,
				       FUSE_IO_URING_CMD_REMOVE_MEMORY, &command);
}

static const struct fuse_memory_kernel_ops kernel_ops = {
	.add = add,
	.remove = forget,
};

void fuse_uring_memory_start(struct fuse_uring *uring)
{
	if (uring->memories)
		fuse_memories_attach(uring->memories, &kernel_ops, uring);
}

void fuse_uring_memory_stop(struct fuse_uring *uring)
{
	if (uring->memories)
		fuse_memories_detach(uring->memories);
}

/* ---- Requests ---- */

bool fuse_uring_is_shared(const struct fuse_uring_entry *entry)
{
	return entry->queue->uring->memories &&
	       (entry->header->ring_ent_in_out.flags & FUSE_URING_ENT_SHARED_MEMORY);
}

static int find(struct fuse_uring_entry *entry, uint64_t place, size_t size, bool to_fill)
{
	struct fuse_req *req = &entry->req;

	req->shared_off = FUSE_URING_MEMORY_OFFSET(place);
	req->shared = fuse_memories_get(entry->queue->uring->memories,
					FUSE_URING_MEMORY_ID(place), req->shared_off,
					size, to_fill);
	return req->shared ? 0 : -EIO;
}

int fuse_uring_memory_locate(struct fuse_uring_entry *entry)
{
	const struct fuse_uring_ent_in_out *slot = &entry->header->ring_ent_in_out;
	const struct fuse_read_in *read = (const void *)entry->header->op_in;
	struct fuse_req *req = &entry->req;
	int error;

	if (entry->opcode == FUSE_WRITE) {
		error = entry->queue->uring->dialect->locate(entry);
		return error ? error : find(entry, slot->memory, slot->payload_sz, false);
	}
	if (entry->opcode != FUSE_READ || slot->payload_sz)
		return -EIO;
	error = find(entry, slot->memory, read->size, true);
	if (error)
		return error;
	req->zero_copied = entry->paged = false;
	entry->payload = req->shared->base + req->shared_off;
	entry->payload_room = read->size;
	return 0;
}

void fuse_uring_memory_release(struct fuse_uring_entry *entry)
{
	struct fuse_memory *memory = entry->req.shared;

	if (!memory)
		return;
	entry->req.shared = NULL;
	fuse_memory_put(memory);
}

void fuse_uring_memory_answered(struct fuse_uring_queue *queue)
{
	queue->memory_answered = false;
	fuse_memories_answered(queue->uring->memories);
}
