// SPDX-License-Identifier: GPL-2.0-only
#include "serve.h"

#include <errno.h>
#include <fuse_shared_memory.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int run_loop(struct fuse_session *session, const struct fuse_cmdline_opts *opts)
{
	struct fuse_loop_config *config;
	int res;

	if (opts->singlethread)
		return fuse_session_loop(session);
	config = fuse_loop_cfg_create();
	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_clone_fd(config, (unsigned)opts->clone_fd);
	fuse_loop_cfg_set_idle_threads(config, opts->max_idle_threads);
	fuse_loop_cfg_set_max_threads(config, opts->max_threads);
	res = fuse_session_loop_mt(session, config);
	fuse_loop_cfg_destroy(config);
	return res;
}

/* Returns whether all went well; a signal is a good reason to end. */
static int run(struct fuse_session *session, const struct program *program,
	       const struct fuse_cmdline_opts *opts)
{
	int res;

	if (fuse_daemonize(opts->foreground) != 0)
		return 0;
	if (program->started && program->started(session) != 0)
		return 0;
	res = run_loop(session, opts);
	if (program->loop_ended)
		program->loop_ended(session);
	return res >= 0;
}

int serve_session(struct fuse_args *args, const struct program *program,
		  const struct fuse_cmdline_opts *opts)
{
	struct fuse_session *session = fuse_session_new(
		args, program->operations, sizeof(*program->operations), NULL);
	int good = 0;

	if (!session)
		return 0;
	if (fuse_set_signal_handlers(session) == 0) {
		if (fuse_session_mount(session, opts->mountpoint) == 0) {
			good = run(session, program, opts);
			fuse_session_unmount(session);
			if (program->unmounted)
				program->unmounted(session);
		}
		fuse_remove_signal_handlers(session);
	}
	fuse_session_destroy(session);
	if (program->destroyed)
		program->destroyed();
	return good;
}

int serve(struct fuse_args *args, const struct program *program)
{
	struct fuse_cmdline_opts opts;
	int good = 0;

	if (fuse_parse_cmdline(args, &opts) != 0)
		return 1;
	if (opts.show_help) {
		printf("usage: %s [options] MOUNTPOINT\n\n%s\n", args->argv[0],
		       program->help);
		fuse_cmdline_help();
		fuse_lowlevel_help();
		good = 1;
	} else if (opts.show_version) {
		printf("FUSE library version %s\n", fuse_pkgversion());
		fuse_lowlevel_version();
		good = 1;
	} else if (!opts.mountpoint) {
		fprintf(stderr, "%s: MOUNTPOINT is missing, try --help\n", args->argv[0]);
	} else {
		good = serve_session(args, program, &opts);
	}
	free(opts.mountpoint);
	return good ? 0 : 1;
}

int serve_memory(struct fuse_session *session)
{
	int error = fuse_session_open_memory_channel(session, NULL);

	if (error)
		fprintf(stderr, "cannot open the memory channel: %s\n", strerror(-error));
	return error;
}
