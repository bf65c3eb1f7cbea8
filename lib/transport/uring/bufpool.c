// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Dialect C, from Linux 7.3 on: entries bring header slots only, and the kernel lends each
 * request a payload buffer out of the queue's pool, if it needs one at all. Four rungs: with and
 * without zero-copy, and with the pool pinned once ("registered") or looked up for each
 * request ("plain").
 *
 * The table of registered buffers has one slot per entry for the pages of zero-copied
 * requests, at the entry's id, and behind these one for a registered pool. It is the same
 * whether the kernel then allows zero-copy or not.
 */
#include "fuse_config.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/fault.h"
#include "transport/uring/dialect.h"

/* `variant` */
enum {
	REGISTERED = 1 << 0,
};

static bool is_registered(const struct fuse_uring_queue *queue)
{
	return queue->uring->dialect->variant & REGISTERED;
}

static unsigned pool_slot(const struct fuse_uring_queue *queue)
{
	return queue->uring->entries;
}

/* ---- Whether ---- */

static bool wants_registered(const struct fuse_uring_config *config)
{
	return config->pool == FUSE_URING_POOL_REGISTERED;
}

static bool wants_pool(const struct fuse_uring_config *config)
{
	return config->pool != FUSE_URING_POOL_NONE;
}

static bool wants_zero_copy(const struct fuse_uring_config *config)
{
	return wants_pool(config) && config->zero_copy;
}

static bool wants_both(const struct fuse_uring_config *config)
{
	return wants_zero_copy(config) && wants_registered(config);
}

static bool probe(uint64_t kernel_flags, struct fuse_uring_reason *why)
{
	if ((kernel_flags & FUSE_OVER_IO_URING) &&
	    (kernel_flags & FUSE_HAS_IO_URING_BUFPOOL))
		return true;
	snprintf(why->text, sizeof(why->text),
		 "the kernel does not offer buffer pools (Linux 7.3 or later does)");
	return false;
}

/* What the kernel asks about: the effective set of the thread that adds the queue. */
static bool is_admin(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &header, sets) < 0)
		return true; /* the kernel will say */
	return sets[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN);
}

bool fuse_uring_may_zero_copy(struct fuse_uring_reason *why)
{
	if (is_admin())
		return true;
	snprintf(why->text, sizeof(why->text),
		 "zero-copy needs CAP_SYS_ADMIN, which this process does not have");
	return false;
}

static bool probe_zero_copy(uint64_t kernel_flags, struct fuse_uring_reason *why)
{
	return probe(kernel_flags, why) && fuse_uring_may_zero_copy(why);
}

/* ---- Set-up ---- */

static int register_pool(struct fuse_uring_queue *queue, const char **step)
{
	struct iovec pool = {
		.iov_base = queue->region.payloads,
		.iov_len = queue->region.pool_size,
	};
	int result = fuse_fault("pool-register");

	*step = "pool-register";
	if (result)
		return result;
	result = io_uring_register_buffers_update_tag(&queue->ring, pool_slot(queue),
						      &pool, NULL, 1);
	if (result < 0)
		return result;
	return result == 1 ? 0 : -EIO;
}

static int setup_ring(struct fuse_uring_queue *queue, const char **step)
{
	bool needed = queue->uring->dialect->zero_copy || is_registered(queue);
	int result;

	if (!needed)
		return 0;
	*step = "buffer-table";
	result = fuse_fault("buffer-table");
	if (!result)
		result = io_uring_register_buffers_sparse(&queue->ring,
							  pool_slot(queue) + 1);
	if (result < 0)
		return result;
	return is_registered(queue) ? register_pool(queue, step) : 0;
}

static void name_pool(const struct fuse_uring_queue *queue, struct io_uring_sqe *sqe)
{
	if (!is_registered(queue))
		return;
	sqe->uring_cmd_flags = IORING_URING_CMD_FIXED;
	sqe->buf_index = (uint16_t)pool_slot(queue);
}

/* Submits a command that is about the whole queue, and comes back at once. */
static int carry_out(struct fuse_uring_queue *queue)
{
	return fuse_uring_await(queue, FUSE_USER_DATA(FUSE_SUBJECT_SETUP, 0, 0));
}

static int add_queue(struct fuse_uring_queue *queue)
{
	struct fuse_uring_cmd_req *command;
	struct io_uring_sqe *sqe;
	int error = fuse_fault("add-queue");

	if (error)
		return error;
	command = fuse_uring_command(queue, FUSE_IO_URING_CMD_ADD_QUEUE,
				     FUSE_USER_DATA(FUSE_SUBJECT_SETUP, 0, 0), &sqe);
	if (!command)
		return -EBUSY;
	if (queue->uring->dialect->zero_copy)
		command->flags = FUSE_URING_ZERO_COPY;
	return carry_out(queue);
}

