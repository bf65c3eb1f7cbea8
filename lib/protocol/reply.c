// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Replies: claimed once, encoded where the transport would have them, sent, finished.
 *
 * Every public function claims the request first. Whoever loses that race touches neither
 * the request nor the place its reply is encoded in, which by then may hold another reply.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "protocol/opcode.h"
#include "protocol/reply.h"
#include "support/tsan.h"

/* A reply with an error of this or more is refused, and its caller would wait for ever. */
#define FIRST_KERNEL_ERROR 512

/* A transport puts its header before the payload and hands both to writev(2). */
#define MAX_PIECES (IOV_MAX - 1)

bool fuse_reply_claim(struct fuse_req *req)
{
	int expected = FUSE_REQ_ACTIVE;

	if (atomic_compare_exchange_strong(&req->state, &expected, FUSE_REQ_REPLIED))
		return true;
	fuse_log(FUSE_LOG_ERR, "fuse: a request was answered twice\n");
	return false;
}

/*
 * Nobody waits for an answer to a forget, and one without a unique would be taken for a
 * notification. ENOSYS to an interrupt tells the kernel to send no more of them.
 */
static bool is_awaited(const struct fuse_req *req, int error)
{
	const struct fuse_opcode_entry *entry = fuse_opcode_find(req->opcode);

	if (!req->unique)
		return false;
	if (req->opcode == FUSE_INTERRUPT)
		return error == -ENOSYS;
	return !entry || !(entry->flags & FUSE_OP_NO_REPLY);
}

/* A ring sends the reply here, another transport has done so. */
static void finish(struct fuse_req *req)
{
	free(req->memory);
	FUSE_REPLY_LEAVES(req->protocol);
	fuse_inflight_finish(&req->protocol->inflight, req);
}

static size_t payload_limit(const struct fuse_req *req)
{
	return req->reply_room ? req->reply_room_size
			       : UINT32_MAX - sizeof(struct fuse_out_header);
}

/* False if the pieces are too many or too large for the request's transport. */
static bool measure(const struct fuse_req *req, const struct iovec *iov, int count,
		    size_t *size)
{
	size_t room = payload_limit(req);

	*size = 0;
	if (count < 0 || count > MAX_PIECES)
		return false;
	for (int i = 0; i < count; i++) {
		if (iov[i].iov_len > room - *size)
			return false;
		*size += iov[i].iov_len;
	}
	return true;
}

static void log_reply(const struct fuse_req *req, int error, size_t size)
{
	if (!req->protocol->debug)
		return;
	fuse_log(FUSE_LOG_DEBUG, "fuse: #%llu %s: answered, error %d, %zu bytes\n",
		 (unsigned long long)req->unique, fuse_opcode_name(req->opcode), error,
		 size);
}

/* ---- What became of data that were not zero-copied ---- */

static bool lies_in_room(const struct fuse_req *req, const void *memory, size_t size)
{
	const char *room = req->reply_room;
	const char *begin = memory;

	return room && begin >= room && size <= req->reply_room_size &&
	       begin - room <= (ptrdiff_t)(req->reply_room_size - size);
}

static bool all_in_room(const struct fuse_req *req, const struct iovec *iov, int count)
{
	for (int i = 0; i < count; i++)
		if (!lies_in_room(req, iov[i].iov_base, iov[i].iov_len))
			return false;
	return true;
}

/* What a descriptor has is read to where the reply is to be. */
static bool needs_no_copy(const struct fuse_req *req, const struct fuse_bufvec *data)
{
	for (size_t i = data->idx; i < data->count; i++) {
		const struct fuse_buf *buf = &data->buf[i];

		if (!(buf->flags & FUSE_BUF_IS_FD) &&
		    (data->count > 1 || !lies_in_room(req, buf->mem, buf->size)))
			return false;
	}
	return true;
}

/* What a transport that can moves past this process. */
static bool is_by_descriptor(const struct fuse_bufvec *data)
{
	const unsigned kind = FUSE_BUF_IS_FD | FUSE_BUF_FD_RETRY;

	for (size_t i = data->idx; i < data->count; i++)
		if ((data->buf[i].flags & kind) != FUSE_BUF_IS_FD)
			return false;
	return true;
}

static void count_copied(struct fuse_req *req, size_t bytes, bool in_place)
{
	if (req->shared) {
		fuse_count(&req->counters->shared_requests, 1);
		fuse_count(&req->counters->shared_bytes, bytes);
		return;
	}
	fuse_count_copied(req->counters, bytes, in_place && req->transport->is_uring,
			  req->copy_reason);
}

