/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The io_uring transport's own types, shared by the files of this folder only.
 *
 * A queue, its ring and its entries belong to one thread, the queue's owner, which uses
 * them without a lock. What other threads may touch is marked below. An entry whose
 * request is with the filesystem is the exception: its slot, its payload and the fields
 * under "the request's" belong to whoever holds the request, and come back to
 * the owner through the list of finished entries.
 *
 * Locks: fuse_uring.lock guards the queues' phases; fuse_uring_workers.lock the jobs; a queue's
 * wish_lock what other threads want of its owner. None is taken while another one is held, and
 * no handler is called under one.
 */
#ifndef FUSE_URING_QUEUE_H
#define FUSE_URING_QUEUE_H

#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <sched.h>

#include "support/clock.h"
#include "transport/uring/place.h"
#include "transport/uring/uring.h"

struct fuse_uring_dialect;
struct fuse_uring_queue;

/*
 * Requests that wait for other clients keep their entries meanwhile, and what they wait for
 * may be a request of the same CPU. So a queue has spare entries beyond its depth: this
 * many times the depth, but no more than the second number. They are registered from the start,
 * since the kernel does not look for queued requests when an entry is registered. It
 * prefers the entry that was used last, so the spare ones' payload memory is not
 * touched before all others are in use; a queue that falls idle gives it back.
 */
#define FUSE_URING_SPARE     7
#define FUSE_URING_SPARE_MAX 256

/* Interrupts that one queue remembers; a client that is not heard waits for its data. */
#define FUSE_URING_CANCELS 16

/* Opcodes whose handlers' time is remembered; what lies above shares the last place. */
#define FUSE_URING_OPCODES 64

/*
 * memory.c: one memfd per queue: all header slots, all payload buffers, and with zero-copy
 * a room per entry, for replies that come out of memory after all. Each of the three
 * begins on a page; pages come into being when they are first touched.
 */
struct fuse_uring_layout {
	unsigned slots;
	size_t header_stride;
	unsigned buffers;
	unsigned rooms;
	size_t payload_max;
};

struct fuse_uring_region {
	int memfd;
	char *headers;
	size_t headers_size;
	char *payloads; /* buffers, then rooms */
	size_t payloads_size;
	size_t pool_size;      /* of the buffers alone */
	size_t payload_stride; /* bytes from one buffer or room to the next */
};

/* Returns 0 or a negative errno, with *step naming what failed. */
int fuse_uring_region_open(struct fuse_uring_region *region,
			   const struct fuse_uring_layout *layout, const char **step);
/* Where in the memfd a place in a buffer or a room is. */
off_t fuse_uring_region_offset(const struct fuse_uring_region *region,
			       const char *payload);
/* Gives back the buffers from `first` on, and all rooms; they are zero afterwards. */
void fuse_uring_region_trim(struct fuse_uring_region *region, unsigned first);
void fuse_uring_region_close(struct fuse_uring_region *region);

/* entry.c: one slot's life */
enum fuse_uring_entry_state {
	FUSE_ENTRY_UNUSED,     /* never registered, or lost with its connection */
	FUSE_ENTRY_REGISTERED, /* the kernel has it; no request came yet */
	FUSE_ENTRY_LOADING,    /* its request's data are fetched before dispatch */
	FUSE_ENTRY_HELD,   /* its request is with the filesystem, or done and not seen */
	FUSE_ENTRY_MOVING, /* answered; the data move, and the commit waits for them */
	FUSE_ENTRY_COMMITTED, /* the kernel has it: a reply, and the wait for a request */
};

/*
 * zero_copy.c: the data of one answered request on their way between its client and
 * descriptors. Planned by whoever answers, carried out by the owner.
 */
struct fuse_uring_piece {
	int fd;
	bool own_fd; /* a duplicate, to be closed */
	off_t off;   /* -1: the descriptor's own */
	size_t size;
	int result; /* bytes moved, or a negative errno */
};

struct fuse_uring_move {
	struct fuse_uring_piece *pieces; /* NULL: nothing to move */
	struct fuse_uring_piece one;	 /* what it mostly points to */
	unsigned count;
	unsigned under_way;
	size_t announced; /* bytes, as the counters already have them */
	bool from_room;	  /* out of the entry's room: this process has touched the data */
	bool holds_spare; /* memory that idle queues give back; until its piece is back */
	bool at_once;	  /* its descriptor may be closed as soon as it is submitted */
	bool linked;	  /* its commit follows in the same chain */
	bool told;	  /* ...and its success, too: something is let go then */
	bool broken;	  /* its data have cut that chain in two */
};

