/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A filesystem that passes everything on to the one below, with other paths. What the paths
 * are is for the module to say that it is part of.
 */
#ifndef FUSE_MODULES_REWRITE_H
#define FUSE_MODULES_REWRITE_H

#include "fuse.h"

/*
 * The functions return 0 or a negative errno, and set *result to memory of malloc(); those
 * that are NULL leave everything as it is.
 */
struct fuse_rewrite {
	struct fuse_fs *below;

	/* A path, on its way down. Must be there. */
	int (*path_down)(struct fuse_rewrite *rewrite, const char *path, char **result);

	/* A name in a directory, on its way up. What fails is not shown. */
	int (*name_up)(struct fuse_rewrite *rewrite, const char *name, char **result);

	/* A symbolic link's contents. For the way up: of the link at that path below. */
	int (*link_down)(struct fuse_rewrite *rewrite, const char *target, char **result);
	int (*link_up)(struct fuse_rewrite *rewrite, const char *path, const char *target,
		       char **result);

	/* The end. */
	void (*destroy)(struct fuse_rewrite *rewrite);
};

/* NULL on failure, after a message. Calls destroy() in its end, not on failure. */
struct fuse_fs *fuse_rewrite_new(struct fuse_rewrite *rewrite);

#endif
