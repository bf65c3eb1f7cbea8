// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One entry: from the kernel's completion to a request, from a reply to the next commit.
 *
 *	UNUSED -> REGISTERED -> HELD -> COMMITTED -> HELD -> ...
 *
 * A completion takes REGISTERED and COMMITTED to HELD, or, with an error, to UNUSED.
 */
#include "fuse_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "memory/memory.h"
#include "support/buf.h"
#include "transport/uring/dialect.h"

/* How often an entry whose commit was refused is registered anew. */
#define MISHAPS_MAX 3

/* Replies with descriptors after which files count as fit for moves. */
#define FDS_KEPT 64

static struct fuse_uring_entry *entry_of(struct fuse_req *req)
{
	return (struct fuse_uring_entry *)req;
}

void fuse_uring_entry_init(struct fuse_uring_entry *entry, struct fuse_uring_queue *queue,
			   unsigned id)
{
	entry->queue = queue;
	entry->id = id;
	entry->header = (struct fuse_uring_req_header *)(queue->region.headers +
							 id * queue->uring->dialect
									 ->header_stride);
	entry->req.transport = &fuse_uring_ops;
	entry->req.protocol = queue->uring->handler.protocol;
	entry->req.counters = &queue->counters;
}

/* ---- To the kernel ---- */

static void give_to_kernel(struct fuse_uring_entry *entry,
			   enum fuse_uring_entry_state state)
{
	entry->state = state;
	entry->queue->with_kernel++;
}

void fuse_uring_entry_register(struct fuse_uring_entry *entry)
{
	struct io_uring_sqe *sqe;
	struct fuse_uring_cmd_req *command =
		fuse_uring_command(entry->queue, FUSE_IO_URING_CMD_REGISTER,
				   FUSE_USER_DATA(FUSE_SUBJECT_COMMAND, entry->id, 0),
				   &sqe);

	if (!command)
		return;
	entry->queue->uring->dialect->arm_register(entry, sqe, command);
	give_to_kernel(entry, FUSE_ENTRY_REGISTERED);
}

void fuse_uring_entry_commit(struct fuse_uring_entry *entry)
{
	struct io_uring_sqe *sqe;
	struct fuse_uring_cmd_req *command =
		fuse_uring_command(entry->queue, FUSE_IO_URING_CMD_COMMIT_AND_FETCH,
				   FUSE_USER_DATA(FUSE_SUBJECT_COMMAND, entry->id, 0),
				   &sqe);

	if (!command)
		return;
	entry->queue->uring->dialect->arm_commit(entry, sqe, command);
	give_to_kernel(entry, FUSE_ENTRY_COMMITTED);
	fuse_uring_count_own(&entry->queue->counters.commits);
}

void fuse_uring_entry_settle(struct fuse_uring_entry *entry)
{
	struct fuse_uring_queue *queue = entry->queue;

	queue->held--;
	entry->state = FUSE_ENTRY_UNUSED;
	queue->memory_answered |= entry->req.shared != NULL;
	queue->spare_used |= entry->req.zero_copied && entry->req.filled;
	fuse_uring_memory_release(entry);
	if (entry->dropped || queue->disconnected)
		fuse_uring_move_end(entry);
	else if (entry->move.pieces)
		fuse_uring_move_begin(entry);
	else
		fuse_uring_entry_commit(entry);
}

/* ---- From the kernel ---- */

static int locate(struct fuse_uring_entry *entry)
{
	entry->req.shared = NULL;
	return fuse_uring_is_shared(entry) ? fuse_uring_memory_locate(entry)
					   : entry->queue->uring->dialect->locate(entry);
}

/* The data of a write; what else has a payload finds it where its reply's goes. */
static const char *data_of(const struct fuse_uring_entry *entry)
{
	const struct fuse_req *req = &entry->req;

	return req->shared ? req->shared->base + req->shared_off : entry->payload;
}

/*
 * The three parts of the request's message lie in three places, and the kernel gives two
 * of their sizes and the sum. The header is overwritten by the reply's.
 */
