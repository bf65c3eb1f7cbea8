// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Moving the data of zero-copied requests: READ_FIXED and WRITE_FIXED between a descriptor
 * and the slot in which the kernel has put the client's pages.
 *
 * A move in one piece is linked to the commit, as if all of it would succeed: one enter
 * answers the request, and the kernel says nothing more about the data. If the piece comes
 * out short, or fails, the chain breaks: the piece comes back with what it did, the commit is
 * dropped, and the true reply is committed. A move in several pieces is committed when the
 * last of them has come back.
 *
 * Of a chain that breaks behind a piece whose success would not have been told, the kernel does
 * not tell the commit's end either. A success is told where something has to be let go then:
 * memory that an idle queue gives back, or a descriptor of our own. There the commit of a broken chain comes back as well, with
 * ECANCELED and after the piece.
 *
 * The counters are told at the beginning, because nothing tells of a success but the entry's next
 * request, and are corrected when less was moved.
 *
 * Kernels with buffer rings leave all pages with their clients, also those of directories, links,
 * ioctls and retrieved caches. There is no reason why a filesystem should know: the data of
 * such a request are loaded before it is handed over, and its reply, put together in memory,
 * goes out like that of a read. Of the counters `paged` is about these, and all others are about
 * reads and writes only.
 */
#include "fuse_config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transport/uring/dialect.h"

static const struct fuse_uring_pages pages[] = {
	[FUSE_READ] = { .in_reply = true },
	[FUSE_READDIR] = { .in_reply = true },
	[FUSE_READDIRPLUS] = { .in_reply = true },
	[FUSE_READLINK] = { .in_reply = true },
	[FUSE_WRITE] = { .in_request = true },
	[FUSE_NOTIFY_REPLY] = { .in_request = true,
				.request_lead = sizeof(struct fuse_notify_retrieve_in) },
	[FUSE_IOCTL] = { .in_request = true,
			 .in_reply = true,
			 .reply_lead = sizeof(struct fuse_ioctl_out) },
};

struct fuse_uring_pages fuse_uring_pages_of(uint32_t opcode)
{
	if (opcode < sizeof(pages) / sizeof(pages[0]))
		return pages[opcode];
	return (struct fuse_uring_pages){ 0 };
}

/* The direction of a move: to the client, or from it. */
static bool is_reply(const struct fuse_uring_entry *entry)
{
	return entry->opcode != FUSE_WRITE;
}

static void count(const struct fuse_uring_entry *entry, _Atomic uint64_t *counter,
		  int64_t by)
{
	if (entry->req.zero_copied)
		fuse_count(counter, (uint64_t)by);
}

/* ---- Planning: in any thread ---- */

/* Until the piece is submitted, its number might have become another file's. */
static int take_descriptor(struct fuse_uring_piece *piece, bool duplicate)
{
	if (!duplicate)
		return 0;
	piece->fd = fcntl(piece->fd, F_DUPFD_CLOEXEC, 0);
	piece->own_fd = piece->fd >= 0;
	return piece->own_fd ? 0 : -errno;
}

/* What the slot cannot hold in its 32 bits of length does not get this far. */
static struct fuse_uring_piece *allocate(struct fuse_uring_move *move, size_t count)
{
	if (count <= 1) {
		memset(&move->one, 0, sizeof(move->one));
		return &move->one;
	}
	return calloc(count, sizeof(struct fuse_uring_piece));
}

int fuse_uring_move_plan(struct fuse_uring_entry *entry,
			 const struct fuse_fd_range *ranges, size_t count,
			 enum fuse_uring_fd_life life)
{
	struct fuse_uring_move *move = &entry->move;
	int error = 0;

	move->linked = move->broken = false;
	move->from_room = move->holds_spare = false;
	move->at_once = life == FUSE_FD_SUBMITTED;
	move->under_way = 0;
	move->announced = 0;
	move->count = 0;
	move->pieces = allocate(move, count);
	if (!move->pieces)
		return -ENOMEM;
	for (size_t i = 0; i < count && !error; i++) {
		struct fuse_uring_piece *piece = &move->pieces[move->count++];

		piece->fd = ranges[i].fd;
		piece->off = ranges[i].off;
		piece->size = ranges[i].size;
		error = take_descriptor(piece, life == FUSE_FD_NOW);
		move->announced += piece->size;
	}
	if (error) {
		fuse_uring_move_end(entry);
		return error;
	}
	entry->replied = true;
	return 0;
}

static void close_own(struct fuse_uring_piece *piece)
{
	if (piece->own_fd)
		close(piece->fd);
	piece->own_fd = false;
}

