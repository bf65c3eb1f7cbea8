// SPDX-License-Identifier: LGPL-2.1-or-later
#include "modules/rewrite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct fuse_rewrite *own(void)
{
	return fuse_get_context()->private_data;
}

/* An open file may come without a path, and goes on without one. */
static int down(struct fuse_rewrite *rewrite, const char *path, char **result)
{
	*result = NULL;
	return path ? rewrite->path_down(rewrite, path, result) : 0;
}

/* The body of an operation with one path: the function below, with that path's other form. */
#define PASS_ON(type, function, path, ...)                                    \
	do {                                                                  \
		struct fuse_rewrite *rewrite_ = own();                        \
		char *path_;                                                  \
		type res_ = down(rewrite_, path, &path_);                     \
                                                                              \
		if (res_ == 0)                                                \
			res_ = function(rewrite_->below, path_, __VA_ARGS__); \
		free(path_);                                                  \
		return res_;                                                  \
	} while (0)

static int rewrite_getattr(const char *path, struct stat *attr, struct fuse_file_info *fi)
{
	PASS_ON(int, fuse_fs_getattr, path, attr, fi);
}

static int rewrite_statx(const char *path, int flags, int mask, struct statx *stx,
			 struct fuse_file_info *fi)
{
	PASS_ON(int, fuse_fs_statx, path, flags, mask, stx, fi);
}

static int rewrite_access(const char *path, int mask)
{
	PASS_ON(int, fuse_fs_access, path, mask);
}

static int rewrite_mknod(const char *path, mode_t mode, dev_t rdev)
{
	PASS_ON(int, fuse_fs_mknod, path, mode, rdev);
}

static int rewrite_mkdir(const char *path, mode_t mode)
{
	PASS_ON(int, fuse_fs_mkdir, path, mode);
}

static int call_unlink(struct fuse_fs *fs, const char *path, int unused)
{
	(void)unused;
	return fuse_fs_unlink(fs, path);
}

static int rewrite_unlink(const char *path)
{
	PASS_ON(int, call_unlink, path, 0);
}

static int call_rmdir(struct fuse_fs *fs, const char *path, int unused)
{
	(void)unused;
	return fuse_fs_rmdir(fs, path);
}

static int rewrite_rmdir(const char *path)
{
	PASS_ON(int, call_rmdir, path, 0);
}

static int rewrite_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	PASS_ON(int, fuse_fs_chmod, path, mode, fi);
}

static int rewrite_chown(const char *path, uid_t uid, gid_t gid,
			 struct fuse_file_info *fi)
{
	PASS_ON(int, fuse_fs_chown, path, uid, gid, fi);
}

static int rewrite_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	PASS_ON(int, fuse_fs_truncate, path, size, fi);
}

static int rewrite_utimens(const char *path, const struct timespec *tv,
			   struct fuse_file_info *fi)
{
	PASS_ON(int, fuse_fs_utimens, path, tv, fi);
}

static int rewrite_statfs(const char *path, struct statvfs *figures)
{
	PASS_ON(int, fuse_fs_statfs, path, figures);
}

static int rewrite_setxattr(const char *path, const char *name, const char *value,
			    size_t size, int flags)
{
	PASS_ON(int, fuse_fs_setxattr, path, name, value, size, flags);
}

static int rewrite_getxattr(const char *path, const char *name, char *value, size_t size)
{
	PASS_ON(int, fuse_fs_getxattr, path, name, value, size);
}

static int rewrite_listxattr(const char *path, char *list, size_t size)
{
	PASS_ON(int, fuse_fs_listxattr, path, list, size);
}

static int rewrite_removexattr(const char *path, const char *name)
{
	PASS_ON(int, fuse_fs_removexattr, path, name);
}

static int rewrite_bmap(const char *path, size_t blocksize, uint64_t *idx)
{
	PASS_ON(int, fuse_fs_bmap, path, blocksize, idx);
}

static int rewrite_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	PASS_ON(int, fuse_fs_create, path, mode, fi);
}

static int rewrite_open(const char *path, struct fuse_file_info *fi)
{
	PASS_ON(int, fuse_fs_open, path, fi);
}

static int rewrite_read(const char *path, char *buf, size_t size, off_t off,
			struct fuse_file_info *fi)
{
	PASS_ON(int, fuse_fs_read, path, buf, size, off, fi);
}

static int rewrite_read_buf(const char *path, struct fuse_bufvec **bufp, size_t size,
			    off_t off, struct fuse_file_info *fi)
{
	PASS_ON(int, fuse_fs_read_buf, path, bufp, size, off, fi);
}