static int view_request(struct fuse_uring_entry *entry)
{
	const struct fuse_in_header *header = (const void *)entry->header->in_out;
	size_t payload_size = entry->header->ring_ent_in_out.payload_sz;
	struct fuse_req *req = &entry->req;
	int error = locate(entry);

	if (error)
		return error;
	if ((payload_size > entry->payload_room && !req->shared) ||
	    header->len < sizeof(*header) ||
	    header->len - sizeof(*header) < payload_size ||
	    header->len - sizeof(*header) - payload_size > sizeof(entry->header->op_in))
		return -EIO;

	req->view.header = header;
	req->view.arg = entry->header->op_in;
	req->view.arg_size = header->len - sizeof(*header) - payload_size;
	req->view.payload = data_of(entry);
	req->view.payload_size = payload_size;
	req->view.payload_fd = -1;
	req->view.contiguous = false;
	req->reply_room = entry->payload;
	req->reply_room_size = entry->payload_room;
	req->loaded = false;
	return 0;
}

void fuse_uring_entry_encode(struct fuse_uring_entry *entry, int error,
			     size_t payload_size)
{
	struct fuse_out_header *header = (void *)entry->header->in_out;
	struct fuse_counters *counters = &entry->queue->counters;

	header->len = (uint32_t)(sizeof(*header) + payload_size);
	header->error = error;
	header->unique = entry->unique;
	entry->header->ring_ent_in_out.payload_sz = (uint32_t)payload_size;
	entry->replied = true;

	fuse_count(&counters->replies, 1);
	if (error)
		fuse_count(&counters->errors, 1);
}

static void refuse_malformed(struct fuse_uring_entry *entry)
{
	const struct fuse_in_header *header = (const void *)entry->header->in_out;
	struct fuse_uring *uring = entry->queue->uring;

	if (!atomic_exchange(&uring->complained, true))
		fuse_log(
			FUSE_LOG_ERR,
			"fuse: malformed request on ring %u (opcode %u, %u bytes, payload %u "
			"bytes) answered with EIO\n",
			entry->queue->id, header->opcode, header->len,
			entry->header->ring_ent_in_out.payload_sz);
	fuse_uring_entry_encode(entry, -EIO, 0);
	fuse_uring_entry_settle(entry);
}

static enum fuse_load_time load_time(const struct fuse_uring_entry *entry)
{
	const struct fuse_transport_handler *handler = &entry->queue->uring->handler;

	return handler->load_time ? handler->load_time(&entry->req) : FUSE_LOAD_FIRST;
}

/* Whether its handler is one that looks at bytes, which are still with the client. */
static bool has_to_load(const struct fuse_uring_entry *entry)
{
	struct fuse_uring_pages pages = fuse_uring_pages_of(entry->opcode);

	if (!entry->paged || !pages.in_request)
		return false;
	if (entry->opcode == FUSE_WRITE)
		return load_time(entry) == FUSE_LOAD_FIRST;
	return entry->req.view.payload_size > pages.request_lead;
}

static bool has_to_load_for_worker(const struct fuse_uring_entry *entry)
{
	return entry->paged && entry->opcode == FUSE_WRITE && !entry->req.loaded &&
	       load_time(entry) == FUSE_LOAD_FOR_WORKERS;
}

static void load(struct fuse_uring_entry *entry)
{
	entry->state = FUSE_ENTRY_LOADING;
	if (entry->req.zero_copied)
		entry->req.copy_reason = FUSE_COPIED_FOR_HANDLER;
	fuse_uring_load_begin(entry);
}

/* Returns false if the owner is to call the handler itself. */
static bool pass_on(struct fuse_uring_entry *entry, bool waits)
{
	if (has_to_load_for_worker(entry)) {
		load(entry);
		return true;
	}
	if (!fuse_uring_hand_over(entry, waits))
		return false;
	fuse_uring_count_own(&entry->queue->counters.handed_over);
	return true;
}

