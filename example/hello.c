// SPDX-License-Identifier: GPL-2.0-only
/*
 * hello: the smallest filesystem on the high-level interface.
 *
 * Four operations on paths, and fuse_main(), which does everything else. Shows an option of the
 * program's own, too.
 *
 *     hello --contents="Good morning" MOUNTPOINT
 *     cat MOUNTPOINT/hello
 *     fusermount3 -u MOUNTPOINT
 *
 * -f keeps it in the foreground, -d shows each request and reply, -h lists all options.
 */
#define FUSE_USE_VERSION 318
#include <fuse.h>

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
	char *name;
	char *contents;
	int show_help;
} options;

static const struct fuse_opt table[] = {
	{ "--name=%s", offsetof(__typeof__(options), name), 0 },
	{ "--contents=%s", offsetof(__typeof__(options), contents), 0 },
	{ "-h", offsetof(__typeof__(options), show_help), 1 },
	{ "--help", offsetof(__typeof__(options), show_help), 1 },
	FUSE_OPT_END,
};

static int is_the_file(const char *path)
{
	return path[0] == '/' && strcmp(path + 1, options.name) == 0;
}

static void *hello_init(struct fuse_conn_info *conn, struct fuse_config *cfg)
{
	/* The contents never change, so what the kernel has cached of them stays right. */
	cfg->kernel_cache = 1;
	return NULL;
}

static int hello_getattr(const char *path, struct stat *attr, struct fuse_file_info *fi)
{
	memset(attr, 0, sizeof(*attr));
	attr->st_uid = getuid();
	attr->st_gid = getgid();
	if (strcmp(path, "/") == 0) {
		attr->st_mode = S_IFDIR | 0555;
		attr->st_nlink = 2;
		return 0;
	}
	if (!is_the_file(path))
		return -ENOENT;
	attr->st_mode = S_IFREG | 0444;
	attr->st_nlink = 1;
	attr->st_size = (off_t)strlen(options.contents);
	return 0;
}

/* Offsets of 0: the library keeps the list, and serves the kernel from it. */
static int hello_readdir(const char *path, void *buf, fuse_fill_dir_t filler, off_t off,
			 struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	if (strcmp(path, "/") != 0)
		return -ENOENT;
	filler(buf, ".", NULL, 0, FUSE_FILL_DIR_DEFAULTS);
	filler(buf, "..", NULL, 0, FUSE_FILL_DIR_DEFAULTS);
	filler(buf, options.name, NULL, 0, FUSE_FILL_DIR_DEFAULTS);
	return 0;
}

static int hello_open(const char *path, struct fuse_file_info *fi)
{
	if (!is_the_file(path))
		return -ENOENT;
	return (fi->flags & O_ACCMODE) == O_RDONLY ? 0 : -EACCES;
}

static int hello_read(const char *path, char *buf, size_t size, off_t off,
		      struct fuse_file_info *fi)
{
	size_t length = strlen(options.contents);
	size_t start = (size_t)off < length ? (size_t)off : length;

	if (!is_the_file(path))
		return -ENOENT;
	if (size > length - start)
		size = length - start;
	memcpy(buf, options.contents + start, size);
	return (int)size;
}

static const struct fuse_operations operations = {
	.init = hello_init,
	.getattr = hello_getattr,
	.readdir = hello_readdir,
	.open = hello_open,
	.read = hello_read,
};

static void print_help(const char *program)
{
	printf("usage: %s [options] MOUNTPOINT\n\n"
	       "    --name=NAME            what the file is called (hello)\n"
	       "    --contents=TEXT        what is in it\n\n",
	       program);
}

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	int status;

	/* On the heap, because the option parser frees what it replaces. */
	options.name = strdup("hello");
	options.contents = strdup("Hello World!\n");
	if (fuse_opt_parse(&args, &options, table, NULL) != 0)
		return 1;
	if (options.show_help) {
		/* The rest is for fuse_main() to say; its usage line is replaced by ours. */
		print_help(argv[0]);
		fuse_opt_add_arg(&args, "--help");
		args.argv[0][0] = '\0';
	}
	status = fuse_main(args.argc, args.argv, &operations, NULL);
	fuse_opt_free_args(&args);
	free(options.name);
	free(options.contents);
	return status;
}
