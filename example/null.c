// SPDX-License-Identifier: GPL-2.0-only
/*
 * null: a file that takes everything and gives zeros.
 *
 * The mount point is a file, not a directory: the filesystem has nothing but its root. For
 * measuring what a request costs, since its operations do next to nothing.
 *
 *     touch FILE; null FILE
 *     dd if=/dev/zero of=FILE bs=1M count=1000 conv=nocreat,notrunc oflag=direct
 *     dd if=FILE of=/dev/null bs=1M count=1000
 *     fusermount3 -u FILE
 */
#define FUSE_USE_VERSION 318
#include <fuse.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Large enough for anybody to read. */
#define SIZE ((off_t)1 << 40)

static int null_getattr(const char *path, struct stat *attr, struct fuse_file_info *fi)
{
	if (strcmp(path, "/") != 0)
		return -ENOENT;
	memset(attr, 0, sizeof(*attr));
	attr->st_mode = S_IFREG | 0644;
	attr->st_nlink = 1;
	attr->st_uid = getuid();
	attr->st_gid = getgid();
	attr->st_size = SIZE;
	attr->st_atime = attr->st_mtime = attr->st_ctime = time(NULL);
	return 0;
}

static int null_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	return strcmp(path, "/") == 0 ? 0 : -ENOENT;
}

static int null_open(const char *path, struct fuse_file_info *fi)
{
	return strcmp(path, "/") == 0 ? 0 : -ENOENT;
}

static int null_read(const char *path, char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	if (off >= SIZE)
		return 0;
	if ((off_t)size > SIZE - off)
		size = (size_t)(SIZE - off);
	memset(buf, 0, size);
	return (int)size;
}

static int null_write(const char *path, const char *buf, size_t size, off_t off,
		      struct fuse_file_info *fi)
{
	return (int)size;
}

static const struct fuse_operations operations = {
	.getattr = null_getattr,
	.truncate = null_truncate,
	.open = null_open,
	.read = null_read,
	.write = null_write,
};

int main(int argc, char **argv)
{
	return fuse_main(argc, argv, &operations, NULL);
}
