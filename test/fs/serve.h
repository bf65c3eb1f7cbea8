/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the test filesystems share: a session from its command line to its end.
 */
#ifndef TEST_FS_SERVE_H
#define TEST_FS_SERVE_H

#define FUSE_USE_VERSION 318
#include <fuse_lowlevel.h>

struct program {
	const char *help; /* the options of its own, a line each */
	const struct fuse_lowlevel_ops *operations;

	/*
	 * Called, if there, when the session is mounted and about to run; when its loop has
	 * ended and it is still mounted; when it is not mounted any more; and when it is gone.
	 */
	void (*started)(struct fuse_session *se);
	void (*loop_ended)(struct fuse_session *se);
	void (*unmounted)(struct fuse_session *se);
	void (*destroyed)(void);
};

/* args without the program's own options. Returns the exit status. */
int serve(struct fuse_args *args, const struct program *program);

#endif
