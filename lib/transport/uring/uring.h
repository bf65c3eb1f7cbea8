/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The io_uring transport as session/ sees it.
 *
 * Life cycle: fuse_uring_new() does everything that can fail before the kernel is told
 * that requests will travel over rings: rings, memory, threads. Then FUSE_INIT is
 * answered, and fuse_uring_start() registers the entries. When that fails, the kernel has
 * been told to go on without rings and every request arrives on /dev/fuse. After
 * fuse_uring_stop() clients wait until the connection ends or rings are started anew.
 *
 * A quick handler runs in the thread that takes all requests of its CPU. It may call any
 * function of the library, but must not wait for another request of the same mount: it may
 * not use its own mount, and a notification that makes the kernel write back
 * or wait for pages belongs in a thread of the filesystem's own.
 */
#ifndef FUSE_URING_H
#define FUSE_URING_H

#include "transport/transport.h"

struct fuse_uring;

/* The largest queue_depth, in entries. */
#define FUSE_URING_MAX_DEPTH 4096

/* What kernels with buffer pools do with a pool's pages. */
enum fuse_uring_pool {
	FUSE_URING_POOL_ANY,
	FUSE_URING_POOL_NONE,  /* a buffer for each entry, as before there were pools */
	FUSE_URING_POOL_PLAIN, /* looks them up for every request */
	FUSE_URING_POOL_REGISTERED, /* pins them once */
};

/* What kernels with buffer rings pin for as long as a mount lasts, and map for themselves. */
enum fuse_uring_pin {
	FUSE_URING_PIN_ANY, /* as much as they let this process have */
	FUSE_URING_PIN_NONE,
	FUSE_URING_PIN_HEADERS,
	FUSE_URING_PIN_ALL, /* headers and payload buffers */
};

struct fuse_uring_config {
	int fd;		       /* the /dev/fuse descriptor; not owned */
	uint64_t kernel_flags; /* all 64 bits that the kernel offered in FUSE_INIT */
	unsigned queue_depth;  /* entries per queue */
	unsigned poll_us; /* microseconds of polling before an owner sleeps; 0: none */
	/* Threads for slow handlers; those that may wait get further ones. 0: none. */
	unsigned max_workers;
	size_t payload_max; /* bytes per payload buffer, as the kernel demands it */
	bool zero_copy; /* wanted; fuse_uring_zero_copy() says whether it came about */
	bool unlinked;	/* commit after the data have moved, not with them */
	enum fuse_uring_pool pool;
	enum fuse_uring_pin pin;
	unsigned
		bufs; /* payload buffers per queue where they are pooled; 0: one an entry */
	struct fuse_memories
		*memories; /* shared with clients; they live longer than this */
	bool strict; /* do without rings rather than without what is asked for above */
	bool debug;  /* log what only somebody who looks for it wants to know */
	struct fuse_transport_handler handler;
	/* The rings ended because the connection did, not because of fuse_uring_stop(). */
	void (*disconnected)(struct fuse_protocol *protocol);
};

/* Why a transport is not to be had: one line for the log. */
struct fuse_uring_reason {
	char text[200];
};

#ifdef HAVE_URING

/*
 * True if this kernel could give a session io_uring: it is tried with a ring of its own and
 * the module's enable_uring, and for zero-copy with a look at the privileges. Asked before mounting when a failure must fail the mount.
 */
bool fuse_uring_available(unsigned queue_depth, bool zero_copy,
			  struct fuse_uring_reason *why);

/* NULL with *why filled in. */
struct fuse_uring *fuse_uring_new(const struct fuse_uring_config *config,
				  struct fuse_uring_reason *why);

/* The flags that FUSE_INIT's reply has to carry for the dialect that was chosen. */
uint64_t fuse_uring_init_flags(const struct fuse_uring *uring);

/*
 * Registers every entry; FUSE_INIT has been answered. Returns 0, or a negative errno with
 * *why filled in: then rings are off for this connection and the transport may be
 * stopped and freed.
 */
