// SPDX-License-Identifier: GPL-2.0-only
/*
 * A filesystem on the path-based interface, at the version FUSE_USE_VERSION: with fuse_main(), or
 * with what that is made of (BY_HAND), and with all that differs between versions.
 *
 * TABLE_SIZE: how much there is of the operations. FORMER: see former.h.
 */
#include <fuse.h>
#include <fuse_lowlevel.h>

#include "level.h"

#include <errno.h>
#include <stdio.h>

#ifdef FORMER
#include "former.h"
#endif

#ifndef TABLE_SIZE
#define TABLE_SIZE sizeof(struct fuse_operations)
#endif

/* What no function may write to that knows no max_threads. */
#define UNTOUCHED 12345

static int get_attr(const char *path, struct stat *attr, struct fuse_file_info *fi)
{
	(void)fi;
	if (strcmp(path, "/") != 0 && strcmp(path, "/file") != 0)
		return -ENOENT;
	fill_attr(attr, path[1] == '\0');
	return 0;
}

static int read_dir(const char *path, void *buf, fuse_fill_dir_t fill, off_t off,
		    struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	(void)path;
	(void)off;
	(void)fi;
	(void)flags;
	fill(buf, ".", NULL, 0, 0);
	fill(buf, "..", NULL, 0, 0);
	fill(buf, "file", NULL, 0, 0);
	return 0;
}

static int read_file(const char *path, char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	size_t count = part_of_text(size, off);

	(void)path;
	(void)fi;
	memcpy(buf, TEXT + off, count);
	return (int)count;
}

static int control(const char *path, control_number cmd, void *arg,
		   struct fuse_file_info *fi, unsigned int flags, void *data)
{
	(void)path;
	(void)arg;
	(void)fi;
	(void)flags;
	if (cmd != (control_number)PLUS_ONE)
		return -ENOTTY;
	++*(int *)data;
	return 0;
}

static off_t seek(const char *path, off_t off, int whence, struct fuse_file_info *fi)
{
	(void)path;
	(void)whence;
	(void)fi;
	return off < DATA_AT ? DATA_AT : off;
}

static const struct fuse_operations operations = {
	.getattr = get_attr,
	.readdir = read_dir,
	.read = read_file,
	.ioctl = control,
	.lseek = seek,
};

#ifdef BY_HAND
static int run_loop(struct fuse *f, const struct fuse_cmdline_opts *opts)
{
	if (opts->singlethread)
		return fuse_loop(f);
#if FUSE_USE_VERSION < 32
	return fuse_loop_mt(f, opts->clone_fd);
#elif FUSE_USE_VERSION < 312
	struct fuse_loop_config config = {
		.clone_fd = opts->clone_fd,
		.max_idle_threads = opts->max_idle_threads,
	};

	return fuse_loop_mt(f, &config);
#else
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int result;

	fuse_loop_cfg_set_clone_fd(config, (unsigned int)opts->clone_fd);
	fuse_loop_cfg_set_max_threads(config, opts->max_threads);
	result = fuse_loop_mt(f, config);
	fuse_loop_cfg_destroy(config);
	return result;
#endif
}

static int serve(struct fuse_args *args, const struct fuse_cmdline_opts *opts,
		 const struct fuse_operations *table)
{
	struct fuse *f;
	int result = -1;

	/* Version 3.0 of fuse_new() helps by itself; to others the option is unknown. */
	if (opts->show_help)
		fuse_opt_add_arg(args, "--help");
	f = fuse_new(args, table, TABLE_SIZE, NULL);
	if (!f)
		return -1;
	if (fuse_mount(f, opts->mountpoint) == 0) {
		fuse_set_signal_handlers(fuse_get_session(f));
		result = run_loop(f, opts);
		fuse_remove_signal_handlers(fuse_get_session(f));
		fuse_unmount(f);
	}
	fuse_destroy(f);
	return result;
}

int main(int argc, char **argv)
{
	const void *table = table_of_size(&operations, sizeof(operations), TABLE_SIZE);
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct fuse_cmdline_opts opts = { .max_threads = UNTOUCHED };
	int result;

	if (fuse_parse_cmdline(&args, &opts) != 0)
		return 1;
#ifdef FORMER
	if (opts.max_threads != UNTOUCHED)
		return 2;
#endif
	result = serve(&args, &opts, table);
	free(opts.mountpoint);
	fuse_opt_free_args(&args);
	/* A signal, and an error. */
	return result > 0 ? 4 : result < 0 ? 3 : 0;
}
#else
int main(int argc, char **argv)
{
	const void *table = table_of_size(&operations, sizeof(operations), TABLE_SIZE);

	if (TABLE_SIZE == sizeof(operations))
		return fuse_main(argc, argv, (const struct fuse_operations *)table, NULL);
	return fuse_main_real(argc, argv, table, TABLE_SIZE, NULL);
}
#endif
