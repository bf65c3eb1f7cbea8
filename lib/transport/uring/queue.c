// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A queue and its owner thread: a ring, the loop over its completions, and the decision
 * between looking again and going to sleep.
 *
 * The kernel puts a request on the queue of the CPU that its caller runs on, so caller and
 * owner share that CPU: while the owner looks again it has to yield, or the caller could not
 * send the next request. Polling pays nevertheless, since it saves two wake-ups per request.
 */
#include "fuse_config.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "support/fault.h"
#include "transport/uring/dialect.h"

/* Handlers may run for so long before the replies that were made meanwhile are submitted. */
#define BATCH_NS 20000

/* How long a queue has to be idle before it gives spare memory back. */
#define IDLE_NS 1000000000

_Thread_local struct fuse_uring_queue *fuse_uring_owned;

/* ---- Setting up ---- */

/* With these, completions are posted only when the owner asks for them. */
static const unsigned ring_flags[] = {
	IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
		IORING_SETUP_TASKRUN_FLAG,
	IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
	0,
};

/*
 * A process that the filesystem forks has no use for our rings, and could only do harm to
 * them. (User-mode Linux even complains about it, in 7.3, when such a process ends.)
 */
void fuse_uring_keep_from_children(struct io_uring *ring)
{
	io_uring_ring_dontfork(ring);
}

int fuse_uring_ring_init(struct io_uring *ring, unsigned entries, unsigned completions)
{
	int error = -EINVAL;

	for (unsigned i = 0; i < sizeof(ring_flags) / sizeof(ring_flags[0]); i++) {
		struct io_uring_params params = {
			.flags =
				IORING_SETUP_SQE128 | IORING_SETUP_CQSIZE | ring_flags[i],
			.cq_entries = 2 * entries + completions,
		};

		error = io_uring_queue_init_params(entries, ring, &params);
		if (error != -EINVAL)
			break;
	}
	if (!error)
		fuse_uring_keep_from_children(ring);
	return error;
}

static bool look_for_wakes(struct fuse_uring_queue *queue)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&queue->ring);

	if (!sqe)
		return false;
	/* Never read, hence always readable: every write to it is an event of its own. */
	io_uring_prep_poll_multishot(sqe, queue->event, POLLIN);
	io_uring_sqe_set_data64(sqe, FUSE_USER_DATA(FUSE_SUBJECT_EVENT, 0, 0));
	queue->event_armed = true;
	return true;
}

static int create_event(struct fuse_uring_queue *queue)
{
	int error = fuse_fault("eventfd");

	if (error)
		return error;
	queue->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return queue->event < 0 ? -errno : 0;
}

static int create_ring(struct fuse_uring_queue *queue)
{
	struct fuse_uring *uring = queue->uring;
	int error = fuse_fault("ring-create");
	struct io_uring_cqe *cqe;

	if (error)
		return error;
	/*
	 * An sqe for every entry, and one to look for wake-ups. With zero-copy an entry's data
	 * complete, too: more pieces than this allows for wait in the kernel.
	 */
	error = fuse_uring_ring_init(&queue->ring, uring->entries + 1,
				     uring->dialect->zero_copy ? 2 * uring->entries : 0);
	if (error)
		return error;
	queue->has_ring = true;
	queue->postponed_room = *queue->ring.cq.kring_entries;
	queue->postponed = calloc(queue->postponed_room, sizeof(*queue->postponed));
	if (!queue->postponed)
		return -ENOMEM;
	if (!look_for_wakes(queue) || io_uring_submit(&queue->ring) != 1)
		return -EIO;
	/* Nobody has written to it, so that only a refusal can have come back. */
	if (io_uring_peek_cqe(&queue->ring, &cqe) == 0)
		return cqe->res < 0 ? cqe->res : -EIO;
	/* Both spare the kernel a look-up per call, and are not needed. */
	io_uring_register_ring_fd(&queue->ring);
	queue->has_fixed_file = io_uring_register_files(&queue->ring, &uring->fd, 1) == 0;
	if (uring->dialect->zero_copy)
		queue->personality = io_uring_register_personality(&queue->ring);
	if (queue->personality < 0)
		queue->personality = 0;
	return 0;
}

