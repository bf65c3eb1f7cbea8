// SPDX-License-Identifier: GPL-2.0-only
/*
 * null_ll: a file that takes everything and gives zeros.
 *
 * What remains of a filesystem when there is no data: good for measuring what the way
 * between kernel and filesystem costs. Shows that a filesystem need not be a directory, and
 * how a reply is put right where it leaves from when requests come over io_uring.
 *
 *     touch FILE; null_ll FILE              FILE is the sink
 *     mkdir DIR; null_ll DIR                DIR/null is
 *     dd if=/dev/zero of=FILE bs=1M count=10000
 *     fusermount3 -u FILE
 *
 * The page cache is left out, so that each read(2) and write(2) is a request.
 */
#include "serve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SINK_NAME "null"
#define SINK_SIZE (INT64_C(1) << 40)
#define TIMEOUT	  86400.0

/* The root, if that is a file. */
static fuse_ino_t sink = 2;

static struct stat attr_of(fuse_ino_t ino)
{
	struct stat attr = {
		.st_ino = ino,
		.st_uid = getuid(),
		.st_gid = getgid(),
		.st_mode = ino == sink ? S_IFREG | 0644 : S_IFDIR | 0755,
		.st_nlink = ino == sink ? 1 : 2,
		.st_size = ino == sink ? SINK_SIZE : 0,
	};

	return attr;
}

static void null_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = {
		.ino = sink,
		.attr = attr_of(sink),
		.attr_timeout = TIMEOUT,
		.entry_timeout = TIMEOUT,
	};

	if (parent != sink && strcmp(name, SINK_NAME) == 0)
		fuse_reply_entry(req, &e);
	else
		fuse_reply_err(req, ENOENT);
}

static void null_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr = attr_of(ino);

	fuse_reply_attr(req, &attr, TIMEOUT);
}

/* open(2) with O_TRUNC and touch(1) shall work; there is nothing to change. */
static void null_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
			 struct fuse_file_info *fi)
{
	null_getattr(req, ino, fi);
}

static void null_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			 struct fuse_file_info *fi)
{
	struct stat attr = attr_of(sink);
	char buffer[64];
	size_t used = 0;

	if (off == 0)
		used = fuse_add_direntry(req, buffer, sizeof(buffer), SINK_NAME, &attr,
					 1);
	fuse_reply_buf(req, buffer, used);
}

static void null_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fi->direct_io = 1;
	fi->parallel_direct_writes = 1;
	fuse_reply_open(req, fi);
}

static void null_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		      struct fuse_file_info *fi)
{
	static const char zeros[1 << 20];
	size_t room;
	char *place;

	if (size > sizeof(zeros))
		size = sizeof(zeros);
	if (fuse_req_get_payload(req, &place, &room, NULL) == 0 && size <= room) {
		memset(place, 0, size);
		fuse_reply_buf(req, place, size);
	} else {
		fuse_reply_buf(req, zeros, size);
	}
}

/* With write_buf(), data that arrives in a pipe need not even be read. */
static void null_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *bufv,
			   off_t off, struct fuse_file_info *fi)
{
	fuse_reply_write(req, fuse_buf_size(bufv));
}

static void null_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
			   off_t length, struct fuse_file_info *fi)
{
	fuse_reply_err(req, 0);
}

static const struct fuse_lowlevel_ops operations = {
	.lookup = null_lookup,
	.getattr = null_getattr,
	.setattr = null_setattr,
	.readdir = null_readdir,
	.open = null_open,
	.read = null_read,
	.write_buf = null_write_buf,
	.fallocate = null_fallocate,
};

int main(int argc, char **argv)
{
	static const struct program program = { .operations = &operations };
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct fuse_cmdline_opts opts;
	struct stat attr;
	int status = 1;

	if (fuse_parse_cmdline(&args, &opts) != 0)
		return 1;
	if (opts.show_help) {
		printf("usage: %s [options] FILE|DIRECTORY\n\n", argv[0]);
		fuse_cmdline_help();
		fuse_lowlevel_help();
		status = 0;
		goto out;
	}
	if (opts.show_version) {
		fuse_lowlevel_version();
		status = 0;
		goto out;
	}
	if (!opts.mountpoint) {
		fprintf(stderr, "%s: FILE or DIRECTORY is missing, try --help\n",
			argv[0]);
		goto out;
	}
	if (stat(opts.mountpoint, &attr) == 0 && S_ISREG(attr.st_mode))
		sink = FUSE_ROOT_ID;

	status = serve_session(&args, &program, &opts) ? 0 : 1;
out:
	free(opts.mountpoint);
	fuse_opt_free_args(&args);
	return status;
}
