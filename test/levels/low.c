// SPDX-License-Identifier: GPL-2.0-only
/*
 * A filesystem on the low-level interface, at the version FUSE_USE_VERSION, with all that differs
 * between versions; with a descriptor and functions of its own (CUSTOM_IO) or the library's.
 *
 * TABLE_SIZE: how much there is of the operations. FORMER: see former.h.
 */
#define _GNU_SOURCE
#include <fuse_lowlevel.h>

#include "level.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/uio.h>

#ifdef FORMER
#include "former.h"
#endif

#ifndef TABLE_SIZE
#define TABLE_SIZE sizeof(struct fuse_lowlevel_ops)
#endif

/* What no function may write to that knows no max_threads. */
#define UNTOUCHED 12345

static void look_up(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e;

	(void)parent;
	memset(&e, 0, sizeof(e));
	if (strcmp(name, "file") != 0) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	e.ino = 2;
	fill_attr(&e.attr, 0);
	fuse_reply_entry(req, &e);
}

static void get_attr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr;

	(void)fi;
	fill_attr(&attr, ino == FUSE_ROOT_ID);
	fuse_reply_attr(req, &attr, 1.0);
}

static void read_dir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	struct stat attr;
	char buf[256];
	size_t used;

	(void)ino;
	(void)fi;
	fill_attr(&attr, 0);
	used = fuse_add_direntry(req, buf, sizeof(buf), "file", &attr, 1);
	fuse_reply_buf(req, buf, off == 0 && used <= size ? used : 0);
}

static void read_file(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		      struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_buf(req, TEXT + off, part_of_text(size, off));
}

static void control(fuse_req_t req, fuse_ino_t ino, control_number cmd, void *arg,
		    struct fuse_file_info *fi, unsigned int flags, const void *in_buf,
		    size_t in_bufsz, size_t out_bufsz)
{
	int number;

	(void)ino;
	(void)arg;
	(void)fi;
	(void)flags;
	if (cmd != (control_number)PLUS_ONE || in_bufsz != sizeof(number) ||
	    out_bufsz != sizeof(number)) {
		fuse_reply_err(req, ENOTTY);
		return;
	}
	memcpy(&number, in_buf, sizeof(number));
	number++;
	fuse_reply_ioctl(req, 0, &number, sizeof(number));
}

static void seek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
		 struct fuse_file_info *fi)
{
	(void)ino;
	(void)whence;
	(void)fi;
	fuse_reply_lseek(req, off < DATA_AT ? DATA_AT : off);
}

static const struct fuse_lowlevel_ops operations = {
	.lookup = look_up,
	.getattr = get_attr,
	.readdir = read_dir,
	.read = read_file,
	.ioctl = control,
	.lseek = seek,
};

static int run_loop(struct fuse_session *se, const struct fuse_cmdline_opts *opts)
{
	if (opts->singlethread)
		return fuse_session_loop(se);
#if FUSE_USE_VERSION < 32
	return fuse_session_loop_mt(se, opts->clone_fd);
#elif FUSE_USE_VERSION < 312
	struct fuse_loop_config config = {
		.clone_fd = opts->clone_fd,
		.max_idle_threads = opts->max_idle_threads,
	};

	return fuse_session_loop_mt(se, &config);
#else
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int result;

	fuse_loop_cfg_set_clone_fd(config, (unsigned int)opts->clone_fd);
	fuse_loop_cfg_set_max_threads(config, opts->max_threads);
	result = fuse_session_loop_mt(se, config);
	fuse_loop_cfg_destroy(config);
	return result;
#endif
}

#ifdef CUSTOM_IO
static ssize_t receive(int fd, void *buf, size_t size, void *userdata)
{
	(void)userdata;
	return read(fd, buf, size);
}

static ssize_t send_reply(int fd, struct iovec *iov, int count, void *userdata)
{
	(void)userdata;
	return writev(fd, iov, count);
}

/* Behind what versions before 3.17 have: not theirs, and not to be called. */
#if FUSE_USE_VERSION < 317
static int not_a_function_of_ours(int fd)
{
	(void)fd;
	abort();
}
#endif

static const struct fuse_custom_io functions = {
	.writev = send_reply,
	.read = receive,
#if FUSE_USE_VERSION < 317
	.clone_fd = not_a_function_of_ours,
#endif
};

static int attach(struct fuse_session *se, const char *point)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	char options[80];

	if (fd < 0)
		return -1;
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd);
	if (mount("level", point, "fuse.level", MS_NODEV | MS_NOSUID, options) != 0)
		return -1;
#if FUSE_USE_VERSION < 317
	return fuse_session_custom_io(se, &functions, fd);
#else
	return fuse_session_custom_io(se, &functions, sizeof(functions), fd);
#endif
}

static void detach(struct fuse_session *se, const char *point)
{
	(void)se;
	umount2(point, MNT_DETACH);
}
#else
#define attach		  fuse_session_mount
#define detach(se, point) fuse_session_unmount(se)
#endif

static int serve(struct fuse_args *args, const struct fuse_cmdline_opts *opts)
{
	const void *table = table_of_size(&operations, sizeof(operations), TABLE_SIZE);
	struct fuse_session *se = fuse_session_new(
		args, (const struct fuse_lowlevel_ops *)table, TABLE_SIZE, NULL);
	int result = -1;

	if (!se)
		return -1;
	if (attach(se, opts->mountpoint) == 0) {
		fuse_set_signal_handlers(se);
		result = run_loop(se, opts);
		fuse_remove_signal_handlers(se);
		detach(se, opts->mountpoint);
	}
	fuse_session_destroy(se);
	return result;
}

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct fuse_cmdline_opts opts = { .max_threads = UNTOUCHED };
	int result;

	if (fuse_parse_cmdline(&args, &opts) != 0)
		return 1;
#ifdef FORMER
	if (opts.max_threads != UNTOUCHED)
		return 2;
#endif
	result = serve(&args, &opts);
	free(opts.mountpoint);
	fuse_opt_free_args(&args);
	/* A signal, and an error. */
	return result > 0 ? 4 : result < 0 ? 3 : 0;
}
