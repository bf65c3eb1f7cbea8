// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file system behind the fuzzed session: every operation touches all its arguments and
 * then answers by turns with what suits it or with any other kind of reply, at once or
 * later.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum {
	MAX_HELD = 8,
};

/* requests that are to be answered later */
static fuse_req_t held[MAX_HELD];
static size_t held_count;
static unsigned int interrupts;

static void use_string(const char *string)
{
	use(string, strlen(string) + 1);
}

/* ---- Replies ---- */

enum kind {
	ERROR,
	NONE,
	ENTRY,
	CREATED,
	ATTRIBUTES,
	STATX,
	LINK,
	OPENED,
	WRITTEN,
	BUFFER,
	DATA,
	VECTOR,
	STATFS,
	XATTR_SIZE,
	LOCK,
	BLOCK,
	IOCTL,
	IOCTL_VECTOR,
	IOCTL_RETRY,
	EVENTS,
	POSITION,
	ENTRIES,
	ENTRIES_PLUS,
	KINDS,
};

static struct fuse_entry_param some_entry(void)
{
	struct fuse_entry_param e = { .ino = turn(3), .generation = 1 };

	e.attr.st_mode = turn(2) ? S_IFREG | 0644 : S_IFDIR | 0755;
	e.attr.st_size = (off_t)turn(65536) << turn(40);
	e.attr_timeout = turn(2) ? 1e300 : 0.5;
	e.entry_timeout = turn(2) ? -1 : 1.5;
	return e;
}

static struct fuse_file_info some_file(fuse_req_t req)
{
	struct fuse_file_info fi = { .fh = turn(65536) };

	fi.direct_io = turn(2);
	fi.keep_cache = turn(2);
	fi.nonseekable = turn(2);
	fi.cache_readdir = turn(2);
	fi.noflush = turn(2);
	fi.parallel_direct_writes = turn(2);
	if (turn(16) == 0) {
		fi.backing_id = fuse_passthrough_open(req, data_file);
		if (fi.backing_id > 0)
			fuse_passthrough_close(req, fi.backing_id);
	}
	return fi;
}

/* Up to three pieces, each in memory or in a file. */
static int reply_data(fuse_req_t req, size_t size)
{
	union {
		struct fuse_bufvec vector;
		char room[sizeof(struct fuse_bufvec) + 2 * sizeof(struct fuse_buf)];
	} u = { .vector = FUSE_BUFVEC_INIT(0) };
	size_t count = 1 + turn(3);

	u.vector.count = count;
	for (size_t i = 0; i < count; i++) {
		struct fuse_buf *b = &u.vector.buf[i];

		memset(b, 0, sizeof(*b));
		b->size = size / count;
		if (turn(2)) {
			b->mem = scratch;
			continue;
		}
		b->flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK |
			   (turn(2) ? FUSE_BUF_FD_RETRY : 0);
		b->fd = data_file;
		b->pos = turn(2) ? SCRATCH - 1 : 0;
	}
	if (size)
		u.vector.buf[0].size += size % count;
	return fuse_reply_data(req, &u.vector,
			       turn(2) ? FUSE_BUF_SPLICE_MOVE : FUSE_BUF_NO_SPLICE);
}

static int reply_vector(fuse_req_t req, size_t size, bool ioctl)
{
	struct iovec iov[3];
	int count = (int)turn(4);

	for (int i = 0; i < count; i++) {
		iov[i].iov_base = scratch;
		iov[i].iov_len = size / 3;
	}
	return ioctl ? fuse_reply_ioctl_iov(req, -1, iov, count)
		     : fuse_reply_iov(req, iov, count);
}

static int reply_retry(fuse_req_t req)
{
	static const unsigned int counts[] = { 0, 1, 2, FUSE_IOCTL_MAX_IOV };
	static struct iovec iov[FUSE_IOCTL_MAX_IOV];

	for (unsigned int i = 0; i < FUSE_IOCTL_MAX_IOV; i++)
		iov[i] = (struct iovec){ scratch, i };
	return fuse_reply_ioctl_retry(req, iov, counts[turn(4)], iov, counts[turn(4)]);
}

