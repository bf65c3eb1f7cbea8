// SPDX-License-Identifier: GPL-2.0-only
/*
 * passthrough_fh: as passthrough, with handles.
 *
 * Whoever has a file or directory open is served by its descriptor, and no path is needed, which
 * nullpath_ok says to the library. Data go by buffer vectors, from
 * descriptor to kernel without a copy where that can be; with -o io_uring_zero_copy, on to the
 * client's memory. What is not open is served as by passthrough: see by_path.c. As there,
 * root must not serve a tree that others can change underneath.
 *
 * Locks are the kernel's, among those who use the mount: who waits for one must not do so in
 * a handler, of which there can only be so many at once, lest nobody is left to hear of its
 * release. For locks in the source see passthrough_hp/lock.c.
 *
 *     passthrough_fh MOUNTPOINT -o modules=subdir,subdir=DIRECTORY
 *     dd if=MOUNTPOINT/FILE of=/dev/null bs=1M
 *     fusermount3 -u MOUNTPOINT
 */
#include "by_path.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void *fh_init(struct fuse_conn_info *conn, struct fuse_config *cfg)
{
	cfg->use_ino = 1;
	cfg->nullpath_ok = 1;
	cfg->parallel_direct_writes = 1;
	by_path_init(conn);
	/* Others may change the files without our knowing. */
	cfg->entry_timeout = 0;
	cfg->attr_timeout = 0;
	cfg->negative_timeout = 0;
	/* fh_write_buf() hands what it is given to fuse_buf_copy(), so it need not be in memory. */
	fuse_set_feature_flag(conn, FUSE_CAP_ZERO_COPY_WRITE);
	return NULL;
}

/* ---- Attributes ---- */

/* An open directory has another kind of handle: it is never asked for attributes by that. */
static int fh_getattr(const char *path, struct stat *attr, struct fuse_file_info *fi)
{
	return fi ? result(fstat(fd_of(fi), attr)) : by_path_getattr(path, attr, fi);
}

static int fh_statx(const char *path, int flags, int mask, struct statx *stx,
		    struct fuse_file_info *fi)
{
	if (!fi)
		return by_path_statx(path, flags, mask, stx, fi);
	return result(statx(fd_of(fi), "", flags | AT_EMPTY_PATH, (unsigned)mask, stx));
}

static int fh_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	return fi ? result(fchmod(fd_of(fi), mode)) : by_path_chmod(path, mode, fi);
}

static int fh_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi)
{
	return fi ? result(fchown(fd_of(fi), uid, gid))
		  : by_path_chown(path, uid, gid, fi);
}

static int fh_utimens(const char *path, const struct timespec tv[2],
		      struct fuse_file_info *fi)
{
	return fi ? result(futimens(fd_of(fi), tv)) : by_path_utimens(path, tv, fi);
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
	int fd = fd_to_write(fi), res;

	if (fd < 0)
		return fd;
	to.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	to.buf[0].fd = fd;
	to.buf[0].pos = off;
	res = (int)fuse_buf_copy(&to, buf, FUSE_BUF_SPLICE_NONBLOCK);
	append_written(fi, fd);
	return res;
}

/* Closing one of several descriptors reports what is wrong, and drops POSIX locks. */
static int fh_flush(const char *path, struct fuse_file_info *fi)
{
	return result(close(dup(fd_of(fi))));
}

static const struct fuse_operations operations = {
	.init = fh_init,
	.getattr = fh_getattr,
	.statx = fh_statx,
	.access = by_path_access,
	.readlink = by_path_readlink,
	.chmod = fh_chmod,
	.chown = fh_chown,
	.truncate = by_path_truncate,
	.utimens = fh_utimens,
	.statfs = by_path_statfs,
	.setxattr = by_path_setxattr,
	.getxattr = by_path_getxattr,
	.listxattr = by_path_listxattr,
	.removexattr = by_path_removexattr,
	.mknod = by_path_mknod,
	.mkdir = by_path_mkdir,
	.symlink = by_path_symlink,
	.link = by_path_link,
	.unlink = by_path_unlink,
	.rmdir = by_path_rmdir,
	.rename = by_path_rename,
	.opendir = fh_opendir,
	.readdir = fh_readdir,
	.releasedir = fh_releasedir,
	.fsyncdir = fh_fsyncdir,
	.create = by_path_create,
	.open = by_path_open,
	.read_buf = fh_read_buf,
	.write_buf = fh_write_buf,
	.flush = fh_flush,
	.release = by_fd_release,
	.fsync = by_fd_fsync,
	.fallocate = by_fd_fallocate,
	.copy_file_range = by_fd_copy_file_range,
	.lseek = by_fd_lseek,
};

int main(int argc, char **argv)
{
	/* The modes that callers ask for have been masked already. */
	umask(0);
	return fuse_main(argc, argv, &operations, NULL);
}