/* As whom a thread reads and writes files. */
struct fuse_uring_self {
	uid_t fsuid;
	gid_t fsgid;
	uint64_t capabilities; /* effective ones */
};

/* transfer.c: a part of a held request's data, on its way at somebody's bidding. */
struct fuse_uring_transfer {
	int fd;
	off_t pos;  /* in its file; -1: the descriptor's own */
	size_t off; /* in the client's pages */
	size_t len;

	/* Guarded by the queue's wish_lock once another thread than the owner waits. */
	bool wanted, done;
	int result;
};

struct fuse_uring_entry {
	struct fuse_req req; /* first, for a request on a ring is its entry */

	/* Constant. */
	struct fuse_uring_queue *queue;
	struct fuse_uring_req_header *header;
	unsigned id;

	/* The owner's. */
	enum fuse_uring_entry_state state;
	unsigned mishaps;    /* commits that the kernel refused */
	uint64_t commit_id;  /* the request's name in its commit */
	struct iovec iov[2]; /* what REGISTER's sqe points to */

	/* The request's. */
	uint64_t unique;
	uint32_t opcode;
	char *payload;
	size_t payload_room;
	bool paged;   /* its client's pages are in the ring's table, at the entry's id */
	bool replied; /* the slot holds a reply */
	bool dropped; /* given back without ever having been dispatched */
	struct fuse_uring_transfer transfer;
	bool copy_wanted; /* its job is not to be dispatched but to have its data copied */
	struct fuse_uring_move move;
	struct fuse_uring_entry *next; /* among finished entries, or among jobs */
};

extern const struct fuse_transport_ops fuse_uring_ops;

/* What the user_data of a completion says it is about, above the entry's id. */
enum fuse_uring_subject {
	FUSE_SUBJECT_COMMAND,  /* an entry's REGISTER or COMMIT_AND_FETCH */
	FUSE_SUBJECT_EVENT,    /* the queue's eventfd */
	FUSE_SUBJECT_PIECE,    /* a piece of an entry's move */
	FUSE_SUBJECT_TRANSFER, /* data of an entry that is held */
	FUSE_SUBJECT_SETUP,    /* a command that concerns the whole queue */
	FUSE_SUBJECT_CANCEL,   /* an attempt to end a piece, which tells by itself */
};

#define FUSE_USER_DATA(subject, id, piece) \
	((uint64_t)(piece) << 40 | (uint64_t)(subject) << 32 | (uint32_t)(id))

void fuse_uring_entry_init(struct fuse_uring_entry *entry, struct fuse_uring_queue *queue,
			   unsigned id);
/* Registering and committing only fill in an sqe; the owner's next enter submits it. */
void fuse_uring_entry_register(struct fuse_uring_entry *entry);
/* A command on the entry has come back. */
void fuse_uring_entry_complete(struct fuse_uring_entry *entry, int result);
/* A request was finished: commits the entry, or lets it go if that makes no sense any more. */
void fuse_uring_entry_settle(struct fuse_uring_entry *entry);
/* Fills in a commit of what the slot holds. Owner only, like all that makes an sqe. */
void fuse_uring_entry_commit(struct fuse_uring_entry *entry);
/* Writes a reply's head to the slot. */
void fuse_uring_entry_encode(struct fuse_uring_entry *entry, int error,
			     size_t payload_size);
/* Has the reply, of which so many bytes lie in the entry's room, go to its client. */
int fuse_uring_entry_from_room(struct fuse_uring_entry *entry, size_t size);
/* What a request asks for is there: hands it to the filesystem. */
void fuse_uring_entry_dispatch(struct fuse_uring_entry *entry);

/* zero_copy.c */

/*
 * What an opcode's pages stand for, where the kernel leaves them with its client: the end of the
 * request's payload, or of its reply's, or both. What leads up to it lies in memory.
 */
struct fuse_uring_pages {
	bool in_request, in_reply;
	size_t request_lead, reply_lead; /* bytes */
};

struct fuse_uring_pages fuse_uring_pages_of(uint32_t opcode);

enum fuse_uring_fd_life {
	FUSE_FD_STAYS,	   /* until the data have moved */
	FUSE_FD_SUBMITTED, /* until the request has been finished, which the owner does */
	FUSE_FD_NOW, /* until the plan has been made: the move needs one of its own */
};

/*
 * Plans to answer the request by moving data; called by whoever holds it. Returns 0 or a
 * negative errno. How long a descriptor has to be open is said by `life`.
 */
int fuse_uring_move_plan(struct fuse_uring_entry *entry,
			 const struct fuse_fd_range *ranges, size_t count,
			 enum fuse_uring_fd_life life);