void fuse_uring_entry_dispatch(struct fuse_uring_entry *entry)
{
	struct fuse_uring_queue *queue = entry->queue;
	const struct fuse_transport_handler *handler = &queue->uring->handler;
	struct fuse_uring_workers *workers = &queue->uring->workers;
	bool waits = handler->may_wait(&entry->req);
	uint32_t opcode = entry->opcode;
	int64_t start = queue->now;

	if ((waits || fuse_uring_is_slow(workers, opcode)) && workers->max > 0 &&
	    pass_on(entry, waits))
		return;
	/* May come back to fuse_uring_finish() and make an sqe, before it returns. */
	handler->dispatch(&entry->req);
	queue->now = fuse_clock();
	if (!waits)
		fuse_uring_measured(workers, opcode, queue->now - start);
}

/* Unless somebody finds another reason yet. */
static enum fuse_copy_reason first_reason(const struct fuse_uring_entry *entry)
{
	if (!entry->queue->uring->dialect->zero_copy)
		return FUSE_COPIED_BY_QUEUE;
	if (!entry->req.zero_copied)
		return FUSE_COPIED_DECLINED;
	return entry->opcode == FUSE_READ ? FUSE_COPIED_FROM_MEMORY
					  : FUSE_COPIED_LOOKED_AT;
}

static void take_request(struct fuse_uring_entry *entry)
{
	const struct fuse_in_header *header = (const void *)entry->header->in_out;
	struct fuse_uring_queue *queue = entry->queue;
	int error;

	fuse_uring_count_own(&queue->counters.requests);
	queue->held++;
	entry->state = FUSE_ENTRY_HELD;
	entry->mishaps = 0;
	entry->unique = header->unique;
	entry->opcode = header->opcode;
	entry->commit_id = entry->header->ring_ent_in_out.commit_id;
	entry->replied = false;
	entry->dropped = false;
	entry->copy_wanted = false;

	error = view_request(entry);
	entry->req.copy_reason = first_reason(entry);
	if (entry->paged && !entry->req.zero_copied)
		fuse_uring_count_own(&queue->counters.paged);
	if (error) {
		refuse_malformed(entry);
	} else if (has_to_load(entry)) {
		load(entry);
	} else {
		fuse_uring_entry_dispatch(entry);
	}
}

static void commit_refused(struct fuse_uring_entry *entry, int error)
{
	struct fuse_uring_queue *queue = entry->queue;

	fuse_log(FUSE_LOG_ERR, "fuse: the kernel refused a reply on ring %u: %s\n",
		 queue->id, strerror(-error));
	/* The kernel forgot the entry; its slot is as good as new. */
	if (++entry->mishaps <= MISHAPS_MAX && error != -EOPNOTSUPP)
		fuse_uring_entry_register(entry);
}

static bool tells_the_end(int error)
{
	return error == -ENOTCONN || error == -ECONNABORTED || error == -ECANCELED ||
	       error == -ENODEV;
}

void fuse_uring_entry_complete(struct fuse_uring_entry *entry, int result)
{
	struct fuse_uring_queue *queue = entry->queue;
	enum fuse_uring_entry_state before = entry->state;

	if (before != FUSE_ENTRY_REGISTERED && before != FUSE_ENTRY_COMMITTED) {
		fuse_log(FUSE_LOG_ERR,
			 "fuse: ring %u: completion of entry %u, which is idle\n",
			 queue->id, entry->id);
		return;
	}
	queue->with_kernel--;
	if (fuse_uring_move_broke(entry, result))
		return;
	if (result >= 0) {
		take_request(entry);
		return;
	}

	entry->state = FUSE_ENTRY_UNUSED;
	if (tells_the_end(result))
		fuse_uring_lost(queue);
	else if (before == FUSE_ENTRY_COMMITTED)
		commit_refused(entry, result);
	else
		fuse_log(FUSE_LOG_WARNING,
			 "fuse: the kernel refused entry %u of ring %u: %s\n", entry->id,
			 queue->id, strerror(-result));

	if (queue->with_kernel == 0 && queue->held == 0 && !queue->disconnected) {
		fuse_log(FUSE_LOG_ERR, "fuse: ring %u has no entries left\n", queue->id);
		fuse_uring_lost(queue);
	}
}

/* ---- Replies: run in any thread ---- */

