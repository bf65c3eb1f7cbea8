// SPDX-License-Identifier: GPL-2.0-only
/*
 * passthrough_fh: as passthrough, with handles.
 *
 * Whoever has a file or directory open is served by its descriptor, and no path is needed, which
 * nullpath_ok says to the library. Data go by buffer vectors, from
 * descriptor to kernel without a copy where that can be; with -o io_uring_zero_copy, on to the
 * client's memory.
 *
 *     passthrough_fh MOUNTPOINT -o modules=subdir,subdir=DIRECTORY
 *     dd if=MOUNTPOINT/FILE of=/dev/null bs=1M
 *     fusermount3 -u MOUNTPOINT
 */
#define FUSE_USE_VERSION 318
#include <fuse.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

static int result(int res)
{
	return res < 0 ? -errno : res;
}

static void *fh_init(struct fuse_conn_info *conn, struct fuse_config *cfg)
{
	cfg->use_ino = 1;
	cfg->nullpath_ok = 1;
	cfg->parallel_direct_writes = 1;
	/* Others may change the files without our knowing. */
	cfg->entry_timeout = 0;
	cfg->attr_timeout = 0;
	cfg->negative_timeout = 0;
	/* fh_write_buf() hands what it is given to fuse_buf_copy(), so it need not be in memory. */
	fuse_set_feature_flag(conn, FUSE_CAP_ZERO_COPY_WRITE);
	return NULL;
}

static int fd_of(const struct fuse_file_info *fi)
{
	return (int)fi->fh;
}

/* ---- Attributes ---- */

/* An open directory has another kind of handle: it is never asked for attributes by that. */
static int fh_getattr(const char *path, struct stat *attr, struct fuse_file_info *fi)
{
	return result(fi ? fstat(fd_of(fi), attr) : lstat(path, attr));
}

static int fh_statx(const char *path, int flags, int mask, struct statx *stx,
		    struct fuse_file_info *fi)
{
	int fd = fi ? fd_of(fi) : AT_FDCWD;

	flags |= fi ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW;
	return result(statx(fd, fi ? "" : path, flags, (unsigned)mask, stx));
}

static int fh_access(const char *path, int mask)
{
	return result(faccessat(AT_FDCWD, path, mask, AT_SYMLINK_NOFOLLOW));
}

static int fh_readlink(const char *path, char *buf, size_t size)
{
	ssize_t length = readlink(path, buf, size - 1);

	if (length < 0)
		return -errno;
	buf[length] = '\0';
	return 0;
}

static int fh_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	return result(fi ? fchmod(fd_of(fi), mode) : chmod(path, mode));
}

static int fh_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi)
{
	return result(fi ? fchown(fd_of(fi), uid, gid) : lchown(path, uid, gid));
}

static int fh_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	return result(fi ? ftruncate(fd_of(fi), size) : truncate(path, size));
}

static int fh_utimens(const char *path, const struct timespec tv[2],
		      struct fuse_file_info *fi)
{
	if (fi)
		return result(futimens(fd_of(fi), tv));
	return result(utimensat(AT_FDCWD, path, tv, AT_SYMLINK_NOFOLLOW));
}

static int fh_statfs(const char *path, struct statvfs *figures)
{
	return result(statvfs(path, figures));
}

static int fh_setxattr(const char *path, const char *name, const char *value, size_t size,
		       int flags)
{
	return result(lsetxattr(path, name, value, size, flags));
}

static int fh_getxattr(const char *path, const char *name, char *value, size_t size)
{
	return result((int)lgetxattr(path, name, value, size));
}

static int fh_listxattr(const char *path, char *list, size_t size)
{
	return result((int)llistxattr(path, list, size));
}

static int fh_removexattr(const char *path, const char *name)
{
	return result(lremovexattr(path, name));
}

/* ---- Names ---- */

/* What we make is ours; it shall belong to whoever asked for it. */
static int give_to_caller(const char *path)
{
	const struct fuse_context *context = fuse_get_context();

	if (geteuid() != 0 || context->uid == 0)
		return 0;
	return result(lchown(path, context->uid, context->gid));
}

