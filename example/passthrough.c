// SPDX-License-Identifier: GPL-2.0-only
/*
 * passthrough: what a path names, by the system call that does it.
 *
 * The whole file system of the machine appears below the mount point; with the module subdir,
 * one directory of it. The simplest filesystem that can do everything: each operation on a
 * path is one system call. passthrough_fh is the faster sibling, passthrough_hp
 * the model to follow.
 *
 *     passthrough MOUNTPOINT -o modules=subdir,subdir=DIRECTORY
 *     ls -l MOUNTPOINT
 *     fusermount3 -u MOUNTPOINT
 *
 * --plus gives the kernel attributes when it reads a directory, and lets it believe them for
 * a second, as it does by default: so that ls -l does not
 * have to ask for each.
 */
#define FUSE_USE_VERSION 318
#include <fuse.h>

#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

static int fill_plus;

static int result(int res)
{
	return res < 0 ? -errno : res;
}

static void *pt_init(struct fuse_conn_info *conn, struct fuse_config *cfg)
{
	cfg->use_ino = 1;
	cfg->parallel_direct_writes = 1;
	if (fill_plus)
		return NULL;
	/* Others may change the files without our knowing. */
	cfg->entry_timeout = 0;
	cfg->attr_timeout = 0;
	cfg->negative_timeout = 0;
	return NULL;
}

/* ---- Attributes ---- */

static int pt_getattr(const char *path, struct stat *attr, struct fuse_file_info *fi)
{
	return result(lstat(path, attr));
}

static int pt_statx(const char *path, int flags, int mask, struct statx *stx,
		    struct fuse_file_info *fi)
{
	return result(
		statx(AT_FDCWD, path, flags | AT_SYMLINK_NOFOLLOW, (unsigned)mask, stx));
}

static int pt_access(const char *path, int mask)
{
	return result(faccessat(AT_FDCWD, path, mask, AT_SYMLINK_NOFOLLOW));
}

static int pt_readlink(const char *path, char *buf, size_t size)
{
	ssize_t length = readlink(path, buf, size - 1);

	if (length < 0)
		return -errno;
	buf[length] = '\0';
	return 0;
}

static int pt_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	return result(chmod(path, mode));
}

static int pt_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi)
{
	return result(lchown(path, uid, gid));
}

static int pt_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	return result(fi ? ftruncate((int)fi->fh, size) : truncate(path, size));
}

static int pt_utimens(const char *path, const struct timespec tv[2],
		      struct fuse_file_info *fi)
{
	return result(utimensat(AT_FDCWD, path, tv, AT_SYMLINK_NOFOLLOW));
}

static int pt_statfs(const char *path, struct statvfs *figures)
{
	return result(statvfs(path, figures));
}

static int pt_setxattr(const char *path, const char *name, const char *value, size_t size,
		       int flags)
{
	return result(lsetxattr(path, name, value, size, flags));
}

static int pt_getxattr(const char *path, const char *name, char *value, size_t size)
{
	return result((int)lgetxattr(path, name, value, size));
}

static int pt_listxattr(const char *path, char *list, size_t size)
{
	return result((int)llistxattr(path, list, size));
}

static int pt_removexattr(const char *path, const char *name)
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

static int pt_mknod(const char *path, mode_t mode, dev_t rdev)
{
	return made(mknod(path, mode, rdev), path);
}

static int pt_mkdir(const char *path, mode_t mode)
{
	return made(mkdir(path, mode), path);
}

static int pt_symlink(const char *target, const char *path)
{
	return made(symlink(target, path), path);
}

static int pt_link(const char *from, const char *to)
{
	return result(link(from, to));
}

static int pt_unlink(const char *path)
{
	return result(unlink(path));
}

static int pt_rmdir(const char *path)
{
	return result(rmdir(path));
}

static int pt_rename(const char *from, const char *to, unsigned int flags)
{
	return result(renameat2(AT_FDCWD, from, AT_FDCWD, to, flags));
}

