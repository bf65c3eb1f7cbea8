// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Filesystems in a stack, and calling their operations.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "path/path.h"

struct fuse_fs {
	struct fuse_operations op;
	void *private_data;
	bool debug;
	bool waits_for_init; /* without init(), no destroy() */
};

/*
 * While an operation runs, fuse_get_context() gives its own filesystem's data; an
 * operation of the one above finds its own again when this has returned.
 */
static void *enter(const struct fuse_fs *fs, const char *operation, const char *path)
{
	struct fuse_context *context = fuse_get_context();
	void *above = context->private_data;

	context->private_data = fs->private_data;
	if (fs->debug)
		fuse_log(FUSE_LOG_DEBUG, "fuse: %s %s\n", operation,
			 path ? path : "(an open file)");
	return above;
}

static void leave(void *above)
{
	fuse_get_context()->private_data = above;
}

/* The result of fs->op.OPERATION(path, ...), or `otherwise` if there is no such operation. */
#define CALL(fs, otherwise, operation, path, ...)                            \
	({                                                                   \
		__typeof__((fs)->op.operation(path, ##__VA_ARGS__)) result_; \
		void *above_;                                                \
                                                                             \
		if (!(fs)->op.operation)                                     \
			return otherwise;                                    \
		above_ = enter(fs, #operation, path);                        \
		result_ = (fs)->op.operation(path, ##__VA_ARGS__);           \
		leave(above_);                                               \
		result_;                                                     \
	})

/* ---- Making and ending ---- */

struct fuse_fs *fuse_fs_new(const struct fuse_operations *op, size_t op_size,
			    void *private_data)
{
	struct fuse_fs *fs = calloc(1, sizeof(*fs));

	if (!fs) {
		fuse_log(FUSE_LOG_ERR, "fuse: no memory for a filesystem\n");
		return NULL;
	}
	if (op_size > sizeof(fs->op)) {
		fuse_log(FUSE_LOG_ERR, "fuse: warning: this library is older than the "
				       "program, some operations may not work\n");
		op_size = sizeof(fs->op);
	}
	if (op)
		memcpy(&fs->op, op, op_size);
	fs->private_data = private_data;
	return fs;
}

struct fuse_fs *fuse_stack_new(const struct fuse_operations *op, size_t op_size,
			       void *private_data, bool debug)
{
	struct fuse_fs *fs = fuse_fs_new(op, op_size, private_data);

	if (fs) {
		fs->debug = debug;
		fs->waits_for_init = true;
	}
	return fs;
}

bool fuse_stack_has_read_buf(const struct fuse_fs *fs)
{
	return fs->op.read_buf;
}

bool fuse_stack_is_in_memory(const struct fuse_fs *fs)
{
	return !fs->op.read_buf && !fs->op.write_buf;
}

bool fuse_stack_has_create(const struct fuse_fs *fs)
{
	return fs->op.create;
}

/* What the library asks for on behalf of a filesystem that has not got it would be wrong. */
void fuse_fs_init(struct fuse_fs *fs, struct fuse_conn_info *conn,
		  struct fuse_config *cfg)
{
	struct fuse_context *context = fuse_get_context();
	void *above;

	if (!fs->op.write_buf)
		fuse_unset_feature_flag(conn, FUSE_CAP_SPLICE_READ);
	if (!fs->op.lock)
		fuse_unset_feature_flag(conn, FUSE_CAP_POSIX_LOCKS);
	if (!fs->op.flock)
		fuse_unset_feature_flag(conn, FUSE_CAP_FLOCK_LOCKS);
	fs->waits_for_init = false;
	if (!fs->op.init)
		return;
	above = context->private_data;
	context->private_data = fs->private_data;
	fs->private_data = fs->op.init(conn, cfg);
	context->private_data = above;
}

void fuse_fs_destroy(struct fuse_fs *fs)
{
	struct fuse_context *context = fuse_get_context();
	void *above = context->private_data;

	context->private_data = fs->private_data;
	if (fs->op.destroy && !fs->waits_for_init)
		fs->op.destroy(fs->private_data);
	context->private_data = above;
	free(fs);
}

/* ---- Names and attributes ---- */

int fuse_fs_getattr(struct fuse_fs *fs, const char *path, struct stat *buf,
		    struct fuse_file_info *fi)
{
	return CALL(fs, -ENOSYS, getattr, path, buf, fi);
}

int fuse_fs_statx(struct fuse_fs *fs, const char *path, int flags, int mask,
		  struct statx *stxbuf, struct fuse_file_info *fi)
{
	return CALL(fs, -ENOSYS, statx, path, flags, mask, stxbuf, fi);
}

int fuse_fs_access(struct fuse_fs *fs, const char *path, int mask)
{
	return CALL(fs, -ENOSYS, access, path, mask);
}

int fuse_fs_readlink(struct fuse_fs *fs, const char *path, char *buf, size_t len)
{
	return CALL(fs, -ENOSYS, readlink, path, buf, len);
}

int fuse_fs_mknod(struct fuse_fs *fs, const char *path, mode_t mode, dev_t rdev)
{
	return CALL(fs, -ENOSYS, mknod, path, mode, rdev);
}

int fuse_fs_mkdir(struct fuse_fs *fs, const char *path, mode_t mode)
{
	return CALL(fs, -ENOSYS, mkdir, path, mode);
}

int fuse_fs_symlink(struct fuse_fs *fs, const char *linkname, const char *path)
{
	return CALL(fs, -ENOSYS, symlink, linkname, path);
}

int fuse_fs_unlink(struct fuse_fs *fs, const char *path)
{
	return CALL(fs, -ENOSYS, unlink, path);
}

int fuse_fs_rmdir(struct fuse_fs *fs, const char *path)
{
	return CALL(fs, -ENOSYS, rmdir, path);
}

int fuse_fs_rename(struct fuse_fs *fs, const char *oldpath, const char *newpath,
		   unsigned int flags)
{
	return CALL(fs, -ENOSYS, rename, oldpath, newpath, flags);
}

int fuse_fs_link(struct fuse_fs *fs, const char *oldpath, const char *newpath)
{
	return CALL(fs, -ENOSYS, link, oldpath, newpath);
}

int fuse_fs_chmod(struct fuse_fs *fs, const char *path, mode_t mode,
		  struct fuse_file_info *fi)
{
	return CALL(fs, -ENOSYS, chmod, path, mode, fi);
}

int fuse_fs_chown(struct fuse_fs *fs, const char *path, uid_t uid, gid_t gid,
		  struct fuse_file_info *fi)
{
	return CALL(fs, -ENOSYS, chown, path, uid, gid, fi);
}

int fuse_fs_truncate(struct fuse_fs *fs, const char *path, off_t size,
		     struct fuse_file_info *fi)
{
	return CALL(fs, -ENOSYS, truncate, path, size, fi);
}

int fuse_fs_utimens(struct fuse_fs *fs, const char *path, const struct timespec *tv,
		    struct fuse_file_info *fi)
{
	return CALL(fs, -ENOSYS, utimens, path, tv, fi);
}

int fuse_fs_statfs(struct fuse_fs *fs, const char *path, struct statvfs *buf)
{
	if (!fs->op.statfs) {
		buf->f_namemax = 255;
		buf->f_bsize = 512;
	}
	return CALL(fs, 0, statfs, path, buf);
}

int fuse_fs_setxattr(struct fuse_fs *fs, const char *path, const char *name,
		     const char *value, size_t size, int flags)
{
	return CALL(fs, -ENOSYS, setxattr, path, name, value, size, flags);
}

int fuse_fs_getxattr(struct fuse_fs *fs, const char *path, const char *name, char *value,
		     size_t size)
{
	return CALL(fs, -ENOSYS, getxattr, path, name, value, size);
}

int fuse_fs_listxattr(struct fuse_fs *fs, const char *path, char *list, size_t size)
{
	return CALL(fs, -ENOSYS, listxattr, path, list, size);
}

int fuse_fs_removexattr(struct fuse_fs *fs, const char *path, const char *name)
{
	return CALL(fs, -ENOSYS, removexattr, path, name);
}

int fuse_fs_bmap(struct fuse_fs *fs, const char *path, size_t blocksize, uint64_t *idx)
{
	return CALL(fs, -ENOSYS, bmap, path, blocksize, idx);
}

/* ---- Open files ---- */

int fuse_fs_create(struct fuse_fs *fs, const char *path, mode_t mode,
		   struct fuse_file_info *fi)
{
	return CALL(fs, -ENOSYS, create, path, mode, fi);
}

int fuse_fs_open(struct fuse_fs *fs, const char *path, struct fuse_file_info *fi)
{
	return CALL(fs, 0, open, path, fi);
}

int fuse_fs_flush(struct fuse_fs *fs, const char *path, struct fuse_file_info *fi)
{
	return CALL(fs, -ENOSYS, flush, path, fi);
}

int fuse_fs_release(struct fuse_fs *fs, const char *path, struct fuse_file_info *fi)
{
	return CALL(fs, 0, release, path, fi);
}

int fuse_fs_fsync(struct fuse_fs *fs, const char *path, int datasync,
		  struct fuse_file_info *fi)
{
	return CALL(fs, -ENOSYS, fsync, path, datasync, fi);
}

int fuse_fs_lock(struct fuse_fs *fs, const char *path, struct fuse_file_info *fi, int cmd,
		 struct flock *lock)
{
	return CALL(fs, -ENOSYS, lock, path, fi, cmd, lock);
}

int fuse_fs_flock(struct fuse_fs *fs, const char *path, struct fuse_file_info *fi, int op)
{
	return CALL(fs, -ENOSYS, flock, path, fi, op);
}

int fuse_fs_ioctl(struct fuse_fs *fs, const char *path, unsigned int cmd, void *arg,
		  struct fuse_file_info *fi, unsigned int flags, void *data)
{
	return CALL(fs, -ENOSYS, ioctl, path, cmd, arg, fi, flags, data);
}

int fuse_fs_poll(struct fuse_fs *fs, const char *path, struct fuse_file_info *fi,
		 struct fuse_pollhandle *ph, unsigned *reventsp)
{
	/* The handle goes to the operation for good. Where there is none, nobody keeps it. */
	if (!fs->op.poll)
		fuse_pollhandle_destroy(ph);
	return CALL(fs, -ENOSYS, poll, path, fi, ph, reventsp);
}

int fuse_fs_fallocate(struct fuse_fs *fs, const char *path, int mode, off_t offset,
		      off_t length, struct fuse_file_info *fi)
{
	return CALL(fs, -ENOSYS, fallocate, path, mode, offset, length, fi);
}

ssize_t fuse_fs_copy_file_range(struct fuse_fs *fs, const char *path_in,
				struct fuse_file_info *fi_in, off_t off_in,
				const char *path_out, struct fuse_file_info *fi_out,
				off_t off_out, size_t len, int flags)
{
	return CALL(fs, -ENOSYS, copy_file_range, path_in, fi_in, off_in, path_out,
		    fi_out, off_out, len, flags);
}

off_t fuse_fs_lseek(struct fuse_fs *fs, const char *path, off_t off, int whence,
		    struct fuse_file_info *fi)
{
	return CALL(fs, -ENOSYS, lseek, path, off, whence, fi);
}

/* ---- Directories ---- */

int fuse_fs_opendir(struct fuse_fs *fs, const char *path, struct fuse_file_info *fi)
{
	return CALL(fs, 0, opendir, path, fi);
}

int fuse_fs_readdir(struct fuse_fs *fs, const char *path, void *buf,
		    fuse_fill_dir_t filler, off_t off, struct fuse_file_info *fi,
		    enum fuse_readdir_flags flags)
{
	return CALL(fs, -ENOSYS, readdir, path, buf, filler, off, fi, flags);
}

int fuse_fs_releasedir(struct fuse_fs *fs, const char *path, struct fuse_file_info *fi)
{
	return CALL(fs, 0, releasedir, path, fi);
}

int fuse_fs_fsyncdir(struct fuse_fs *fs, const char *path, int datasync,
		     struct fuse_file_info *fi)
{
	return CALL(fs, -ENOSYS, fsyncdir, path, datasync, fi);
}

/* ---- Data: two ways to read and to write, of which a filesystem has one at least ---- */

static int call_read(struct fuse_fs *fs, const char *path, char *buf, size_t size,
		     off_t off, struct fuse_file_info *fi)
{
	return CALL(fs, -ENOSYS, read, path, buf, size, off, fi);
}

static int call_read_buf(struct fuse_fs *fs, const char *path, struct fuse_bufvec **bufp,
			 size_t size, off_t off, struct fuse_file_info *fi)
{
	return CALL(fs, -ENOSYS, read_buf, path, bufp, size, off, fi);
}

static int call_write(struct fuse_fs *fs, const char *path, const char *buf, size_t size,
		      off_t off, struct fuse_file_info *fi)
{
	return CALL(fs, -ENOSYS, write, path, buf, size, off, fi);
}

static int call_write_buf(struct fuse_fs *fs, const char *path, struct fuse_bufvec *buf,
			  off_t off, struct fuse_file_info *fi)
{
	return CALL(fs, -ENOSYS, write_buf, path, buf, off, fi);
}

/* Filesystems may read into it from files that they have opened with O_DIRECT. */
void *fuse_alloc_data(size_t size)
{
	const size_t page = 4096;

	if (size < page)
		return malloc(size ? size : 1);
	return aligned_alloc(page, (size + page - 1) & ~(page - 1));
}

void fuse_free_bufvec(struct fuse_bufvec *buf)
{
	if (!buf)
		return;
	for (size_t i = 0; i < buf->count; i++) {
		if (!(buf->buf[i].flags & FUSE_BUF_IS_FD))
			free(buf->buf[i].mem);
	}
	free(buf);
}

int fuse_fs_read(struct fuse_fs *fs, const char *path, char *buf, size_t size, off_t off,
		 struct fuse_file_info *fi)
{
	struct fuse_bufvec to = FUSE_BUFVEC_INIT(size), *from = NULL;
	int res;

	if (fs->op.read || !fs->op.read_buf)
		return call_read(fs, path, buf, size, off, fi);
	res = call_read_buf(fs, path, &from, size, off, fi);
	if (res == 0 && from) {
		to.buf[0].mem = buf;
		res = (int)fuse_buf_copy(&to, from, 0);
	}
	fuse_free_bufvec(from);
	return res;
}

int fuse_fs_read_buf(struct fuse_fs *fs, const char *path, struct fuse_bufvec **bufp,
		     size_t size, off_t off, struct fuse_file_info *fi)
{
	struct fuse_bufvec *buf;
	int res = -ENOMEM;

	*bufp = NULL;
	if (fs->op.read_buf)
		return call_read_buf(fs, path, bufp, size, off, fi);
	buf = malloc(sizeof(*buf));
	if (!buf)
		return -ENOMEM;
	*buf = FUSE_BUFVEC_INIT(size);
	buf->buf[0].mem = fuse_alloc_data(size);
	if (buf->buf[0].mem)
		res = call_read(fs, path, buf->buf[0].mem, size, off, fi);
	if (res < 0) {
		fuse_free_bufvec(buf);
		return res;
	}
	buf->buf[0].size = (size_t)res;
	*bufp = buf;
	return 0;
}

int fuse_fs_write_buf(struct fuse_fs *fs, const char *path, struct fuse_bufvec *buf,
		      off_t off, struct fuse_file_info *fi)
{
	struct fuse_bufvec memory;
	size_t size;
	ssize_t res;

	if (fs->op.write_buf || !fs->op.write)
		return call_write_buf(fs, path, buf, off, fi);
	if (buf->count == 1 && buf->idx == 0 && buf->off == 0 &&
	    !(buf->buf[0].flags & FUSE_BUF_IS_FD))
		return call_write(fs, path, buf->buf[0].mem, buf->buf[0].size, off, fi);
	size = fuse_buf_size(buf);
	memory = FUSE_BUFVEC_INIT(size);
	memory.buf[0].mem = fuse_alloc_data(size);
	if (!memory.buf[0].mem)
		return -ENOMEM;
	res = fuse_buf_copy(&memory, buf, 0);
	if (res >= 0)
		res = call_write(fs, path, memory.buf[0].mem, (size_t)res, off, fi);
	free(memory.buf[0].mem);
	return (int)res;
}

int fuse_fs_write(struct fuse_fs *fs, const char *path, const char *buf, size_t size,
		  off_t off, struct fuse_file_info *fi)
{
	struct fuse_bufvec from = FUSE_BUFVEC_INIT(size);

	if (fs->op.write || !fs->op.write_buf)
		return call_write(fs, path, buf, size, off, fi);
	from.buf[0].mem = (void *)buf;
	return call_write_buf(fs, path, &from, off, fi);
}