static int set_up(struct fuse_uring_queue *queue, const char **step)
{
	const struct fuse_uring *uring = queue->uring;
	const struct fuse_uring_dialect *dialect = uring->dialect;
	const struct fuse_uring_layout layout = {
		.slots = uring->entries,
		.header_stride = dialect->header_stride,
		.buffers = uring->buffers,
		.rooms = dialect->zero_copy ? uring->entries : 0,
		.payload_max = uring->payload_max,
	};
	int error;

	*step = "eventfd";
	error = create_event(queue);
	if (error)
		return error;
	error = fuse_uring_region_open(&queue->region, &layout, step);
	if (error)
		return error;
	for (unsigned id = 0; id < uring->entries; id++)
		fuse_uring_entry_init(&queue->entries[id], queue, id);
	*step = "ring-create";
	error = create_ring(queue);
	if (error)
		return error;
	return dialect->setup_ring ? dialect->setup_ring(queue, step) : 0;
}

/* ---- Submitting ---- */

void fuse_uring_submit(struct fuse_uring_queue *queue)
{
	fuse_uring_count_own(&queue->counters.enters);
	io_uring_submit(&queue->ring);
}

bool fuse_uring_reserve(struct fuse_uring_queue *queue, unsigned sqes)
{
	if (io_uring_sq_space_left(&queue->ring) < sqes)
		fuse_uring_submit(queue);
	return io_uring_sq_space_left(&queue->ring) >= sqes;
}

struct io_uring_sqe *fuse_uring_sqe(struct fuse_uring_queue *queue, uint64_t user_data)
{
	struct io_uring_sqe *sqe;

	fuse_uring_reserve(queue, 1);
	sqe = io_uring_get_sqe(&queue->ring);
	if (!sqe) {
		fuse_log(FUSE_LOG_ERR, "fuse: ring %u takes no commands\n", queue->id);
		fuse_uring_lost(queue);
		return NULL;
	}
	memset(sqe, 0, 2 * sizeof(*sqe));
	sqe->user_data = user_data;
	return sqe;
}

struct fuse_uring_cmd_req *fuse_uring_command(struct fuse_uring_queue *queue, uint32_t op,
					      uint64_t user_data,
					      struct io_uring_sqe **sqe)
{
	struct fuse_uring_cmd_req *command;

	*sqe = fuse_uring_sqe(queue, user_data);
	if (!*sqe)
		return NULL;
	(*sqe)->opcode = IORING_OP_URING_CMD;
	(*sqe)->fd = queue->has_fixed_file ? 0 : queue->uring->fd;
	(*sqe)->flags = queue->has_fixed_file ? IOSQE_FIXED_FILE : 0;
	(*sqe)->cmd_op = op;
	command = (struct fuse_uring_cmd_req *)(*sqe)->cmd;
	command->qid = queue->qid;
	return command;
}

enum enter_mode {
	ENTER_LOOK, /* submit, let completions come */
	ENTER_WAIT, /* the same, and wait for one */
};

/* All of the owner's system calls on its ring, once it runs. False if the time was up. */
static bool enter(struct fuse_uring_queue *queue, enum enter_mode mode,
		  uint64_t timeout_ns)
{
	struct __kernel_timespec timeout = { 0 };
	struct io_uring_cqe *unused;
	int result;

	timeout.tv_sec = (long long)timeout_ns / 1000000000;
	timeout.tv_nsec = (long long)timeout_ns % 1000000000;
	fuse_uring_count_own(&queue->counters.enters);
	if (mode == ENTER_LOOK)
		result = io_uring_submit_and_get_events(&queue->ring);
	else if (timeout_ns)
		result = io_uring_submit_and_wait_timeout(&queue->ring, &unused, 1,
							  &timeout, NULL);
	else
		result = io_uring_submit_and_wait(&queue->ring, 1);

	if (queue->memory_answered && !io_uring_sq_ready(&queue->ring))
		fuse_uring_memory_answered(queue);
	switch (result) {
	case -EAGAIN: /* short of memory */
	case -EBUSY:  /* completions have to be taken first */
		sched_yield();
		break;
	case -EINTR:
	case -ETIME:
		break;
	default:
		if (result >= 0)
			break;
		fuse_log(FUSE_LOG_ERR, "fuse: ring %u: %s\n", queue->id,
			 strerror(-result));
		fuse_uring_lost(queue);
		queue->with_kernel = 0; /* nothing more can be heard of them */
	}
	return result != -ETIME;
}

