// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Dialect B, of Linux 7.2 with the patches in kernel-patches/: header slots lie side by side in
 * one region, payload buffers in another, which is the pool that the kernel lends them out of.
 * The kernel may pin either and map it for itself, so that it copies without looking for the
 * process's pages. Four rungs: nothing pinned, the headers, both, and both with zero-copy.
 *
 * Both regions come with the first REGISTER of a queue. A kernel that refuses one, for lack of
 * a privilege or of memory that may be pinned, uses no rings at all for this connection. So what
 * it will ask for is found out before it is told of rings: capabilities are looked up, and memory
 * is pinned once on trial, by way of the ring's table of registered buffers, under the same
 * limit. The table has a slot per entry for the pages of zero-copied requests, at the
 * entry's id, and behind these two for the trial.
 */
#include "fuse_config.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/fault.h"
#include "transport/uring/dialect.h"

/* The number of the file that every process has for the first user namespace. */
#define FIRST_USER_NAMESPACE 0xEFFFFFFDU

static enum fuse_uring_pin pin_of(const struct fuse_uring_queue *queue)
{
	return queue->uring->dialect->pin;
}

/* ---- Whether ---- */

static bool may_pin(const struct fuse_uring_config *config, enum fuse_uring_pin pin)
{
	return config->pin == FUSE_URING_PIN_ANY || config->pin == pin;
}

static bool wants_ring(const struct fuse_uring_config *config)
{
	return config->pool != FUSE_URING_POOL_NONE;
}

static bool wants_pinned_headers(const struct fuse_uring_config *config)
{
	return wants_ring(config) && may_pin(config, FUSE_URING_PIN_HEADERS);
}

static bool wants_pinned(const struct fuse_uring_config *config)
{
	return wants_ring(config) && config->pool != FUSE_URING_POOL_PLAIN &&
	       may_pin(config, FUSE_URING_PIN_ALL);
}

/* There is none without pinned memory, whatever kind of pool would be preferred otherwise. */
static bool wants_zero_copy(const struct fuse_uring_config *config)
{
	return config->zero_copy && wants_ring(config) &&
	       may_pin(config, FUSE_URING_PIN_ALL);
}

static bool probe(uint64_t kernel_flags, struct fuse_uring_reason *why)
{
	if ((kernel_flags & FUSE_OVER_IO_URING) &&
	    (kernel_flags & FUSE_HAS_IO_URING_BUFRING))
		return true;
	snprintf(why->text, sizeof(why->text),
		 "the kernel does not offer buffer rings (Linux 7.2 with patches does)");
	return false;
}

/* Capabilities are those in the process's own user namespace; the kernel asks about the first. */
static bool probe_zero_copy(uint64_t kernel_flags, struct fuse_uring_reason *why)
{
	struct stat namespace;

	if (!probe(kernel_flags, why) || !fuse_uring_may_zero_copy(why))
		return false;
	if (stat("/proc/self/ns/user", &namespace) < 0 ||
	    namespace.st_ino == FIRST_USER_NAMESPACE)
		return true;
	snprintf(why->text, sizeof(why->text),
		 "zero-copy needs CAP_SYS_ADMIN outside of user namespaces");
	return false;
}

/* ---- Set-up ---- */

/* The kernel's demand is pages; slots need not fill them. */
static struct iovec headers_of(const struct fuse_uring_queue *queue)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t size = queue->uring->entries * sizeof(struct fuse_uring_req_header);

	return (struct iovec){
		.iov_base = queue->region.headers,
		.iov_len = (size + page - 1) & ~(page - 1),
	};
}

static struct iovec pool_of(const struct fuse_uring_queue *queue)
{
	return (struct iovec){
		.iov_base = queue->region.payloads,
		.iov_len = queue->region.pool_size,
	};
}

static unsigned trial_slot(const struct fuse_uring_queue *queue)
{
	return queue->uring->dialect->zero_copy ? queue->uring->entries : 0;
}

static int try_headers(struct fuse_uring_queue *queue, const char **step)
{
	const struct iovec headers = headers_of(queue);
	int error = fuse_fault("pin-headers");

	*step = "pin-headers";
	return error ? error : fuse_uring_table_set(queue, trial_slot(queue), &headers);
}

static int try_pool(struct fuse_uring_queue *queue, const char **step)
{
	const struct iovec pool = pool_of(queue);
	int error = fuse_fault("pin-payload");

	*step = "pin-payload";
	return error ? error : fuse_uring_table_set(queue, trial_slot(queue) + 1, &pool);
}

static int setup_ring(struct fuse_uring_queue *queue, const char **step)
{
	int error;

	if (pin_of(queue) < FUSE_URING_PIN_HEADERS)
		return 0;
	error = fuse_uring_table_open(queue, trial_slot(queue) + 2, step);
	if (!error)
		error = try_headers(queue, step);
	if (!error && pin_of(queue) == FUSE_URING_PIN_ALL)
		error = try_pool(queue, step);
	return error;
}

