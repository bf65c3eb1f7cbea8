// SPDX-License-Identifier: GPL-2.0-only
#include "by_path.h"

#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

/*
 * Set-id bits, and capabilities, of what others change through us are left to the kernel, but
 * for writes past its cache: see set_id.h. It does not do it for what open() truncates either;
 * therefore that shall be a truncate() of its own.
 */
void by_path_init(struct fuse_conn_info *conn)
{
	fuse_unset_feature_flag(conn, FUSE_CAP_HANDLE_KILLPRIV);
	fuse_unset_feature_flag(conn, FUSE_CAP_ATOMIC_O_TRUNC);
}

/* ---- Attributes ---- */

int by_path_getattr(const char *path, struct stat *attr, struct fuse_file_info *fi)
{
	return result(lstat(path, attr));
}

int by_path_statx(const char *path, int flags, int mask, struct statx *stx,
		  struct fuse_file_info *fi)
{
	return result(
		statx(AT_FDCWD, path, flags | AT_SYMLINK_NOFOLLOW, (unsigned)mask, stx));
}

int by_path_access(const char *path, int mask)
{
	return result(faccessat(AT_FDCWD, path, mask, AT_SYMLINK_NOFOLLOW));
}

int by_path_readlink(const char *path, char *buf, size_t size)
{
	ssize_t length = readlink(path, buf, size - 1);

	if (length < 0)
		return -errno;
	buf[length] = '\0';
	return 0;
}

int by_path_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	return result(chmod(path, mode));
}

int by_path_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi)
{
	return result(lchown(path, uid, gid));
}

int by_path_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	/* Who may write to an open file may do so whatever its mode has become. */
	return result(fi ? ftruncate(fd_of(fi), size) : truncate(path, size));
}

int by_path_utimens(const char *path, const struct timespec tv[2],
		    struct fuse_file_info *fi)
{
	return result(utimensat(AT_FDCWD, path, tv, AT_SYMLINK_NOFOLLOW));
}

int by_path_statfs(const char *path, struct statvfs *figures)
{
	return result(statvfs(path, figures));
}

int by_path_setxattr(const char *path, const char *name, const char *value, size_t size,
		     int flags)
{
	return result(lsetxattr(path, name, value, size, flags));
}

int by_path_getxattr(const char *path, const char *name, char *value, size_t size)
{
	return result((int)lgetxattr(path, name, value, size));
}

int by_path_listxattr(const char *path, char *list, size_t size)
{
	return result((int)llistxattr(path, list, size));
}

int by_path_removexattr(const char *path, const char *name)
{
	return result(lremovexattr(path, name));
}

/* ---- Names ---- */

static bool gives_its_group(const char *dir)
{
	struct stat attr;

	return stat(dir, &attr) == 0 && attr.st_mode & S_ISGID;
}

/* The caller's group; -1, which leaves the directory's, if that is what the directory wants. */
static int group_of_new(const char *path, gid_t *gid)
{
	char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	if (gives_its_group(dirname(copy)))
		*gid = (gid_t)-1;
	free(copy);
	return 0;
}

/*
 * What we make is ours; it shall belong to whoever asked for it. Set-id bits that it was made
 * with go when its owner changes, so they are set again. fd: -1 if it is not open.
 */
static int give_to_caller(const char *path, int fd)
{
	const struct fuse_context *context = fuse_get_context();
	gid_t gid = context->gid;
	struct stat attr;
	int error;

	if (geteuid() != 0 || context->uid == 0)
		return 0;
	error = group_of_new(path, &gid);
	if (!error)
		error = result(fd >= 0 ? fstat(fd, &attr) : lstat(path, &attr));
	if (!error)
		error = result(fd >= 0 ? fchown(fd, context->uid, gid)
				       : lchown(path, context->uid, gid));
	if (!error && attr.st_mode & (S_ISUID | S_ISGID) && !S_ISLNK(attr.st_mode))
		error = result(fd >= 0 ? fchmod(fd, attr.st_mode & 07777)
				       : chmod(path, attr.st_mode & 07777));
	return error;
}

static int made(int res, const char *path)
{
	return res < 0 ? -errno : give_to_caller(path, -1);
}

int by_path_mknod(const char *path, mode_t mode, dev_t rdev)
{
	return made(mknod(path, mode, rdev), path);
}

int by_path_mkdir(const char *path, mode_t mode)
{
	return made(mkdir(path, mode), path);
}

int by_path_symlink(const char *target, const char *path)
{
	return made(symlink(target, path), path);
}

int by_path_link(const char *from, const char *to)
{
	return result(link(from, to));
}

int by_path_unlink(const char *path)
{
	return result(unlink(path));
}

int by_path_rmdir(const char *path)
{
	return result(rmdir(path));
}

int by_path_rename(const char *from, const char *to, unsigned int flags)
{
	return result(renameat2(AT_FDCWD, from, AT_FDCWD, to, flags));
}

/* ---- Open files ---- */

/*
 * The kernel found no such name, but there may be one by now, or it may not have looked for as
 * long as negative_timeout lets it. That file is not new: it is not the caller's, and nobody
 * has checked whether the caller may open it. After ESTALE the kernel looks again, and
 * then it opens what there is.
 */
int by_path_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	int fd = open(path, fi->flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	int error;

	if (fd < 0)
		return errno == EEXIST && !(fi->flags & O_EXCL) ? -ESTALE : -errno;
	error = give_to_caller(path, fd);
	if (error) {
		close(fd);
		return error;
	}
	fi->fh = append_handle(fd, fi->flags);
	return 0;
}

/* A symbolic link is the kernel's to follow: it asks where to, and opens what is there. */
int by_path_open(const char *path, struct fuse_file_info *fi)
{
	int fd = open(path, fi->flags | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fi->flags & O_DIRECT) {
		fi->direct_io = 1;
		fi->parallel_direct_writes = 1;
	}
	fi->fh = append_handle(fd, fi->flags);
	return 0;
}

int by_fd_release(const char *path, struct fuse_file_info *fi)
{
	return result(close(fd_of(fi)));
}

int by_fd_fsync(const char *path, int datasync, struct fuse_file_info *fi)
{
	return result(datasync ? fdatasync(fd_of(fi)) : fsync(fd_of(fi)));
}

int by_fd_fallocate(const char *path, int mode, off_t offset, off_t length,
		    struct fuse_file_info *fi)
{
	return result(fallocate(fd_of(fi), mode, offset, length));
}

ssize_t by_fd_copy_file_range(const char *path_in, struct fuse_file_info *fi_in,
			      off_t off_in, const char *path_out,
			      struct fuse_file_info *fi_out, off_t off_out, size_t size,
			      int flags)
{
	return append_copy(fi_in, off_in, fi_out, off_out, size, flags);
}

off_t by_fd_lseek(const char *path, off_t off, int whence, struct fuse_file_info *fi)
{
	off_t res = lseek(fd_of(fi), off, whence);

	return res < 0 ? -errno : res;
}