/* Submits what was planned. */
void fuse_uring_move_begin(struct fuse_uring_entry *entry);
/* A piece has come back. */
void fuse_uring_move_complete(struct fuse_uring_entry *entry, unsigned piece, int result);
/*
 * The commit that follows a move has come back: true if it was only cut off because the chain
 * broke, and has been sent anew.
 */
bool fuse_uring_move_broke(struct fuse_uring_entry *entry, int result);
/* Ends the pieces of the requests that were interrupted meanwhile. */
void fuse_uring_move_cancel(struct fuse_uring_queue *queue);
/* Does by reading and writing what the ring could not; may block. Finishes the request. */
void fuse_uring_move_copy(struct fuse_uring_entry *entry);
/* Lets go of what a move holds. */
void fuse_uring_move_end(struct fuse_uring_entry *entry);

/* transfer.c */

/* An sqe that moves data between the entry's pages and a file; NULL as of fuse_uring_sqe(). */
struct io_uring_sqe *fuse_uring_data_sqe(struct fuse_uring_entry *entry,
					 uint64_t user_data, bool to_client,
					 const struct fuse_uring_transfer *transfer);
/* Somebody's signal or a session's end; to the client it is an interruption. */
static inline int fuse_uring_error_for_client(int error)
{
	return error == -ECANCELED ? -EINTR : error;
}

void fuse_uring_look_at_self(struct fuse_uring_self *self);

/* Fetches a write's data before anybody gets it, with a completion to come. */
void fuse_uring_load_begin(struct fuse_uring_entry *entry);
/* Submits what another thread waits for. */
void fuse_uring_transfer_begin(struct fuse_uring_entry *entry);
/* It has come back. `awaited` is the third part of its user_data. */
void fuse_uring_transfer_complete(struct fuse_uring_entry *entry, unsigned awaited,
				  int result);
/* The owner ends: whoever waits for data hears that there will be none. */
void fuse_uring_transfer_give_up(struct fuse_uring_queue *queue);
/* Members of fuse_transport_ops. */
int fuse_uring_load(struct fuse_req *req);
ssize_t fuse_uring_transfer(struct fuse_req *req, size_t off, size_t len, int fd,
			    off_t pos);
ssize_t fuse_uring_fill(struct fuse_req *req, size_t off, const void *memory, size_t len);
void fuse_uring_locate_payload(const struct fuse_req *req, int *fd, off_t *pos);

/* handover.c: replies from other threads, and handlers in other threads */
struct fuse_uring_jobs {
	struct fuse_uring_entry *first, *last;
	unsigned count;
};

struct fuse_uring_workers {
	pthread_mutex_t lock;
	pthread_cond_t work;	      /* there is a job, or stopping */
	pthread_cond_t ended;	      /* a thread went */
	struct fuse_uring_jobs slow;  /* jobs that end by themselves */
	struct fuse_uring_jobs waits; /* jobs that may wait for another client */
	unsigned max, threads, idle;
	unsigned waiting; /* threads that are at a job of `waits` */
	bool stopping;
	bool complained;      /* of a thread that could not be started */
	pthread_t last_ended; /* joined by the next one that ends */
	bool any_ended;

	/* The moving averages. Relaxed: an update lost to another one does no harm. */
	struct {
		_Atomic uint32_t ns;
		_Atomic uint32_t samples;
	} cost[FUSE_URING_OPCODES];
};

void fuse_uring_workers_init(struct fuse_uring_workers *workers, unsigned max);
/* Waits for handlers that run; jobs that have not begun are dropped. */
void fuse_uring_workers_stop(struct fuse_uring_workers *workers);
void fuse_uring_workers_destroy(struct fuse_uring_workers *workers);

/* True if requests of this opcode should not run in an owner. */
bool fuse_uring_is_slow(const struct fuse_uring_workers *workers, uint32_t opcode);
void fuse_uring_measured(struct fuse_uring_workers *workers, uint32_t opcode, int64_t ns);
/* Gives the entry's request to a worker; false if the owner should run it itself. */
bool fuse_uring_hand_over(struct fuse_uring_entry *entry, bool waits);

/* fuse_transport_ops.finish */
void fuse_uring_finish(struct fuse_req *req);
/* Has the owner begin the entry's transfer: false if it has ended. Not for the owner itself. */
bool fuse_uring_ask_to_transfer(struct fuse_uring_entry *entry);
void fuse_uring_ask_to_cancel(struct fuse_uring_queue *queue, uint64_t unique);
/* Settles what other threads have finished. Returns true if there was anything. */
bool fuse_uring_collect(struct fuse_uring_queue *queue);
/* From now on finished requests vanish. Called by the owner at its end. */
void fuse_uring_orphan(struct fuse_uring_queue *queue);
bool fuse_uring_is_orphaned(const struct fuse_uring_queue *queue);
/* Makes the owner look round, if it sleeps. */
void fuse_uring_wake(struct fuse_uring_queue *queue);