/* Whether any of it would be overwritten while `room` is filled with what comes before it. */
static bool can_copy_forwards(const char *room, const struct iovec *iov, int count)
{
	size_t offset = 0;

	for (int i = 0; i < count; i++) {
		const char *base = iov[i].iov_base;

		if (iov[i].iov_len && base < room + offset &&
		    base + iov[i].iov_len > room)
			return false;
		offset += iov[i].iov_len;
	}
	return true;
}

/* The same for filling from the end. */
static bool can_copy_backwards(const char *room, const struct iovec *iov, int count,
			       size_t total)
{
	size_t end = 0;

	for (int i = 0; i < count; i++) {
		const char *base = iov[i].iov_base;

		end += iov[i].iov_len;
		if (iov[i].iov_len && base < room + total &&
		    base + iov[i].iov_len > room + end)
			return false;
	}
	return true;
}

static void copy_forwards(char *room, const struct iovec *iov, int count)
{
	for (int i = 0; i < count; i++) {
		if (iov[i].iov_len && iov[i].iov_base != room)
			memmove(room, iov[i].iov_base, iov[i].iov_len);
		room += iov[i].iov_len;
	}
}

static void copy_backwards(char *room, const struct iovec *iov, int count, size_t total)
{
	room += total;
	for (int i = count - 1; i >= 0; i--) {
		room -= iov[i].iov_len;
		if (iov[i].iov_len)
			memmove(room, iov[i].iov_base, iov[i].iov_len);
	}
}

static int copy_by_detour(char *room, const struct iovec *iov, int count, size_t total)
{
	char *detour = malloc(total);

	if (!detour)
		return -ENOMEM;
	copy_forwards(detour, iov, count);
	memcpy(room, detour, total);
	free(detour);
	return 0;
}

/* Lays the pieces one behind the other in the entry's payload, where some may lie already. */
static int gather(struct fuse_uring_entry *entry, const struct iovec *iov, int count,
		  size_t *size)
{
	char *room = entry->payload;
	size_t total = 0;

	for (int i = 0; i < count; i++) {
		if (iov[i].iov_len > entry->payload_room - total)
			return -EINVAL;
		total += iov[i].iov_len;
	}
	*size = total;
	if (can_copy_forwards(room, iov, count))
		copy_forwards(room, iov, count);
	else if (can_copy_backwards(room, iov, count, total))
		copy_backwards(room, iov, count, total);
	else
		return copy_by_detour(room, iov, count, total);
	return 0;
}

/* A reply that the kernel does not look for in the payload buffer, or not all of it. */
static bool ends_with_client(const struct fuse_uring_entry *entry, size_t size)
{
	struct fuse_uring_pages pages = fuse_uring_pages_of(entry->opcode);

	return entry->paged && pages.in_reply && size > pages.reply_lead;
}

/* The reply lies in the entry's room: it goes to the client like any file's data. */
int fuse_uring_entry_from_room(struct fuse_uring_entry *entry, size_t size)
{
	const struct fuse_uring_region *region = &entry->queue->region;
	size_t lead = fuse_uring_pages_of(entry->opcode).reply_lead;
	const struct fuse_fd_range room = {
		.fd = region->memfd,
		.off = fuse_uring_region_offset(region, entry->payload + lead),
		.size = size - lead,
	};
	int error = fuse_uring_move_plan(entry, &room, 1, FUSE_FD_STAYS);

	entry->move.from_room = !error;
	return error;
}

static int reply(struct fuse_req *req, int error, const struct iovec *iov, int count)
{
	struct fuse_uring_entry *entry = entry_of(req);
	size_t size = 0;
	int problem = 0;

	if (fuse_uring_is_orphaned(entry->queue))
		return -ENOENT;
	if (!error)
		problem = gather(entry, iov, count, &size);
	if (!problem && ends_with_client(entry, size))
		problem = fuse_uring_entry_from_room(entry, size);
	/* Somebody waits: what cannot be delivered has to become an error. */
	if (problem)
		fuse_uring_entry_encode(entry, -EIO, 0);
	else if (!entry->replied)
		fuse_uring_entry_encode(entry, error, size);
	return problem;
}

