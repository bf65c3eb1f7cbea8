// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioctl: a file whose size can be asked for and set by ioctl(2).
 *
 *     ioctl MOUNTPOINT
 *     ioctl_client MOUNTPOINT/fioc              prints the size
 *     ioctl_client MOUNTPOINT/fioc 1000         sets it
 *     ls -l MOUNTPOINT/fioc
 *     fusermount3 -u MOUNTPOINT
 */
#define FUSE_USE_VERSION 318
#include <fuse.h>

#include "ioctl.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char file_path[] = "/fioc";

/* All there is in the file, and the lock for it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *contents;
static size_t contents_size;

/* With the lock held. What a file grows by is zeros. */
static int resize(size_t size)
{
	char *larger = realloc(contents, size ? size : 1);

	if (!larger)
		return -ENOMEM;
	if (size > contents_size)
		memset(larger + contents_size, 0, size - contents_size);
	contents = larger;
	contents_size = size;
	return 0;
}

static int set_size(size_t size)
{
	int error;

	pthread_mutex_lock(&lock);
	error = resize(size);
	pthread_mutex_unlock(&lock);
	return error;
}

static int fioc_getattr(const char *path, struct stat *attr, struct fuse_file_info *fi)
{
	memset(attr, 0, sizeof(*attr));
	attr->st_uid = getuid();
	attr->st_gid = getgid();
	if (strcmp(path, "/") == 0) {
		attr->st_mode = S_IFDIR | 0755;
		attr->st_nlink = 2;
		return 0;
	}
	if (strcmp(path, file_path) != 0)
		return -ENOENT;
	attr->st_mode = S_IFREG | 0644;
	attr->st_nlink = 1;
	pthread_mutex_lock(&lock);
	attr->st_size = (off_t)contents_size;
	pthread_mutex_unlock(&lock);
	return 0;
}

static int fioc_readdir(const char *path, void *buf, fuse_fill_dir_t filler, off_t off,
			struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	filler(buf, ".", NULL, 0, FUSE_FILL_DIR_DEFAULTS);
	filler(buf, "..", NULL, 0, FUSE_FILL_DIR_DEFAULTS);
	filler(buf, file_path + 1, NULL, 0, FUSE_FILL_DIR_DEFAULTS);
	return 0;
}

static int fioc_read(const char *path, char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	size_t left;

	pthread_mutex_lock(&lock);
	left = off < (off_t)contents_size ? contents_size - (size_t)off : 0;
	if (size > left)
		size = left;
	if (size)
		memcpy(buf, contents + off, size);
	pthread_mutex_unlock(&lock);
	return (int)size;
}

static int fioc_write(const char *path, const char *buf, size_t size, off_t off,
		      struct fuse_file_info *fi)
{
	size_t end;
	int error = 0;

	if (__builtin_add_overflow(off, size, &end))
		return -EFBIG;
	pthread_mutex_lock(&lock);
	if (end > contents_size)
		error = resize(end);
	if (!error)
		memcpy(contents + off, buf, size);
	pthread_mutex_unlock(&lock);
	return error ? error : (int)size;
}

static int fioc_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	return (off_t)(size_t)size == size ? set_size((size_t)size) : -EFBIG;
}

/* data is as large as the number says, whichever way it goes. */
static int fioc_ioctl(const char *path, unsigned int cmd, void *arg,
		      struct fuse_file_info *fi, unsigned int flags, void *data)
{
	if (flags & FUSE_IOCTL_COMPAT)
		return -ENOSYS; /* a size_t of 32 bits */
	switch (cmd) {
	case FIOC_GET_SIZE:
		pthread_mutex_lock(&lock);
		memcpy(data, &contents_size, sizeof(contents_size));
		pthread_mutex_unlock(&lock);
		return 0;
	case FIOC_SET_SIZE: {
		size_t size;

		memcpy(&size, data, sizeof(size));
		return set_size(size);
	}
	default:
		return -ENOTTY;
	}
}

static const struct fuse_operations operations = {
	.getattr = fioc_getattr,
	.readdir = fioc_readdir,
	.read = fioc_read,
	.write = fioc_write,
	.truncate = fioc_truncate,
	.ioctl = fioc_ioctl,
};

int main(int argc, char **argv)
{
	int status = fuse_main(argc, argv, &operations, NULL);

	free(contents);
	return status;
}