int fuse_uring_start(struct fuse_uring *uring, struct fuse_uring_reason *why);

/*
 * Ends all owner threads and workers and joins them. Requests that a filesystem still
 * holds stay valid, and answering them is harmless. Not to be called from a handler.
 */
void fuse_uring_stop(struct fuse_uring *uring);
/* Whether the caller is a handler in one of those threads. */
bool fuse_uring_is_own_thread(const struct fuse_uring *uring);

/*
 * Cuts short the moving of data for the request `unique`, if that has been answered so and
 * waits for a descriptor. Any thread may call it, between start and stop.
 */
void fuse_uring_interrupt(struct fuse_uring *uring, uint64_t unique);

/* After stop. Memory goes with the last request that is still held. */
void fuse_uring_free(struct fuse_uring *uring);

/* "per_entry", "bufring" or "bufpool" */
const char *fuse_uring_dialect(const struct fuse_uring *uring);
/* "plain", "registered", or nothing without a pool */
const char *fuse_uring_pool(const struct fuse_uring *uring);
bool fuse_uring_pins_headers(const struct fuse_uring *uring);
/* Constant from fuse_uring_start() on. */
bool fuse_uring_zero_copy(const struct fuse_uring *uring);
/* ...for all requests, with nobody asked. */
bool fuse_uring_zero_copies_all(const struct fuse_uring *uring);
unsigned fuse_uring_queues(const struct fuse_uring *uring);
const struct fuse_counters *fuse_uring_counters(const struct fuse_uring *uring,
						unsigned queue);

#else /* built without io_uring: every attempt answers why */

#include <stdio.h>

static inline bool fuse_uring_available(unsigned queue_depth, bool zero_copy,
					struct fuse_uring_reason *why)
{
	(void)queue_depth;
	(void)zero_copy;
	snprintf(why->text, sizeof(why->text), "this library was built without io_uring");
	return false;
}

static inline struct fuse_uring *fuse_uring_new(const struct fuse_uring_config *config,
						struct fuse_uring_reason *why)
{
	fuse_uring_available(config->queue_depth, config->zero_copy, why);
	return NULL;
}

static inline uint64_t fuse_uring_init_flags(const struct fuse_uring *uring)
{
	(void)uring;
	return 0;
}

static inline int fuse_uring_start(struct fuse_uring *uring,
				   struct fuse_uring_reason *why)
{
	(void)uring;
	(void)why;
	return 0;
}

static inline void fuse_uring_stop(struct fuse_uring *uring)
{
	(void)uring;
}

static inline bool fuse_uring_is_own_thread(const struct fuse_uring *uring)
{
	(void)uring;
	return false;
}

static inline void fuse_uring_interrupt(struct fuse_uring *uring, uint64_t unique)
{
	(void)uring;
	(void)unique;
}

static inline void fuse_uring_free(struct fuse_uring *uring)
{
	(void)uring;
}

static inline const char *fuse_uring_dialect(const struct fuse_uring *uring)
{
	(void)uring;
	return "";
}

static inline const char *fuse_uring_pool(const struct fuse_uring *uring)
{
	(void)uring;
	return "";
}

static inline bool fuse_uring_pins_headers(const struct fuse_uring *uring)
{
	(void)uring;
	return false;
}

static inline bool fuse_uring_zero_copy(const struct fuse_uring *uring)
{
	(void)uring;
	return false;
}

static inline bool fuse_uring_zero_copies_all(const struct fuse_uring *uring)
{
	(void)uring;
	return false;
}

static inline unsigned fuse_uring_queues(const struct fuse_uring *uring)
{
	(void)uring;
	return 0;
}

static inline const struct fuse_counters *
fuse_uring_counters(const struct fuse_uring *uring, unsigned queue)
{
	(void)uring;
	(void)queue;
	return NULL;
}

#endif
#endif