void fuse_uring_move_end(struct fuse_uring_entry *entry)
{
	struct fuse_uring_move *move = &entry->move;

	for (unsigned i = 0; move->pieces && i < move->count; i++)
		close_own(&move->pieces[i]);
	if (move->pieces != &move->one)
		free(move->pieces);
	move->pieces = NULL;
	move->count = 0;
}

/* ---- Carrying out: the owner only ---- */

/* A negative number takes back what was counted too early. */
static void count_moved(struct fuse_uring_entry *entry, int64_t bytes)
{
	struct fuse_counters *counters = &entry->queue->counters;

	if (entry->move.from_room)
		return;
	count(entry, &counters->zero_copied_bytes, bytes);
	count(entry, is_reply(entry) ? &counters->bytes_read : &counters->bytes_written,
	      bytes);
}

/* The reply to a move of so many bytes. */
static void encode_moved(struct fuse_uring_entry *entry, int error, size_t bytes)
{
	struct fuse_write_out out = { .size = (uint32_t)bytes };

	if (error || is_reply(entry)) {
		bytes += fuse_uring_pages_of(entry->opcode).reply_lead;
		fuse_uring_entry_encode(entry, error, error ? 0 : bytes);
		return;
	}
	memcpy(entry->payload, &out, sizeof(out));
	fuse_uring_entry_encode(entry, 0, sizeof(out));
}

/* `offset` is that of the piece in the client's data. */
static bool submit_piece(struct fuse_uring_entry *entry, unsigned number, size_t offset)
{
	const struct fuse_uring_piece *piece = &entry->move.pieces[number];
	const struct fuse_uring_transfer transfer = {
		.fd = piece->fd,
		.pos = piece->off,
		.off = offset,
		.len = piece->size,
	};
	struct io_uring_sqe *sqe =
		fuse_uring_data_sqe(entry,
				    FUSE_USER_DATA(FUSE_SUBJECT_PIECE, entry->id, number),
				    is_reply(entry), &transfer);

	if (!sqe)
		return false;
	if (entry->move.linked)
		sqe->flags = IOSQE_IO_LINK;
	if (entry->move.linked && !entry->move.told)
		sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	entry->move.under_way++;
	return true;
}

/*
 * What leaves a room is soon over, and has to arrive: a listing names nodes that its client is
 * going to forget.
 */
static void cancel_pieces(struct fuse_uring_entry *entry)
{
	if (entry->move.from_room)
		return;
	for (unsigned i = 0; i < entry->move.count; i++) {
		struct io_uring_sqe *sqe = fuse_uring_sqe(
			entry->queue, FUSE_USER_DATA(FUSE_SUBJECT_CANCEL, entry->id, i));

		if (!sqe)
			return;
		sqe->opcode = IORING_OP_ASYNC_CANCEL;
		sqe->fd = -1;
		sqe->addr = FUSE_USER_DATA(FUSE_SUBJECT_PIECE, entry->id, i);
	}
}

/* An interrupt that came before the move did. */
static bool is_cancelled(const struct fuse_uring_entry *entry)
{
	const struct fuse_uring_queue *queue = entry->queue;

	for (unsigned i = 0; queue->early_cancel_count && i < FUSE_URING_CANCELS; i++)
		if (queue->early_cancels[i] == entry->unique)
			return true;
	return false;
}

/*
 * What is being sent out of a room must stay, and so must the reply to a write that lies in
 * its buffer before the data have moved.
 */
static void hold_spare(struct fuse_uring_entry *entry, bool has_reply)
{
	struct fuse_uring_queue *queue = entry->queue;
	struct fuse_uring_move *move = &entry->move;

	move->holds_spare = move->from_room ||
			    (has_reply && !is_reply(entry) && fuse_uring_is_spare(entry));
	queue->spare_busy += move->holds_spare;
	queue->spare_used |= move->holds_spare;
}

static void let_go_of_spare(struct fuse_uring_entry *entry)
{
	entry->queue->spare_busy -= entry->move.holds_spare;
	entry->move.holds_spare = false;
}

/* Both or none: a chain that is cut in two by an enter is none. */
static bool can_link(struct fuse_uring_entry *entry)
{
	const struct fuse_uring_move *move = &entry->move;

	return move->count == 1 && move->pieces[0].size &&
	       !entry->queue->uring->unlinked && fuse_uring_reserve(entry->queue, 2);
}

static void begin_linked(struct fuse_uring_entry *entry)
{
	struct fuse_uring_move *move = &entry->move;

	move->linked = true;
	hold_spare(entry, true);
	move->told = move->holds_spare || move->pieces[0].own_fd;
	encode_moved(entry, 0, move->announced);
	if (submit_piece(entry, 0, 0))
		fuse_uring_entry_commit(entry);
	count(entry, &entry->queue->counters.linked, 1);
}

