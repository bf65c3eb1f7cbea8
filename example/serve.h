/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A session from its command line to its end, as hello_ll.c explains it, for filesystems whose
 * subject is something else.
 */
#ifndef EXAMPLE_SERVE_H
#define EXAMPLE_SERVE_H

#define FUSE_USE_VERSION 318
#include <fuse_lowlevel.h>

struct program {
	const char *help; /* a line for each option of its own */
	const struct fuse_lowlevel_ops *operations;

	/*
	 * Called, if there: when the session is mounted, in the background, and about to run,
	 * which it does if this returns 0; when its loop has ended and it is still mounted;
	 * when it is not mounted any more; and when it is gone.
	 */
	int (*started)(struct fuse_session *session);
	void (*loop_ended)(struct fuse_session *session);
	void (*unmounted)(struct fuse_session *session);
	void (*destroyed)(void);
};

/* args without the program's own options. Returns the exit status. */
int serve(struct fuse_args *args, const struct program *program);

/*
 * The part of serve() that follows the command line, for programs that have to do something in
 * between. Returns whether all went well.
 */
int serve_session(struct fuse_args *args, const struct program *program,
		  const struct fuse_cmdline_opts *opts);

/*
 * For started(): lets clients share memory with the session, which closes the channel. Returns a
 * negative errno, and says why, if it cannot.
 */
int serve_memory(struct fuse_session *session);

#endif
