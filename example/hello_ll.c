// SPDX-License-Identifier: GPL-2.0-only
/*
 * hello_ll: the smallest filesystem on the low-level interface.
 *
 * Shows what no filesystem can do without: what a name stands for (lookup), what there is to
 * know about it (getattr), which names there are (readdir) and what a file contains (read);
 * and how a session is made, mounted, run and ended.
 *
 *     hello_ll MOUNTPOINT
 *     cat MOUNTPOINT/hello
 *     fusermount3 -u MOUNTPOINT
 *
 * -f keeps it in the foreground, -d shows each request and reply, -h lists all options.
 */
#define FUSE_USE_VERSION 318
#include <fuse_lowlevel.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char file_name[] = "hello";
static const char file_text[] = "Hello World!\n";

/* The root's number is given; the file's is ours to choose. */
#define FILE_INO 2

/* Nothing ever changes here, so the kernel may remember all it is told for a day. */
#define TIMEOUT 86400.0

static struct stat attr_of(fuse_ino_t ino)
{
	struct stat attr = { .st_ino = ino, .st_uid = getuid(), .st_gid = getgid() };

	if (ino == FUSE_ROOT_ID) {
		attr.st_mode = S_IFDIR | 0555;
		attr.st_nlink = 2;
	} else {
		attr.st_mode = S_IFREG | 0444;
		attr.st_nlink = 1;
		attr.st_size = sizeof(file_text) - 1;
	}
	return attr;
}

static void hello_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = {
		.ino = FILE_INO,
		.attr = attr_of(FILE_INO),
		.attr_timeout = TIMEOUT,
		.entry_timeout = TIMEOUT,
	};

	if (parent == FUSE_ROOT_ID && strcmp(name, file_name) == 0)
		fuse_reply_entry(req, &e);
	else
		fuse_reply_err(req, ENOENT);
}

static void hello_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr = attr_of(ino);

	fuse_reply_attr(req, &attr, TIMEOUT);
}

/*
 * The offset of an entry is whatever finds the next one again: here its place in the list,
 * counted from 1.
 */
static void hello_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			  struct fuse_file_info *fi)
{
	static const struct {
		const char *name;
		fuse_ino_t ino;
	} list[] = { { ".", FUSE_ROOT_ID },
		     { "..", FUSE_ROOT_ID },
		     { file_name, FILE_INO } };
	char buffer[512];
	size_t used = 0, room = size < sizeof(buffer) ? size : sizeof(buffer);

	for (size_t i = (size_t)off; i < sizeof(list) / sizeof(list[0]); i++) {
		struct stat attr = attr_of(list[i].ino);
		size_t need = fuse_add_direntry(req, buffer + used, room - used,
						list[i].name, &attr, (off_t)i + 1);

		if (need > room - used)
			break;
		used += need;
	}
	fuse_reply_buf(req, buffer, used);
}

static void hello_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if ((fi->flags & O_ACCMODE) != O_RDONLY) {
		fuse_reply_err(req, EACCES);
		return;
	}
	fi->keep_cache = 1;
	fuse_reply_open(req, fi);
}

static void hello_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	size_t length = sizeof(file_text) - 1;
	size_t start = (size_t)off < length ? (size_t)off : length;

	fuse_reply_buf(req, file_text + start,
		       size < length - start ? size : length - start);
}

static const struct fuse_lowlevel_ops operations = {
	.lookup = hello_lookup,
	.getattr = hello_getattr,
	.readdir = hello_readdir,
	.open = hello_open,
	.read = hello_read,
};

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

/* What is done is undone in the opposite order. Returns whether all went well. */
static int serve(struct fuse_args *args, const struct fuse_cmdline_opts *opts)
{
	struct fuse_session *session =
		fuse_session_new(args, &operations, sizeof(operations), NULL);
	int good = 0;

	if (!session)
		return 0;
	if (fuse_set_signal_handlers(session) == 0) {
		if (fuse_session_mount(session, opts->mountpoint) == 0) {
			good = fuse_daemonize(opts->foreground) == 0 &&
			       run_loop(session, opts) >= 0;
			fuse_session_unmount(session);
		}
		fuse_remove_signal_handlers(session);
	}
	fuse_session_destroy(session);
	return good;
}

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct fuse_cmdline_opts opts;
	int good = 0;

	if (fuse_parse_cmdline(&args, &opts) != 0)
		return 1;
	if (opts.show_help) {
		printf("usage: %s [options] MOUNTPOINT\n\n", argv[0]);
		fuse_cmdline_help();
		fuse_lowlevel_help();
		good = 1;
	} else if (opts.show_version) {
		printf("FUSE library version %s\n", fuse_pkgversion());
		fuse_lowlevel_version();
		good = 1;
	} else if (!opts.mountpoint) {
		fprintf(stderr, "%s: MOUNTPOINT is missing, try --help\n", argv[0]);
	} else {
		good = serve(&args, &opts);
	}
	free(opts.mountpoint);
	fuse_opt_free_args(&args);
	return good ? 0 : 1;
}