void fuse_uring_submit_all(struct fuse_uring_queue *queue)
{
	while (io_uring_sq_ready(&queue->ring) && !queue->disconnected)
		enter(queue, ENTER_LOOK, 0);
}

static bool postpone(struct fuse_uring_queue *queue, const struct io_uring_cqe *cqe)
{
	if (queue->postponed_count == queue->postponed_room) {
		unsigned room = queue->postponed_room * 2;
		struct io_uring_cqe *grown =
			reallocarray(queue->postponed, room, sizeof(*grown));

		if (!grown)
			return false;
		queue->postponed = grown;
		queue->postponed_room = room;
	}
	queue->postponed[queue->postponed_count++] = *cqe;
	return true;
}

/*
 * Nothing that completes meanwhile is handled: its handler might want to wait itself. There may
 * be any number of them, as the pieces of moves are not bounded by the ring's size. A completion
 * that is lost would leave its entry in the kernel's hands, or in nobody's, for ever.
 */
int fuse_uring_await(struct fuse_uring_queue *queue, uint64_t user_data)
{
	struct io_uring_cqe *cqe;

	while (!queue->disconnected) {
		while (io_uring_peek_cqe(&queue->ring, &cqe) == 0) {
			struct io_uring_cqe taken = *cqe;

			io_uring_cqe_seen(&queue->ring, cqe);
			if (taken.user_data == user_data)
				return taken.res;
			if (!postpone(queue, &taken)) {
				fuse_log(FUSE_LOG_ERR,
					 "fuse: ring %u: no memory for completions\n",
					 queue->id);
				fuse_uring_lost(queue);
				return -ENOTCONN;
			}
		}
		enter(queue, ENTER_WAIT, 0);
	}
	return -ENOTCONN;
}

/* ---- Registering ---- */

/*
 * Submits what has been prepared. A command that the kernel refuses at once, completes at
 * once; one that it accepts does not complete before a request comes.
 */
static int submit_registers(struct fuse_uring_queue *queue)
{
	int error = fuse_fault("register-submit");

	if (error)
		return error;
	while (io_uring_sq_ready(&queue->ring)) {
		int result = io_uring_submit(&queue->ring);

		fuse_uring_count_own(&queue->counters.enters);
		if (result == -EINTR)
			continue;
		if (result <= 0)
			return result ? result : -EIO;
	}
	return 0;
}

/*
 * The first refusal among the completions that are there, without taking them. Once the
 * last queue has its first entry, the kernel uses the rings and there is no way
 * back: refusals of further entries are then the loop's business.
 */
static int find_refusal(struct fuse_uring_queue *queue)
{
	bool last = queue->id + 1 == queue->uring->queue_count;
	struct io_uring_cqe *cqe;
	unsigned head;

	io_uring_for_each_cqe(&queue->ring, head, cqe) {
		if (cqe->res < 0 &&
		    (!last ||
		     cqe->user_data == FUSE_USER_DATA(FUSE_SUBJECT_COMMAND,
						      queue->uring->entries - 1, 0)))
			return cqe->res;
	}
	return 0;
}

/*
 * The first queue finds out what the kernel allows this process, when nothing has been done that
 * could not be done otherwise; the other owners wait for their turn meanwhile.
 */
