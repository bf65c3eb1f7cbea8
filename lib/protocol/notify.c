// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Notifications: messages that nobody asked for, sent on /dev/fuse by the way that the session
 * has set up; and what comes back for two of them, poll handles and retrieved data.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/protocol.h"

struct fuse_pollhandle {
	uint64_t kh; /* the kernel's name for it */
	struct fuse_protocol *protocol;
};

struct fuse_retrieval {
	struct fuse_retrieval *next;
	uint64_t unique;
	void *cookie;
};

/*
 * Sets *protocol and returns 0, or returns -ENOSYS if the version that was agreed on is
 * older than `minor`. Before INIT none was.
 */
static int find_protocol(struct fuse_session *se, uint32_t minor,
			 struct fuse_protocol **protocol)
{
	if (!se)
		return -EINVAL;
	*protocol = fuse_session_protocol(se);
	if (!atomic_load(&(*protocol)->got_init) || (*protocol)->conn.proto_minor < minor)
		return -ENOSYS;
	return 0;
}

static int notify(struct fuse_protocol *protocol, int code, const struct iovec *iov,
		  int count)
{
	const struct fuse_notify_channel *channel = &protocol->notify;
	int res = channel->send(channel->transport, code, iov, count);

	if (protocol->debug)
		fuse_log(FUSE_LOG_DEBUG, "fuse: notification %d: result %d\n", code, res);
	return res;
}

static int notify_one(struct fuse_protocol *protocol, int code, const void *data,
		      size_t size)
{
	struct iovec iov = { .iov_base = (void *)data, .iov_len = size };

	return notify(protocol, code, &iov, 1);
}

/* On the wire a name is terminated; the caller's need not be. */
static int notify_name(struct fuse_protocol *protocol, int code, const void *head,
		       size_t head_size, const char *name, size_t namelen)
{
	struct iovec iov[3] = {
		{ .iov_base = (void *)head, .iov_len = head_size },
		{ .iov_base = (void *)name, .iov_len = namelen },
		{ .iov_base = (void *)"", .iov_len = 1 },
	};

	return notify(protocol, code, iov, 3);
}

struct fuse_pollhandle *fuse_pollhandle_new(struct fuse_protocol *protocol, uint64_t kh)
{
	struct fuse_pollhandle *handle = malloc(sizeof(*handle));

	if (handle)
		*handle = (struct fuse_pollhandle){ .kh = kh, .protocol = protocol };
	return handle;
}

void fuse_pollhandle_destroy(struct fuse_pollhandle *ph)
{
	free(ph);
}

int fuse_lowlevel_notify_poll(struct fuse_pollhandle *ph)
{
	struct fuse_notify_poll_wakeup_out out;

	if (!ph)
		return 0;
	out.kh = ph->kh;
	return notify_one(ph->protocol, FUSE_NOTIFY_POLL, &out, sizeof(out));
}

int fuse_lowlevel_notify_inval_inode(struct fuse_session *se, fuse_ino_t ino, off_t off,
				     off_t len)
{
	struct fuse_notify_inval_inode_out out = { .ino = ino, .off = off, .len = len };
	struct fuse_protocol *protocol;
	int res = find_protocol(se, 12, &protocol);

	return res ? res
		   : notify_one(protocol, FUSE_NOTIFY_INVAL_INODE, &out, sizeof(out));
}

int fuse_lowlevel_notify_increment_epoch(struct fuse_session *se)
{
	struct fuse_protocol *protocol;
	int res = find_protocol(se, 44, &protocol);

	return res ? res : notify(protocol, FUSE_NOTIFY_INC_EPOCH, NULL, 0);
}

static int notify_entry(struct fuse_protocol *protocol, fuse_ino_t parent,
			const char *name, size_t namelen, uint32_t flags)
{
	struct fuse_notify_inval_entry_out out = {
		.parent = parent,
		.namelen = (uint32_t)namelen,
		.flags = flags,
	};

	return notify_name(protocol, FUSE_NOTIFY_INVAL_ENTRY, &out, sizeof(out), name,
			   namelen);
}

int fuse_lowlevel_notify_inval_entry(struct fuse_session *se, fuse_ino_t parent,
				     const char *name, size_t namelen)
{
	struct fuse_protocol *protocol;
	int res = find_protocol(se, 12, &protocol);

	return res ? res : notify_entry(protocol, parent, name, namelen, 0);
}

int fuse_lowlevel_notify_expire_entry(struct fuse_session *se, fuse_ino_t parent,
				      const char *name, size_t namelen)
{
	struct fuse_protocol *protocol;
	int res = find_protocol(se, 12, &protocol);

	/* a kernel without the flag would take it for an ordinary invalidation */
	if (!res && !(protocol->conn.capable_ext & FUSE_CAP_EXPIRE_ONLY))
		res = -ENOSYS;
	return res ? res
		   : notify_entry(protocol, parent, name, namelen, FUSE_EXPIRE_ONLY);
}