/* Of a request whose handler has moved data itself, bit by bit; or not, and dropped them. */
static void count_data(struct fuse_req *req, size_t bytes, bool in_place)
{
	struct fuse_counters *counters = req->counters;

	if (req->zero_copied && bytes && !req->on_trial)
		fuse_policy_learn(req, !req->loaded && !req->filled);
	if (!req->zero_copied || req->loaded || req->filled) {
		count_copied(req, bytes, in_place);
		if (req->filled)
			fuse_count(&counters->copied, 1);
	} else if (req->transferred) {
		fuse_count(&counters->zero_copied_requests, 1);
		fuse_count(&counters->zero_copied_bytes, bytes);
		fuse_count(&counters->unlinked, 1);
	}
}

/* ENOENT is no failure: the caller was interrupted and has gone. */
static void note_failure(const struct fuse_req *req, int res)
{
	const struct fuse_protocol_hooks *hooks = req->protocol->hooks;

	if (!res || res == -ENOENT)
		return;
	fuse_log(FUSE_LOG_ERR, "fuse: cannot send the reply to #%llu %s: %s\n",
		 (unsigned long long)req->unique, fuse_opcode_name(req->opcode),
		 strerror(-res));
	if ((res == -ENODEV || res == -ENOTCONN || res == -ECONNABORTED ||
	     res == -EBADF) &&
	    hooks->failed)
		hooks->failed(req->protocol, res);
}

/* The request is claimed. Ends it, whatever comes out. */
static int deliver(struct fuse_req *req, int error, const struct iovec *iov, int count)
{
	int refused = 0;
	size_t size;
	int res;

	if (!is_awaited(req, error)) {
		finish(req);
		return 0;
	}
	if (!measure(req, iov, count, &size)) {
		fuse_log(FUSE_LOG_ERR, "fuse: the reply to #%llu %s is too large\n",
			 (unsigned long long)req->unique, fuse_opcode_name(req->opcode));
		refused = -E2BIG;
		error = -EIO;
		count = 0;
		size = 0;
	}
	log_reply(req, error, size);
	if (req->opcode == FUSE_WRITE && error)
		fuse_write_answered(req, error, 0);
	/* before the reply: once it has left, its receiver may look at the counters */
	if (!error && req->opcode == FUSE_READ) {
		fuse_count(&req->counters->bytes_read, size);
		if (req->zero_copied && size)
			fuse_policy_learn(req, false);
		count_copied(req, size, all_in_room(req, iov, count));
	}
	res = req->transport->reply(req, error, iov, count);
	note_failure(req, res);
	finish(req);
	return refused ? refused : res;
}

int fuse_reply_deliver_error(struct fuse_req *req, int error)
{
	return deliver(req, error, NULL, 0);
}

static int deliver_one(struct fuse_req *req, const void *payload, size_t size)
{
	struct iovec iov = { .iov_base = (void *)payload, .iov_len = size };

	return deliver(req, 0, &iov, 1);
}

/* Zeroed memory for a reply: the transport's place for it if it has one, or `local`. */
static void *place(struct fuse_req *req, void *local, size_t size)
{
	void *out =
		req->reply_room && size <= req->reply_room_size ? req->reply_room : local;

	return memset(out, 0, size);
}

/* That the filesystem has no attributes at all must not be said where the library has one. */
static bool hides_channel(const struct fuse_req *req, int err)
{
	return err == ENOSYS && req->opcode == FUSE_GETXATTR &&
	       atomic_load_explicit(&req->protocol->keeps_xattrs, memory_order_relaxed);
}

int fuse_reply_err(fuse_req_t req, int err)
{
	if (!fuse_reply_claim(req))
		return -EINVAL;
	if (err < 0 || err >= FIRST_KERNEL_ERROR) {
		fuse_log(FUSE_LOG_ERR, "fuse: #%llu %s: %d is no errno\n",
			 (unsigned long long)req->unique, fuse_opcode_name(req->opcode),
			 err);
		err = ERANGE;
	}
	if (hides_channel(req, err))
		err = ENODATA;
	/* The kernel would tell a caller who got no signal to restart, with an errno of its own. */
	if (err == EINTR && fuse_inflight_abandoned(&req->protocol->inflight, req))
		err = ENOTCONN;
	return deliver(req, -err, NULL, 0);
}

void fuse_reply_none(fuse_req_t req)
{
	if (!fuse_reply_claim(req))
		return;
	if (is_awaited(req, 0))
		fuse_log(FUSE_LOG_ERR, "fuse: #%llu %s has to be answered\n",
			 (unsigned long long)req->unique, fuse_opcode_name(req->opcode));
	deliver(req, -EIO, NULL, 0);
}

