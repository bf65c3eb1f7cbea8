// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attributes, plain and extended, and what else is known of a file without opening it.
 */
#include "caller.h"
#include "data.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

static void reply_attr(fuse_req_t req, const struct inode *inode, int res,
		       const struct stat *attr)
{
	if (res < 0)
		fuse_reply_err(req, -res);
	else
		fuse_reply_attr(req, attr, inode_attr_timeout(inode, attr->st_mode));
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct inode *inode = inode_of(ino);
	int fd = inode_hold(inode), res = fd;
	struct stat attr;

	if (fd >= 0) {
		res = inode_attr(inode, fd, &attr);
		inode_drop(inode);
	}
	reply_attr(req, inode, res, &attr);
}

void op_statx(fuse_req_t req, fuse_ino_t ino, int flags, int mask,
	      struct fuse_file_info *fi)
{
	struct inode *inode = inode_of(ino);
	int fd = inode_hold(inode), res = fd;
	struct statx stx;

	if (fd >= 0) {
		res = result_of(statx(fd, "",
				      AT_EMPTY_PATH | (flags & AT_STATX_SYNC_TYPE),
				      (unsigned)mask, &stx));
		inode_drop(inode);
	}
	if (res < 0) {
		fuse_reply_err(req, -res);
		return;
	}
	stx.stx_ino += inode->device->ino_offset;
	fuse_reply_statx(req, 0, &stx, inode_attr_timeout(inode, stx.stx_mode));
}

/* Setting attributes: each of these is run as the caller. */

static int set_owner(int fd, const struct stat *attr, int to_set)
{
	uid_t uid = to_set & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1;
	gid_t gid = to_set & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1;

	return result_of(fchownat(fd, "", uid, gid, AT_EMPTY_PATH));
}

/*
 * What is left of chown(path, -1, -1), which takes set-id bits away. The kernel sends the
 * same before a write to a file with such bits, which will do so itself, and for which the
 * caller need not be the owner. So it is taken for that if anybody could be writing.
 */
static int set_nothing(const struct inode *inode, int fd)
{
	if (inode->opens_to_write)
		return 0;
	return result_of(fchownat(fd, "", (uid_t)-1, (gid_t)-1, AT_EMPTY_PATH));
}

static int set_size(int fd, off_t size, const struct fuse_file_info *fi)
{
	if (fi)
		return result_of(ftruncate(file_of(fi)->fd, size));
	return result_of(truncate(proc_path(fd).text, size));
}

static struct timespec time_to_set(int to_set, int now, int given, struct timespec time)
{
	if (to_set & now)
		time.tv_nsec = UTIME_NOW;
	else if (!(to_set & given))
		time.tv_nsec = UTIME_OMIT;
	return time;
}

static int set_times(int fd, const struct stat *attr, int to_set)
{
	struct timespec times[] = {
		time_to_set(to_set, FUSE_SET_ATTR_ATIME_NOW, FUSE_SET_ATTR_ATIME,
			    attr->st_atim),
		time_to_set(to_set, FUSE_SET_ATTR_MTIME_NOW, FUSE_SET_ATTR_MTIME,
			    attr->st_mtim),
	};

	return result_of(utimensat(fd, "", times, AT_EMPTY_PATH));
}

#define SET_OWNER (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)
#define SET_TIMES                                                              \
	(FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME | \
	 FUSE_SET_ATTR_MTIME_NOW)
#define SET_ANY (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_SIZE | SET_OWNER | SET_TIMES)

