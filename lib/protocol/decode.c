// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Decoders of what works on a name or an inode, and of what concerns the session. What
 * works on an open file is in decode_file.c.
 *
 * Once an operation of the filesystem was called, the request may be gone and another
 * one in its place: a decoder returns 0 right behind the call.
 */
#include <stdlib.h>
#include <string.h>

#include "protocol/opcode.h"

/* ---- Session ---- */

int fuse_decode_init(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_init_in *in = (const void *)message->arg;

	req->protocol->hooks->init(req, in);
	return 0;
}

int fuse_decode_destroy(struct fuse_req *req, struct fuse_message *message)
{
	struct fuse_protocol *protocol = req->protocol;

	if (atomic_exchange(&protocol->got_destroy, true))
		return -EIO;
	protocol->hooks->destroy(protocol);
	fuse_reply_err(req, 0);
	return 0;
}

int fuse_decode_interrupt(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_interrupt_in *in = (const void *)message->arg;

	if (req->protocol->conn.no_interrupt)
		return -ENOSYS;
	if (!fuse_inflight_interrupt(&req->protocol->inflight, in->unique) &&
	    req->protocol->hooks->interrupted)
		req->protocol->hooks->interrupted(req->protocol, in->unique);
	fuse_reply_none(req);
	return 0;
}

/* ---- Lookup counts ---- */

int fuse_decode_forget(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_forget_in *in = (const void *)message->arg;

	if (fuse_req_ops(req)->forget)
		fuse_req_ops(req)->forget(req, req->nodeid, in->nlookup);
	else
		fuse_reply_none(req);
	return 0;
}

static void free_request(struct fuse_req *req)
{
	free(req);
}

/* Requests that stand for one line of a BATCH_FORGET; nothing is ever sent on them. */
static const struct fuse_transport_ops forget_transport = {
	.finish = free_request,
};

/* A request of its own for each, since forget() may end it whenever it likes. */
static void forget_one(const struct fuse_req *batch, const struct fuse_forget_one *item)
{
	struct fuse_req *req = calloc(1, sizeof(*req));

	if (!req) {
		fuse_log(FUSE_LOG_ERR, "fuse: no memory to forget node %llu\n",
			 (unsigned long long)item->nodeid);
		return;
	}
	req->transport = &forget_transport;
	req->protocol = batch->protocol;
	req->counters = batch->counters;
	req->nodeid = item->nodeid;
	req->opcode = FUSE_FORGET;
	req->ctx = batch->ctx;
	atomic_store(&req->state, FUSE_REQ_ACTIVE);
	fuse_req_ops(req)->forget(req, item->nodeid, item->nlookup);
}

static void forget_each(const struct fuse_req *req, const char *items, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct fuse_forget_one item;

		memcpy(&item, items + i * sizeof(item), sizeof(item));
		forget_one(req, &item);
	}
}

int fuse_decode_batch_forget(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_batch_forget_in *in = (const void *)message->arg;
	size_t count = in->count;
	void *items;

	_Static_assert(sizeof(struct fuse_forget_one) == sizeof(struct fuse_forget_data),
		       "forget_multi() is given the wire's own records");
	if (count > message->payload_size / sizeof(struct fuse_forget_one))
		return FUSE_MALFORMED;
	if (!fuse_req_ops(req)->forget_multi) {
		if (fuse_req_ops(req)->forget)
			forget_each(req, message->payload, count);
		fuse_reply_none(req);
		return 0;
	}
	items = (void *)message->payload;
	if ((uintptr_t)items % _Alignof(struct fuse_forget_data)) {
		items = message->loaded = malloc(message->payload_size);
		if (!items)
			return -ENOMEM;
		memcpy(items, message->payload, message->payload_size);
	}
	fuse_req_ops(req)->forget_multi(req, count, items);
	return 0;
}

/* ---- Names ---- */

typedef void (*name_op)(fuse_req_t req, fuse_ino_t ino, const char *name);

static int call_with_name(struct fuse_req *req, struct fuse_message *message, name_op op)
{
	const char *name = fuse_message_string(message);

	if (!name)
		return FUSE_MALFORMED;
	if (!op)
		return -ENOSYS;
	op(req, req->nodeid, name);
	return 0;
}

int fuse_decode_lookup(struct fuse_req *req, struct fuse_message *message)
{
	return call_with_name(req, message, fuse_req_ops(req)->lookup);
}

int fuse_decode_unlink(struct fuse_req *req, struct fuse_message *message)
{
	return call_with_name(req, message, fuse_req_ops(req)->unlink);
}

int fuse_decode_rmdir(struct fuse_req *req, struct fuse_message *message)
{
	return call_with_name(req, message, fuse_req_ops(req)->rmdir);
}

int fuse_decode_removexattr(struct fuse_req *req, struct fuse_message *message)
{
	return call_with_name(req, message, fuse_req_ops(req)->removexattr);
}

int fuse_decode_mknod(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_mknod_in *in = (const void *)message->arg;
	const char *name = fuse_message_string(message);

	if (!name)
		return FUSE_MALFORMED;
	if (!fuse_req_ops(req)->mknod)
		return -ENOSYS;
	req->ctx.umask = in->umask;
	fuse_req_ops(req)->mknod(req, req->nodeid, name, in->mode, in->rdev);
	return 0;
}

int fuse_decode_mkdir(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_mkdir_in *in = (const void *)message->arg;
	const char *name = fuse_message_string(message);

	if (!name)
		return FUSE_MALFORMED;
	if (!fuse_req_ops(req)->mkdir)
		return -ENOSYS;
	req->ctx.umask = in->umask;
	fuse_req_ops(req)->mkdir(req, req->nodeid, name, in->mode);
	return 0;
}