static int setup_queue(struct fuse_uring_queue *queue, const char **step)
{
	struct fuse_uring *uring = queue->uring;
	int error;

	if (!uring->dialect->setup_queue)
		return 0;
	error = uring->dialect->setup_queue(queue, step);
	if (error != -EPERM || queue->id != 0 || !uring->dialect->unprivileged ||
	    uring->strict)
		return error;
	fuse_log(FUSE_LOG_WARNING, "fuse: no zero-copy: the kernel refuses it (%s): %s\n",
		 *step, strerror(-error));
	uring->dialect = uring->dialect->unprivileged;
	return uring->dialect->setup_queue(queue, step);
}

static int register_entries(struct fuse_uring_queue *queue, const char **step)
{
	const struct fuse_uring *uring = queue->uring;
	int error = setup_queue(queue, step);

	if (error)
		return error;

	/* There is no such queue, and the kernel will say so. */
	if (fuse_fault("register-refused"))
		queue->qid = UINT16_MAX;

	*step = "register-submit";
	/* The kernel takes the latest one first: spare entries shall be its last choice. */
	for (unsigned id = uring->entries; id-- > 0;)
		fuse_uring_entry_register(&queue->entries[id]);
	if (queue->disconnected)
		return -EBUSY;
	error = submit_registers(queue);
	if (error)
		return error;

	*step = "register-refused";
	return find_refusal(queue);
}

/* ---- Where ---- */

/* Returns 0 or an errno. */
static int move_home(const struct fuse_uring_queue *queue)
{
	const struct fuse_uring *uring = queue->uring;
	size_t size = CPU_ALLOC_SIZE(queue->id + 1);
	cpu_set_t *cpu;
	int error = 0;

	if (!CPU_ISSET_S(queue->id, uring->affinity_size, uring->affinity))
		return EPERM;
	cpu = CPU_ALLOC(queue->id + 1);
	if (!cpu)
		return ENOMEM;
	CPU_ZERO_S(size, cpu);
	CPU_SET_S(queue->id, size, cpu);
	if (sched_setaffinity(0, size, cpu) < 0)
		error = errno;
	CPU_FREE(cpu);
	return error;
}

/*
 * A CPU that is offline, or that this process may not use, has no callers that we could
 * meet there; whoever comes from it later is served from elsewhere.
 */
static void pin(struct fuse_uring_queue *queue)
{
	const struct fuse_uring *uring = queue->uring;
	int error = move_home(queue);

	queue->may_leave =
		!error && CPU_COUNT_S(uring->affinity_size, uring->affinity) > 1;
	if (error && uring->debug)
		fuse_log(FUSE_LOG_DEBUG, "fuse: ring %u does not run on its CPU: %s\n",
			 queue->id, strerror(error));
}

static void tell_place(struct fuse_uring_queue *queue)
{
	const struct fuse_counters *counters = &queue->counters;
	uint64_t bytes =
		atomic_load_explicit(&counters->bytes_read, memory_order_relaxed) +
		atomic_load_explicit(&counters->bytes_written, memory_order_relaxed);
	uint64_t requests;

	if (bytes - queue->told_bytes < FUSE_PLACE_TELL_BYTES &&
	    queue->now - queue->told_at < FUSE_PLACE_TELL_NS)
		return;
	requests = atomic_load_explicit(&counters->requests, memory_order_relaxed);
	fuse_uring_place_tell(&queue->uring->place, queue->now,
			      requests - queue->told_requests, bytes - queue->told_bytes);
	queue->told_requests = requests;
	queue->told_bytes = bytes;
	queue->told_at = queue->now;
}

/* Errors make a queue slower at worst. */
static void find_place(struct fuse_uring_queue *queue)
{
	struct fuse_uring *uring = queue->uring;
	bool away = fuse_uring_place_is_away(&uring->place);

	if (away == queue->away)
		return;
	queue->away = away;
	if (away)
		sched_setaffinity(0, uring->affinity_size, uring->affinity);
	else
		move_home(queue);
}

/* ---- Running ---- */