int fuse_protocol_reply_init(struct fuse_req *req, const struct fuse_init_out *out)
{
	uint32_t minor = req->protocol->conn.proto_minor;
	size_t size = sizeof(*out);

	if (!fuse_reply_claim(req))
		return -EINVAL;
	if (minor < 5)
		size = FUSE_COMPAT_INIT_OUT_SIZE;
	else if (minor < 23)
		size = FUSE_COMPAT_22_INIT_OUT_SIZE;
	return deliver_one(req, out, size);
}

/* Where it would not come about, the kernel is not asked. */
static bool wants_zero_copy(const struct fuse_req *req, uint64_t nodeid,
			    const struct fuse_file_info *fi)
{
	if (!atomic_load_explicit(&req->protocol->zero_copy, memory_order_relaxed) ||
	    fi->zero_copy == FUSE_ZERO_COPY_DECLINE || fi->backing_id > 0)
		return false;
	return fi->zero_copy == FUSE_ZERO_COPY_ASK ||
	       fuse_policy_asks(req->protocol, nodeid, fi->flags);
}

static void encode_open(const struct fuse_req *req, struct fuse_open_out *out,
			uint64_t nodeid, const struct fuse_file_info *fi)
{
	out->fh = fi->fh;
	if (fi->direct_io)
		out->open_flags |= FOPEN_DIRECT_IO;
	if (fi->keep_cache)
		out->open_flags |= FOPEN_KEEP_CACHE;
	if (fi->nonseekable)
		out->open_flags |= FOPEN_NONSEEKABLE;
	if (fi->cache_readdir)
		out->open_flags |= FOPEN_CACHE_DIR;
	if (fi->noflush)
		out->open_flags |= FOPEN_NOFLUSH;
	if (fi->parallel_direct_writes)
		out->open_flags |= FOPEN_PARALLEL_DIRECT_WRITES;
	if (wants_zero_copy(req, nodeid, fi))
		out->open_flags |= FOPEN_IO_URING_ZERO_COPY;
	if (fi->backing_id > 0) {
		out->open_flags |= FOPEN_PASSTHROUGH;
		out->backing_id = fi->backing_id;
	}
}

int fuse_reply_open(fuse_req_t req, const struct fuse_file_info *fi)
{
	struct fuse_open_out local, *out;

	if (!fuse_reply_claim(req))
		return -EINVAL;
	out = place(req, &local, sizeof(local));
	encode_open(req, out, req->nodeid, fi);
	return deliver_one(req, out, sizeof(*out));
}

int fuse_reply_entry(fuse_req_t req, const struct fuse_entry_param *e)
{
	struct fuse_entry_out local, *out;

	if (!fuse_reply_claim(req))
		return -EINVAL;
	out = place(req, &local, sizeof(local));
	fuse_entry_from_param(out, e);
	return deliver_one(req, out, sizeof(*out));
}

int fuse_reply_create(fuse_req_t req, const struct fuse_entry_param *e,
		      const struct fuse_file_info *fi)
{
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} local, *out;

	if (!fuse_reply_claim(req))
		return -EINVAL;
	out = place(req, &local, sizeof(local));
	fuse_entry_from_param(&out->entry, e);
	encode_open(req, &out->open, e->ino, fi);
	return deliver_one(req, out, sizeof(*out));
}

int fuse_reply_attr(fuse_req_t req, const struct stat *attr, double attr_timeout)
{
	struct fuse_attr_out local, *out;

	if (!fuse_reply_claim(req))
		return -EINVAL;
	out = place(req, &local, sizeof(local));
	fuse_timeout_split(attr_timeout, &out->attr_valid, &out->attr_valid_nsec);
	fuse_attr_from_stat(&out->attr, attr);
	return deliver_one(req, out, sizeof(*out));
}

int fuse_reply_statx(fuse_req_t req, int flags, struct statx *statx, double attr_timeout)
{
	struct fuse_statx_out local, *out;

	if (!fuse_reply_claim(req))
		return -EINVAL;
	out = place(req, &local, sizeof(local));
	out->flags = (uint32_t)flags;
	fuse_timeout_split(attr_timeout, &out->attr_valid, &out->attr_valid_nsec);
	fuse_statx_from_libc(&out->stat, statx);
	return deliver_one(req, out, sizeof(*out));
}

