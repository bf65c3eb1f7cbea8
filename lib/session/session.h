/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One mounted filesystem, as the files of this folder see it.
 *
 * Life: new -> mount (or custom_io) -> loop -> unmount -> destroy. FUSE_INIT arrives
 * within the loop. It may start rings, and the loop does not return before they have
 * stopped: a filesystem frees its data behind the loop, so no handler may run then.
 *
 * Locks, outermost first:
 *   handler_lock    held while a handler runs, if handlers are serialised (see dispatch() in
 *                   session.c); a handler may call anything below
 *   unmount_lock    held while the session is unmounted
 *   stop_lock       held while rings start, and until they have stopped; handlers go on under
 *                   both, so none of them waits for either: fuse_session_awaits_caller()
 *   transport_lock  which transport there is; nothing blocks under it
 *   stats->lock     the statistics thread's wish list
 *   channel_lock    the memory channel; taken alone
 * exited and error are atomic, because a signal handler may write them.
 */
#ifndef FUSE_SESSION_H
#define FUSE_SESSION_H

#include <pthread.h>

#include "memory/memory.h"
#include "mount/mount.h"
#include "protocol/protocol.h"
#include "transport/dev/dev.h"
#include "transport/uring/uring.h"

/* The library's own notion of an opaque type of the public interface. */
struct fuse_loop_config {
	int clone_fd;
	unsigned max_idle_threads;
	unsigned max_threads;
};

#define FUSE_DEFAULT_MAX_THREADS      10
#define FUSE_DEFAULT_MAX_IDLE_THREADS UINT_MAX /* none is ended for being idle */

struct fuse_channel_server;
struct fuse_stats_file;
struct fuse_cuse;

/* What options.c found among the mount options that are the session's own. */
struct fuse_session_options {
	int debug;
	int io_uring;
	int io_uring_strict;
	int zero_copy;
	int unlinked;
	enum fuse_uring_pool pool;
	enum fuse_uring_pin pin;
	unsigned bufs; /* 0: as many as entries */
	unsigned queue_depth;
	unsigned poll_us;
	char *stats_path; /* NULL: no statistics file */
};

/* What the handlers of a session may do at the same time. */
enum fuse_session_mode {
	FUSE_SESSION_BY_HAND, /* the program calls receive_buf and process_buf */
	FUSE_SESSION_SINGLE,
	FUSE_SESSION_MULTI,
};

struct fuse_session {
	struct fuse_protocol protocol; /* first: protocol/ finds the session by it */
	struct fuse_session_options options;
	struct fuse_mount_options *mount_options;
	char *mountpoint; /* absolute; NULL when there is nothing to unmount */

	int fd; /* -1 before mount and custom_io */
	struct fuse_custom_io io;
	bool has_io;
	struct fuse_dev *dev; /* NULL as long as fd is -1 and nothing was processed */

	/* Written before the loop's other threads start. */
	enum fuse_session_mode mode;
	unsigned max_workers;

	pthread_mutex_t handler_lock;

	/*
	 * Changed under transport_lock. Rings that have been stopped are kept, because their
	 * counters still count.
	 */
	pthread_mutex_t transport_lock;
	pthread_mutex_t stop_lock;
	pthread_mutex_t unmount_lock;
	struct fuse_uring *uring;
	bool uring_runs;		       /* its threads have yet to be stopped */
	struct fuse_uring_config uring_config; /* as at INIT */
	_Atomic bool on_rings;		       /* requests may come from its threads */

	_Atomic bool exited;
	_Atomic int error;    /* why: 0, a negative errno, or the number of a signal */
	int exit_event;	      /* an eventfd, readable once exited is set */
	_Atomic bool hung_up; /* the other side of the descriptor has gone */

	_Atomic bool destroyed; /* the filesystem's destroy() was called */

	struct fuse_stats_file *stats;

	struct fuse_memories memories; /* that clients share */
	pthread_mutex_t channel_lock;
	struct fuse_channel_server *channel; /* NULL: none is open */
	bool channel_may_run;		     /* the process will not fork any more */

	bool in_memory; /* no handler ever answers with descriptors, or could write to one */

	struct fuse_cuse *cuse; /* of cuse/, one piece of memory; NULL: no device */
};

/* session.c */

/* Ends the session for a reason: the first one counts. Async-signal-safe. */
void fuse_session_fail(struct fuse_session *se, int error);

/*
 * Interrupts all handlers, now and until the next loop begins: before anybody waits for them
 * to return. One that waits for a lock could wait for ever otherwise.
 */
void fuse_session_interrupt(struct fuse_session *se);

/*
 * Whether the caller is a handler that who stops the rings waits for: one in a thread of theirs, or
 * one whose turn others wait for.
 */
bool fuse_session_awaits_caller(struct fuse_session *se);