static int rewrite_write(const char *path, const char *buf, size_t size, off_t off,
			 struct fuse_file_info *fi)
{
	PASS_ON(int, fuse_fs_write, path, buf, size, off, fi);
}

static int rewrite_write_buf(const char *path, struct fuse_bufvec *buf, off_t off,
			     struct fuse_file_info *fi)
{
	PASS_ON(int, fuse_fs_write_buf, path, buf, off, fi);
}

static int rewrite_flush(const char *path, struct fuse_file_info *fi)
{
	PASS_ON(int, fuse_fs_flush, path, fi);
}

static int rewrite_release(const char *path, struct fuse_file_info *fi)
{
	PASS_ON(int, fuse_fs_release, path, fi);
}

static int rewrite_fsync(const char *path, int datasync, struct fuse_file_info *fi)
{
	PASS_ON(int, fuse_fs_fsync, path, datasync, fi);
}

static int rewrite_lock(const char *path, struct fuse_file_info *fi, int cmd,
			struct flock *lock)
{
	PASS_ON(int, fuse_fs_lock, path, fi, cmd, lock);
}

static int rewrite_flock(const char *path, struct fuse_file_info *fi, int op)
{
	PASS_ON(int, fuse_fs_flock, path, fi, op);
}

static int rewrite_fallocate(const char *path, int mode, off_t offset, off_t length,
			     struct fuse_file_info *fi)
{
	PASS_ON(int, fuse_fs_fallocate, path, mode, offset, length, fi);
}

static off_t rewrite_lseek(const char *path, off_t off, int whence,
			   struct fuse_file_info *fi)
{
	PASS_ON(off_t, fuse_fs_lseek, path, off, whence, fi);
}

static int rewrite_ioctl(const char *path, unsigned int cmd, void *arg,
			 struct fuse_file_info *fi, unsigned int flags, void *data)
{
	PASS_ON(int, fuse_fs_ioctl, path, cmd, arg, fi, flags, data);
}

static int rewrite_poll(const char *path, struct fuse_file_info *fi,
			struct fuse_pollhandle *ph, unsigned *reventsp)
{
	struct fuse_rewrite *rewrite = own();
	char *below;
	int res = down(rewrite, path, &below);

	/* The handle belongs to whom it was passed to last. */
	if (res == 0)
		res = fuse_fs_poll(rewrite->below, below, fi, ph, reventsp);
	else
		fuse_pollhandle_destroy(ph);
	free(below);
	return res;
}

static int rewrite_opendir(const char *path, struct fuse_file_info *fi)
{
	PASS_ON(int, fuse_fs_opendir, path, fi);
}

static int rewrite_releasedir(const char *path, struct fuse_file_info *fi)
{
	PASS_ON(int, fuse_fs_releasedir, path, fi);
}

static int rewrite_fsyncdir(const char *path, int datasync, struct fuse_file_info *fi)
{
	PASS_ON(int, fuse_fs_fsyncdir, path, datasync, fi);
}

/* ---- Two paths ---- */

static int rewrite_rename(const char *from, const char *to, unsigned int flags)
{
	struct fuse_rewrite *rewrite = own();
	char *from_below, *to_below = NULL;
	int res = down(rewrite, from, &from_below);

	if (res == 0)
		res = down(rewrite, to, &to_below);
	if (res == 0)
		res = fuse_fs_rename(rewrite->below, from_below, to_below, flags);
	free(from_below);
	free(to_below);
	return res;
}

static int rewrite_link(const char *from, const char *to)
{
	struct fuse_rewrite *rewrite = own();
	char *from_below, *to_below = NULL;
	int res = down(rewrite, from, &from_below);

	if (res == 0)
		res = down(rewrite, to, &to_below);
	if (res == 0)
		res = fuse_fs_link(rewrite->below, from_below, to_below);
	free(from_below);
	free(to_below);
	return res;
}

static ssize_t rewrite_copy_file_range(const char *from, struct fuse_file_info *fi_in,
				       off_t off_in, const char *to,
				       struct fuse_file_info *fi_out, off_t off_out,
				       size_t size, int flags)
{
	struct fuse_rewrite *rewrite = own();
	char *from_below, *to_below = NULL;
	ssize_t res = down(rewrite, from, &from_below);

	if (res == 0)
		res = down(rewrite, to, &to_below);
	if (res == 0)
		res = fuse_fs_copy_file_range(rewrite->below, from_below, fi_in, off_in,
					      to_below, fi_out, off_out, size, flags);
	free(from_below);
	free(to_below);
	return res;
}