int fuse_lowlevel_notify_delete(struct fuse_session *se, fuse_ino_t parent,
				fuse_ino_t child, const char *name, size_t namelen)
{
	struct fuse_notify_delete_out out = {
		.parent = parent,
		.child = child,
		.namelen = (uint32_t)namelen,
	};
	struct fuse_protocol *protocol;
	int res = find_protocol(se, 18, &protocol);

	return res ? res
		   : notify_name(protocol, FUSE_NOTIFY_DELETE, &out, sizeof(out), name,
				 namelen);
}

int fuse_lowlevel_notify_prune(struct fuse_session *se, const fuse_ino_t *nodeids,
			       uint32_t count)
{
	struct fuse_notify_prune_out out = { .count = count };
	const struct iovec iov[] = {
		{ .iov_base = &out, .iov_len = sizeof(out) },
		{ .iov_base = (void *)nodeids, .iov_len = count * sizeof(*nodeids) },
	};
	struct fuse_protocol *protocol;
	int res = find_protocol(se, 45, &protocol);

	return res ? res : notify(protocol, FUSE_NOTIFY_PRUNE, iov, 2);
}

int fuse_lowlevel_notify_store(struct fuse_session *se, fuse_ino_t ino, off_t offset,
			       struct fuse_bufvec *bufv, enum fuse_buf_copy_flags flags)
{
	const struct fuse_notify_channel *channel;
	struct fuse_notify_store_out out = { .nodeid = ino, .offset = (uint64_t)offset };
	size_t size = fuse_buf_size(bufv);
	struct fuse_protocol *protocol;
	int res = find_protocol(se, 15, &protocol);

	if (res)
		return res;
	if (size > UINT32_MAX)
		return -EINVAL;
	out.size = (uint32_t)size;
	channel = &protocol->notify;
	res = channel->send_data(channel->transport, FUSE_NOTIFY_STORE, &out, sizeof(out),
				 bufv, flags);
	if (protocol->debug)
		fuse_log(FUSE_LOG_DEBUG,
			 "fuse: notification %d of %zu bytes: result %d\n",
			 FUSE_NOTIFY_STORE, size, res);
	return res;
}

/* NULL if there is none of that number. */
static struct fuse_retrieval *take_retrieval(struct fuse_protocol *protocol,
					     uint64_t unique)
{
	struct fuse_retrieval **link, *found;

	pthread_mutex_lock(&protocol->retrieval_lock);
	for (link = &protocol->retrievals; *link; link = &(*link)->next) {
		if ((*link)->unique == unique)
			break;
	}
	found = *link;
	if (found)
		*link = found->next;
	pthread_mutex_unlock(&protocol->retrieval_lock);
	return found;
}

/* Returns the number, which is all that may be used of it: the reply may come any time. */
static uint64_t add_retrieval(struct fuse_protocol *protocol,
			      struct fuse_retrieval *retrieval)
{
	uint64_t unique;

	pthread_mutex_lock(&protocol->retrieval_lock);
	unique = protocol->retrieval_next;
	protocol->retrieval_next += 2;
	retrieval->unique = unique;
	retrieval->next = protocol->retrievals;
	protocol->retrievals = retrieval;
	pthread_mutex_unlock(&protocol->retrieval_lock);
	return unique;
}

int fuse_lowlevel_notify_retrieve(struct fuse_session *se, fuse_ino_t ino, size_t size,
				  off_t offset, void *cookie)
{
	struct fuse_notify_retrieve_out out = { .nodeid = ino,
						.offset = (uint64_t)offset };
	struct fuse_retrieval *retrieval;
	struct fuse_protocol *protocol;
	int res = find_protocol(se, 15, &protocol);

	if (res)
		return res;
	if (size > UINT32_MAX)
		return -EINVAL;
	retrieval = malloc(sizeof(*retrieval));
	if (!retrieval)
		return -ENOMEM;
	retrieval->cookie = cookie;
	if (size > protocol->retrieve_max)
		size = protocol->retrieve_max; /* as the kernel may shorten it itself */
	out.size = (uint32_t)size;
	out.notify_unique = add_retrieval(protocol, retrieval);
	res = notify_one(protocol, FUSE_NOTIFY_RETRIEVE, &out, sizeof(out));
	if (res)
		free(take_retrieval(protocol, out.notify_unique));
	return res;
}

void fuse_protocol_retrieved(struct fuse_req *req,
			     const struct fuse_notify_retrieve_in *in,
			     struct fuse_bufvec *data)
{
	struct fuse_protocol *protocol = req->protocol;
	struct fuse_retrieval *retrieval = take_retrieval(protocol, req->unique);
	void *cookie;

	if (!retrieval || !protocol->ops.retrieve_reply) {
		free(retrieval);
		fuse_reply_none(req);
		return;
	}
	cookie = retrieval->cookie;
	free(retrieval);
	protocol->ops.retrieve_reply(req, cookie, req->nodeid, (off_t)in->offset, data);
}

void fuse_protocol_forget_retrievals(struct fuse_protocol *protocol)
{
	while (protocol->retrievals) {
		struct fuse_retrieval *next = protocol->retrievals->next;

		free(protocol->retrievals);
		protocol->retrievals = next;
	}
}