/*
 * Opens a device of the kernel's, with a number that no standard stream has. A descriptor,
 * or -1 and errno.
 */
int fuse_session_open_device(const char *path);
/* The session takes requests from fd, which is its own from now on. 0, or -1 after a message. */
int fuse_session_attach(struct fuse_session *se, int fd);

/* What fuse_session_custom_io() does. */
int fuse_session_set_io(struct fuse_session *se, const struct fuse_custom_io *io,
			size_t op_size, int fd);

/* rings.c: the io_uring transport in the life of a session */

/* Whether the session is to be carried by rings, as far as options and kernel say. */
bool fuse_rings_wanted(const struct fuse_session *se);
/* The one line of log for a step down. */
void fuse_rings_step_down(struct fuse_session *se, const char *why);
/* Makes them; INIT is not answered yet. Returns flags for its reply, or 0. */
uint64_t fuse_rings_new(struct fuse_session *se, uint64_t kernel_flags);
/* INIT was answered. A failure is logged and, if rings were insisted on, the session's. */
void fuse_rings_start(struct fuse_session *se);
/* For a loop that begins when an earlier one has stopped the rings. */
void fuse_rings_restart(struct fuse_session *se);
/* No handler runs in a thread of theirs after this. Does nothing if a handler calls. */
void fuse_rings_stop(struct fuse_session *se);
/* Whether the caller is a handler in a thread of theirs. */
bool fuse_rings_run_caller(struct fuse_session *se);
/* For a request that is not in flight: its data may be under way. */
void fuse_rings_interrupt(struct fuse_session *se, uint64_t unique);
void fuse_rings_free(struct fuse_session *se);

/* negotiate.c: the hook of protocol/ */
void fuse_session_negotiate(struct fuse_req *req, const struct fuse_init_in *in);

/* feature.c: conn->want and conn->want_ext from now on count as what was suggested. */
void fuse_feature_suggest(struct fuse_conn_info *conn, uint64_t want);

/* options.c */

/* Takes the session's options out of args. 0, or -1 after a message. */
int fuse_session_options_parse(struct fuse_session_options *options,
			       struct fuse_args *args);
void fuse_session_options_free(struct fuse_session_options *options);
void fuse_session_options_help(void);
/*
 * A decimal number from min to max and nothing else. If it is not, says so in one line that
 * names the option, and returns -1.
 */
int fuse_option_number(const char *name, const char *text, unsigned min, unsigned max,
		       unsigned *number);

/* loop.c: what both kinds of loop do around their work */

void fuse_loop_begin(struct fuse_session *se, enum fuse_session_mode mode,
		     unsigned max_workers);
/* Returns what the loop returns. */
int fuse_loop_end(struct fuse_session *se);
/*
 * What fuse_dev_receive() returned: true if there is a message. Otherwise there is
 * either nothing to do, or the session has been ended.
 */
bool fuse_loop_received(struct fuse_session *se, int received);
/* Until there may be a message, the session has exited, or a signal has come. */
void fuse_loop_wait(struct fuse_session *se, int fd);
/*
 * If the message is nothing but forgets, beside rings that carry all else: carries them out, and
 * pauses before the next ones. Otherwise returns false.
 */
bool fuse_loop_forget(struct fuse_session *se, struct fuse_dev_channel *channel,
		      const struct fuse_buf *buf);

/* workers.c */

int fuse_session_loop_threads(struct fuse_session *se,
			      const struct fuse_loop_config *config);
/* FUSE_THREAD_STACK out of the environment, in bytes; 0, after a message if it is wrong. */
size_t fuse_thread_stack_size(void);
/*
 * Starts a thread in which SIGHUP, SIGINT, SIGTERM and SIGQUIT are blocked. stack_size 0
 * is the system's default. Returns 0 or a negative errno.
 */
int fuse_thread_start(pthread_t *thread, size_t stack_size, void *(*run)(void *),
		      void *data);

/* wake.c: getting a thread out of a system call that waits */

/* A signal for the purpose, installed by the first user; 0 if there is none to be had. */
int fuse_wake_signal_get(void);
void fuse_wake_signal_put(void);

/* memory_channel.c */

/* INIT has come: from now on a channel has a thread. */
void fuse_memory_channel_start(struct fuse_session *se);
/* The length of the channel's path, with which `path` is filled in; 0: there is no channel. */
size_t fuse_memory_channel_path(struct fuse_session *se, char *path, size_t room);

/* stats.c */

/* Looks whether the file can be written. 0, or -1 after a message. */
int fuse_stats_open(struct fuse_session *se, const char *path);
void fuse_stats_start(struct fuse_session *se);	  /* the thread that writes it */
void fuse_stats_changed(struct fuse_session *se); /* write it soon */
void fuse_stats_stop(struct fuse_session *se); /* the last write, and the thread ends */
void fuse_stats_close(struct fuse_session *se);

#endif
