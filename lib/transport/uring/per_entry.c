// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Dialect A, from Linux 6.14 on: every entry brings its own header slot and its own payload
 * buffer, which has room for the largest payload.
 */
#include "fuse_config.h"

#include <stdio.h>

#include "transport/uring/dialect.h"

static bool probe(uint64_t kernel_flags, struct fuse_uring_reason *why)
{
	if (kernel_flags & FUSE_OVER_IO_URING)
		return true;
	snprintf(why->text, sizeof(why->text),
		 "the kernel does not offer FUSE over io_uring (Linux 6.14 or later with "
		 "/sys/module/fuse/parameters/enable_uring set does)");
	return false;
}

/*
 * The iovecs are read while the command is submitted, and so have to live as long as the
 * sqe is queued: they are the entry's.
 */
static void arm_register(struct fuse_uring_entry *entry, struct io_uring_sqe *sqe,
			 struct fuse_uring_cmd_req *command)
{
	const struct fuse_uring_region *region = &entry->queue->region;

	entry->iov[0].iov_base = entry->header;
	entry->iov[0].iov_len = sizeof(*entry->header);
	entry->iov[1].iov_base = region->payloads + entry->id * region->payload_stride;
	entry->iov[1].iov_len = region->payload_stride;
	sqe->addr = (uintptr_t)entry->iov;
	sqe->len = 2;
}

static void arm_commit(struct fuse_uring_entry *entry, struct io_uring_sqe *sqe,
		       struct fuse_uring_cmd_req *command)
{
	command->commit_id = entry->commit_id;
}

static int locate(struct fuse_uring_entry *entry)
{
	entry->req.zero_copied = entry->paged = false;
	entry->queue->spare_used |= entry->id >= entry->queue->uring->depth;
	entry->payload = entry->iov[1].iov_base;
	entry->payload_room = entry->queue->uring->payload_max;
	return 0;
}

const struct fuse_uring_dialect fuse_uring_per_entry = {
	.name = "per_entry",
	.init_flags = FUSE_OVER_IO_URING,
	.pool = FUSE_URING_POOL_NONE,
	.pin = FUSE_URING_PIN_NONE,
	.header_stride = 320,
	.probe = probe,
	.arm_register = arm_register,
	.arm_commit = arm_commit,
	.locate = locate,
};