int fuse_reply_statfs(fuse_req_t req, const struct statvfs *stbuf)
{
	struct fuse_statfs_out local, *out;

	if (!fuse_reply_claim(req))
		return -EINVAL;
	out = place(req, &local, sizeof(local));
	out->st.blocks = stbuf->f_blocks;
	out->st.bfree = stbuf->f_bfree;
	out->st.bavail = stbuf->f_bavail;
	out->st.files = stbuf->f_files;
	out->st.ffree = stbuf->f_ffree;
	out->st.bsize = (uint32_t)stbuf->f_bsize;
	out->st.namelen = (uint32_t)stbuf->f_namemax;
	out->st.frsize = (uint32_t)stbuf->f_frsize;
	return deliver_one(req, out, sizeof(*out));
}

int fuse_reply_readlink(fuse_req_t req, const char *link)
{
	return fuse_reply_buf(req, link, strlen(link));
}

int fuse_reply_deliver_written(struct fuse_req *req, size_t count)
{
	union {
		struct fuse_write_out narrow;
		struct fuse_copy_file_range_out wide;
	} local, *out;

	_Static_assert(sizeof(local.narrow) == sizeof(local.wide), "one size for both");
	out = place(req, &local, sizeof(local));
	if (req->opcode == FUSE_COPY_FILE_RANGE_64)
		out->wide.bytes_copied = count;
	else
		out->narrow.size = (uint32_t)count;
	if (req->opcode == FUSE_WRITE) {
		fuse_count(&req->counters->bytes_written, count);
		fuse_write_answered(req, 0, count);
		count_data(req, count, true);
	}
	return deliver_one(req, out, sizeof(*out));
}

int fuse_reply_write(fuse_req_t req, size_t count)
{
	if (!fuse_reply_claim(req))
		return -EINVAL;
	return fuse_reply_deliver_written(req, count);
}

int fuse_reply_buf(fuse_req_t req, const char *buf, size_t size)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = size };

	return fuse_reply_iov(req, &iov, size ? 1 : 0);
}

int fuse_reply_iov(fuse_req_t req, const struct iovec *iov, int count)
{
	if (!fuse_reply_claim(req))
		return -EINVAL;
	return deliver(req, 0, iov, count);
}

int fuse_reply_deliver_data(struct fuse_req *req, struct fuse_bufvec *data,
			    enum fuse_buf_copy_flags flags)
{
	bool in_place = needs_no_copy(req, data);
	bool by_descriptor = is_by_descriptor(data);
	size_t size = fuse_buf_size(data);
	size_t sent = 0;
	int res;

	if (size > payload_limit(req) || !is_awaited(req, 0)) {
		struct iovec iov = { .iov_base = NULL, .iov_len = size };

		return deliver(req, 0, &iov, 1); /* which refuses it, or drops it */
	}
	if (req->zero_copied)
		req->finishes_now = fuse_inflight_leave(&req->protocol->inflight, req);
	res = req->transport->reply_data(req, data, flags, &sent);
	log_reply(req, res, sent);
	if (!res && req->opcode == FUSE_READ) {
		/* What was not zero-copied, but could have been, speaks for it next time. */
		if (by_descriptor || (req->zero_copied && sent))
			fuse_policy_learn(req, by_descriptor);
		fuse_count(&req->counters->bytes_read, sent);
		count_copied(req, sent, in_place);
	}
	note_failure(req, res);
	finish(req);
	return res;
}

int fuse_reply_data(fuse_req_t req, struct fuse_bufvec *bufv,
		    enum fuse_buf_copy_flags flags)
{
	if (!fuse_reply_claim(req))
		return -EINVAL;
	return fuse_reply_deliver_data(req, bufv, flags);
}

int fuse_reply_deliver_filled(struct fuse_req *req, size_t size)
{
	const char *memory = req->reply_room ? req->reply_room : req->memory;
	struct iovec iov = { .iov_base = (void *)memory, .iov_len = size };
	int res;

	if (!req->zero_copied)
		return deliver(req, 0, &iov, size ? 1 : 0);
	log_reply(req, 0, size);
	fuse_count(&req->counters->bytes_read, size);
	count_data(req, size, false);
	res = req->transport->reply_filled(req, size);
	note_failure(req, res);
	finish(req);
	return res;
}

int fuse_reply_deliver_ranges(struct fuse_req *req, const struct fuse_fd_range *ranges,
			      size_t count)
{
	int res = req->transport->reply_ranges(req, ranges, count);

	fuse_policy_learn(req, true);
	note_failure(req, res);
	finish(req);
	return res;
}

