/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A filesystem that writes down how it was called, and answers with success. Operations
 * are named as the opcodes are; of a fuse_file_info the members that are set are listed.
 */
#ifndef PROTOCOL_RECORDER_H
#define PROTOCOL_RECORDER_H

#include "protocol_rig.h"

#include <stdarg.h>

static char call[512];

static void __attribute__((format(printf, 1, 2))) note(const char *format, ...)
{
	size_t used = strlen(call);
	va_list args;

	va_start(args, format);
	vsnprintf(call + used, sizeof(call) - used, format, args);
	va_end(args);
}

/* The members that are set. */
static void note_file(const struct fuse_file_info *fi)
{
	if (!fi) {
		note(" no-file");
		return;
	}
	note(" file");
#define NOTE_MEMBER(member) \
	if (fi->member)     \
	note(" " #member "=%lld", (long long)fi->member)
	NOTE_MEMBER(fh);
	NOTE_MEMBER(flags);
	NOTE_MEMBER(lock_owner);
	NOTE_MEMBER(writepage);
	NOTE_MEMBER(flush);
	NOTE_MEMBER(flock_release);
	NOTE_MEMBER(kill_suidgid);
	NOTE_MEMBER(poll_events);
	NOTE_MEMBER(direct_io);
	NOTE_MEMBER(backing_id);
}

static void done(fuse_req_t req)
{
	CHECK_INT(fuse_reply_err(req, 0), 0);
}

static void op_lookup(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	note("lookup %d %s", (int)ino, name);
	done(req);
}

static void op_unlink(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	note("unlink %d %s", (int)ino, name);
	done(req);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	note("rmdir %d %s", (int)ino, name);
	done(req);
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	note("removexattr %d %s", (int)ino, name);
	done(req);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	note("forget %d %d;", (int)ino, (int)count);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *items)
{
	note("forget_multi");
	for (size_t i = 0; i < count; i++)
		note(" %d:%d", (int)items[i].ino, (int)items[i].nlookup);
	fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	note("getattr %d", (int)ino);
	note_file(fi);
	done(req);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi)
{
	note("setattr %d %#x mode %o uid %d gid %d size %d", (int)ino, to_set,
	     attr->st_mode, (int)attr->st_uid, (int)attr->st_gid, (int)attr->st_size);
	note(" %d.%d %d.%d %d.%d", (int)attr->st_atim.tv_sec, (int)attr->st_atim.tv_nsec,
	     (int)attr->st_mtim.tv_sec, (int)attr->st_mtim.tv_nsec,
	     (int)attr->st_ctim.tv_sec, (int)attr->st_ctim.tv_nsec);
	note_file(fi);
	done(req);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	note("readlink %d", (int)ino);
	done(req);
}

static void op_mknod(fuse_req_t req, fuse_ino_t ino, const char *name, mode_t mode,
		     dev_t rdev)
{
	note("mknod %d %s %o %d umask %o", (int)ino, name, mode, (int)rdev,
	     fuse_req_ctx(req)->umask);
	done(req);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t ino, const char *name, mode_t mode)
{
	note("mkdir %d %s %o umask %o", (int)ino, name, mode, fuse_req_ctx(req)->umask);
	done(req);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t ino,
		       const char *name)
{
	note("symlink %d %s -> %s", (int)ino, name, target);
	done(req);
}

static void op_rename(fuse_req_t req, fuse_ino_t ino, const char *name,
		      fuse_ino_t newparent, const char *newname, unsigned flags)
{
	note("rename %d %s %d %s flags %u", (int)ino, name, (int)newparent, newname,
	     flags);
	done(req);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent,
		    const char *name)
{
	note("link %d %d %s", (int)ino, (int)newparent, name);
	done(req);
}

#define FILE_OP(name_)                                         \
	static void op_##name_(fuse_req_t req, fuse_ino_t ino, \
			       struct fuse_file_info *fi)      \
	{                                                      \
		note(#name_ " %d", (int)ino);                  \
		note_file(fi);                                 \
		done(req);                                     \
	}

FILE_OP(open)
FILE_OP(opendir)
FILE_OP(flush)
FILE_OP(release)
FILE_OP(releasedir)

#define READ_OP(name_)                                                                 \
	static void op_##name_(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, \
			       struct fuse_file_info *fi)                              \
	{                                                                              \
		note(#name_ " %d %d at %lld", (int)ino, (int)size, (long long)off);    \
		note_file(fi);                                                         \
		done(req);                                                             \
	}

READ_OP(read)
READ_OP(readdir)
READ_OP(readdirplus)

#define FSYNC_OP(name_)                                                      \
	static void op_##name_(fuse_req_t req, fuse_ino_t ino, int datasync, \
			       struct fuse_file_info *fi)                    \
	{                                                                    \
		note(#name_ " %d %d", (int)ino, datasync);                   \
		note_file(fi);                                               \
		done(req);                                                   \
	}

FSYNC_OP(fsync)
FSYNC_OP(fsyncdir)

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size,
		     off_t off, struct fuse_file_info *fi)
{
	note("write %d '%.*s' at %lld", (int)ino, (int)size, buf, (long long)off);
	note_file(fi);
	fuse_reply_write(req, size);
}

