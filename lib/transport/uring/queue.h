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
 * Locks: fuse_uring.lock guards the queues' phases; fuse_uring_workers.lock the jobs.
 * Neither is taken while the other is held, and no handler is called under one.
 */
#ifndef FUSE_URING_QUEUE_H
#define FUSE_URING_QUEUE_H

#include <liburing.h>
#include <pthread.h>
#include <sched.h>

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

/* Opcodes whose handlers' time is remembered; what lies above shares the last place. */
#define FUSE_URING_OPCODES 64

/*
 * memory.c: one memfd per queue, first all header slots, then all payload buffers, both
 * page-aligned. Pages come into being when they are first touched.
 */
struct fuse_uring_region {
	int memfd;
	char *headers;
	size_t headers_size;
	char *payloads;
	size_t payloads_size;
	size_t payload_stride; /* bytes from one payload buffer to the next */
};

/* Returns 0 or a negative errno, with *step naming what failed. */
int fuse_uring_region_open(struct fuse_uring_region *region, unsigned slots,
			   size_t header_stride, unsigned buffers, size_t payload_max,
			   const char **step);
/* Gives back the payload buffers from `first` on; they are zero afterwards. */
void fuse_uring_region_trim(struct fuse_uring_region *region, unsigned first);
void fuse_uring_region_close(struct fuse_uring_region *region);

/* entry.c: one slot's life */
enum fuse_uring_entry_state {
	FUSE_ENTRY_UNUSED,     /* never registered, or lost with its connection */
	FUSE_ENTRY_REGISTERED, /* the kernel has it; no request came yet */
	FUSE_ENTRY_HELD, /* its request is with the filesystem, or done and not seen */
	FUSE_ENTRY_COMMITTED, /* the kernel has it: a reply, and the wait for a request */
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
	bool replied; /* the slot holds a reply */
	bool dropped; /* given back without ever having been dispatched */
	struct fuse_uring_entry *next; /* among finished entries, or among jobs */
};

extern const struct fuse_transport_ops fuse_uring_ops;

void fuse_uring_entry_init(struct fuse_uring_entry *entry, struct fuse_uring_queue *queue,
			   unsigned id);
/* Registering and committing only fill in an sqe; the owner's next enter submits it. */
void fuse_uring_entry_register(struct fuse_uring_entry *entry);
/* A command on the entry has come back. */
void fuse_uring_entry_complete(struct fuse_uring_entry *entry, int result);
/* A request was finished: commits the entry, or lets it go if that makes no sense any more. */
void fuse_uring_entry_settle(struct fuse_uring_entry *entry);

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
void fuse_uring_measured(struct fuse_uring_workers *workers, uint32_t opcode,
			 uint64_t ns);
/* Gives the entry's request to a worker; false if the owner should run it itself. */
bool fuse_uring_hand_over(struct fuse_uring_entry *entry, bool waits);

/* fuse_transport_ops.finish */
void fuse_uring_finish(struct fuse_req *req);
/* Settles what other threads have finished. Returns true if there was anything. */
bool fuse_uring_collect(struct fuse_uring_queue *queue);
/* From now on finished requests vanish. Called by the owner as its last act. */
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
	bool has_fixed_file; /* slot 0 of the ring's files is the fuse device */
	bool event_armed;
	uint16_t qid;	      /* what the kernel calls the queue */
	bool disconnected;    /* the kernel said so, or the ring is beyond repair */
	unsigned with_kernel; /* entries that are registered or committed */
	unsigned held;
	bool spare_used; /* since spare payload memory was given back last */
	uint64_t now;	 /* when the latest handler returned, ns */

	/* Everybody's. */
	_Alignas(64) _Atomic(struct fuse_uring_entry *) finished;
	_Atomic unsigned finishing; /* threads that are in fuse_uring_finish() */
	_Atomic bool sleeping;	    /* the owner sleeps or is about to */
};

/* The queue that the calling thread owns, or NULL. */
extern _Thread_local struct fuse_uring_queue *fuse_uring_owned;

/* The owner's thread. */
void *fuse_uring_owner(void *queue);
/* A command sqe with the fields that all dialects share. */
struct fuse_uring_cmd_req *fuse_uring_command(struct fuse_uring_entry *entry, uint32_t op,
					      struct io_uring_sqe **sqe);
/* The same ring set-up as a queue's. */
int fuse_uring_ring_init(struct io_uring *ring, unsigned entries);

static inline uint64_t fuse_uring_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* For counters with one writer; others read them. */
static inline void fuse_uring_count_own(_Atomic uint64_t *counter)
{
	uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, value + 1, memory_order_relaxed);
}

/* uring.c */
struct fuse_uring {
	/* Constant once the owners run. */
	int fd;
	const struct fuse_uring_dialect *dialect;
	struct fuse_transport_handler handler;
	void (*disconnected)(struct fuse_protocol *protocol);
	unsigned depth;	  /* entries per queue that were asked for */
	unsigned entries; /* entries per queue, spare ones included */
	uint64_t poll_ns;
	size_t payload_max;
	bool debug;
	unsigned queue_count;
	struct fuse_uring_queue **queues;
	cpu_set_t *affinity; /* of the thread that called fuse_uring_new() */
	size_t affinity_size;
	sigset_t signals; /* what owners and workers block */

	struct fuse_uring_workers workers;

	pthread_mutex_t lock;
	pthread_cond_t changed;	      /* a phase, or ending */
	struct fuse_uring_reason why; /* the first failure's; guarded by lock */
	int error;		      /* the same */
	unsigned owners; /* threads started and not joined; the session's thread only */
	struct io_uring refusal; /* to send the kernel a REGISTER that it refuses */
	bool has_refusal;

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
int fuse_uring_refusal_init(struct io_uring *ring);
int fuse_uring_refusal_send(struct io_uring *ring, int fd);

#endif
