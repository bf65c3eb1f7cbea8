// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Decoders of what opens a file or directory, and of what works on an open one. The rule
 * of decode.c holds: nothing happens behind the call of an operation.
 */
#include <limits.h>
#include <sys/file.h>

#include "protocol/opcode.h"

/* ---- Opening and closing ---- */

typedef void (*file_op)(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

/*
 * A filesystem need not have an operation for opening. The kernel can be told so once and
 * for all if it understands that answer; otherwise every open succeeds, without a handle.
 */
static int call_open(struct fuse_req *req, const struct fuse_message *message, file_op op,
		     uint64_t unneeded)
{
	const struct fuse_open_in *in = (const void *)message->arg;
	struct fuse_file_info file = {
		.flags = (int32_t)in->flags,
		.kill_suidgid = !!(in->open_flags & FUSE_OPEN_KILL_SUIDGID),
	};

	if (op)
		op(req, req->nodeid, &file);
	else if (req->protocol->conn.want_ext & unneeded)
		return -ENOSYS;
	else
		fuse_reply_open(req, &file);
	return 0;
}

int fuse_decode_open(struct fuse_req *req, struct fuse_message *message)
{
	return call_open(req, message, fuse_req_ops(req)->open, FUSE_CAP_NO_OPEN_SUPPORT);
}

int fuse_decode_opendir(struct fuse_req *req, struct fuse_message *message)
{
	return call_open(req, message, fuse_req_ops(req)->opendir,
			 FUSE_CAP_NO_OPENDIR_SUPPORT);
}

static struct fuse_file_info created_file(struct fuse_req *req,
					  const struct fuse_create_in *in)
{
	req->ctx.umask = in->umask;
	return (struct fuse_file_info){
		.flags = (int32_t)in->flags,
		.kill_suidgid = !!(in->open_flags & FUSE_OPEN_KILL_SUIDGID),
	};
}

int fuse_decode_create(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_create_in *in = (const void *)message->arg;
	struct fuse_file_info file = created_file(req, in);
	const char *name = fuse_message_string(message);

	if (!name)
		return FUSE_MALFORMED;
	if (!fuse_req_ops(req)->create)
		return -ENOSYS;
	fuse_req_ops(req)->create(req, req->nodeid, name, in->mode, &file);
	return 0;
}

/* A name follows, but it is one that the kernel made up. */
int fuse_decode_tmpfile(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_create_in *in = (const void *)message->arg;
	struct fuse_file_info file = created_file(req, in);

	if (!fuse_req_ops(req)->tmpfile)
		return -ENOSYS;
	fuse_req_ops(req)->tmpfile(req, req->nodeid, in->mode, &file);
	return 0;
}

int fuse_decode_flush(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_flush_in *in = (const void *)message->arg;
	struct fuse_file_info file = {
		.fh = in->fh,
		.flush = 1,
		.lock_owner = in->lock_owner,
	};

	if (!fuse_req_ops(req)->flush)
		return -ENOSYS;
	fuse_req_ops(req)->flush(req, req->nodeid, &file);
	return 0;
}

static int call_release(struct fuse_req *req, const struct fuse_message *message,
			file_op op)
{
	const struct fuse_release_in *in = (const void *)message->arg;
	struct fuse_file_info file = {
		.fh = in->fh,
		.flags = (int32_t)in->flags,
		.flush = !!(in->release_flags & FUSE_RELEASE_FLUSH),
		.flock_release = !!(in->release_flags & FUSE_RELEASE_FLOCK_UNLOCK),
		.lock_owner = in->lock_owner,
	};

	if (op)
		op(req, req->nodeid, &file);
	else
		fuse_reply_err(req, 0);
	return 0;
}

int fuse_decode_release(struct fuse_req *req, struct fuse_message *message)
{
	return call_release(req, message, fuse_req_ops(req)->release);
}

int fuse_decode_releasedir(struct fuse_req *req, struct fuse_message *message)
{
	return call_release(req, message, fuse_req_ops(req)->releasedir);
}

/* ---- Data ---- */

typedef void (*read_op)(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			struct fuse_file_info *fi);

static int call_read(struct fuse_req *req, const struct fuse_message *message, read_op op)
{
	const struct fuse_read_in *in = (const void *)message->arg;
	struct fuse_file_info file = { .fh = in->fh, .flags = (int32_t)in->flags };

	if (in->read_flags & FUSE_READ_LOCKOWNER)
		file.lock_owner = in->lock_owner;
	if (!op)
		return -ENOSYS;
	req->data.size = in->size;
	req->open_flags = file.flags;
	op(req, req->nodeid, in->size, (off_t)in->offset, &file);
	return 0;
}

int fuse_decode_read(struct fuse_req *req, struct fuse_message *message)
{
	return call_read(req, message, fuse_req_ops(req)->read);
}

int fuse_decode_readdir(struct fuse_req *req, struct fuse_message *message)
{
	return call_read(req, message, fuse_req_ops(req)->readdir);
}

int fuse_decode_readdirplus(struct fuse_req *req, struct fuse_message *message)
{
	return call_read(req, message, fuse_req_ops(req)->readdirplus);
}

/* The first `size` bytes of the payload; they must be there. */
static struct fuse_buf payload_buf(const struct fuse_message *message, size_t size)
{
	struct fuse_buf buf = { .size = size, .fd = -1 };

	if (message->payload_fd >= 0) {
		buf.flags = FUSE_BUF_IS_FD;
		buf.fd = message->payload_fd;
	} else {
		buf.mem = (void *)message->payload;
	}
	return buf;
}

int fuse_decode_write(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_write_in *in = (const void *)message->arg;
	struct fuse_file_info file = {
		.fh = in->fh,
		.flags = (int32_t)in->flags,
		.writepage = !!(in->write_flags & FUSE_WRITE_CACHE),
		.kill_suidgid = !!(in->write_flags & FUSE_WRITE_KILL_SUIDGID),
	};
	off_t offset = (off_t)in->offset;

	if (message->payload_size < in->size)
		return FUSE_MALFORMED;
	req->open_flags = file.flags;
	if (in->write_flags & FUSE_WRITE_LOCKOWNER)
		file.lock_owner = in->lock_owner;
	if (!fuse_write_data(req, in->size, &req->data))
		req->data = payload_buf(message, in->size);
	if (fuse_req_ops(req)->write_buf) {
		struct fuse_bufvec data = { .count = 1, .buf = { req->data } };

		fuse_req_ops(req)->write_buf(req, req->nodeid, &data, offset, &file);
	} else if (fuse_req_ops(req)->write) {
		int res = fuse_message_load(message);

		if (res)
			return res;
		req->data = payload_buf(message, in->size);
		fuse_req_ops(req)->write(req, req->nodeid, message->payload, in->size,
					 offset, &file);
	} else {
		return -ENOSYS;
	}
	return 0;
}

int fuse_decode_notify_reply(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_notify_retrieve_in *in = (const void *)message->arg;
	struct fuse_bufvec data = { .count = 1 };

	if (message->payload_size < in->size)
		return FUSE_MALFORMED;
	data.buf[0] = payload_buf(message, in->size);
	fuse_protocol_retrieved(req, in, &data);
	return 0;
}

typedef void (*fsync_op)(fuse_req_t req, fuse_ino_t ino, int datasync,
			 struct fuse_file_info *fi);

static int call_fsync(struct fuse_req *req, const struct fuse_message *message,
		      fsync_op op)
{
	const struct fuse_fsync_in *in = (const void *)message->arg;
	struct fuse_file_info file = { .fh = in->fh };

	if (!op)
		return -ENOSYS;
	op(req, req->nodeid, (int)(in->fsync_flags & FUSE_FSYNC_FDATASYNC), &file);
	return 0;
}

int fuse_decode_fsync(struct fuse_req *req, struct fuse_message *message)
{
	return call_fsync(req, message, fuse_req_ops(req)->fsync);
}

int fuse_decode_fsyncdir(struct fuse_req *req, struct fuse_message *message)
{
	return call_fsync(req, message, fuse_req_ops(req)->fsyncdir);
}

int fuse_decode_fallocate(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_fallocate_in *in = (const void *)message->arg;
	struct fuse_file_info file = { .fh = in->fh };

	if (!fuse_req_ops(req)->fallocate)
		return -ENOSYS;
	fuse_req_ops(req)->fallocate(req, req->nodeid, (int)in->mode, (off_t)in->offset,
				     (off_t)in->length, &file);
	return 0;
}

int fuse_decode_lseek(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_lseek_in *in = (const void *)message->arg;
	struct fuse_file_info file = { .fh = in->fh };

	if (!fuse_req_ops(req)->lseek)
		return -ENOSYS;
	fuse_req_ops(req)->lseek(req, req->nodeid, (off_t)in->offset, (int)in->whence,
				 &file);
	return 0;
}

/*
 * Both widths. A reply to the narrow one counts in 32 bits, so it is not asked for more: what
 * was copied beyond that would be reported as little or nothing. The limit keeps whole pages.
 */
static size_t copy_length(const struct fuse_req *req, uint64_t length)
{
	const uint64_t countable = UINT32_MAX & ~(uint64_t)4095;

	if (req->opcode != FUSE_COPY_FILE_RANGE_64 && length > countable)
		return (size_t)countable;
	return length < SIZE_MAX ? (size_t)length : SIZE_MAX;
}

int fuse_decode_copy_file_range(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_copy_file_range_in *in = (const void *)message->arg;
	struct fuse_file_info from = { .fh = in->fh_in };
	struct fuse_file_info to = { .fh = in->fh_out };

	if (!fuse_req_ops(req)->copy_file_range)
		return -ENOSYS;
	fuse_req_ops(req)->copy_file_range(req, req->nodeid, (off_t)in->off_in, &from,
					   in->nodeid_out, (off_t)in->off_out, &to,
					   copy_length(req, in->len), (int)in->flags);
	return 0;
}

int fuse_decode_bmap(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_bmap_in *in = (const void *)message->arg;

	if (!fuse_req_ops(req)->bmap)
		return -ENOSYS;
	fuse_req_ops(req)->bmap(req, req->nodeid, in->blocksize, in->block);
	return 0;
}

/* ---- Locks ---- */

/* False if the range is none. */
static bool decode_lock(struct flock *lock, const struct fuse_file_lock *in)
{
	if (in->start > in->end || in->end > INT64_MAX)
		return false;
	*lock = (struct flock){
		.l_type = (short)in->type,
		.l_whence = SEEK_SET,
		.l_start = (off_t)in->start,
		.l_pid = (pid_t)in->pid,
	};
	/* 0 is the length of what goes to the end, however far the file may grow */
	if (in->end < INT64_MAX)
		lock->l_len = (off_t)(in->end - in->start + 1);
	return true;
}

int fuse_decode_getlk(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_lk_in *in = (const void *)message->arg;
	struct fuse_file_info file = { .fh = in->fh, .lock_owner = in->owner };
	struct flock lock;

	if (!decode_lock(&lock, &in->lk))
		return FUSE_MALFORMED;
	if (!fuse_req_ops(req)->getlk)
		return -ENOSYS;
	fuse_req_ops(req)->getlk(req, req->nodeid, &file, &lock);
	return 0;
}

/* -1 if it is none. */
static int flock_operation(uint32_t type)
{
	switch (type) {
	case F_RDLCK:
		return LOCK_SH;
	case F_WRLCK:
		return LOCK_EX;
	case F_UNLCK:
		return LOCK_UN;
	}
	return -1;
}

static int call_setlk(struct fuse_req *req, const struct fuse_message *message, bool wait)
{
	const struct fuse_lk_in *in = (const void *)message->arg;
	struct fuse_file_info file = { .fh = in->fh, .lock_owner = in->owner };
	struct flock lock;

	if (in->lk_flags & FUSE_LK_FLOCK) {
		int operation = flock_operation(in->lk.type);

		if (operation < 0)
			return FUSE_MALFORMED;
		if (!fuse_req_ops(req)->flock)
			return -ENOSYS;
		fuse_req_ops(req)->flock(req, req->nodeid, &file,
					 operation | (wait ? 0 : LOCK_NB));
		return 0;
	}
	if (!decode_lock(&lock, &in->lk))
		return FUSE_MALFORMED;
	if (!fuse_req_ops(req)->setlk)
		return -ENOSYS;
	fuse_req_ops(req)->setlk(req, req->nodeid, &file, &lock, wait);
	return 0;
}

int fuse_decode_setlk(struct fuse_req *req, struct fuse_message *message)
{
	return call_setlk(req, message, false);
}

int fuse_decode_setlkw(struct fuse_req *req, struct fuse_message *message)
{
	return call_setlk(req, message, true);
}

/* ---- Control and waiting ---- */

int fuse_decode_ioctl(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_ioctl_in *in = (const void *)message->arg;
	struct fuse_file_info file = { .fh = in->fh };
	int res;

	if (message->payload_size < in->in_size)
		return FUSE_MALFORMED;
	if (fuse_live_answers(req, in, &res))
		return res;
	if (!fuse_req_ops(req)->ioctl)
		return -ENOSYS;
	if ((in->flags & FUSE_IOCTL_DIR) &&
	    !(req->protocol->conn.want_ext & FUSE_CAP_IOCTL_DIR))
		return -ENOTTY;
	fuse_req_ops(req)->ioctl(req, req->nodeid, in->cmd, (void *)(uintptr_t)in->arg,
				 &file, in->flags, in->in_size ? message->payload : NULL,
				 in->in_size, in->out_size);
	return 0;
}

int fuse_decode_poll(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_poll_in *in = (const void *)message->arg;
	struct fuse_file_info file = { .fh = in->fh, .poll_events = in->events };
	struct fuse_pollhandle *handle = NULL;

	if (!fuse_req_ops(req)->poll)
		return -ENOSYS;
	if (in->flags & FUSE_POLL_SCHEDULE_NOTIFY) {
		handle = fuse_pollhandle_new(req->protocol, in->kh);
		if (!handle)
			return -ENOMEM;
	}
	fuse_req_ops(req)->poll(req, req->nodeid, &file, handle);
	return 0;
}