static void op_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *data,
			 off_t off, struct fuse_file_info *fi)
{
	struct fuse_bufvec to = FUSE_BUFVEC_INIT(64);
	char buf[64];

	to.buf[0].mem = buf;
	CHECK_INT(data->count, 1);
	note("write_buf %d from %s", (int)ino,
	     data->buf[0].flags & FUSE_BUF_IS_FD ? "pipe" : "memory");
	note(" '%.*s' at %lld", (int)fuse_buf_copy(&to, data, 0), buf, (long long)off);
	note_file(fi);
	done(req);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	note("statfs %d", (int)ino);
	done(req);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
			const char *value, size_t size, int flags)
{
	note("setxattr %d %s '%.*s' flags %d", (int)ino, name, (int)size, value, flags);
	done(req);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	note("getxattr %d %s %d", (int)ino, name, (int)size);
	done(req);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	note("listxattr %d %d", (int)ino, (int)size);
	done(req);
}

static void op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	note("access %d %d", (int)ino, mask);
	done(req);
}

static void op_create(fuse_req_t req, fuse_ino_t ino, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	note("create %d %s %o umask %o", (int)ino, name, mode, fuse_req_ctx(req)->umask);
	note_file(fi);
	done(req);
}

static void op_tmpfile(fuse_req_t req, fuse_ino_t ino, mode_t mode,
		       struct fuse_file_info *fi)
{
	note("tmpfile %d %o umask %o", (int)ino, mode, fuse_req_ctx(req)->umask);
	note_file(fi);
	done(req);
}

static void note_lock(const struct flock *lock)
{
	note(" type %d start %lld len %lld pid %d", lock->l_type,
	     (long long)lock->l_start, (long long)lock->l_len, (int)lock->l_pid);
	CHECK_INT(lock->l_whence, SEEK_SET);
}

static void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		     struct flock *lock)
{
	note("getlk %d", (int)ino);
	note_lock(lock);
	note_file(fi);
	done(req);
}

static void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		     struct flock *lock, int sleep)
{
	note("setlk %d sleep %d", (int)ino, sleep);
	note_lock(lock);
	note_file(fi);
	done(req);
}

static void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
	note("flock %d %d", (int)ino, op);
	note_file(fi);
	done(req);
}

static void op_bmap(fuse_req_t req, fuse_ino_t ino, size_t blocksize, uint64_t idx)
{
	note("bmap %d %d %d", (int)ino, (int)blocksize, (int)idx);
	done(req);
}

static void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg,
		     struct fuse_file_info *fi, unsigned flags, const void *in_buf,
		     size_t in_bufsz, size_t out_bufsz)
{
	note("ioctl %d %u arg %lu flags %u in '%.*s' out %d", (int)ino, cmd,
	     (unsigned long)(uintptr_t)arg, flags, (int)in_bufsz,
	     in_buf ? (const char *)in_buf : "", (int)out_bufsz);
	note_file(fi);
	done(req);
}

static void op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		    struct fuse_pollhandle *ph)
{
	note("poll %d %s", (int)ino, ph ? "waiting" : "once");
	note_file(fi);
	if (ph)
		fuse_pollhandle_destroy(ph);
	done(req);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off,
			 off_t length, struct fuse_file_info *fi)
{
	note("fallocate %d %d %lld+%lld", (int)ino, mode, (long long)off,
	     (long long)length);
	note_file(fi);
	done(req);
}

static void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			       struct fuse_file_info *fi_in, fuse_ino_t ino_out,
			       off_t off_out, struct fuse_file_info *fi_out, size_t len,
			       int flags)
{
	note("copy %d at %d", (int)ino_in, (int)off_in);
	note_file(fi_in);
	note(" to %d at %d", (int)ino_out, (int)off_out);
	note_file(fi_out);
	note(" len %zu flags %d", len, flags);
	fuse_reply_write(req, len);
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
		     struct fuse_file_info *fi)
{
	note("lseek %d %d %d", (int)ino, (int)off, whence);
	note_file(fi);
	done(req);
}

static void op_statx(fuse_req_t req, fuse_ino_t ino, int flags, int mask,
		     struct fuse_file_info *fi)
{
	note("statx %d flags %d mask %d", (int)ino, flags, mask);
	note_file(fi);
	done(req);
}

static const struct fuse_lowlevel_ops all_ops = {
	.lookup = op_lookup,
	.forget = op_forget,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.release = op_release,
	.fsync = op_fsync,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.releasedir = op_releasedir,
	.fsyncdir = op_fsyncdir,
	.statfs = op_statfs,
	.setxattr = op_setxattr,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.removexattr = op_removexattr,
	.access = op_access,
	.create = op_create,
	.getlk = op_getlk,
	.setlk = op_setlk,
	.bmap = op_bmap,
	.ioctl = op_ioctl,
	.poll = op_poll,
	.write_buf = op_write_buf,
	.forget_multi = op_forget_multi,
	.flock = op_flock,
	.fallocate = op_fallocate,
	.readdirplus = op_readdirplus,
	.copy_file_range = op_copy_file_range,
	.lseek = op_lseek,
	.tmpfile = op_tmpfile,
	.statx = op_statx,
};

#endif