/* queue.c */
enum fuse_uring_phase {
	FUSE_QUEUE_NEW,		/* its owner sets it up */
	FUSE_QUEUE_SET_UP,	/* its owner waits for the word to register */
	FUSE_QUEUE_REGISTERING, /* that has been given */
	FUSE_QUEUE_RUNNING,
	FUSE_QUEUE_FAILED,
};

struct fuse_uring_queue {
	struct fuse_uring *uring;
	unsigned id; /* and the CPU whose callers it serves */
	struct fuse_uring_region region;
	struct fuse_uring_entry *entries; /* uring->entries of them */
	pthread_t thread;
	int event; /* an eventfd that the ring polls */
	struct fuse_counters counters;

	enum fuse_uring_phase phase; /* guarded by uring->lock */

	/* The owner's. */
	struct io_uring ring;
	bool has_ring;
	int personality;     /* whose credentials moves have, or 0: the submitter's */
	bool has_fixed_file; /* slot 0 of the ring's files is the fuse device */
	bool event_armed;
	/* Interrupts that found nothing to cancel: the move may be about to begin. */
	uint64_t early_cancels[FUSE_URING_CANCELS];
	unsigned early_cancel_count;	/* of all times; the array has the latest */
	unsigned spare_busy;		/* moves that hold spare memory */
	struct io_uring_cqe *postponed; /* taken off the ring while waiting for another */
	unsigned postponed_count, postponed_room;
	uint16_t qid;	      /* what the kernel calls the queue */
	bool disconnected;    /* the kernel said so, or the ring is beyond repair */
	unsigned with_kernel; /* entries that are registered or committed */
	unsigned held;
	bool spare_used; /* since spare payload memory was given back last */
	int64_t now;	 /* when the latest handler returned, ns */
	bool may_leave;	 /* its CPU, because there are others that it may use */
	bool away;	 /* from its CPU */
	/* What the place has been told, and when. */
	uint64_t told_requests, told_bytes;
	int64_t told_at;
	bool memory_answered; /* among the commits is one that has named shared memory */

	/* Everybody's. */
	_Alignas(64) _Atomic(struct fuse_uring_entry *) finished;
	_Atomic unsigned finishing; /* threads that are handing an entry to the owner */
	_Atomic bool sleeping;	    /* the owner sleeps or is about to */

	/*
	 * What other threads want of the owner: data of an entry, which they wait for, and
	 * the end of moves whose requests were interrupted.
	 */
	pthread_mutex_t wish_lock;
	pthread_cond_t transfer_done;
	uint64_t cancels[FUSE_URING_CANCELS]; /* uniques */
	_Atomic unsigned cancel_count;	      /* changed under the lock */
};

/* The queue that the calling thread owns, or NULL. */
extern _Thread_local struct fuse_uring_queue *fuse_uring_owned;
/* The transport whose owner or worker the calling thread is, or NULL. */
extern _Thread_local struct fuse_uring *fuse_uring_served;

/* The owner's thread. */
void *fuse_uring_owner(void *queue);
/* Makes room for so many sqes that will be submitted together; false if there is not. */
bool fuse_uring_reserve(struct fuse_uring_queue *queue, unsigned sqes);
/* An empty sqe; NULL, and the queue is lost, if the ring takes none. */
struct io_uring_sqe *fuse_uring_sqe(struct fuse_uring_queue *queue, uint64_t user_data);
/* A command sqe with the fields that all dialects share; NULL as above. */
struct fuse_uring_cmd_req *fuse_uring_command(struct fuse_uring_queue *queue, uint32_t op,
					      uint64_t user_data,
					      struct io_uring_sqe **sqe);
/* Submits what there is, without waiting; but if the kernel is short of memory, not all of it. */
void fuse_uring_submit(struct fuse_uring_queue *queue);
void fuse_uring_submit_all(struct fuse_uring_queue *queue);
/* Waits for a completion and handles none but that one. Returns its result. */
int fuse_uring_await(struct fuse_uring_queue *queue, uint64_t user_data);
/* The same ring set-up as a queue's. */
int fuse_uring_ring_init(struct io_uring *ring, unsigned entries, unsigned completions);
void fuse_uring_keep_from_children(struct io_uring *ring);

