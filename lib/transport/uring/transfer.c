// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Moving the data of a request that somebody holds, who waits for it: between the slot with
 * the client's pages and a file, or the request's own payload buffer, by way of the memfd that the
 * buffer is part of. To fetch all data of a write into its payload buffer is to load it.
 *
 * The owner of the queue submits, whoever asks. If it asks itself, in a handler, it takes off
 * the ring what completes meanwhile, for later.
 *
 * A handler may have put on its caller's credentials. The owner's own are those that the kernel
 * takes when it submits. Another thread's it cannot have, so that such a thread is told to go
 * by way of memory.
 */
#include "fuse_config.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "transport/uring/dialect.h"

/* In the user_data: by whom it is awaited. */
enum {
	BY_OTHERS,
	BY_OWNER
};

struct io_uring_sqe *fuse_uring_data_sqe(struct fuse_uring_entry *entry,
					 uint64_t user_data, bool to_client,
					 const struct fuse_uring_transfer *transfer)
{
	struct fuse_uring_queue *queue = entry->queue;
	struct io_uring_sqe *sqe = fuse_uring_sqe(queue, user_data);

	if (!sqe)
		return NULL;
	sqe->opcode = to_client ? IORING_OP_READ_FIXED : IORING_OP_WRITE_FIXED;
	sqe->fd = transfer->fd;
	sqe->off = (uint64_t)transfer->pos;
	sqe->addr = transfer->off;
	sqe->len = (uint32_t)transfer->len;
	sqe->buf_index = (uint16_t)entry->id;
	sqe->personality = (uint16_t)queue->personality;
	return sqe;
}

static bool submit(struct fuse_uring_entry *entry,
		   const struct fuse_uring_transfer *transfer, unsigned awaited)
{
	struct io_uring_sqe *sqe = fuse_uring_data_sqe(
		entry, FUSE_USER_DATA(FUSE_SUBJECT_TRANSFER, entry->id, awaited),
		entry->opcode == FUSE_READ, transfer);

	if (!sqe)
		return false;
	if (awaited == BY_OWNER)
		sqe->personality = 0; /* the thread's own credentials */
	return true;
}

static int as_owner(struct fuse_uring_entry *entry,
		    const struct fuse_uring_transfer *transfer)
{
	/* It would be submitted all the same, after its descriptor has been closed. */
	if (entry->queue->disconnected)
		return -ENOTCONN;
	if (!submit(entry, transfer, BY_OWNER))
		return -EIO;
	return fuse_uring_await(entry->queue, FUSE_USER_DATA(FUSE_SUBJECT_TRANSFER,
							     entry->id, BY_OWNER));
}

static void tell(struct fuse_uring_entry *entry, int result)
{
	struct fuse_uring_queue *queue = entry->queue;

	pthread_mutex_lock(&queue->wish_lock);
	entry->transfer.result = result;
	entry->transfer.done = true;
	pthread_cond_broadcast(&queue->transfer_done);
	pthread_mutex_unlock(&queue->wish_lock);
}

/* One after the other, if several threads want something of the same request. */
static int by_owner(struct fuse_uring_entry *entry,
		    const struct fuse_uring_transfer *transfer)
{
	struct fuse_uring_queue *queue = entry->queue;
	int result;

	pthread_mutex_lock(&queue->wish_lock);
	while (entry->transfer.wanted)
		pthread_cond_wait(&queue->transfer_done, &queue->wish_lock);
	entry->transfer = *transfer;
	entry->transfer.wanted = true;
	entry->transfer.done = false;
	pthread_mutex_unlock(&queue->wish_lock);

	if (!fuse_uring_ask_to_transfer(entry))
		tell(entry, -ENOTCONN);

	pthread_mutex_lock(&queue->wish_lock);
	while (!entry->transfer.done)
		pthread_cond_wait(&queue->transfer_done, &queue->wish_lock);
	result = entry->transfer.result;
	entry->transfer.wanted = false;
	pthread_cond_broadcast(&queue->transfer_done);
	pthread_mutex_unlock(&queue->wish_lock);
	return result;
}

static int carry_out(struct fuse_uring_entry *entry,
		     const struct fuse_uring_transfer *transfer)
{
	return entry->queue == fuse_uring_owned ? as_owner(entry, transfer)
						: by_owner(entry, transfer);
}

void fuse_uring_transfer_begin(struct fuse_uring_entry *entry)
{
	if (!submit(entry, &entry->transfer, BY_OTHERS))
		fuse_uring_transfer_complete(entry, BY_OTHERS, -EIO);
}

void fuse_uring_transfer_give_up(struct fuse_uring_queue *queue)
{
	pthread_mutex_lock(&queue->wish_lock);
	for (unsigned id = 0; id < queue->uring->entries; id++) {
		struct fuse_uring_transfer *transfer = &queue->entries[id].transfer;

		if (!transfer->wanted || transfer->done)
			continue;
		transfer->result = -ENOTCONN;
		transfer->done = true;
	}
	pthread_cond_broadcast(&queue->transfer_done);
	pthread_mutex_unlock(&queue->wish_lock);
}

/* ---- Loading ---- */