/* ---- Links ---- */

static int rewrite_symlink(const char *target, const char *path)
{
	struct fuse_rewrite *rewrite = own();
	char *path_below, *target_below = NULL;
	int res = down(rewrite, path, &path_below);

	if (res == 0 && rewrite->link_down)
		res = rewrite->link_down(rewrite, target, &target_below);
	if (res == 0)
		res = fuse_fs_symlink(rewrite->below,
				      target_below ? target_below : target, path_below);
	free(path_below);
	free(target_below);
	return res;
}

static int rewrite_readlink(const char *path, char *buf, size_t size)
{
	struct fuse_rewrite *rewrite = own();
	char *path_below, *target = NULL;
	int res = down(rewrite, path, &path_below);

	if (res == 0)
		res = fuse_fs_readlink(rewrite->below, path_below, buf, size);
	if (res == 0 && rewrite->link_up)
		res = rewrite->link_up(rewrite, path_below, buf, &target);
	if (target)
		snprintf(buf, size, "%s", target);
	free(target);
	free(path_below);
	return res;
}

/* ---- Directories ---- */

struct listing {
	struct fuse_rewrite *rewrite;
	void *buf;
	fuse_fill_dir_t filler;
};

static int fill(void *data, const char *name, const struct stat *attr, off_t off,
		enum fuse_fill_dir_flags flags)
{
	struct listing *listing = data;
	char *name_up;
	int res;

	if (listing->rewrite->name_up(listing->rewrite, name, &name_up) != 0)
		return 0;
	res = listing->filler(listing->buf, name_up, attr, off, flags);
	free(name_up);
	return res;
}

static int rewrite_readdir(const char *path, void *buf, fuse_fill_dir_t filler, off_t off,
			   struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	struct listing listing = { own(), buf, filler };

	if (!listing.rewrite->name_up)
		PASS_ON(int, fuse_fs_readdir, path, buf, filler, off, fi, flags);
	PASS_ON(int, fuse_fs_readdir, path, &listing, fill, off, fi, flags);
}

/* ---- The beginning and the end ---- */

static void *rewrite_init(struct fuse_conn_info *conn, struct fuse_config *cfg)
{
	struct fuse_rewrite *rewrite = own();

	fuse_fs_init(rewrite->below, conn, cfg);
	return rewrite;
}

static void rewrite_destroy(void *data)
{
	struct fuse_rewrite *rewrite = data;

	fuse_fs_destroy(rewrite->below);
	rewrite->destroy(rewrite);
}

static const struct fuse_operations operations = {
	.getattr = rewrite_getattr,
	.statx = rewrite_statx,
	.access = rewrite_access,
	.readlink = rewrite_readlink,
	.mknod = rewrite_mknod,
	.mkdir = rewrite_mkdir,
	.symlink = rewrite_symlink,
	.unlink = rewrite_unlink,
	.rmdir = rewrite_rmdir,
	.rename = rewrite_rename,
	.link = rewrite_link,
	.chmod = rewrite_chmod,
	.chown = rewrite_chown,
	.truncate = rewrite_truncate,
	.utimens = rewrite_utimens,
	.statfs = rewrite_statfs,
	.setxattr = rewrite_setxattr,
	.getxattr = rewrite_getxattr,
	.listxattr = rewrite_listxattr,
	.removexattr = rewrite_removexattr,
	.bmap = rewrite_bmap,
	.create = rewrite_create,
	.open = rewrite_open,
	.read = rewrite_read,
	.read_buf = rewrite_read_buf,
	.write = rewrite_write,
	.write_buf = rewrite_write_buf,
	.flush = rewrite_flush,
	.release = rewrite_release,
	.fsync = rewrite_fsync,
	.lock = rewrite_lock,
	.flock = rewrite_flock,
	.fallocate = rewrite_fallocate,
	.copy_file_range = rewrite_copy_file_range,
	.lseek = rewrite_lseek,
	.ioctl = rewrite_ioctl,
	.poll = rewrite_poll,
	.opendir = rewrite_opendir,
	.readdir = rewrite_readdir,
	.releasedir = rewrite_releasedir,
	.fsyncdir = rewrite_fsyncdir,
	.init = rewrite_init,
	.destroy = rewrite_destroy,
};

struct fuse_fs *fuse_rewrite_new(struct fuse_rewrite *rewrite)
{
	return fuse_fs_new(&operations, sizeof(operations), rewrite);
}
