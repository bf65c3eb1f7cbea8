/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a path names, or a descriptor, by the system call that does it: what passthrough and
 * passthrough_fh have in common. Each function is the operation of that name, as fuse.h explains it.
 */
#ifndef EXAMPLE_BY_PATH_H
#define EXAMPLE_BY_PATH_H

#define FUSE_USE_VERSION 318
#include <fuse.h>

#include <errno.h>

#include "set_id.h"

/* What a system call returned, in the form in which an operation returns it. */
static inline int result(int res)
{
	return res < 0 ? -errno : res;
}

/* What both have to say in init(). */
void by_path_init(struct fuse_conn_info *conn);

int by_path_getattr(const char *path, struct stat *attr, struct fuse_file_info *fi);
int by_path_statx(const char *path, int flags, int mask, struct statx *stx,
		  struct fuse_file_info *fi);
int by_path_access(const char *path, int mask);
int by_path_readlink(const char *path, char *buf, size_t size);
int by_path_chmod(const char *path, mode_t mode, struct fuse_file_info *fi);
int by_path_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi);
int by_path_truncate(const char *path, off_t size, struct fuse_file_info *fi);
int by_path_utimens(const char *path, const struct timespec tv[2],
		    struct fuse_file_info *fi);
int by_path_statfs(const char *path, struct statvfs *figures);
int by_path_setxattr(const char *path, const char *name, const char *value, size_t size,
		     int flags);
int by_path_getxattr(const char *path, const char *name, char *value, size_t size);
int by_path_listxattr(const char *path, char *list, size_t size);
int by_path_removexattr(const char *path, const char *name);
int by_path_mknod(const char *path, mode_t mode, dev_t rdev);
int by_path_mkdir(const char *path, mode_t mode);
int by_path_symlink(const char *target, const char *path);
int by_path_link(const char *from, const char *to);
int by_path_unlink(const char *path);
int by_path_rmdir(const char *path);
int by_path_rename(const char *from, const char *to, unsigned int flags);

/* These two leave a descriptor of the file in its handle. */
int by_path_create(const char *path, mode_t mode, struct fuse_file_info *fi);
int by_path_open(const char *path, struct fuse_file_info *fi);

static inline int fd_of(const struct fuse_file_info *fi)
{
	return (int)fi->fh;
}

/* And these go by it. */
int by_fd_release(const char *path, struct fuse_file_info *fi);
int by_fd_fsync(const char *path, int datasync, struct fuse_file_info *fi);
int by_fd_fallocate(const char *path, int mode, off_t offset, off_t length,
		    struct fuse_file_info *fi);
ssize_t by_fd_copy_file_range(const char *path_in, struct fuse_file_info *fi_in,
			      off_t off_in, const char *path_out,
			      struct fuse_file_info *fi_out, off_t off_out, size_t size,
			      int flags);
off_t by_fd_lseek(const char *path, off_t off, int whence, struct fuse_file_info *fi);

#endif