static bool overlaps(const struct fuse_uring_entry *entry, const struct fuse_bufvec *data)
{
	const char *room = entry->payload;

	for (size_t i = data->idx; i < data->count; i++) {
		const struct fuse_buf *buf = &data->buf[i];
		const char *memory = buf->mem;

		if (!(buf->flags & FUSE_BUF_IS_FD) && buf->size &&
		    memory < room + entry->payload_room && memory + buf->size > room)
			return true;
	}
	return false;
}

/*
 * When one of several pieces lies in the payload buffer, filling it in order might
 * overwrite that piece: gather() knows what to do about memory.
 */
static int reply_by_detour(struct fuse_uring_entry *entry, struct fuse_bufvec *data,
			   enum fuse_buf_copy_flags flags, size_t size, size_t *sent)
{
	struct fuse_bufvec detour = FUSE_BUFVEC_INIT(size);
	struct iovec iov;
	ssize_t copied;
	int error;

	detour.buf[0].mem = malloc(size);
	if (!detour.buf[0].mem)
		return reply(&entry->req, -ENOMEM, NULL, 0);
	copied = fuse_buf_copy(&detour, data, flags);
	iov.iov_base = detour.buf[0].mem;
	iov.iov_len = copied < 0 ? 0 : (size_t)copied;
	error = reply(&entry->req, copied < 0 ? (int)copied : 0, &iov, 1);
	if (!error)
		*sent = iov.iov_len;
	free(detour.buf[0].mem);
	return error;
}

static int reply_ranges(struct fuse_req *req, const struct fuse_fd_range *ranges,
			size_t count)
{
	struct fuse_uring_entry *entry = entry_of(req);
	int error;

	if (fuse_uring_is_orphaned(entry->queue))
		return -ENOENT;
	error = fuse_uring_move_plan(entry, ranges, count, FUSE_FD_STAYS);
	if (error)
		fuse_uring_entry_encode(entry, error, 0);
	return error;
}

static int reply_filled(struct fuse_req *req, size_t size)
{
	struct fuse_uring_entry *entry = entry_of(req);

	if (fuse_uring_is_orphaned(entry->queue))
		return -ENOENT;
	fuse_uring_entry_encode(entry, 0, size);
	return 0;
}

/*
 * A descriptor that data come from, as a range. Not if a short read is to be followed by another
 * one, which a chain cannot do; and of several only those that are read at a position, since
 * they are read side by side.
 */
static bool is_range(const struct fuse_buf *buf, size_t off, bool alone,
		     struct fuse_fd_range *range)
{
	if (!(buf->flags & FUSE_BUF_IS_FD) ||
	    buf->flags & (FUSE_BUF_FD_RETRY | FUSE_BUF_WITH_CLIENT) || off >= buf->size)
		return false;
	range->fd = buf->fd;
	range->size = buf->size - off;
	range->off = -1;
	if (!(buf->flags & FUSE_BUF_FD_SEEK))
		return alone;
	return !__builtin_add_overflow(buf->pos, off, &range->off) && range->off >= 0;
}

/* False if there is a buffer that is no range. */
static bool are_ranges(const struct fuse_bufvec *data, struct fuse_fd_range *ranges,
		       size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!is_range(&data->buf[data->idx + i], i ? 0 : data->off, count == 1,
			      &ranges[i]))
			return false;
	return true;
}

/*
 * The filesystem may close it when its call of fuse_reply_data() returns. If it calls in the
 * owner's thread the move is submitted before that, and the kernel has the file by then. But if it
 * is a file that needs memory after all, the descriptor is wanted once more. So the first ones are
 * kept, and all, once there was such a file.
 */
static enum fuse_uring_fd_life life_of_descriptor(const struct fuse_uring_entry *entry)
{
	struct fuse_uring *uring = entry->queue->uring;
	unsigned kept;

	if (!entry->req.finishes_now || entry->queue != fuse_uring_owned ||
	    atomic_load_explicit(&uring->fds.refused, memory_order_relaxed))
		return FUSE_FD_NOW;
	kept = atomic_load_explicit(&uring->fds.kept, memory_order_relaxed);
	if (kept >= FDS_KEPT)
		return FUSE_FD_SUBMITTED;
	atomic_store_explicit(&uring->fds.kept, kept + 1, memory_order_relaxed);
	return FUSE_FD_NOW;
}