/* For counters with one writer; others read them. */
static inline void fuse_uring_count_own(_Atomic uint64_t *counter)
{
	uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, value + 1, memory_order_relaxed);
}

/* control.c: commands that belong to no queue; for any thread, one at a time */
struct fuse_uring_control {
	struct io_uring ring;
	bool open;
	uint64_t sent; /* commands */
};

int fuse_uring_control_open(struct fuse_uring_control *control);
void fuse_uring_control_close(struct fuse_uring_control *control);
/* Returns what the kernel answers; -ETIMEDOUT if it does not, within a second. */
int fuse_uring_control_send(struct fuse_uring_control *control, int fd, uint32_t op,
			    const struct fuse_uring_cmd_req *command);

/* shared.c: data in memory that is shared with clients */

/* The kernel is told of what there is, and of what comes, if it offered that. */
void fuse_uring_memory_start(struct fuse_uring *uring);
void fuse_uring_memory_stop(struct fuse_uring *uring);
/* Whether the request that is in the slot has its data there. */
bool fuse_uring_is_shared(const struct fuse_uring_entry *entry);
/* Finds them. Returns 0 or a negative errno. */
int fuse_uring_memory_locate(struct fuse_uring_entry *entry);
/* The request does not need them any more. */
void fuse_uring_memory_release(struct fuse_uring_entry *entry);
/* Commits have been submitted. */
void fuse_uring_memory_answered(struct fuse_uring_queue *queue);

/* uring.c */
struct fuse_uring {
	/* Constant once the owners run. */
	int fd;
	const struct fuse_uring_dialect *dialect;
	struct fuse_transport_handler handler;
	void (*disconnected)(struct fuse_protocol *protocol);
	unsigned depth;	       /* entries per queue that were asked for */
	unsigned entries;      /* entries per queue, spare ones included */
	unsigned buffers;      /* payload buffers per queue */
	unsigned kept_buffers; /* ...of which so many keep their memory when it is idle */
	bool unlinked;
	bool strict;
	int64_t poll_ns;
	size_t payload_max;
	bool debug;
	unsigned queue_count;
	struct fuse_uring_queue **queues;
	cpu_set_t *affinity; /* of the thread that called fuse_uring_new() */
	size_t affinity_size;
	sigset_t signals; /* what owners and workers block */
	struct fuse_uring_self self;

	struct fuse_uring_workers workers;

	pthread_mutex_t lock;
	pthread_cond_t changed;	      /* a phase, or ending */
	struct fuse_uring_reason why; /* the first queue's that failed; guarded by lock */
	int error;		      /* the same */
	unsigned failed;	      /* its number */
	unsigned owners; /* threads started and not joined; who starts and stops them takes turns */
	struct fuse_memories *memories; /* NULL: the kernel knows nothing of the kind */
	struct fuse_uring_control control;

	struct fuse_uring_place place;
	/* What has come of descriptors that others may close. Relaxed. */
	struct {
		_Atomic unsigned kept;
		_Atomic bool refused; /* a file needed memory */
	} fds;
	_Atomic bool ending;	 /* owners are to end */
	_Atomic bool told;	 /* disconnected() has been called */
	_Atomic bool complained; /* of a malformed request */
	/*
	 * 1, and 1 for each request that was held when its queue ended. Memory goes with the
	 * last.
	 */
	_Atomic size_t references;
};

void fuse_uring_unref(struct fuse_uring *uring);
void fuse_uring_explain(struct fuse_uring_reason *why, const char *step, int queue,
			int error);
/* An owner tells how far it came; error and step only with FUSE_QUEUE_FAILED. */
void fuse_uring_report(struct fuse_uring_queue *queue, enum fuse_uring_phase phase,
		       const char *step, int error);
/* Returns false if the queue is not to be registered, but to end. */
bool fuse_uring_await_start(struct fuse_uring_queue *queue);
/* The connection is gone, as far as this queue can see. */
void fuse_uring_lost(struct fuse_uring_queue *queue);
int fuse_uring_thread_start(struct fuse_uring *uring, pthread_t *thread,
			    void *(*main)(void *), void *arg);

/* ladder.c */
extern const struct fuse_uring_dialect *const fuse_uring_ladder[]; /* ends with NULL */
/* How many CPUs this machine may ever have; -1 with *why filled in. */
int fuse_uring_possible_cpus(struct fuse_uring_reason *why);
/* False with *why filled in. */
bool fuse_uring_check(const struct fuse_uring_config *config,
		      struct fuse_uring_reason *why);
int fuse_uring_refuse(struct fuse_uring_control *control, int fd);

#endif