static int made(int res, const char *path)
{
	return res < 0 ? -errno : give_to_caller(path);
}

static int fh_mknod(const char *path, mode_t mode, dev_t rdev)
{
	return made(mknod(path, mode, rdev), path);
}

static int fh_mkdir(const char *path, mode_t mode)
{
	return made(mkdir(path, mode), path);
}

static int fh_symlink(const char *target, const char *path)
{
	return made(symlink(target, path), path);
}

static int fh_link(const char *from, const char *to)
{
	return result(link(from, to));
}

static int fh_unlink(const char *path)
{
	return result(unlink(path));
}

static int fh_rmdir(const char *path)
{
	return result(rmdir(path));
}

static int fh_rename(const char *from, const char *to, unsigned int flags)
{
	return result(renameat2(AT_FDCWD, from, AT_FDCWD, to, flags));
}

/* ---- Directories ---- */

/* An entry that did not fit is kept for the next time. */
struct directory {
	DIR *dir;
	struct dirent *entry;
	off_t off; /* behind the entry before that */
};

static struct directory *directory_of(const struct fuse_file_info *fi)
{
	return (struct directory *)(uintptr_t)fi->fh;
}

static int fh_opendir(const char *path, struct fuse_file_info *fi)
{
	struct directory *directory = calloc(1, sizeof(*directory));
	int error;

	if (!directory)
		return -ENOMEM;
	directory->dir = opendir(path);
	if (!directory->dir) {
		error = -errno;
		free(directory);
		return error;
	}
	fi->fh = (uintptr_t)directory;
	return 0;
}

/* The kernel goes on where it stopped, or somewhere else, if the caller uses seekdir(3). */
static void go_to(struct directory *directory, off_t off)
{
	if (off == directory->off)
		return;
	if (off == 0)
		rewinddir(directory->dir);
	else
		seekdir(directory->dir, off);
	directory->entry = NULL;
	directory->off = off;
}

static int fh_readdir(const char *path, void *buf, fuse_fill_dir_t filler, off_t off,
		      struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	struct directory *directory = directory_of(fi);

	go_to(directory, off);
	for (;;) {
		struct stat attr = { 0 };
		bool plus = false;

		if (!directory->entry) {
			errno = 0;
			directory->entry = readdir(directory->dir);
		}
		if (!directory->entry)
			return -errno;
		if (flags & FUSE_READDIR_PLUS)
			plus = fstatat(dirfd(directory->dir), directory->entry->d_name,
				       &attr, AT_SYMLINK_NOFOLLOW) == 0;
		if (!plus) {
			attr.st_ino = directory->entry->d_ino;
			attr.st_mode = DTTOIF(directory->entry->d_type);
		}
		if (filler(buf, directory->entry->d_name, &attr, directory->entry->d_off,
			   plus ? FUSE_FILL_DIR_PLUS : FUSE_FILL_DIR_DEFAULTS))
			return 0;
		directory->off = directory->entry->d_off;
		directory->entry = NULL;
	}
}

static int fh_releasedir(const char *path, struct fuse_file_info *fi)
{
	struct directory *directory = directory_of(fi);

	closedir(directory->dir);
	free(directory);
	return 0;
}

static int fh_fsyncdir(const char *path, int datasync, struct fuse_file_info *fi)
{
	int fd = dirfd(directory_of(fi)->dir);

	return result(datasync ? fdatasync(fd) : fsync(fd));
}

/* ---- Files ---- */

static int fh_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	int fd = open(path, fi->flags, mode);
	int error;

	if (fd < 0)
		return -errno;
	error = give_to_caller(path);
	if (error) {
		close(fd);
		return error;
	}
	fi->fh = (uint64_t)fd;
	return 0;
}

static int fh_open(const char *path, struct fuse_file_info *fi)
{
	int fd = open(path, fi->flags);

	if (fd < 0)
		return -errno;
	if (fi->flags & O_DIRECT) {
		fi->direct_io = 1;
		fi->parallel_direct_writes = 1;
	}
	fi->fh = (uint64_t)fd;
	return 0;
}

