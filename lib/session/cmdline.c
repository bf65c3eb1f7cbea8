// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The command line that most filesystems have in common, and what it prints.
 */
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuse_config.h"
#include "session/cmdline.h"
#include "session/session.h"

enum key {
	KEY_MAX_IDLE_THREADS,
	KEY_MAX_THREADS,
};

#define FLAG(templ, member)                                          \
	{                                                            \
		templ, offsetof(struct fuse_cmdline_opts, member), 1 \
	}

static const struct fuse_opt table[] = {
	FLAG("-h", show_help),
	FLAG("--help", show_help),
	FLAG("-V", show_version),
	FLAG("--version", show_version),
	FLAG("-d", debug),
	FLAG("debug", debug),
	FLAG("-d", foreground),
	FLAG("debug", foreground),
	/* The session looks for these itself. */
	FUSE_OPT_KEY("-d", FUSE_OPT_KEY_KEEP),
	FUSE_OPT_KEY("debug", FUSE_OPT_KEY_KEEP),
	FLAG("-f", foreground),
	FLAG("-s", singlethread),
	FLAG("fsname=", nodefault_subtype),
	FUSE_OPT_KEY("fsname=", FUSE_OPT_KEY_KEEP),
	FLAG("subtype=", nodefault_subtype),
	FUSE_OPT_KEY("subtype=", FUSE_OPT_KEY_KEEP),
	FLAG("clone_fd", clone_fd),
	FUSE_OPT_KEY("max_idle_threads=", KEY_MAX_IDLE_THREADS),
	FUSE_OPT_KEY("max_threads=", KEY_MAX_THREADS),
	FUSE_OPT_END,
};

/* "/dev/fd/N" names a descriptor and is no path to resolve. */
static int set_mountpoint(struct fuse_cmdline_opts *opts, const char *path)
{
	if (fuse_mount_fd_from_path(path) >= 0)
		opts->mountpoint = strdup(path);
	else
		opts->mountpoint = realpath(path, NULL);
	if (opts->mountpoint)
		return 0;
	fuse_log(FUSE_LOG_ERR, "fuse: bad mount point '%s': %s\n", path, strerror(errno));
	return -1;
}

static int take_option(void *data, const char *arg, int key, struct fuse_args *rest)
{
	struct fuse_cmdline_opts *opts = data;
	const char *value = strchr(arg, '=');

	(void)rest;
	switch (key) {
	case FUSE_OPT_KEY_NONOPT:
		if (!opts->mountpoint)
			return set_mountpoint(opts, arg);
		fuse_log(FUSE_LOG_ERR,
			 "fuse: invalid argument '%s': there is a mount point\n", arg);
		return -1;
	case KEY_MAX_IDLE_THREADS:
		/* -1 is how programs and users have always written "no limit". */
		if (!strcmp(value + 1, "-1")) {
			opts->max_idle_threads = FUSE_DEFAULT_MAX_IDLE_THREADS;
			return 0;
		}
		return fuse_option_number("max_idle_threads", value + 1, 0, UINT_MAX,
					  &opts->max_idle_threads);
	case KEY_MAX_THREADS:
		return fuse_option_number("max_threads", value + 1, 1, INT_MAX,
					  &opts->max_threads);
	default:
		return 1;
	}
}

/* The name of the program, so that mount tables tell what is mounted. */
static int add_subtype(struct fuse_args *args)
{
	const char *program = args->argv[0];
	const char *slash = strrchr(program, '/');
	char *list = NULL;
	char *option = NULL;
	int result = -1;

	if (slash)
		program = slash + 1;
	if (!*program)
		return 0;
	if (asprintf(&option, "subtype=%s", program) < 0)
		return -1;
	if (fuse_opt_add_opt_escaped(&list, option) == 0 &&
	    fuse_opt_insert_arg(args, 1, "-o") == 0)
		result = fuse_opt_insert_arg(args, 2, list);
	free(option);
	free(list);
	return result;
}

int fuse_cmdline_parse(struct fuse_args *args, struct fuse_cmdline_opts *opts)
{
	memset(opts, 0, sizeof(*opts));
	opts->max_idle_threads = FUSE_DEFAULT_MAX_IDLE_THREADS;
	opts->max_threads = FUSE_DEFAULT_MAX_THREADS;

	if (fuse_opt_parse(args, opts, table, take_option) == 0 &&
	    (opts->nodefault_subtype || args->argc == 0 || add_subtype(args) == 0))
		return 0;
	free(opts->mountpoint);
	opts->mountpoint = NULL;
	return -1;
}

void fuse_cmdline_help(void)
{
	printf("    -h   --help            show this text\n"
	       "    -V   --version         show versions\n"
	       "    -d   -o debug          log every request; implies -f\n"
	       "    -f                     stay in the foreground\n"
	       "    -s                     carry out one request at a time\n"
	       "    -o clone_fd            give every thread a descriptor of its own\n"
	       "    -o max_threads=N       most threads for requests (%u)\n"
	       "    -o max_idle_threads=N  end threads when more than N are idle (-1: none)\n",
	       FUSE_DEFAULT_MAX_THREADS);
}

void fuse_lowlevel_help(void)
{
	fuse_mount_options_help();
	fuse_session_options_help();
}

void fuse_lowlevel_version(void)
{
	printf("using FUSE kernel interface version %d.%d\n", FUSE_KERNEL_VERSION,
	       FUSE_KERNEL_MINOR_VERSION);
	fflush(stdout);
	fuse_mount_version();
}

int fuse_version(void)
{
	return FUSE_VERSION;
}

const char *fuse_pkgversion(void)
{
	return PACKAGE_VERSION;
}
