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
#include <stdio.h>

#include "support/fault.h"
#include "transport/uring/dialect.h"

static bool is_registered(const struct fuse_uring_queue *queue)
{
	return queue->uring->dialect->pool == FUSE_URING_POOL_REGISTERED;
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

static bool probe_zero_copy(uint64_t kernel_flags, struct fuse_uring_reason *why)
{
	return probe(kernel_flags, why) && fuse_uring_may_zero_copy(why);
}

/* ---- Set-up ---- */

static int register_pool(struct fuse_uring_queue *queue, const char **step)
{
	const struct iovec pool = {
		.iov_base = queue->region.payloads,
		.iov_len = queue->region.pool_size,
	};
	int error = fuse_fault("pool-register");

	*step = "pool-register";
	return error ? error : fuse_uring_table_set(queue, pool_slot(queue), &pool);
}

static int setup_ring(struct fuse_uring_queue *queue, const char **step)
{
	bool needed = queue->uring->dialect->zero_copy || is_registered(queue);
	int error;

	if (!needed)
		return 0;
	error = fuse_uring_table_open(queue, pool_slot(queue) + 1, step);
	if (!error && is_registered(queue))
		error = register_pool(queue, step);
	return error;
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
 * A zero-copied read has no buffer of the pool's. The offset in the slot of a request without
 * one means nothing, and what it points at belongs to another request.
 */
static int locate(struct fuse_uring_entry *entry)
{
	const struct fuse_uring_ent_in_out *slot = &entry->header->ring_ent_in_out;
	bool zero_copied = entry->queue->uring->dialect->zero_copy &&
			   (slot->flags & FUSE_URING_ENT_ZERO_COPY) &&
			   (entry->opcode == FUSE_READ || entry->opcode == FUSE_WRITE);

	entry->req.zero_copied = entry->paged = zero_copied;
	if (zero_copied && entry->opcode == FUSE_READ)
		fuse_uring_locate_room(entry);
	else if (fuse_uring_has_buffer(entry->opcode))
		return fuse_uring_locate_buffer(entry, slot->offset);
	else
		fuse_uring_locate_nowhere(entry);
	return 0;
}

#define COMMON                                                   \
	.name = "bufpool", .offer = FUSE_HAS_IO_URING_BUFPOOL,   \
	.init_flags = FUSE_OVER_IO_URING, .header_stride = 320,  \
	.pool_size_max = UINT32_MAX, .pin = FUSE_URING_PIN_NONE, \
	.setup_ring = setup_ring, .setup_queue = setup_queue,    \
	.arm_register = arm_register, .arm_commit = arm_commit, .locate = locate

const struct fuse_uring_dialect fuse_uring_bufpool = {
	COMMON,
	.pool = FUSE_URING_POOL_PLAIN,
	.suits = wants_pool,
	.probe = probe,
};

const struct fuse_uring_dialect fuse_uring_bufpool_registered = {
	COMMON,
	.pool = FUSE_URING_POOL_REGISTERED,
	.suits = wants_registered,
	.probe = probe,
};

const struct fuse_uring_dialect fuse_uring_bufpool_zero_copy = {
	COMMON,
	.pool = FUSE_URING_POOL_PLAIN,
	.zero_copy = true,
	.unprivileged = &fuse_uring_bufpool,
	.suits = wants_zero_copy,
	.probe = probe_zero_copy,
};

const struct fuse_uring_dialect fuse_uring_bufpool_zero_copy_registered = {
	COMMON,
	.pool = FUSE_URING_POOL_REGISTERED,
	.zero_copy = true,
	.unprivileged = &fuse_uring_bufpool_registered,
	.suits = wants_both,
	.probe = probe_zero_copy,
};
