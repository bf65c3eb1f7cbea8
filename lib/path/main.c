// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * fuse_main(): everything that a program on the path-based interface does at its start and
 * its end.
 */
#include <stdio.h>
#include <stdlib.h>

#include "path/path.h"

/* What fuse_main() returns: part of the interface. */
enum {
	ALL_WENT_WELL,
	BAD_OPTIONS,
	NO_MOUNT_POINT,
	NOT_SET_UP,
	NOT_MOUNTED,
	NOT_IN_BACKGROUND,
	NO_SIGNAL_HANDLERS,
	NO_LOOP,
	ENDED_OTHERWISE, /* not by being unmounted: by a signal or an error */
};

static int run_loop(struct fuse *f, const struct fuse_cmdline_opts *opts)
{
	struct fuse_loop_config *config;
	int result;

	if (opts->singlethread)
		return fuse_loop(f) == 0 ? ALL_WENT_WELL : ENDED_OTHERWISE;
	config = fuse_loop_cfg_create();
	if (!config)
		return NO_LOOP;
	fuse_loop_cfg_set_clone_fd(config, (unsigned)opts->clone_fd);
	fuse_loop_cfg_set_idle_threads(config, opts->max_idle_threads);
	fuse_loop_cfg_set_max_threads(config, opts->max_threads);
	result = fuse_loop_mt(f, config);
	fuse_loop_cfg_destroy(config);
	return result == 0 ? ALL_WENT_WELL : ENDED_OTHERWISE;
}

static int run_mounted(struct fuse *f, const struct fuse_cmdline_opts *opts)
{
	struct fuse_session *se = fuse_get_session(f);
	int result;

	if (fuse_daemonize(opts->foreground) != 0)
		return NOT_IN_BACKGROUND;
	if (fuse_set_signal_handlers(se) != 0)
		return NO_SIGNAL_HANDLERS;
	result = run_loop(f, opts);
	fuse_remove_signal_handlers(se);
	return result;
}

static int serve(struct fuse_args *args, const struct fuse_cmdline_opts *opts,
		 const struct fuse_operations *op, size_t op_size,
		 struct libfuse_version *version, void *user_data)
{
	struct fuse *f = fuse_make(args, op, op_size, version, user_data);
	int result = NOT_MOUNTED;

	if (!f)
		return NOT_SET_UP;
	if (fuse_mount(f, opts->mountpoint) == 0) {
		result = run_mounted(f, opts);
		fuse_unmount(f);
	}
	fuse_destroy(f);
	return result;
}

static void print_help(struct fuse_args *args)
{
	if (args->argv[0][0])
		printf("usage: %s [options] <mountpoint>\n\n", args->argv[0]);
	printf("FUSE options:\n");
	fuse_cmdline_help();
	fuse_lib_help(args);
}

int fuse_main_real_versioned(int argc, char *argv[], const struct fuse_operations *op,
			     size_t op_size, struct libfuse_version *version,
			     void *user_data)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct fuse_cmdline_opts opts;
	int result = ALL_WENT_WELL;

	if (fuse_parse_cmdline(&args, &opts) != 0)
		return BAD_OPTIONS;
	if (opts.show_version) {
		printf("FUSE library version %s\n", fuse_pkgversion());
		fuse_lowlevel_version();
	} else if (opts.show_help) {
		print_help(&args);
	} else if (!opts.mountpoint) {
		fuse_log(FUSE_LOG_ERR, "error: no mountpoint specified\n");
		result = NO_MOUNT_POINT;
	} else {
		result = serve(&args, &opts, op, op_size, version, user_data);
	}
	free(opts.mountpoint);
	fuse_opt_free_args(&args);
	return result;
}