static int fh_read_buf(const char *path, struct fuse_bufvec **bufp, size_t size,
		       off_t off, struct fuse_file_info *fi)
{
	struct fuse_bufvec *buf = malloc(sizeof(*buf));

	if (!buf)
		return -ENOMEM;
	*buf = FUSE_BUFVEC_INIT(size);
	buf->buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	buf->buf[0].fd = fd_of(fi);
	buf->buf[0].pos = off;
	*bufp = buf;
	return 0;
}

static int fh_write_buf(const char *path, struct fuse_bufvec *buf, off_t off,
			struct fuse_file_info *fi)
{
	struct fuse_bufvec to = FUSE_BUFVEC_INIT(fuse_buf_size(buf));

	to.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	to.buf[0].fd = fd_of(fi);
	to.buf[0].pos = off;
	return (int)fuse_buf_copy(&to, buf, FUSE_BUF_SPLICE_NONBLOCK);
}

/* Closing one of several descriptors reports what is wrong, and drops POSIX locks. */
static int fh_flush(const char *path, struct fuse_file_info *fi)
{
	return result(close(dup(fd_of(fi))));
}

static int fh_release(const char *path, struct fuse_file_info *fi)
{
	return result(close(fd_of(fi)));
}

static int fh_fsync(const char *path, int datasync, struct fuse_file_info *fi)
{
	return result(datasync ? fdatasync(fd_of(fi)) : fsync(fd_of(fi)));
}

static int fh_flock(const char *path, struct fuse_file_info *fi, int op)
{
	return result(flock(fd_of(fi), op));
}

static int fh_fallocate(const char *path, int mode, off_t offset, off_t length,
			struct fuse_file_info *fi)
{
	return result(fallocate(fd_of(fi), mode, offset, length));
}

static ssize_t fh_copy_file_range(const char *path_in, struct fuse_file_info *fi_in,
				  off_t off_in, const char *path_out,
				  struct fuse_file_info *fi_out, off_t off_out,
				  size_t size, int flags)
{
	ssize_t res = copy_file_range(fd_of(fi_in), &off_in, fd_of(fi_out), &off_out,
				      size, (unsigned)flags);

	return res < 0 ? -errno : res;
}

static off_t fh_lseek(const char *path, off_t off, int whence, struct fuse_file_info *fi)
{
	off_t res = lseek(fd_of(fi), off, whence);

	return res < 0 ? -errno : res;
}

static const struct fuse_operations operations = {
	.init = fh_init,
	.getattr = fh_getattr,
	.statx = fh_statx,
	.access = fh_access,
	.readlink = fh_readlink,
	.chmod = fh_chmod,
	.chown = fh_chown,
	.truncate = fh_truncate,
	.utimens = fh_utimens,
	.statfs = fh_statfs,
	.setxattr = fh_setxattr,
	.getxattr = fh_getxattr,
	.listxattr = fh_listxattr,
	.removexattr = fh_removexattr,
	.mknod = fh_mknod,
	.mkdir = fh_mkdir,
	.symlink = fh_symlink,
	.link = fh_link,
	.unlink = fh_unlink,
	.rmdir = fh_rmdir,
	.rename = fh_rename,
	.opendir = fh_opendir,
	.readdir = fh_readdir,
	.releasedir = fh_releasedir,
	.fsyncdir = fh_fsyncdir,
	.create = fh_create,
	.open = fh_open,
	.read_buf = fh_read_buf,
	.write_buf = fh_write_buf,
	.flush = fh_flush,
	.release = fh_release,
	.fsync = fh_fsync,
	.flock = fh_flock,
	.fallocate = fh_fallocate,
	.copy_file_range = fh_copy_file_range,
	.lseek = fh_lseek,
};

int main(int argc, char **argv)
{
	/* The modes that callers ask for have been masked already. */
	umask(0);
	return fuse_main(argc, argv, &operations, NULL);
}
