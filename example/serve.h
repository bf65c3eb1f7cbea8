/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the examples of notifications have in common: a session from its command line to its
 * end, as hello_ll.c explains it, with a thread of the filesystem's own beside it.
 */
#ifndef EXAMPLE_SERVE_H
#define EXAMPLE_SERVE_H

#define FUSE_USE_VERSION 318
#include <fuse_lowlevel.h>

struct program {
	const char *help; /* a line for each option of its own */
	const struct fuse_lowlevel_ops *operations;
	/*
	 * Called in a thread of its own again and again, every `interval` seconds from when
	 * the filesystem is mounted until it is about to end.
	 */
	void (*tick)(struct fuse_session *session);
	double interval;
};

/* args without the program's own options. Returns the exit status. */
int serve(struct fuse_args *args, const struct program *program);

#endif
