/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session whose other side is /dev/cuse. It is an ordinary session with operations and an
 * init hook of its own; the device is what this room knows about it.
 */
#ifndef FUSE_CUSE_H
#define FUSE_CUSE_H

#include "cuse_lowlevel.h"
#include "session/session.h"

/* One piece of memory, which belongs to its session from se->cuse on. */
struct fuse_cuse {
	struct cuse_lowlevel_ops ops;
	struct fuse_protocol_hooks hooks;
	unsigned major; /* 0: the kernel chooses */
	unsigned minor;
	unsigned flags;
	size_t info_size;
	char info[]; /* "KEY=value" strings, each with its terminator */
};

/* The init hook: CUSE_INIT arrived. */
void fuse_cuse_negotiate(struct fuse_req *req, const struct fuse_init_in *in);

#endif