static int reply_entries(fuse_req_t req, size_t size, bool plus)
{
	struct stat st = { .st_ino = 1, .st_mode = S_IFREG };
	struct fuse_entry_param e = some_entry();
	char *buffer = malloc(size ? size : 1);
	char name[257] = { 0 };
	size_t used = 0, needed;
	int result;

	for (unsigned int i = 1; i < 40; i++) {
		memset(name, 'a', 1 + turn(255));
		if (plus)
			needed = fuse_add_direntry_plus(req, buffer + used, size - used,
							name, &e, i);
		else
			needed = fuse_add_direntry(req, buffer + used, size - used, name,
						   &st, i);
		if (needed > size - used)
			break;
		used += needed;
	}
	result = fuse_reply_buf(req, buffer, used);
	free(buffer);
	return result;
}

/* size: how much the caller has asked for, as far as the kind knows one. */
static int reply(fuse_req_t req, enum kind kind, size_t size)
{
	struct fuse_entry_param e = some_entry();
	struct fuse_file_info fi = some_file(req);
	struct statx statx = { .stx_mask = turn(65536), .stx_size = turn(65536) };
	struct statvfs statvfs = { .f_bsize = 4096, .f_blocks = turn(65536) };
	struct flock lock = { .l_type = (short)turn(4), .l_len = turn(2) };

	switch (kind) {
	case ERROR:
		return fuse_reply_err(req, (int)turn(134));
	case ENTRY:
		return fuse_reply_entry(req, &e);
	case CREATED:
		return fuse_reply_create(req, &e, &fi);
	case ATTRIBUTES:
		return fuse_reply_attr(req, &e.attr, e.attr_timeout);
	case STATX:
		return fuse_reply_statx(req, 0, &statx, 1.0);
	case LINK:
		return fuse_reply_readlink(req, turn(2) ? "target" : "");
	case OPENED:
		return fuse_reply_open(req, &fi);
	case WRITTEN:
		return fuse_reply_write(req, size);
	case BUFFER:
		return fuse_reply_buf(req, size ? scratch : NULL, size);
	case DATA:
		return reply_data(req, size);
	case VECTOR:
		return reply_vector(req, size, false);
	case STATFS:
		return fuse_reply_statfs(req, &statvfs);
	case XATTR_SIZE:
		return fuse_reply_xattr(req, size);
	case LOCK:
		return fuse_reply_lock(req, &lock);
	case BLOCK:
		return fuse_reply_bmap(req, turn(65536));
	case IOCTL:
		return fuse_reply_ioctl(req, 0, size ? scratch : NULL, size);
	case IOCTL_VECTOR:
		return reply_vector(req, size, true);
	case IOCTL_RETRY:
		return reply_retry(req);
	case EVENTS:
		return fuse_reply_poll(req, POLLIN);
	case POSITION:
		return fuse_reply_lseek(req, turn(65536));
	case ENTRIES:
		return reply_entries(req, size, false);
	case ENTRIES_PLUS:
		return reply_entries(req, size, true);
	case NONE:
	case KINDS:
		break;
	}
	fuse_reply_none(req);
	return 0;
}

static void on_interrupt(fuse_req_t req, void *counter)
{
	++*(unsigned int *)counter;
	fuse_req_interrupted(req);
}

static void inspect(fuse_req_t req)
{
	gid_t groups[4];
	char *payload;
	size_t size;
	void *mr;

	use(fuse_req_ctx(req), sizeof(struct fuse_ctx));
	if (fuse_req_userdata(req) != &session)
		finding("a request with other user data");
	if (fuse_req_is_uring(req) ||
	    fuse_req_get_payload(req, &payload, &size, &mr) == 0)
		finding("a request from a ring");
	if (turn(8) == 0)
		fuse_req_interrupted(req);
	if (turn(256) == 0)
		fuse_req_getgroups(req, 4, groups);
}

static void answer_sized(fuse_req_t req, enum kind kind, size_t size)
{
	if (size > SCRATCH)
		size = SCRATCH;
	inspect(req);
	if (turn(4) == 0 && held_count < MAX_HELD) {
		fuse_req_interrupt_func(req, on_interrupt, &interrupts);
		held[held_count++] = req;
		return;
	}
	if (turn(4) == 0)
		kind = turn(KINDS);
	reply(req, kind, size);
}

static void answer(fuse_req_t req, enum kind kind)
{
	answer_sized(req, kind, turn(4096));
}