int fuse_decode_symlink(struct fuse_req *req, struct fuse_message *message)
{
	const char *name = fuse_message_string(message);
	const char *target = fuse_message_string(message);

	if (!name || !target)
		return FUSE_MALFORMED;
	if (!fuse_req_ops(req)->symlink)
		return -ENOSYS;
	fuse_req_ops(req)->symlink(req, target, req->nodeid, name);
	return 0;
}

int fuse_decode_link(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_link_in *in = (const void *)message->arg;
	const char *name = fuse_message_string(message);

	if (!name)
		return FUSE_MALFORMED;
	if (!fuse_req_ops(req)->link)
		return -ENOSYS;
	fuse_req_ops(req)->link(req, in->oldnodeid, req->nodeid, name);
	return 0;
}

static int call_rename(struct fuse_req *req, struct fuse_message *message,
		       uint64_t newdir, uint32_t flags)
{
	const char *name = fuse_message_string(message);
	const char *newname = fuse_message_string(message);

	if (!name || !newname)
		return FUSE_MALFORMED;
	if (!fuse_req_ops(req)->rename)
		return -ENOSYS;
	fuse_req_ops(req)->rename(req, req->nodeid, name, newdir, newname, flags);
	return 0;
}

int fuse_decode_rename(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_rename_in *in = (const void *)message->arg;

	return call_rename(req, message, in->newdir, 0);
}

int fuse_decode_rename2(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_rename2_in *in = (const void *)message->arg;

	return call_rename(req, message, in->newdir, in->flags);
}

int fuse_decode_readlink(struct fuse_req *req, struct fuse_message *message)
{
	if (!fuse_req_ops(req)->readlink)
		return -ENOSYS;
	fuse_req_ops(req)->readlink(req, req->nodeid);
	return 0;
}

/* ---- Attributes ---- */

int fuse_decode_getattr(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_getattr_in *in = (const void *)message->arg;
	struct fuse_file_info file = { .fh = in->fh };

	if (!fuse_req_ops(req)->getattr)
		return -ENOSYS;
	fuse_req_ops(req)->getattr(req, req->nodeid,
				   in->getattr_flags & FUSE_GETATTR_FH ? &file : NULL);
	return 0;
}

/* The wire's bits and those of to_set have the same numbers, as far as both have them. */
#define SETTABLE                                                                   \
	(FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID |              \
	 FUSE_SET_ATTR_SIZE | FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME |          \
	 FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW | FUSE_SET_ATTR_CTIME | \
	 FUSE_SET_ATTR_KILL_SUID)
_Static_assert(SETTABLE == (FATTR_MODE | FATTR_UID | FATTR_GID | FATTR_SIZE |
			    FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW |
			    FATTR_MTIME_NOW | FATTR_CTIME | FATTR_KILL_SUIDGID),
	       "bits of setattr");

int fuse_decode_setattr(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_setattr_in *in = (const void *)message->arg;
	struct fuse_file_info file = { .fh = in->fh };
	struct stat attr;

	if (!fuse_req_ops(req)->setattr)
		return -ENOSYS;
	fuse_attr_to_stat(&attr, in);
	if (in->valid & FATTR_LOCKOWNER)
		file.lock_owner = in->lock_owner;
	fuse_req_ops(req)->setattr(req, req->nodeid, &attr, (int)(in->valid & SETTABLE),
				   in->valid & FATTR_FH ? &file : NULL);
	return 0;
}

int fuse_decode_statx(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_statx_in *in = (const void *)message->arg;
	struct fuse_file_info file = { .fh = in->fh };

	if (!fuse_req_ops(req)->statx)
		return -ENOSYS;
	fuse_req_ops(req)->statx(req, req->nodeid, (int)in->sx_flags, (int)in->sx_mask,
				 in->getattr_flags & FUSE_GETATTR_FH ? &file : NULL);
	return 0;
}

int fuse_decode_access(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_access_in *in = (const void *)message->arg;

	if (!fuse_req_ops(req)->access)
		return -ENOSYS;
	fuse_req_ops(req)->access(req, req->nodeid, (int)in->mask);
	return 0;
}

int fuse_decode_statfs(struct fuse_req *req, struct fuse_message *message)
{
	/* programs go by these two even when there are no figures to show */
	static const struct statvfs none = { .f_bsize = 512, .f_namemax = 255 };

	if (fuse_req_ops(req)->statfs)
		fuse_req_ops(req)->statfs(req, req->nodeid);
	else
		fuse_reply_statfs(req, &none);
	return 0;
}

/* ---- Extended attributes ---- */

int fuse_decode_setxattr(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_setxattr_in *in = (const void *)message->arg;
	const char *name = fuse_message_string(message);

	if (!name || message->payload_size < in->size)
		return FUSE_MALFORMED;
	if (!fuse_req_ops(req)->setxattr)
		return -ENOSYS;
	fuse_req_ops(req)->setxattr(req, req->nodeid, name, message->payload, in->size,
				    (int)in->flags);
	return 0;
}

int fuse_decode_getxattr(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_getxattr_in *in = (const void *)message->arg;
	const char *name = fuse_message_string(message);
	int res;

	if (!name)
		return FUSE_MALFORMED;
	if (fuse_channel_xattr_answers(req, name, in->size, &res))
		return res;
	if (!fuse_req_ops(req)->getxattr)
		return -ENOSYS;
	fuse_req_ops(req)->getxattr(req, req->nodeid, name, in->size);
	return 0;
}

int fuse_decode_listxattr(struct fuse_req *req, struct fuse_message *message)
{
	const struct fuse_getxattr_in *in = (const void *)message->arg;

	if (!fuse_req_ops(req)->listxattr)
		return -ENOSYS;
	fuse_req_ops(req)->listxattr(req, req->nodeid, in->size);
	return 0;
}
