// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the dialects have in common in which the kernel lends requests a payload buffer out of
 * the queue's pool: which requests have one, where it lies, the ring's table of registered
 * buffers, and who may have zero-copy.
 */
#include "fuse_config.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/fault.h"
#include "transport/uring/dialect.h"

/* ---- Whether ---- */

/* What the kernel asks about: the effective set of the thread that sets the queue up. */
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

/* ---- The table of registered buffers ---- */

int fuse_uring_table_open(struct fuse_uring_queue *queue, unsigned slots,
			  const char **step)
{
	int error = fuse_fault("buffer-table");

	*step = "buffer-table";
	return error ? error : io_uring_register_buffers_sparse(&queue->ring, slots);
}

int fuse_uring_table_set(struct fuse_uring_queue *queue, unsigned slot,
			 const struct iovec *memory)
{
	int result =
		io_uring_register_buffers_update_tag(&queue->ring, slot, memory, NULL, 1);

	if (result < 0)
		return result;
	return result == 1 ? 0 : -EIO;
}

/* ---- Requests ---- */

/*
 * Requests with neither names nor data, and without a reply but an error, get no buffer. Those
 * of opcodes that are not known are answered with an error and need none.
 */
bool fuse_uring_has_buffer(uint32_t opcode)
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

void fuse_uring_locate_nowhere(struct fuse_uring_entry *entry)
{
	entry->payload = NULL;
	entry->payload_room = 0;
}

int fuse_uring_locate_buffer(struct fuse_uring_entry *entry, size_t offset)
{
	struct fuse_uring_queue *queue = entry->queue;
	const struct fuse_uring_region *region = &queue->region;

	if (offset >= region->pool_size || offset % region->payload_stride)
		return -EIO;
	entry->payload = region->payloads + offset;
	entry->payload_room = queue->uring->payload_max;
	queue->spare_used |=
		offset >= queue->uring->kept_buffers * region->payload_stride;
	return 0;
}

bool fuse_uring_is_spare(const struct fuse_uring_entry *entry)
{
	const struct fuse_uring_queue *queue = entry->queue;

	return entry->payload >=
	       queue->region.payloads +
		       queue->uring->kept_buffers * queue->region.payload_stride;
}

void fuse_uring_locate_room(struct fuse_uring_entry *entry)
{
	const struct fuse_uring_region *region = &entry->queue->region;

	entry->payload =
		region->payloads + region->pool_size + entry->id * region->payload_stride;
	entry->payload_room = entry->queue->uring->payload_max;
}