void answer_held(void)
{
	while (held_count)
		reply(held[--held_count], turn(KINDS), turn(4096));
}

/* ---- Operations: touch every argument, then answer ---- */

static void use_file(struct fuse_file_info *fi)
{
	if (fi)
		use(fi, sizeof(*fi));
}

/* Copies as much as fits, as a file system would. */
static void use_buffers(struct fuse_bufvec *bufv)
{
	struct fuse_bufvec to = FUSE_BUFVEC_INIT(fuse_buf_size(bufv));
	ssize_t copied;

	if (to.buf[0].size > SCRATCH)
		to.buf[0].size = SCRATCH;
	to.buf[0].mem = scratch;
	copied = fuse_buf_copy(&to, bufv, turn(2) ? 0 : FUSE_BUF_NO_SPLICE);
	if (copied > 0)
		use(scratch, (size_t)copied);
}

static void fs_init(void *userdata, struct fuse_conn_info *conn)
{
	use(conn, sizeof(*conn));
	for (unsigned int bit = 0; bit < 31; bit++) {
		if (turn(4) == 0)
			fuse_set_feature_flag(conn, UINT64_C(1) << bit);
	}
	if (turn(4) == 0)
		conn->max_write = turn(65536);
	conn->no_interrupt = turn(8) == 0;
}

static void fs_destroy(void *userdata)
{
	if (userdata != &session)
		finding("destroy with other user data");
}

static void fs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	use_string(name);
	answer(req, ENTRY);
}

static void fs_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	fuse_reply_none(req);
}

static void fs_forget_multi(fuse_req_t req, size_t count,
			    struct fuse_forget_data *forgets)
{
	use(forgets, count * sizeof(*forgets));
	fuse_reply_none(req);
}

static void fs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	use_file(fi);
	answer(req, ATTRIBUTES);
}

static void fs_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi)
{
	use(attr, sizeof(*attr));
	use_file(fi);
	answer(req, ATTRIBUTES);
}

static void fs_statx(fuse_req_t req, fuse_ino_t ino, int flags, int mask,
		     struct fuse_file_info *fi)
{
	use_file(fi);
	answer(req, STATX);
}

static void fs_readlink(fuse_req_t req, fuse_ino_t ino)
{
	answer(req, LINK);
}

static void fs_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		     dev_t rdev)
{
	use_string(name);
	answer(req, ENTRY);
}

static void fs_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	use_string(name);
	answer(req, ENTRY);
}

static void fs_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	use_string(name);
	answer(req, ERROR);
}

static void fs_symlink(fuse_req_t req, const char *link, fuse_ino_t parent,
		       const char *name)
{
	use_string(link);
	use_string(name);
	answer(req, ENTRY);
}

static void fs_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
		      fuse_ino_t newparent, const char *newname, unsigned int flags)
{
	use_string(name);
	use_string(newname);
	answer(req, ERROR);
}

static void fs_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent,
		    const char *newname)
{
	use_string(newname);
	answer(req, ENTRY);
}

static void fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	use_file(fi);
	answer(req, OPENED);
}

static void fs_close(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	use_file(fi);
	answer(req, ERROR);
}

static void fs_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	use_string(name);
	use_file(fi);
	answer(req, CREATED);
}

static void fs_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode,
		       struct fuse_file_info *fi)
{
	use_file(fi);
	answer(req, CREATED);
}

static void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	static const enum kind kinds[] = { BUFFER, DATA, VECTOR };

	use_file(fi);
	answer_sized(req, kinds[turn(3)], size);
}

static void fs_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size,
		     off_t off, struct fuse_file_info *fi)
{
	use(buf, size);
	use_file(fi);
	answer_sized(req, WRITTEN, size);
}

static void fs_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *bufv,
			 off_t off, struct fuse_file_info *fi)
{
	size_t size = fuse_buf_size(bufv);

	use_buffers(bufv);
	use_file(fi);
	answer_sized(req, WRITTEN, size);
}

static void fs_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
		     struct fuse_file_info *fi)
{
	use_file(fi);
	answer(req, ERROR);
}

static void fs_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	use_file(fi);
	answer_sized(req, ENTRIES, size);
}

static void fs_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			   struct fuse_file_info *fi)
{
	use_file(fi);
	answer_sized(req, ENTRIES_PLUS, size);
}

