// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Entry points with versions: what programs call that were compiled for an earlier
 * interface, and the current functions that took their place. Everything that has more than one
 * version is here, so that the rest of the library reads without them.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "session/cmdline.h"
#include "session/session.h"
#include "support/symver.h"

/* The headers give the plain names to callers. Here they are functions. */
#undef fuse_session_new
#undef fuse_session_loop_mt
#undef fuse_parse_cmdline

/* How many threads may idle, as interfaces before 3.12 had it. */
#define FORMER_MAX_IDLE_THREADS 10

/* ---- fuse_session_new: a symbol until 3.17, then a macro over ..._versioned ---- */

struct fuse_session *fuse_session_new(struct fuse_args *args,
				      const struct fuse_lowlevel_ops *op, size_t op_size,
				      void *userdata);

struct fuse_session *fuse_session_new(struct fuse_args *args,
				      const struct fuse_lowlevel_ops *op, size_t op_size,
				      void *userdata)
{
	return fuse_session_new_versioned(args, op, op_size, NULL, userdata);
}

/* ---- fuse_session_loop_mt: clone_fd alone; a visible structure; an opaque one ---- */

int fuse_session_loop_mt_31(struct fuse_session *se, int clone_fd);
int fuse_session_loop_mt_32(struct fuse_session *se, struct fuse_loop_config_v1 *v1);
int fuse_session_loop_mt_312(struct fuse_session *se, struct fuse_loop_config *config);

FUSE_CURRENT(fuse_session_loop_mt, fuse_session_loop_mt_312, "FUSE_3.12")
int fuse_session_loop_mt_312(struct fuse_session *se, struct fuse_loop_config *config)
{
	struct fuse_loop_config *defaults = NULL;
	int result;

	if (!config) {
		defaults = fuse_loop_cfg_create();
		if (!defaults)
			return -ENOMEM;
		config = defaults;
	}
	result = fuse_session_loop_threads(se, config);
	fuse_loop_cfg_destroy(defaults);
	return result;
}

FUSE_FORMER(fuse_session_loop_mt, fuse_session_loop_mt_32, "FUSE_3.2")
int fuse_session_loop_mt_32(struct fuse_session *se, struct fuse_loop_config_v1 *v1)
{
	struct fuse_loop_config *config;
	int result;

	if (!v1)
		return fuse_session_loop_mt_312(se, NULL);
	config = fuse_loop_cfg_create();
	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_convert(config, v1);
	result = fuse_session_loop_mt_312(se, config);
	fuse_loop_cfg_destroy(config);
	return result;
}

FUSE_FORMER(fuse_session_loop_mt, fuse_session_loop_mt_31, "FUSE_3.0")
int fuse_session_loop_mt_31(struct fuse_session *se, int clone_fd)
{
	struct fuse_loop_config_v1 v1 = {
		.clone_fd = clone_fd,
		.max_idle_threads = FORMER_MAX_IDLE_THREADS,
	};

	return fuse_session_loop_mt_32(se, &v1);
}

/* ---- fuse_parse_cmdline: the structure grew a member, max_threads ---- */

int fuse_parse_cmdline_312(struct fuse_args *args, struct fuse_cmdline_opts *opts);
int fuse_parse_cmdline_30(struct fuse_args *args, struct fuse_cmdline_opts *opts);

FUSE_CURRENT(fuse_parse_cmdline, fuse_parse_cmdline_312, "FUSE_3.12")
int fuse_parse_cmdline_312(struct fuse_args *args, struct fuse_cmdline_opts *opts)
{
	return fuse_cmdline_parse(args, opts);
}

FUSE_FORMER(fuse_parse_cmdline, fuse_parse_cmdline_30, "FUSE_3.0")
int fuse_parse_cmdline_30(struct fuse_args *args, struct fuse_cmdline_opts *opts)
{
	struct fuse_cmdline_opts current;
	int result = fuse_cmdline_parse(args, &current);

	/* The caller's structure ends where the new member begins. */
	memcpy(opts, &current, offsetof(struct fuse_cmdline_opts, max_threads));
	return result;
}

/* ---- fuse_session_custom_io: without the structure's size, and without clone_fd ---- */

int fuse_session_custom_io_30(struct fuse_session *se, const struct fuse_custom_io *io,
			      int fd);

#ifdef FUSE_HAS_VERSIONS /* otherwise the headers' inline function is all there is */
FUSE_CURRENT(fuse_session_custom_io, fuse_session_custom_io_317, "FUSE_3.17")
#endif
int fuse_session_custom_io_317(struct fuse_session *se, const struct fuse_custom_io *io,
			       size_t op_size, int fd)
{
	return fuse_session_set_io(se, io, op_size, fd);
}

FUSE_FORMER(fuse_session_custom_io, fuse_session_custom_io_30, "FUSE_3.0")
int fuse_session_custom_io_30(struct fuse_session *se, const struct fuse_custom_io *io,
			      int fd)
{
	return fuse_session_set_io(se, io, offsetof(struct fuse_custom_io, clone_fd), fd);
}