/* Between the slot, from an offset on, and the same place in the payload buffer. */
static struct fuse_uring_transfer with_payload(const struct fuse_uring_entry *entry,
					       size_t off, size_t len)
{
	const struct fuse_uring_region *region = &entry->queue->region;
	size_t lead = fuse_uring_pages_of(entry->opcode).request_lead;

	return (struct fuse_uring_transfer){
		.fd = region->memfd,
		.pos = fuse_uring_region_offset(region, entry->payload + lead + off),
		.off = off,
		.len = len,
	};
}

static struct fuse_uring_transfer loading_of(const struct fuse_uring_entry *entry)
{
	return with_payload(entry, 0,
			    entry->req.view.payload_size -
				    fuse_uring_pages_of(entry->opcode).request_lead);
}

static int loaded(struct fuse_uring_entry *entry, int result)
{
	size_t lead = fuse_uring_pages_of(entry->opcode).request_lead;

	if (result >= 0 && lead + (size_t)result != entry->req.view.payload_size)
		result = -EIO;
	entry->req.loaded = result >= 0;
	if (entry->req.loaded && entry->req.zero_copied)
		fuse_count(&entry->queue->counters.copied, 1);
	return result < 0 ? fuse_uring_error_for_client(result) : 0;
}

void fuse_uring_load_begin(struct fuse_uring_entry *entry)
{
	entry->transfer = loading_of(entry);
	fuse_uring_transfer_begin(entry);
}

static void dispatch_loaded(struct fuse_uring_entry *entry, int result)
{
	int error = loaded(entry, result);

	entry->state = FUSE_ENTRY_HELD;
	if (!error) {
		fuse_uring_entry_dispatch(entry);
		return;
	}
	fuse_uring_entry_encode(entry, error, 0);
	fuse_uring_entry_settle(entry);
}

void fuse_uring_transfer_complete(struct fuse_uring_entry *entry, unsigned awaited,
				  int result)
{
	if (awaited == BY_OWNER)
		return; /* who has ceased to wait */
	if (entry->state == FUSE_ENTRY_LOADING)
		dispatch_loaded(entry, result);
	else
		tell(entry, result);
}

int fuse_uring_load(struct fuse_req *req)
{
	struct fuse_uring_entry *entry = (struct fuse_uring_entry *)req;
	struct fuse_uring_transfer transfer;

	if (req->loaded)
		return 0;
	transfer = loading_of(entry);
	return loaded(entry, carry_out(entry, &transfer));
}

/* ---- What handlers ask for ---- */

void fuse_uring_look_at_self(struct fuse_uring_self *self)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

	/* An id that there is not changes nothing, and tells what there is. */
	self->fsuid = (uid_t)setfsuid((uid_t)-1);
	self->fsgid = (gid_t)setfsgid((gid_t)-1);
	syscall(SYS_capget, &header, caps);
	self->capabilities = (uint64_t)caps[1].effective << 32 | caps[0].effective;
}

/*
 * What the owner submits for others goes under the session's credentials. If it has none to
 * submit it under, that concerns all that is submitted along with its own handler's.
 */
static bool acts_for_somebody(const struct fuse_uring_queue *queue)
{
	const struct fuse_uring_self *server = &queue->uring->self;
	struct fuse_uring_self self;

	if (queue == fuse_uring_owned && queue->personality)
		return false;
	fuse_uring_look_at_self(&self);
	return self.fsuid != server->fsuid || self.fsgid != server->fsgid ||
	       self.capabilities != server->capabilities;
}

/*
 * A file that wants memory says EFAULT or EOPNOTSUPP, and one that is open for direct I/O EINVAL
 * if the client's pages are not aligned as it wants it: a payload buffer is.
 */
static int for_handler(int result)
{
	switch (result) {
	case -EFAULT:
	case -EINVAL:
		return -EOPNOTSUPP;
	case -ECANCELED:
		return -ENOTCONN;
	}
	return result;
}

ssize_t fuse_uring_transfer(struct fuse_req *req, size_t off, size_t len, int fd,
			    off_t pos)
{
	struct fuse_uring_entry *entry = (struct fuse_uring_entry *)req;
	struct fuse_uring_transfer transfer = {
		.fd = fd,
		.pos = pos,
		.off = off,
		.len = len,
	};

	if (fd < 0)
		return -EBADF;
	if (req->loaded || acts_for_somebody(entry->queue))
		return -EOPNOTSUPP;
	return for_handler(carry_out(entry, &transfer));
}

ssize_t fuse_uring_fill(struct fuse_req *req, size_t off, const void *memory, size_t len)
{
	struct fuse_uring_entry *entry = (struct fuse_uring_entry *)req;
	struct fuse_uring_transfer transfer = with_payload(entry, off, len);

	memmove(entry->payload + off, memory, len);
	return for_handler(carry_out(entry, &transfer));
}

void fuse_uring_locate_payload(const struct fuse_req *req, int *fd, off_t *pos)
{
	const struct fuse_uring_entry *entry = (const struct fuse_uring_entry *)req;
	const struct fuse_uring_region *region = &entry->queue->region;

	*fd = region->memfd;
	*pos = fuse_uring_region_offset(region, entry->payload);
}