static int add_bufpool(struct fuse_uring_queue *queue)
{
	struct fuse_uring_cmd_req *command;
	struct io_uring_sqe *sqe;
	int error = fuse_fault("add-bufpool");

	if (error)
		return error;
	command = fuse_uring_command(queue, FUSE_IO_URING_CMD_ADD_BUFPOOL,
				     FUSE_USER_DATA(FUSE_SUBJECT_SETUP, 0, 0), &sqe);
	if (!command)
		return -EBUSY;
	command->bufpool.uaddr = (uintptr_t)queue->region.payloads;
	command->bufpool.len = (uint32_t)queue->region.pool_size;
	name_pool(queue, sqe);
	return carry_out(queue);
}

static int setup_queue(struct fuse_uring_queue *queue, const char **step)
{
	int error;

	*step = "add-queue";
	error = add_queue(queue);
	if (error)
		return error;
	*step = "add-bufpool";
	return add_bufpool(queue);
}

/* ---- Requests ---- */

static void arm_register(struct fuse_uring_entry *entry, struct io_uring_sqe *sqe,
			 struct fuse_uring_cmd_req *command)
{
	entry->iov[0].iov_base = entry->header;
	entry->iov[0].iov_len = sizeof(*entry->header);
	entry->iov[1].iov_base = NULL;
	entry->iov[1].iov_len = 0;
	sqe->addr = (uintptr_t)entry->iov;
	sqe->len = 2;
	if (entry->queue->uring->dialect->zero_copy)
		command->ent_zero_copy_buf_index = (uint16_t)entry->id;
	name_pool(entry->queue, sqe);
}

static void arm_commit(struct fuse_uring_entry *entry, struct io_uring_sqe *sqe,
		       struct fuse_uring_cmd_req *command)
{
	command->commit_id = entry->commit_id;
	name_pool(entry->queue, sqe);
}

/*
 * Requests with neither names nor data, and without a reply but an error, get no buffer; the
 * offset in their slot means nothing, and what it points at belongs to another request. Those of
 * opcodes that are not known are answered with an error and need none.
 */
static bool has_buffer(uint32_t opcode)
{
	switch (opcode) {
	case FUSE_FLUSH:
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
	case FUSE_FSYNC:
	case FUSE_FSYNCDIR:
	case FUSE_SETLK:
	case FUSE_SETLKW:
	case FUSE_ACCESS:
	case FUSE_FALLOCATE:
	case FUSE_SYNCFS:
	case FUSE_DESTROY:
		return false;
	default:
		return opcode <= FUSE_COPY_FILE_RANGE_64;
	}
}

static int locate_buffer(struct fuse_uring_entry *entry)
{
	const struct fuse_uring_region *region = &entry->queue->region;
	size_t offset = entry->header->ring_ent_in_out.offset;

	if (offset >= region->pool_size || offset % region->payload_stride)
		return -EIO;
	entry->payload = region->payloads + offset;
	entry->payload_room = entry->queue->uring->payload_max;
	entry->queue->spare_used |=
		offset >= entry->queue->uring->depth * region->payload_stride;
	return 0;
}

/* A zero-copied read has no buffer of the pool's, but a room of ours. */
static void locate_room(struct fuse_uring_entry *entry)
{
	const struct fuse_uring_region *region = &entry->queue->region;

	entry->payload =
		region->payloads + region->pool_size + entry->id * region->payload_stride;
	entry->payload_room = entry->queue->uring->payload_max;
}

static int locate(struct fuse_uring_entry *entry)
{
	bool zero_copied =
		entry->queue->uring->dialect->zero_copy &&
		(entry->header->ring_ent_in_out.flags & FUSE_URING_ENT_ZERO_COPY) &&
		(entry->opcode == FUSE_READ || entry->opcode == FUSE_WRITE);

	entry->req.zero_copied = zero_copied;
	entry->payload = NULL;
	entry->payload_room = 0;
	if (zero_copied && entry->opcode == FUSE_READ) {
		locate_room(entry);
		return 0;
	}
	return has_buffer(entry->opcode) ? locate_buffer(entry) : 0;
}

#define COMMON                                                                     \
	.name = "bufpool", .init_flags = FUSE_OVER_IO_URING, .header_stride = 320, \
	.setup_ring = setup_ring, .setup_queue = setup_queue,                      \
	.arm_register = arm_register, .arm_commit = arm_commit, .locate = locate

const struct fuse_uring_dialect fuse_uring_bufpool = {
	COMMON,		.pool = "plain", .suits = wants_pool, .has_spare_entries = true,
	.probe = probe,
};

const struct fuse_uring_dialect fuse_uring_bufpool_registered = {
	COMMON,
	.pool = "registered",
	.variant = REGISTERED,
	.suits = wants_registered,
	.probe = probe,
};

const struct fuse_uring_dialect fuse_uring_bufpool_zero_copy = {
	COMMON,
	.pool = "plain",
	.has_spare_entries = true,
	.zero_copy = true,
	.unprivileged = &fuse_uring_bufpool,
	.suits = wants_zero_copy,
	.probe = probe_zero_copy,
};

const struct fuse_uring_dialect fuse_uring_bufpool_zero_copy_registered = {
	COMMON,
	.pool = "registered",
	.variant = REGISTERED,
	.zero_copy = true,
	.unprivileged = &fuse_uring_bufpool_registered,
	.suits = wants_both,
	.probe = probe_zero_copy,
};
