// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A device from its program's command line to the end.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuse/cuse.h"
#include "session/cmdline.h"

#define DEVICE "/dev/cuse"

static void print_help(const char *program)
{
	printf("usage: %s [options]\n\n", program);
	fuse_cmdline_help();
	fuse_lowlevel_help();
}

static void print_versions(void)
{
	printf("FUSE library version %s\n", fuse_pkgversion());
	fuse_lowlevel_version();
}

/* A device is mounted nowhere, and has no type that mount tables could show. */
static int drop_mount_options(struct fuse_args *args, struct fuse_cmdline_opts *opts)
{
	static const struct fuse_opt table[] = {
		FUSE_OPT_KEY("subtype=", FUSE_OPT_KEY_DISCARD),
		FUSE_OPT_END,
	};

	if (opts->mountpoint)
		fuse_log(FUSE_LOG_WARNING,
			 "cuse: ignoring '%s': a device is mounted nowhere\n",
			 opts->mountpoint);
	free(opts->mountpoint);
	opts->mountpoint = NULL;
	return fuse_opt_parse(args, NULL, table, NULL);
}

static int open_device(struct fuse_session *se)
{
	int fd = fuse_session_open_device(DEVICE);

	if (fd >= 0)
		return fuse_session_attach(se, fd);
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		fuse_log(FUSE_LOG_ERR,
			 "cuse: there is no %s; perhaps 'modprobe cuse' helps\n", DEVICE);
	else
		fuse_log(FUSE_LOG_ERR, "cuse: cannot open %s: %s\n", DEVICE,
			 strerror(errno));
	return -1;
}

static struct fuse_session *start(struct fuse_args *args,
				  const struct fuse_cmdline_opts *opts,
				  const struct cuse_info *ci,
				  const struct cuse_lowlevel_ops *clop, void *userdata)
{
	struct fuse_session *se = cuse_lowlevel_new(args, ci, clop, userdata);

	if (!se)
		return NULL;
	if (open_device(se) == 0 && fuse_set_signal_handlers(se) == 0) {
		if (fuse_daemonize(opts->foreground) == 0)
			return se;
		fuse_remove_signal_handlers(se);
	}
	fuse_session_destroy(se);
	return NULL;
}

/* NULL after a message, or after *printed was set: then that was all that was asked for. */
static struct fuse_session *setup(int argc, char **argv, const struct cuse_info *ci,
				  const struct cuse_lowlevel_ops *clop,
				  struct fuse_cmdline_opts *opts, bool *printed,
				  void *userdata)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct fuse_session *se = NULL;

	*printed = false;
	if (fuse_cmdline_parse(&args, opts) == 0 &&
	    drop_mount_options(&args, opts) == 0) {
		if (opts->show_help)
			print_help(argv[0]);
		else if (opts->show_version)
			print_versions();
		else
			se = start(&args, opts, ci, clop, userdata);
		*printed = opts->show_help || opts->show_version;
	}
	fuse_opt_free_args(&args);
	return se;
}

struct fuse_session *cuse_lowlevel_setup(int argc, char *argv[],
					 const struct cuse_info *ci,
					 const struct cuse_lowlevel_ops *clop,
					 int *multithreaded, void *userdata)
{
	struct fuse_cmdline_opts opts;
	struct fuse_session *se;
	bool printed;

	se = setup(argc, argv, ci, clop, &opts, &printed, userdata);
	*multithreaded = se && !opts.singlethread;
	return se;
}

void cuse_lowlevel_teardown(struct fuse_session *se)
{
	fuse_remove_signal_handlers(se);
	fuse_session_destroy(se);
}

static int run_loop(struct fuse_session *se, const struct fuse_cmdline_opts *opts)
{
	const struct fuse_loop_config config = {
		.clone_fd = opts->clone_fd,
		.max_idle_threads = opts->max_idle_threads,
		.max_threads = opts->max_threads,
	};

	if (opts->singlethread)
		return fuse_session_loop(se);
	return fuse_session_loop_threads(se, &config);
}

/* No way of ending a device that is meant to end begins with the kernel. */
static void log_hang_up(const struct fuse_session *se)
{
	fuse_log(
		FUSE_LOG_ERR,
		"cuse: the kernel has given the device up: its name or its number (%u:%u) "
		"is taken, or somebody has aborted it\n",
		se->cuse->major, se->cuse->minor);
}

int cuse_lowlevel_main(int argc, char *argv[], const struct cuse_info *ci,
		       const struct cuse_lowlevel_ops *clop, void *userdata)
{
	struct fuse_cmdline_opts opts;
	struct fuse_session *se;
	bool printed;
	int result;

	se = setup(argc, argv, ci, clop, &opts, &printed, userdata);
	if (!se)
		return printed ? 0 : 1;
	result = run_loop(se, &opts);
	if (atomic_load(&se->hung_up)) {
		log_hang_up(se);
		result = -ENODEV;
	}
	cuse_lowlevel_teardown(se);
	return result < 0 ? 1 : 0;
}
