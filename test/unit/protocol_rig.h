/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of lib/protocol stand on: a transport that keeps the reply in memory,
 * messages made by hand, and a session that is nothing but its protocol.
 */
#ifndef PROTOCOL_RIG_H
#define PROTOCOL_RIG_H

#include "protocol/protocol.h"

#include "check.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#define ROOM_SIZE 65536

struct fuse_session {
	struct fuse_protocol protocol;
	int fd;
};

/* A request and what became of it. */
struct rig_req {
	struct fuse_req req; /* first, so that a fuse_req_t leads here */
	struct fuse_counters counters;
	char *message; /* of exactly its size, so that a sanitizer sees its end */
	_Alignas(8) char room[ROOM_SIZE];

	_Atomic int replies;
	_Atomic int finished;
	int error;
	_Alignas(8) char sent[ROOM_SIZE];
	size_t sent_size;
	int fail_with; /* what the transport's reply() returns */
};

static struct fuse_session rig;
static uint64_t rig_unique = 2;

struct fuse_protocol *fuse_session_protocol(struct fuse_session *se)
{
	return &se->protocol;
}

int fuse_session_fd(struct fuse_session *se)
{
	return se->fd;
}

static int rig_reply(struct fuse_req *req, int error, const struct iovec *iov, int count)
{
	struct rig_req *r = (struct rig_req *)req;

	atomic_fetch_add(&r->replies, 1);
	CHECK(!atomic_load(&r->finished));
	r->error = error;
	r->sent_size = 0;
	for (int i = 0; i < count; i++) {
		CHECK(iov[i].iov_len <= ROOM_SIZE - r->sent_size);
		memcpy(r->sent + r->sent_size, iov[i].iov_base, iov[i].iov_len);
		r->sent_size += iov[i].iov_len;
	}
	return r->fail_with;
}

static int rig_reply_data(struct fuse_req *req, struct fuse_bufvec *data,
			  enum fuse_buf_copy_flags flags, size_t *sent)
{
	struct rig_req *r = (struct rig_req *)req;
	struct fuse_bufvec to = FUSE_BUFVEC_INIT(ROOM_SIZE);
	ssize_t size;

	to.buf[0].mem = r->sent;
	atomic_fetch_add(&r->replies, 1);
	size = fuse_buf_copy(&to, data, flags);
	r->error = size < 0 ? (int)size : 0;
	*sent = r->sent_size = size < 0 ? 0 : (size_t)size;
	return r->fail_with;
}

static void rig_finish(struct fuse_req *req)
{
	atomic_fetch_add(&((struct rig_req *)req)->finished, 1);
}

static void *rig_region(struct fuse_req *req)
{
	return (char *)req + 1;
}

static const struct fuse_transport_ops rig_dev = {
	.reply = rig_reply,
	.reply_data = rig_reply_data,
	.finish = rig_finish,
};

static const struct fuse_transport_ops rig_ring = {
	.is_uring = true,
	.reply = rig_reply,
	.reply_data = rig_reply_data,
	.finish = rig_finish,
	.region = rig_region,
};

static void rig_init_hook(struct fuse_req *req, const struct fuse_init_in *in)
{
	struct fuse_init_out out = { .major = 7,
				     .minor = in->minor,
				     .max_write = in->flags };

	rig.protocol.conn.proto_minor = in->minor;
	fuse_protocol_reply_init(req, &out);
}

static int rig_destroyed;

static void rig_destroy_hook(struct fuse_protocol *protocol)
{
	CHECK(protocol == &rig.protocol);
	rig_destroyed++;
}

static int rig_failed;

static void rig_failed_hook(struct fuse_protocol *protocol, int error)
{
	rig_failed = error;
}

static const struct fuse_protocol_hooks rig_hooks = {
	.init = rig_init_hook,
	.destroy = rig_destroy_hook,
	.failed = rig_failed_hook,
};

/* Most of what is sent here deserves a message. Each thread's last one is kept. */
static _Thread_local char rig_log[256];