static void finish_move(struct fuse_uring_entry *entry);

static void begin_unlinked(struct fuse_uring_entry *entry)
{
	struct fuse_uring_move *move = &entry->move;
	size_t offset = 0;

	entry->state = FUSE_ENTRY_MOVING;
	hold_spare(entry, false);
	/* Held up by one, or pieces that come back early would end the move. */
	move->under_way = 1;
	for (unsigned i = 0; i < move->count; i++) {
		if (move->pieces[i].size && !submit_piece(entry, i, offset))
			move->pieces[i].result = -EIO;
		offset += move->pieces[i].size;
	}
	count(entry, &entry->queue->counters.unlinked, 1);
	if (--move->under_way == 0)
		finish_move(entry);
}

void fuse_uring_move_begin(struct fuse_uring_entry *entry)
{
	struct fuse_uring_queue *queue = entry->queue;
	struct fuse_uring_move *move = &entry->move;
	bool at_once =
		move->at_once; /* a move without bytes is over before it has begun */

	count(entry,
	      move->from_room ? &queue->counters.copied
			      : &queue->counters.zero_copied_requests,
	      1);
	count_moved(entry, (int64_t)move->announced);
	if (can_link(entry))
		begin_linked(entry);
	else
		begin_unlinked(entry);
	if (is_cancelled(entry))
		cancel_pieces(entry);
	if (at_once)
		fuse_uring_submit_all(queue);
}

/* Up to the first piece that came out short: what lies behind it does not count. */
static size_t sum_up(const struct fuse_uring_move *move, int *error)
{
	size_t moved = 0;

	*error = 0;
	for (unsigned i = 0; i < move->count; i++) {
		const struct fuse_uring_piece *piece = &move->pieces[i];

		if (piece->result < 0) {
			*error = moved ? 0 : piece->result;
			break;
		}
		moved += (unsigned)piece->result;
		if ((size_t)piece->result < piece->size)
			break;
	}
	return moved;
}

/* A client would take EFAULT to be about its own memory. */
static int error_for_client(const struct fuse_uring_entry *entry, int error)
{
	if (error == -EFAULT)
		return -EIO;
	return fuse_uring_error_for_client(error);
}

/*
 * Files that can only be read and written by way of a process's memory, those of /proc among
 * them, answer a ring that has none with EFAULT. A descriptor that has been closed since, as it may be
 * once it was submitted, may be another file's: then it is too late.
 */
static bool needs_memory(const struct fuse_uring_move *move)
{
	for (unsigned i = 0; !move->from_room && i < move->count; i++)
		if (move->pieces[i].result == -EFAULT)
			return true;
	return false;
}

static bool can_be_repeated(const struct fuse_uring_move *move)
{
	for (unsigned i = 0; i < move->count; i++)
		if (move->pieces[i].result > 0 && move->pieces[i].off < 0)
			return false;
	return true;
}

static void hand_to_copier(struct fuse_uring_entry *entry)
{
	struct fuse_uring_queue *queue = entry->queue;

	count(entry, &queue->counters.zero_copied_requests, -1);
	entry->state = FUSE_ENTRY_HELD;
	entry->copy_wanted = true;
	queue->held++;
	if (!queue->uring->workers.max || !fuse_uring_hand_over(entry, true))
		fuse_uring_move_copy(entry);
}

/* All pieces are back. */
static void finish_move(struct fuse_uring_entry *entry)
{
	struct fuse_uring_move *move = &entry->move;
	int error;
	size_t moved = sum_up(move, &error);

	if (needs_memory(move)) {
		bool again = can_be_repeated(move);

		atomic_store_explicit(&entry->queue->uring->fds.refused, true,
				      memory_order_relaxed);
		if (again && !move->at_once) {
			count_moved(entry, -(int64_t)move->announced);
			hand_to_copier(entry);
			return;
		}
		/* What was read before the piece that failed looked like all there is. */
		if (again && is_reply(entry)) {
			error = -EIO;
			moved = 0;
		}
	}
	count_moved(entry, (int64_t)moved - (int64_t)move->announced);
	entry->queue->spare_used |= !is_reply(entry) && fuse_uring_is_spare(entry);
	encode_moved(entry, error_for_client(entry, error), moved);
	fuse_uring_move_end(entry);
	entry->state = FUSE_ENTRY_UNUSED;
	if (!entry->queue->disconnected)
		fuse_uring_entry_commit(entry);
}