static void fs_statfs(fuse_req_t req, fuse_ino_t ino)
{
	answer(req, STATFS);
}

static void fs_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
			const char *value, size_t size, int flags)
{
	use_string(name);
	use(value, size);
	answer(req, ERROR);
}

static void fs_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	use_string(name);
	answer_sized(req, size ? BUFFER : XATTR_SIZE, size);
}

static void fs_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	answer_sized(req, size ? BUFFER : XATTR_SIZE, size);
}

static void fs_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	use_string(name);
	answer(req, ERROR);
}

static void fs_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	answer(req, ERROR);
}

static void fs_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		     struct flock *lock)
{
	use_file(fi);
	use(lock, sizeof(*lock));
	answer(req, LOCK);
}

static void fs_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		     struct flock *lock, int sleep)
{
	use_file(fi);
	use(lock, sizeof(*lock));
	answer(req, ERROR);
}

static void fs_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
	use_file(fi);
	answer(req, ERROR);
}

static void fs_bmap(fuse_req_t req, fuse_ino_t ino, size_t blocksize, uint64_t idx)
{
	answer(req, BLOCK);
}

static void fs_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
		     struct fuse_file_info *fi, unsigned int flags, const void *in_buf,
		     size_t in_bufsz, size_t out_bufsz)
{
	static const enum kind kinds[] = { IOCTL, IOCTL_VECTOR, IOCTL_RETRY };

	use_file(fi);
	use(in_buf, in_bufsz);
	answer_sized(req, kinds[turn(3)], out_bufsz);
}

static void fs_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		    struct fuse_pollhandle *ph)
{
	use_file(fi);
	if (ph) {
		if (turn(2))
			fuse_lowlevel_notify_poll(ph);
		fuse_pollhandle_destroy(ph);
	}
	answer(req, EVENTS);
}

static void fs_retrieve_reply(fuse_req_t req, void *cookie, fuse_ino_t ino, off_t offset,
			      struct fuse_bufvec *bufv)
{
	if (cookie != &session)
		finding("retrieved data with another cookie");
	use_buffers(bufv);
	fuse_reply_none(req);
}

static void fs_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
			 off_t length, struct fuse_file_info *fi)
{
	use_file(fi);
	answer(req, ERROR);
}

static void fs_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			       struct fuse_file_info *fi_in, fuse_ino_t ino_out,
			       off_t off_out, struct fuse_file_info *fi_out, size_t len,
			       int flags)
{
	use_file(fi_in);
	use_file(fi_out);
	answer_sized(req, WRITTEN, len);
}

static void fs_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
		     struct fuse_file_info *fi)
{
	use_file(fi);
	answer(req, POSITION);
}

const struct fuse_lowlevel_ops operations = {
	.init = fs_init,
	.destroy = fs_destroy,
	.lookup = fs_lookup,
	.forget = fs_forget,
	.getattr = fs_getattr,
	.setattr = fs_setattr,
	.readlink = fs_readlink,
	.mknod = fs_mknod,
	.mkdir = fs_mkdir,
	.unlink = fs_unlink,
	.rmdir = fs_unlink,
	.symlink = fs_symlink,
	.rename = fs_rename,
	.link = fs_link,
	.open = fs_open,
	.read = fs_read,
	.write = fs_write,
	.flush = fs_close,
	.release = fs_close,
	.fsync = fs_fsync,
	.opendir = fs_open,
	.readdir = fs_readdir,
	.releasedir = fs_close,
	.fsyncdir = fs_fsync,
	.statfs = fs_statfs,
	.setxattr = fs_setxattr,
	.getxattr = fs_getxattr,
	.listxattr = fs_listxattr,
	.removexattr = fs_removexattr,
	.access = fs_access,
	.create = fs_create,
	.getlk = fs_getlk,
	.setlk = fs_setlk,
	.bmap = fs_bmap,
	.ioctl = fs_ioctl,
	.poll = fs_poll,
	.write_buf = fs_write_buf,
	.retrieve_reply = fs_retrieve_reply,
	.forget_multi = fs_forget_multi,
	.flock = fs_flock,
	.fallocate = fs_fallocate,
	.readdirplus = fs_readdirplus,
	.copy_file_range = fs_copy_file_range,
	.lseek = fs_lseek,
	.tmpfile = fs_tmpfile,
	.statx = fs_statx,
};