static void rig_keep_log(enum fuse_log_level level, const char *format, va_list args)
{
	vsnprintf(rig_log, sizeof(rig_log), format, args);
}

/* A session that has had its INIT. */
static inline void rig_start(const struct fuse_lowlevel_ops *ops)
{
	fuse_set_log_func(rig_keep_log);
	memset(&rig, 0, sizeof(rig));
	rig.fd = -1;
	rig.protocol.session = &rig;
	rig.protocol.ops = *ops;
	rig.protocol.hooks = &rig_hooks;
	rig.protocol.conn.proto_major = 7;
	rig.protocol.conn.proto_minor = 46;
	rig.protocol.got_init = true;
	CHECK_INT(fuse_protocol_init(&rig.protocol), 0);
}

static inline void rig_stop(void)
{
	fuse_protocol_destroy(&rig.protocol);
}

static inline struct rig_req *rig_new(void)
{
	struct rig_req *r = calloc(1, sizeof(*r));

	CHECK(r);
	r->req.protocol = &rig.protocol;
	r->req.counters = &r->counters;
	r->req.view.payload_fd = -1;
	return r;
}

static inline struct fuse_in_header rig_header(uint32_t opcode, size_t body)
{
	rig_unique += 2;
	return (struct fuse_in_header){
		.len = (uint32_t)(sizeof(struct fuse_in_header) + body),
		.opcode = opcode,
		.unique = rig_unique,
		.nodeid = 5,
		.uid = 1000,
		.gid = 100,
		.pid = (uint32_t)getpid(),
	};
}

/* As read from /dev/fuse: all in one piece. */
static inline struct rig_req *rig_joined(struct fuse_in_header header, const void *arg,
					 size_t arg_size, const void *payload,
					 size_t payload_size)
{
	struct rig_req *r = rig_new();
	size_t size = sizeof(header) + arg_size + payload_size;
	char *p = r->message = malloc(size);

	CHECK(p);
	memcpy(p, &header, sizeof(header));
	if (arg_size)
		memcpy(p + sizeof(header), arg, arg_size);
	if (payload_size)
		memcpy(p + sizeof(header) + arg_size, payload, payload_size);
	r->req.transport = &rig_dev;
	r->req.view.header = (const struct fuse_in_header *)p;
	r->req.view.arg = p + sizeof(header);
	r->req.view.arg_size = arg_size + payload_size;
	r->req.view.contiguous = true;
	return r;
}

/* As it arrives on a ring: in three places, and the payload where the reply's will be. */
static inline struct rig_req *rig_split(struct fuse_in_header header, const void *arg,
					size_t arg_size, const void *payload,
					size_t payload_size)
{
	struct rig_req *r = rig_new();

	CHECK(payload_size <= ROOM_SIZE);
	r->message = malloc(sizeof(header) + arg_size);
	CHECK(r->message);
	memcpy(r->message, &header, sizeof(header));
	if (arg_size)
		memcpy(r->message + sizeof(header), arg, arg_size);
	if (payload_size)
		memcpy(r->room, payload, payload_size);
	r->req.transport = &rig_ring;
	r->req.view.header = (const struct fuse_in_header *)r->message;
	r->req.view.arg = r->message + sizeof(header);
	r->req.view.arg_size = arg_size;
	r->req.view.payload = r->room;
	r->req.view.payload_size = payload_size;
	r->req.reply_room = r->room;
	r->req.reply_room_size = ROOM_SIZE;
	return r;
}

static inline void rig_free(struct rig_req *r)
{
	CHECK_INT(atomic_load(&r->finished), 1);
	free(r->message);
	free(r);
}

/* The usual case: a whole message in one piece. */
static inline struct rig_req *rig_send(uint32_t opcode, const void *arg, size_t arg_size,
				       const void *payload, size_t payload_size)
{
	struct rig_req *r = rig_joined(rig_header(opcode, arg_size + payload_size), arg,
				       arg_size, payload, payload_size);

	fuse_protocol_dispatch(&r->req);
	return r;
}

#endif
