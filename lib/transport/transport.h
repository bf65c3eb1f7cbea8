/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a transport is: the way by which a request reaches this process and its reply
 * leaves.
 *
 * A transport calls nobody above it. It is given a handler, fills a struct fuse_req for
 * every message that arrives, and passes it to handler->dispatch(). From then on the
 * request belongs to the handler, until it calls ops->finish() on it. In between, the
 * handler calls one of those that reply (ops->reply(), reply_data(), reply_ranges(), reply_filled())
 * at most once; all of them from any thread.
 */
#ifndef FUSE_TRANSPORT_H
#define FUSE_TRANSPORT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "fuse_kernel.h"
#include "fuse_lowlevel.h"
#include "support/buf.h"

struct fuse_memories;
struct fuse_memory;
struct fuse_protocol;
struct fuse_req;
struct fuse_transport;

/*
 * What a queue has done. One writer or several: increments are relaxed, since nobody
 * draws conclusions from the order of two counters. The order of the members is that of
 * struct fuse_transport_stats in fuse_lowlevel.h.
 */
struct fuse_counters {
	_Atomic uint64_t requests;
	_Atomic uint64_t replies;
	_Atomic uint64_t errors; /* replies that carried an error */
	_Atomic uint64_t bytes_read;
	_Atomic uint64_t bytes_written;
	_Atomic uint64_t zero_copied_requests;
	_Atomic uint64_t zero_copied_bytes;
	_Atomic uint64_t enters; /* io_uring_enter calls */
	_Atomic uint64_t commits;
	_Atomic uint64_t polls_hit; /* a poll ended because something arrived */
	_Atomic uint64_t polls_missed;
	_Atomic uint64_t handed_over; /* requests given to a worker */
	_Atomic uint64_t linked;      /* zero-copied, data and commit as one chain... */
	_Atomic uint64_t broken;      /* ...that broke: committed once more */
	_Atomic uint64_t unlinked;    /* zero-copied, committed afterwards */
	_Atomic uint64_t copied;      /* zero-copied for the kernel, but not by us */
	_Atomic uint64_t paged; /* neither read nor write, and zero-copied likewise */
	_Atomic uint64_t pool_bytes; /* not zero-copied, but not copied in this process */
	_Atomic uint64_t copied_bytes; /* the rest of the bytes read and written */
	_Atomic uint64_t copy_reasons[FUSE_COPY_REASONS_ROOM]; /* enum fuse_copy_reason */
	_Atomic uint64_t shared_requests; /* reads and writes in shared memory... */
	_Atomic uint64_t shared_bytes;	  /* ...none of which is counted elsewhere */
};