/* The owner before the mode, because a new owner takes set-id bits away. */
static int set_attr(const struct inode *inode, int fd, const struct stat *attr,
		    int to_set, const struct fuse_file_info *fi)
{
	int res = 0;

	if (to_set & SET_OWNER)
		res = set_owner(fd, attr, to_set);
	if (res == 0 && to_set & FUSE_SET_ATTR_MODE)
		res = result_of(chmod(proc_path(fd).text, attr->st_mode & ~S_IFMT));
	if (res == 0 && to_set & FUSE_SET_ATTR_SIZE)
		res = set_size(fd, attr->st_size, fi);
	if (res == 0 && to_set & SET_TIMES)
		res = set_times(fd, attr, to_set);
	if (!(to_set & SET_ANY))
		res = set_nothing(inode, fd);
	return res;
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi)
{
	struct inode *inode = inode_of(ino);
	int fd = inode_hold(inode), res = fd;

	if (fd >= 0) {
		res = AS_CALLER(req, set_attr(inode, fd, attr, to_set, fi));
		if (res == 0)
			res = inode_attr(inode, fd, attr);
		inode_drop(inode);
	}
	reply_attr(req, inode, res, attr);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct inode *inode = inode_of(ino);
	int fd = inode_hold(inode), length = fd;
	char link[PATH_MAX + 1];

	if (fd >= 0) {
		length = result_of(readlinkat(fd, "", link, sizeof(link) - 1));
		inode_drop(inode);
	}
	if (length < 0) {
		fuse_reply_err(req, -length);
		return;
	}
	link[length] = '\0';
	fuse_reply_readlink(req, link);
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct inode *inode = inode_of(ino);
	int fd = inode_hold(inode), res = fd;
	struct statvfs figures;

	if (fd >= 0) {
		res = result_of(fstatvfs(fd, &figures));
		inode_drop(inode);
	}
	if (res < 0)
		fuse_reply_err(req, -res);
	else
		fuse_reply_statfs(req, &figures);
}

/* Extended attributes. Paths in /proc do for symbolic links and device files too. */

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
		 size_t size, int flags)
{
	struct inode *inode = inode_of(ino);
	int fd = inode_hold(inode), res = fd;

	if (fd >= 0) {
		res = AS_CALLER(req, result_of(setxattr(proc_path(fd).text, name, value,
							size, flags)));
		inode_drop(inode);
	}
	fuse_reply_err(req, -res);
}

/*
 * File capabilities: whoever asks for it may do it, because the kernel has checked that, or
 * is doing it for somebody who writes to the file, who need not have permission.
 */
void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	bool anybody = strcmp(name, "security.capability") == 0;
	struct inode *inode = inode_of(ino);
	int fd = inode_hold(inode), res = fd;

	if (fd >= 0) {
		res = WITH_CALLER(anybody ? 0 : caller_become(req),
				  result_of(removexattr(proc_path(fd).text, name)));
		inode_drop(inode);
	}
	fuse_reply_err(req, -res);
}

/* size 0 asks for the size that would be needed, and so does the reply to it. */
static void reply_value(fuse_req_t req, ssize_t got, const char *value, size_t size)
{
	if (got < 0)
		fuse_reply_err(req, (int)-got);
	else if (size == 0)
		fuse_reply_xattr(req, (size_t)got);
	else
		fuse_reply_buf(req, value, (size_t)got);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct inode *inode = inode_of(ino);
	char *value = size ? malloc(size) : NULL;
	int fd = inode_hold(inode);
	ssize_t got = fd;

	if (size && !value)
		got = -ENOMEM;
	else if (fd >= 0)
		got = AS_CALLER(
			req, result_of(getxattr(proc_path(fd).text, name, value, size)));
	if (fd >= 0)
		inode_drop(inode);
	reply_value(req, got, value, size);
	free(value);
}

/* As the caller, because names that begin with "trusted." are for root's eyes. */
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct inode *inode = inode_of(ino);
	char *names = size ? malloc(size) : NULL;
	int fd = inode_hold(inode);
	ssize_t got = fd;

	if (size && !names)
		got = -ENOMEM;
	else if (fd >= 0)
		got = AS_CALLER(req,
				result_of(listxattr(proc_path(fd).text, names, size)));
	if (fd >= 0)
		inode_drop(inode);
	reply_value(req, got, names, size);
	free(names);
}
