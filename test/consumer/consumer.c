// SPDX-License-Identifier: GPL-2.0-only
/*
 * A filesystem as its author would write it who knows nothing of this library's sources: with
 * pedantic warnings, and nothing defined but the version of the interface.
 */
#define FUSE_USE_VERSION 317
#include <fuse_lowlevel.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT "from outside\n"

static struct stat attr_of(fuse_ino_t ino)
{
	struct stat attr;

	memset(&attr, 0, sizeof(attr));
	attr.st_ino = ino;
	attr.st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0444;
	attr.st_nlink = 1;
	attr.st_size = ino == FUSE_ROOT_ID ? 0 : (off_t)strlen(TEXT);
	return attr;
}

static void lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e;

	(void)parent;
	memset(&e, 0, sizeof(e));
	e.ino = strcmp(name, "file") == 0 ? 2 : 0;
	e.attr = attr_of(2);
	fuse_reply_entry(req, &e);
}

static void getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr = attr_of(ino);

	(void)fi;
	fuse_reply_attr(req, &attr, 1.0);
}

static void read_file(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		      struct fuse_file_info *fi)
{
	size_t length = strlen(TEXT), start = (size_t)off < length ? (size_t)off : length;

	(void)ino;
	(void)fi;
	fuse_reply_buf(req, TEXT + start, size < length - start ? size : length - start);
}

static const struct fuse_lowlevel_ops operations = {
	.lookup = lookup,
	.getattr = getattr,
	.read = read_file,
};

static int serve(struct fuse_args *args, const char *mountpoint)
{
	struct fuse_session *session =
		fuse_session_new(args, &operations, sizeof(operations), NULL);
	int result = 1;

	if (!session)
		return 1;
	if (fuse_set_signal_handlers(session) == 0 &&
	    fuse_session_mount(session, mountpoint) == 0) {
		result = fuse_session_loop(session) < 0;
		fuse_session_unmount(session);
		fuse_remove_signal_handlers(session);
	}
	fuse_session_destroy(session);
	return result;
}

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct fuse_cmdline_opts opts;
	int result = 0;

	if (fuse_parse_cmdline(&args, &opts) != 0)
		return 1;
	if (opts.show_version)
		printf("%s\n", fuse_pkgversion());
	else if (opts.mountpoint)
		result = serve(&args, opts.mountpoint);
	free(opts.mountpoint);
	fuse_opt_free_args(&args);
	return result;
}