static inline void fuse_count(_Atomic uint64_t *counter, uint64_t by)
{
	atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

/* Data that were not zero-copied. in_place: nobody has copied them in this process, either. */
static inline void fuse_count_copied(struct fuse_counters *counters, size_t bytes,
				     bool in_place, enum fuse_copy_reason reason)
{
	if (!bytes)
		return;
	fuse_count(in_place ? &counters->pool_bytes : &counters->copied_bytes, bytes);
	fuse_count(&counters->copy_reasons[reason], 1);
}

/*
 * Where the parts of a request lie. On a ring the three parts are in three places; in a
 * message read from /dev/fuse the payload follows the argument directly, and only the
 * opcode table knows where one ends and the other begins: there `contiguous` is set,
 * `arg`/`arg_size` span both, and `payload` is not set.
 *
 * All of it is as the other side sent it: no size and no string in it has been checked,
 * but that the header is complete and that the sizes below are within the memory. A reply may
 * overwrite all of it.
 */
struct fuse_view {
	const struct fuse_in_header *header;
	const void *arg;
	size_t arg_size;
	const void *payload;
	size_t payload_size;
	/*
	 * A pipe that holds the rest of the message, or -1. Then `payload` is NULL and
	 * payload_size says how much is in the pipe; `arg` has the first bytes of the
	 * message's body. Data stays in the pipe only if that is exactly the argument of a
	 * FUSE_WRITE or FUSE_NOTIFY_REPLY; with anything else it is read into memory.
	 */
	int payload_fd;
	bool contiguous;
};

/* In one reply. */
#define FUSE_FD_RANGES_MAX 1024

enum fuse_req_state {
	FUSE_REQ_IDLE = 0, /* the transport's */
	FUSE_REQ_ACTIVE,   /* dispatched, not yet answered */
	FUSE_REQ_REPLIED,  /* answered, not yet finished */
};

struct fuse_req {
	/* Set by the transport before dispatch. */
	const struct fuse_transport_ops *transport;
	struct fuse_protocol *protocol; /* from its handler */
	struct fuse_counters *counters;
	struct fuse_view view;
	/*
	 * Where the transport would have the reply's payload, so that no copy is made of
	 * it: NULL if it has no such place, otherwise aligned to 8 bytes at least. A
	 * request's payload may lie in the same memory.
	 */
	void *reply_room;
	size_t reply_room_size;
	/*
	 * A read or a write whose data stay with the client: view.payload_size counts a
	 * write's, but they are at view.payload only after ops->load(), and a read's are
	 * best answered by ops->reply_ranges().
	 */
	bool zero_copied;
	bool loaded;
	/*
	 * A read or a write whose data are in memory that the client shares with this process, at
	 * shared_off: a write's are at view.payload, a read's belong to reply_room. NULL: not.
	 */
	struct fuse_memory *shared;
	uint64_t shared_off;

	/* Owned by protocol/ from dispatch to finish. */
	uint64_t unique;
	uint64_t nodeid;
	uint32_t opcode;
	int open_flags; /* what the file of a read or a write was opened with */
	struct fuse_ctx ctx;
	struct fuse_buf
		data; /* a write's, as its handler was given them; a read's size */
	struct fuse_client_data client_data; /* what they may point to */
	size_t transferred;		     /* bytes of them that have been moved... */
	size_t filled;			     /* ...or put there out of memory */
	bool on_trial;			     /* whether write_buf() copies its buffers */
	void *memory; /* for a read's data, where the transport has none; freed with it */
	_Atomic int state; /* enum fuse_req_state */

	/*
	 * Interruption, guarded by the lock of the table of requests in flight
	 * (protocol/inflight.c).
	 */
	struct fuse_req *next,
		**link; /* neighbours in the table; link is NULL if in none */
	fuse_interrupt_func_t interrupt_func;
	void *interrupt_data;
	bool interrupted;
	bool abandoned;		    /* ...by the session's end, not by its caller */
	bool interrupt_running;	    /* interrupt_func is being called... */
	pthread_t interrupt_thread; /* ...by this thread */
	bool finishes_now; /* it will have been given back when its reply has been made */
	bool finish_pending; /* answered meanwhile: whoever called interrupt_func finishes */

	/*
	 * Set by the transport, again and again as it finds out more: what it will have been if
	 * the request's data are not zero-copied.
	 */
	enum fuse_copy_reason copy_reason;
};

struct fuse_transport_ops {
	bool is_uring;

	/*
	 * Sends the reply. error is 0 or a negative errno; iov is its payload, without
	 * fuse_out_header, and is not read after the call returns. A piece of iov may lie
	 * within reply_room, at any place in it. Returns 0, or a negative errno
	 * when the reply could not be delivered (-ENOENT: the request was aborted).
	 */
	int (*reply)(struct fuse_req *req, int error, const struct iovec *iov, int count);

	/*
	 * The same for a successful reply whose payload is described by a buffer vector,
	 * descriptors and pipes included. When data turns out to be unreadable, the reply
	 * is the error instead. *sent is set to the bytes of payload that left.
	 */
	int (*reply_data)(struct fuse_req *req, struct fuse_bufvec *data,
			  enum fuse_buf_copy_flags flags, size_t *sent);

	/*
	 * For zero-copied requests only. Moves the data between the client and the ranges,
	 * once the request is finished, and replies with what came of it. Counts
	 * bytes read and written, when they are known. Returns 0, or a negative errno after
	 * replying with an error.
	 */
	int (*reply_ranges)(struct fuse_req *req, const struct fuse_fd_range *ranges,
			    size_t count);

	/*
	 * For zero-copied writes only. Brings the data to view.payload and waits for it.
	 * Returns 0 or a negative errno. Does nothing the second time.
	 */
	int (*load)(struct fuse_req *req);

	/*
	 * For zero-copied requests only. Moves a part of the data between the client and a
	 * descriptor, in the direction in which they go, and waits for it. Returns bytes or a negative
	 * errno; -EOPNOTSUPP: the caller has to read or write the descriptor itself.
	 */
	ssize_t (*transfer)(struct fuse_req *req, size_t off, size_t len, int fd,
			    off_t pos);

	/*
	 * For zero-copied reads only: the same out of memory, which may lie at its place in
	 * reply_room. The data are there when it returns.
	 */
	ssize_t (*fill)(struct fuse_req *req, size_t off, const void *memory, size_t len);

	/* For zero-copied reads only: a reply of so many bytes, which are with the client. */
	int (*reply_filled)(struct fuse_req *req, size_t size);

	/* For zero-copied requests only: where view.payload is to be found in a file. */
	void (*locate_payload)(const struct fuse_req *req, int *fd, off_t *pos);

	/*
	 * Gives the request back to the transport, whether a reply was sent or not. The
	 * caller may not touch it afterwards. A ring commits its entry here.
	 */
	void (*finish)(struct fuse_req *req);

	/*
	 * What fuse_req_get_payload() hands out as the memory region that reply_room lies in.
	 * May be NULL: then there is none.
	 */
	void *(*region)(struct fuse_req *req);
};

/*
 * A handler that has data moved or loaded while it holds a lock waits for whoever can, and a handler
 * in that very thread may wait for the lock. Only filesystems that know of it are left to it.
 */
enum fuse_load_time {
	FUSE_LOAD_FIRST, /* before dispatch */
	FUSE_LOAD_FOR_WORKERS, /* ...but only if the thread that could do it will not dispatch */
	FUSE_LOAD_ON_DEMAND,
};

/* Given to a transport by whoever sets it up. */
struct fuse_transport_handler {
	struct fuse_protocol *protocol;

	/* Takes the request over. May block as long as the filesystem does. */
	void (*dispatch)(struct fuse_req *req);

	/*
	 * True if handling this request may wait for another client (a lock, say), so that
	 * it must not hold up the requests behind it. Called before dispatch.
	 */
	bool (*may_wait)(const struct fuse_req *req);

	/* When the data of a zero-copied write are to be loaded. May be NULL: first. */
	enum fuse_load_time (*load_time)(const struct fuse_req *req);
};

#endif