/* Completions wait for the owner to enter, or for room. */
static bool kernel_has_more(const struct fuse_uring_queue *queue)
{
	return IO_URING_READ_ONCE(*queue->ring.sq.kflags) &
	       (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static void complete(struct fuse_uring_queue *queue, const struct io_uring_cqe *cqe)
{
	enum fuse_uring_subject subject = cqe->user_data >> 32 & 0xff;
	uint32_t id = (uint32_t)cqe->user_data;
	struct fuse_uring_entry *entry =
		id < queue->uring->entries ? &queue->entries[id] : NULL;

	switch (entry ? subject : FUSE_SUBJECT_SETUP) {
	case FUSE_SUBJECT_COMMAND:
		fuse_uring_entry_complete(entry, cqe->res);
		break;
	case FUSE_SUBJECT_EVENT:
		queue->event_armed = cqe->flags & IORING_CQE_F_MORE;
		break;
	case FUSE_SUBJECT_PIECE:
		fuse_uring_move_complete(entry, (unsigned)(cqe->user_data >> 40),
					 cqe->res);
		break;
	case FUSE_SUBJECT_TRANSFER:
		fuse_uring_transfer_complete(entry, (unsigned)(cqe->user_data >> 40),
					     cqe->res);
		break;
	case FUSE_SUBJECT_CANCEL:
		break;
	case FUSE_SUBJECT_SETUP:
		fuse_log(FUSE_LOG_ERR, "fuse: ring %u: completion of no entry\n",
			 queue->id);
		break;
	}
}

/* Takes the oldest completion; there is one. */
static void complete_next(struct fuse_uring_queue *queue)
{
	struct io_uring_cqe *cqe, taken;

	if (io_uring_peek_cqe(&queue->ring, &cqe) < 0)
		return;
	taken = *cqe;
	io_uring_cqe_seen(&queue->ring, cqe);
	complete(queue, &taken);
}

/* Those that came while another one was waited for. More may be added meanwhile. */
static bool complete_postponed(struct fuse_uring_queue *queue)
{
	bool any = queue->postponed_count;

	if (any)
		queue->now = fuse_clock();
	while (queue->postponed_count) {
		struct io_uring_cqe taken = queue->postponed[0];

		queue->postponed_count--;
		memmove(queue->postponed, queue->postponed + 1,
			queue->postponed_count * sizeof(taken));
		complete(queue, &taken);
	}
	return any;
}

/*
 * Handles the completions that are there, and not those that come meanwhile, so that
 * replies of other threads have their turn. Returns true if there were any.
 */
static bool reap(struct fuse_uring_queue *queue)
{
	bool any = complete_postponed(queue);
	unsigned ready = io_uring_cq_ready(&queue->ring);
	int64_t submitted;

	if (!ready)
		return any;
	submitted = queue->now = fuse_clock();
	while (ready--) {
		/* A chain's pieces come back in their order, whoever took them off. */
		complete_postponed(queue);
		complete_next(queue);
		if (ready && queue->now - submitted > BATCH_NS &&
		    io_uring_sq_ready(&queue->ring)) {
			enter(queue, ENTER_LOOK, 0);
			submitted = queue->now = fuse_clock();
		}
	}
	return true;
}

/* Shared memory that waits for its last reply to be on its way: not until the next request. */
static void let_go_of_memory(struct fuse_uring_queue *queue)
{
	if (queue->memory_answered)
		fuse_uring_submit_all(queue);
	if (queue->memory_answered)
		fuse_uring_memory_answered(queue);
}

static void sleep_until_event(struct fuse_uring_queue *queue)
{
	bool may_trim = queue->spare_used && queue->held == 0 && queue->spare_busy == 0;
	bool idle = false;

	if (queue->postponed_count)
		return;
	if (!queue->event_armed && !look_for_wakes(queue)) {
		/* The ring is full of commands: make room, and look round again. */
		enter(queue, ENTER_LOOK, 0);
		return;
	}
	let_go_of_memory(queue);
	atomic_store(&queue->sleeping, true);
	if (!atomic_load(&queue->finished) && !atomic_load(&queue->cancel_count) &&
	    !atomic_load(&queue->uring->ending))
		idle = !enter(queue, ENTER_WAIT, may_trim ? IDLE_NS : 0);
	atomic_store_explicit(&queue->sleeping, false, memory_order_relaxed);

	/*
	 * All entries are with the kernel, and it has read the replies that lie in spare memory:
	 * all commits have been carried out but those that follow a move, and these hold
	 * theirs. (One whose move is over may still be waiting for this thread to enter, as it
	 * has done to sleep.) It will not write to any but when this thread enters.
	 */
	if (idle && may_trim && !io_uring_sq_ready(&queue->ring) &&
	    !io_uring_cq_ready(&queue->ring)) {
		fuse_uring_region_trim(&queue->region, queue->uring->kept_buffers);
		queue->spare_used = false;
	}
}

static bool is_over(struct fuse_uring_queue *queue)
{
	return atomic_load_explicit(&queue->uring->ending, memory_order_relaxed) ||
	       (queue->disconnected && queue->with_kernel == 0);
}

static void run(struct fuse_uring_queue *queue)
{
	const int64_t poll_ns = queue->uring->poll_ns;
	int64_t deadline = 0; /* of the polling that is under way, or 0 */

	while (!is_over(queue)) {
		bool active = fuse_uring_collect(queue);

		if (poll_ns &&
		    (io_uring_sq_ready(&queue->ring) || kernel_has_more(queue)))
			enter(queue, ENTER_LOOK, 0);
		active |= reap(queue);
		if (active && queue->may_leave) {
			tell_place(queue);
			find_place(queue);
		}

		if (active) {
			if (deadline)
				fuse_uring_count_own(&queue->counters.polls_hit);
			deadline = 0;
		} else if (!poll_ns) {
			sleep_until_event(queue);
		} else if (!deadline) {
			deadline = fuse_clock() + poll_ns;
		} else if (fuse_clock() < deadline) {
			sched_yield();
		} else {
			fuse_uring_count_own(&queue->counters.polls_missed);
			deadline = 0;
			sleep_until_event(queue);
		}
	}
}

/* ---- The thread ---- */

static void tear_down(struct fuse_uring_queue *queue)
{
	fuse_uring_collect(queue);
	fuse_uring_orphan(queue);
	/* What was answered until now still reaches its clients. */
	if (queue->has_ring && io_uring_sq_ready(&queue->ring) && !queue->disconnected &&
	    queue->phase == FUSE_QUEUE_RUNNING)
		enter(queue, ENTER_LOOK, 0);
	/* Not before: who hears that nothing was moved may close the descriptor. */
	fuse_uring_transfer_give_up(queue);
	if (!queue->has_ring)
		return;
	/* The kernel takes a ring apart at its leisure; the next rung may want the memory. */
	if (queue->phase != FUSE_QUEUE_RUNNING && !queue->with_kernel)
		io_uring_unregister_buffers(&queue->ring);
	io_uring_queue_exit(&queue->ring);
}

void *fuse_uring_owner(void *arg)
{
	struct fuse_uring_queue *queue = arg;
	const char *step = "";
	char name[16];
	int error;

	fuse_uring_owned = queue;
	fuse_uring_served = queue->uring;
	snprintf(name, sizeof(name), "fuse-ring-%hu", (unsigned short)queue->id);
	pthread_setname_np(pthread_self(), name);
	pin(queue);

	error = set_up(queue, &step);
	fuse_uring_report(queue, error ? FUSE_QUEUE_FAILED : FUSE_QUEUE_SET_UP, step,
			  error);
	if (!error && fuse_uring_await_start(queue)) {
		error = register_entries(queue, &step);
		fuse_uring_report(queue, error ? FUSE_QUEUE_FAILED : FUSE_QUEUE_RUNNING,
				  step, error);
		if (!error)
			run(queue);
	}
	tear_down(queue);
	return NULL;
}
