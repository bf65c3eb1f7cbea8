// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Where requests enter: who may send what when, and the way from a message to its decoder.
 */
#include <stdlib.h>

#include "protocol/opcode.h"

int fuse_protocol_init(struct fuse_protocol *protocol)
{
	int res = fuse_inflight_init(&protocol->inflight);

	if (res)
		return res;
	protocol->init_opcode = FUSE_INIT;
	pthread_mutex_init(&protocol->retrieval_lock, NULL);
	/*
	 * The answer to a retrieval may arrive on a ring, where the kernel finds it by its
	 * unique among the requests in flight: so these are far from the kernel's own, which count
	 * from 0, and even as those are.
	 */
	protocol->retrieval_next = (uint64_t)1 << 62;
	protocol->retrieve_max = UINT32_MAX;
	return 0;
}

void fuse_protocol_destroy(struct fuse_protocol *protocol)
{
	fuse_protocol_forget_retrievals(protocol);
	pthread_mutex_destroy(&protocol->retrieval_lock);
	fuse_inflight_destroy(&protocol->inflight);
}

/*
 * A lock is given back by SETLKW as well, if the caller would have waited: flock(2) does so
 * by default. That never waits, and must not queue behind those who wait for it.
 */
static bool gives_back(const struct fuse_req *req)
{
	struct fuse_lk_in in;

	if (req->view.arg_size < sizeof(in))
		return false;
	memcpy(&in, req->view.arg, sizeof(in));
	return in.lk.type == F_UNLCK;
}

bool fuse_protocol_may_wait(const struct fuse_req *req)
{
	const struct fuse_protocol *protocol = req->protocol;
	const struct fuse_in_header header = fuse_req_header(req);
	uint32_t opcode = header.opcode;
	const struct fuse_opcode_entry *entry = fuse_opcode_find(opcode);

	if (protocol->may_wait &&
	    protocol->may_wait(protocol->userdata, opcode, header.nodeid))
		return true;
	if (!entry || !(entry->flags & FUSE_OP_MAY_WAIT))
		return false;
	return opcode != FUSE_SETLKW || !gives_back(req);
}

static void log_request(const struct fuse_in_header *header)
{
	fuse_log(FUSE_LOG_DEBUG,
		 "fuse: #%llu %s: node %llu, %u bytes, from thread %u of uid %u\n",
		 (unsigned long long)header->unique, fuse_opcode_name(header->opcode),
		 (unsigned long long)header->nodeid, header->len, header->pid,
		 header->uid);
}

static void begin(struct fuse_req *req)
{
	const struct fuse_in_header header = fuse_req_header(req);

	req->unique = header.unique;
	req->nodeid = header.nodeid;
	req->opcode = header.opcode;
	req->ctx = (struct fuse_ctx){
		.uid = header.uid,
		.gid = header.gid,
		.pid = (pid_t)header.pid,
	};
	req->data = (struct fuse_buf){ .size = 0 };
	req->client_data = (struct fuse_client_data){ .size = 0 };
	req->transferred = 0;
	req->filled = 0;
	req->on_trial = false;
	req->memory = NULL;
	req->next = NULL;
	req->link = NULL;
	req->interrupt_func = NULL;
	req->interrupt_data = NULL;
	req->interrupted = false;
	req->abandoned = false;
	req->interrupt_running = false;
	req->finish_pending = false;
	req->finishes_now = false;
	atomic_store(&req->state, FUSE_REQ_ACTIVE);
	if (req->protocol->debug)
		log_request(&header);
}

/* For a filesystem what a device begins with, and the other way round. */
static bool is_foreign(const struct fuse_protocol *protocol, uint32_t opcode)
{
	return (opcode == FUSE_INIT || opcode == CUSE_INIT) &&
	       opcode != protocol->init_opcode;
}

/* Whether a request of this kind is welcome now: 0 or a negative errno. */
static int admit(const struct fuse_req *req, const struct fuse_opcode_entry *entry)
{
	struct fuse_protocol *protocol = req->protocol;
	bool started = atomic_load(&protocol->got_init);

	if (started == (req->opcode == protocol->init_opcode) ||
	    atomic_load(&protocol->got_destroy))
		return -EIO;
	if (!entry || is_foreign(protocol, req->opcode))
		return -ENOSYS;
	if (protocol->only_owner_and_root && req->ctx.uid != protocol->owner &&
	    req->ctx.uid != 0 && !(entry->flags & FUSE_OP_OTHERS))
		return -EACCES;
	return 0;
}

static void log_malformed(const struct fuse_req *req)
{
	fuse_log(FUSE_LOG_ERR, "fuse: malformed request #%llu %s of %u bytes\n",
		 (unsigned long long)req->unique, fuse_opcode_name(req->opcode),
		 fuse_req_header(req).len);
}

static int decode(struct fuse_req *req, const struct fuse_opcode_entry *entry)
{
	struct fuse_message message;
	int res = fuse_message_parse(&message, req, entry);

	if (!res) {
		/* NOTIFY_REPLY's unique is one of this library's, not of the kernel's */
		if (!(entry->flags & FUSE_OP_NO_REPLY))
			fuse_inflight_add(&req->protocol->inflight, req);
		res = entry->decode(req, &message);
	}
	free(message.loaded);
	if (res == FUSE_MALFORMED)
		log_malformed(req);
	return res;
}

void fuse_protocol_dispatch(struct fuse_req *req)
{
	const struct fuse_opcode_entry *entry;
	int res;

	begin(req);
	entry = fuse_opcode_find(req->opcode);
	res = admit(req, entry);
	if (!res)
		res = decode(req, entry);
	if (res)
		fuse_reply_err(req, -res);
}