/* Returns false if the reply has to be put together in memory. */
static bool plan_data(struct fuse_uring_entry *entry, const struct fuse_bufvec *data)
{
	struct fuse_fd_range few[8], *ranges = few;
	size_t count = data->idx < data->count ? data->count - data->idx : 0;
	bool planned;

	if (!count || count > FUSE_FD_RANGES_MAX)
		return false;
	if (count > sizeof(few) / sizeof(few[0]))
		ranges = malloc(count * sizeof(*ranges));
	planned = ranges && are_ranges(data, ranges, count) &&
		  !fuse_uring_move_plan(entry, ranges, count, life_of_descriptor(entry));
	if (ranges != few)
		free(ranges);
	return planned;
}

static bool is_all_memory(const struct fuse_bufvec *data)
{
	for (size_t i = data->idx; i < data->count; i++)
		if (data->buf[i].flags & FUSE_BUF_IS_FD)
			return false;
	return true;
}

/* What has kept a prepared read's reply from being a move of ranges. */
static enum fuse_copy_reason why_no_move(const struct fuse_bufvec *data)
{
	if (is_all_memory(data))
		return FUSE_COPIED_FROM_MEMORY;
	if (data->count - data->idx != 1)
		return FUSE_COPIED_SEVERAL_BUFFERS;
	if (data->buf[data->idx].flags & FUSE_BUF_FD_RETRY)
		return FUSE_COPIED_TO_RETRY;
	return FUSE_COPIED_NO_DESCRIPTOR;
}

static int reply_data(struct fuse_req *req, struct fuse_bufvec *data,
		      enum fuse_buf_copy_flags flags, size_t *sent)
{
	struct fuse_uring_entry *entry = entry_of(req);
	size_t size = fuse_bufvec_left(data);
	struct fuse_bufvec room;
	ssize_t copied;

	*sent = 0;
	if (fuse_uring_is_orphaned(entry->queue))
		return -ENOENT;
	if (size > entry->payload_room) {
		fuse_uring_entry_encode(entry, -EIO, 0);
		return -EINVAL;
	}
	/* Without a descriptor of our own there is still the way through memory. */
	if (entry->opcode != FUSE_IOCTL && ends_with_client(entry, size) &&
	    plan_data(entry, data))
		return 0;
	if (req->zero_copied)
		req->copy_reason = why_no_move(data);
	flags |= FUSE_BUF_NO_SPLICE; /* the destination is memory */
	if (size && data->count - data->idx > 1 && overlaps(entry, data))
		return reply_by_detour(entry, data, flags, size, sent);

	room = FUSE_BUFVEC_INIT(size);
	room.buf[0].mem = entry->payload;
	copied = fuse_buf_copy(&room, data, flags);
	if (copied < 0) {
		fuse_uring_entry_encode(entry, (int)copied, 0);
		return 0;
	}
	*sent = (size_t)copied;
	if (ends_with_client(entry, *sent) && !fuse_uring_entry_from_room(entry, *sent))
		return 0;
	fuse_uring_entry_encode(entry, 0, *sent);
	return 0;
}

static void finish(struct fuse_req *req)
{
	struct fuse_uring_entry *entry = entry_of(req);

	/* A commit there must be, even where the protocol knows no reply. */
	if (!entry->replied && !fuse_uring_is_orphaned(entry->queue))
		fuse_uring_entry_encode(entry,
					entry->opcode == FUSE_NOTIFY_REPLY ? 0 : -EIO, 0);
	fuse_uring_finish(req);
}

static void *region(struct fuse_req *req)
{
	return &entry_of(req)->queue->region;
}

const struct fuse_transport_ops fuse_uring_ops = {
	.is_uring = true,
	.reply = reply,
	.reply_data = reply_data,
	.reply_ranges = reply_ranges,
	.load = fuse_uring_load,
	.transfer = fuse_uring_transfer,
	.fill = fuse_uring_fill,
	.reply_filled = reply_filled,
	.locate_payload = fuse_uring_locate_payload,
	.finish = finish,
	.region = region,
};