int fuse_reply_xattr(fuse_req_t req, size_t count)
{
	struct fuse_getxattr_out local, *out;

	if (!fuse_reply_claim(req))
		return -EINVAL;
	out = place(req, &local, sizeof(local));
	out->size = (uint32_t)count;
	return deliver_one(req, out, sizeof(*out));
}

int fuse_reply_lock(fuse_req_t req, const struct flock *lock)
{
	struct fuse_lk_out local, *out;

	if (!fuse_reply_claim(req))
		return -EINVAL;
	out = place(req, &local, sizeof(local));
	out->lk.type = (uint32_t)lock->l_type;
	if (lock->l_type != F_UNLCK) {
		out->lk.start = (uint64_t)lock->l_start;
		out->lk.end = lock->l_len ? out->lk.start + (uint64_t)lock->l_len - 1
					  : INT64_MAX;
	}
	out->lk.pid = (uint32_t)lock->l_pid;
	return deliver_one(req, out, sizeof(*out));
}

int fuse_reply_bmap(fuse_req_t req, uint64_t idx)
{
	struct fuse_bmap_out local, *out;

	if (!fuse_reply_claim(req))
		return -EINVAL;
	out = place(req, &local, sizeof(local));
	out->block = idx;
	return deliver_one(req, out, sizeof(*out));
}

int fuse_reply_poll(fuse_req_t req, unsigned revents)
{
	struct fuse_poll_out local, *out;

	if (!fuse_reply_claim(req))
		return -EINVAL;
	out = place(req, &local, sizeof(local));
	out->revents = revents;
	return deliver_one(req, out, sizeof(*out));
}

int fuse_reply_lseek(fuse_req_t req, off_t off)
{
	struct fuse_lseek_out local, *out;

	if (!fuse_reply_claim(req))
		return -EINVAL;
	out = place(req, &local, sizeof(local));
	out->offset = (uint64_t)off;
	return deliver_one(req, out, sizeof(*out));
}

int fuse_reply_ioctl(fuse_req_t req, int result, const void *buf, size_t size)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = size };

	return fuse_reply_ioctl_iov(req, result, &iov, size ? 1 : 0);
}

/* The header is not encoded in place: the filesystem's data may lie there already. */
int fuse_reply_ioctl_iov(fuse_req_t req, int result, const struct iovec *iov, int count)
{
	struct fuse_ioctl_out out = { .result = result };
	struct iovec few[8], *all = few;
	int res;

	if (!fuse_reply_claim(req))
		return -EINVAL;
	if (count < 0 || count >= MAX_PIECES)
		return deliver(req, 0, NULL, -1);
	if ((size_t)count >= sizeof(few) / sizeof(few[0]))
		all = malloc(((size_t)count + 1) * sizeof(*all));
	if (!all) {
		deliver(req, -ENOMEM, NULL, 0);
		return -ENOMEM;
	}
	all[0] = (struct iovec){ .iov_base = &out, .iov_len = sizeof(out) };
	if (count)
		memcpy(all + 1, iov, (size_t)count * sizeof(*all));
	res = deliver(req, 0, all, count + 1);
	if (all != few)
		free(all);
	return res;
}

static struct fuse_ioctl_iovec *encode_iovec(struct fuse_ioctl_iovec *to,
					     const struct iovec *iov, size_t count)
{
	for (size_t i = 0; i < count; i++, to++) {
		to->base = (uintptr_t)iov[i].iov_base;
		to->len = iov[i].iov_len;
	}
	return to;
}

int fuse_reply_ioctl_retry(fuse_req_t req, const struct iovec *in_iov, size_t in_count,
			   const struct iovec *out_iov, size_t out_count)
{
	struct {
		struct fuse_ioctl_out head;
		struct fuse_ioctl_iovec iov[FUSE_IOCTL_MAX_IOV];
	} out;
	struct fuse_ioctl_iovec *end;

	if (!fuse_reply_claim(req))
		return -EINVAL;
	if (in_count > FUSE_IOCTL_MAX_IOV || out_count > FUSE_IOCTL_MAX_IOV - in_count) {
		deliver(req, -EIO, NULL, 0);
		return -EINVAL;
	}
	out.head = (struct fuse_ioctl_out){
		.flags = FUSE_IOCTL_RETRY,
		.in_iovs = (uint32_t)in_count,
		.out_iovs = (uint32_t)out_count,
	};
	end = encode_iovec(out.iov, in_iov, in_count);
	end = encode_iovec(end, out_iov, out_count);
	return deliver_one(req, &out, (size_t)((char *)end - (char *)&out));
}