/* The trial has lasted until now, lest another queue's takes what this one needs. */
static int setup_queue(struct fuse_uring_queue *queue, const char **step)
{
	const struct iovec nothing = { 0 };
	int error;

	if (pin_of(queue) < FUSE_URING_PIN_HEADERS)
		return 0;
	*step = "unpin-trial";
	error = fuse_fault("unpin-trial");
	if (!error)
		error = fuse_uring_table_set(queue, trial_slot(queue), &nothing);
	if (!error && pin_of(queue) == FUSE_URING_PIN_ALL)
		error = fuse_uring_table_set(queue, trial_slot(queue) + 1, &nothing);
	return error;
}

/* ---- Requests ---- */

static uint64_t ring_flags(const struct fuse_uring_dialect *dialect)
{
	uint64_t flags = FUSE_URING_BUFRING;

	if (dialect->pin >= FUSE_URING_PIN_HEADERS)
		flags |= FUSE_URING_PINNED_HEADERS;
	if (dialect->pin == FUSE_URING_PIN_ALL)
		flags |= FUSE_URING_PINNED_BUFFERS;
	if (dialect->zero_copy)
		flags |= FUSE_URING_BUFRING_ZERO_COPY;
	return flags;
}

static void arm_register(struct fuse_uring_entry *entry, struct io_uring_sqe *sqe,
			 struct fuse_uring_cmd_req *command)
{
	struct fuse_uring_bufring_cmd_req *ring = (void *)command;
	struct fuse_uring_queue *queue = entry->queue;

	entry->iov[0] = headers_of(queue);
	entry->iov[1] = pool_of(queue);
	sqe->addr = (uintptr_t)entry->iov;
	sqe->len = 2;
	sqe->buf_index = (uint16_t)entry->id;
	ring->flags = ring_flags(queue->uring->dialect);
	ring->init.buf_size = (uint32_t)queue->region.payload_stride;
	ring->init.max_queue_depth = (uint16_t)queue->uring->entries;
}

static void arm_commit(struct fuse_uring_entry *entry, struct io_uring_sqe *sqe,
		       struct fuse_uring_cmd_req *command)
{
	command->commit_id = entry->commit_id;
}

/*
 * A request that has pages has a buffer only for what it brings or gets besides. The number in the
 * slot of one without a buffer means nothing.
 */
static int locate(struct fuse_uring_entry *entry)
{
	const struct fuse_uring_ent_in_out *slot = &entry->header->ring_ent_in_out;
	struct fuse_uring_pages pages = fuse_uring_pages_of(entry->opcode);
	size_t stride = entry->queue->region.payload_stride;

	entry->paged = entry->queue->uring->dialect->zero_copy &&
		       (slot->flags & FUSE_URING_ENT_ZERO_COPY);
	entry->req.zero_copied = entry->paged && (entry->opcode == FUSE_READ ||
						  entry->opcode == FUSE_WRITE);
	if (entry->paged && pages.in_reply && !pages.reply_lead)
		fuse_uring_locate_room(entry);
	else if (fuse_uring_has_buffer(entry->opcode))
		return fuse_uring_locate_buffer(entry, slot->buf_id * stride);
	else
		fuse_uring_locate_nowhere(entry);
	return 0;
}

#define COMMON                                                                           \
	.name = "bufring", .offer = FUSE_HAS_IO_URING_BUFRING,                           \
	.init_flags = FUSE_OVER_IO_URING,                                                \
	.header_stride = sizeof(struct fuse_uring_req_header), .setup_ring = setup_ring, \
	.setup_queue = setup_queue, .arm_register = arm_register,                        \
	.arm_commit = arm_commit, .locate = locate

const struct fuse_uring_dialect fuse_uring_bufring = {
	COMMON,
	.pool = FUSE_URING_POOL_PLAIN,
	.pin = FUSE_URING_PIN_NONE,
	.suits = wants_ring,
	.probe = probe,
};

const struct fuse_uring_dialect fuse_uring_bufring_pinned_headers = {
	COMMON,
	.pool = FUSE_URING_POOL_PLAIN,
	.pin = FUSE_URING_PIN_HEADERS,
	.suits = wants_pinned_headers,
	.probe = probe,
};

const struct fuse_uring_dialect fuse_uring_bufring_pinned = {
	COMMON,
	.pool = FUSE_URING_POOL_REGISTERED,
	.pin = FUSE_URING_PIN_ALL,
	.suits = wants_pinned,
	.probe = probe,
};

const struct fuse_uring_dialect fuse_uring_bufring_zero_copy = {
	COMMON,
	.pool = FUSE_URING_POOL_REGISTERED,
	.pin = FUSE_URING_PIN_ALL,
	.zero_copy = true,
	.for_all = true,
	.suits = wants_zero_copy,
	.probe = probe_zero_copy,
};