/* ---- Directories ---- */

static int pt_readdir(const char *path, void *buf, fuse_fill_dir_t filler, off_t off,
		      struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		struct stat attr = { .st_ino = entry->d_ino,
				     .st_mode = DTTOIF(entry->d_type) };
		bool plus = fill_plus && fstatat(dirfd(dir), entry->d_name, &attr,
						 AT_SYMLINK_NOFOLLOW) == 0;

		filler(buf, entry->d_name, &attr, 0,
		       plus ? FUSE_FILL_DIR_PLUS : FUSE_FILL_DIR_DEFAULTS);
	}
	closedir(dir);
	return 0;
}

/* ---- Files: open ones have a descriptor ---- */

static int pt_create(const char *path, mode_t mode, struct fuse_file_info *fi)
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

static int pt_open(const char *path, struct fuse_file_info *fi)
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

static int pt_release(const char *path, struct fuse_file_info *fi)
{
	return result(close((int)fi->fh));
}

static int pt_read(const char *path, char *buf, size_t size, off_t off,
		   struct fuse_file_info *fi)
{
	return result((int)pread((int)fi->fh, buf, size, off));
}

static int pt_write(const char *path, const char *buf, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	return result((int)pwrite((int)fi->fh, buf, size, off));
}

static int pt_fsync(const char *path, int datasync, struct fuse_file_info *fi)
{
	return result(datasync ? fdatasync((int)fi->fh) : fsync((int)fi->fh));
}

static int pt_fallocate(const char *path, int mode, off_t offset, off_t length,
			struct fuse_file_info *fi)
{
	return result(fallocate((int)fi->fh, mode, offset, length));
}

static ssize_t pt_copy_file_range(const char *path_in, struct fuse_file_info *fi_in,
				  off_t off_in, const char *path_out,
				  struct fuse_file_info *fi_out, off_t off_out,
				  size_t size, int flags)
{
	ssize_t res = copy_file_range((int)fi_in->fh, &off_in, (int)fi_out->fh, &off_out,
				      size, (unsigned)flags);

	return res < 0 ? -errno : res;
}

static off_t pt_lseek(const char *path, off_t off, int whence, struct fuse_file_info *fi)
{
	off_t res = lseek((int)fi->fh, off, whence);

	return res < 0 ? -errno : res;
}

static const struct fuse_operations operations = {
	.init = pt_init,
	.getattr = pt_getattr,
	.statx = pt_statx,
	.access = pt_access,
	.readlink = pt_readlink,
	.chmod = pt_chmod,
	.chown = pt_chown,
	.truncate = pt_truncate,
	.utimens = pt_utimens,
	.statfs = pt_statfs,
	.setxattr = pt_setxattr,
	.getxattr = pt_getxattr,
	.listxattr = pt_listxattr,
	.removexattr = pt_removexattr,
	.mknod = pt_mknod,
	.mkdir = pt_mkdir,
	.symlink = pt_symlink,
	.link = pt_link,
	.unlink = pt_unlink,
	.rmdir = pt_rmdir,
	.rename = pt_rename,
	.readdir = pt_readdir,
	.create = pt_create,
	.open = pt_open,
	.release = pt_release,
	.read = pt_read,
	.write = pt_write,
	.fsync = pt_fsync,
	.fallocate = pt_fallocate,
	.copy_file_range = pt_copy_file_range,
	.lseek = pt_lseek,
};

int main(int argc, char **argv)
{
	static const struct fuse_opt plus[] = {
		{ "--plus", 0, 1 },
		FUSE_OPT_END,
	};
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	int status;

	/* The modes that callers ask for have been masked already. */
	umask(0);
	if (fuse_opt_parse(&args, &fill_plus, plus, NULL) != 0)
		return 1;
	status = fuse_main(args.argc, args.argv, &operations, NULL);
	fuse_opt_free_args(&args);
	return status;
}