static void mend(struct fuse_uring_entry *entry)
{
	struct fuse_counters *counters = &entry->queue->counters;

	count(entry, &counters->broken, 1);
	/* The reply that was not sent has been counted, and will be again. */
	fuse_count(&counters->replies, -(uint64_t)1);
	finish_move(entry);
}

void fuse_uring_move_complete(struct fuse_uring_entry *entry, unsigned number, int result)
{
	struct fuse_uring_move *move = &entry->move;
	struct fuse_uring_piece *piece;

	if (!move->pieces || number >= move->count)
		return;
	piece = &move->pieces[number];
	piece->result = result;
	let_go_of_spare(entry);
	if (!move->linked) {
		if (--move->under_way == 0)
			finish_move(entry);
	} else if (result < 0 || (size_t)result < piece->size) {
		move->broken = true;
		if (move->told)
			return; /* the commit comes back, too */
		entry->queue->with_kernel--;
		mend(entry);
	} else {
		close_own(piece);
	}
}

bool fuse_uring_move_broke(struct fuse_uring_entry *entry, int result)
{
	struct fuse_uring_move *move = &entry->move;

	if (!move->pieces)
		return false;
	if (result == -ECANCELED && move->broken) {
		mend(entry);
		return true;
	}
	fuse_uring_move_end(entry);
	return false;
}

/* ---- Copying: in a worker ---- */

static ssize_t copy_piece(struct fuse_uring_entry *entry,
			  const struct fuse_uring_piece *piece, char *memory)
{
	ssize_t result;

	do {
		if (is_reply(entry))
			result = piece->off < 0 ? read(piece->fd, memory, piece->size)
						: pread(piece->fd, memory, piece->size,
							piece->off);
		else
			result = piece->off < 0 ? write(piece->fd, memory, piece->size)
						: pwrite(piece->fd, memory, piece->size,
							 piece->off);
	} while (result < 0 && errno == EINTR);
	return result < 0 ? -errno : result;
}

static ssize_t copy_pieces(struct fuse_uring_entry *entry)
{
	const struct fuse_uring_move *move = &entry->move;
	size_t copied = 0;

	for (unsigned i = 0; i < move->count; i++) {
		const struct fuse_uring_piece *piece = &move->pieces[i];
		ssize_t result = copy_piece(entry, piece, entry->payload + copied);

		if (result < 0)
			return copied ? (ssize_t)copied : result;
		copied += (size_t)result;
		if ((size_t)result < piece->size)
			break;
	}
	return (ssize_t)copied;
}

void fuse_uring_move_copy(struct fuse_uring_entry *entry)
{
	struct fuse_counters *counters = &entry->queue->counters;
	bool reads = is_reply(entry);
	ssize_t copied = reads ? 0 : fuse_uring_load(&entry->req);

	if (!copied)
		copied = copy_pieces(entry);
	fuse_uring_move_end(entry);
	if (copied > 0) {
		count(entry, reads ? &counters->bytes_read : &counters->bytes_written,
		      copied);
		if (entry->req.zero_copied)
			fuse_count_copied(counters, (size_t)copied, true,
					  FUSE_COPIED_FOR_FILE);
	}
	if (!reads || copied <= 0 || fuse_uring_entry_from_room(entry, (size_t)copied))
		encode_moved(entry, copied < 0 ? (int)copied : 0,
			     copied < 0 ? 0 : (size_t)copied);
	fuse_uring_finish(&entry->req);
}

/* ---- Cancelling ---- */

static void cancel(struct fuse_uring_queue *queue, uint64_t unique)
{
	unsigned early = queue->early_cancel_count++ % FUSE_URING_CANCELS;

	queue->early_cancels[early] = unique;
	for (unsigned id = 0; id < queue->uring->entries; id++) {
		struct fuse_uring_entry *entry = &queue->entries[id];
		bool moves = entry->state == FUSE_ENTRY_MOVING ||
			     entry->state == FUSE_ENTRY_COMMITTED;

		if (moves && entry->move.pieces && entry->unique == unique)
			cancel_pieces(entry);
	}
}

void fuse_uring_move_cancel(struct fuse_uring_queue *queue)
{
	uint64_t uniques[FUSE_URING_CANCELS];
	unsigned count;

	pthread_mutex_lock(&queue->wish_lock);
	count = atomic_load(&queue->cancel_count);
	memcpy(uniques, queue->cancels, count * sizeof(uniques[0]));
	atomic_store(&queue->cancel_count, 0);
	pthread_mutex_unlock(&queue->wish_lock);

	for (unsigned i = 0; i < count; i++)
		cancel(queue, uniques[i]);
}
