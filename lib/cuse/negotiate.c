// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * CUSE_INIT: the kernel asks what the device is, and makes it when it has the answer.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cuse/cuse.h"

/* cuse_init_out came with this minor version. */
#define OLDEST_MINOR 11

/* Pages of data in a request for a device: the kernel does not let us ask for more. */
#define DATA_PAGES 32

/* The kernel takes smaller limits for these. */
#define LEAST_DATA 4096

static uint32_t within(uint32_t value, uint32_t least, uint32_t most)
{
	if (value < least)
		return least;
	return value < most ? value : most;
}

static bool settle_version(const struct fuse_init_in *in)
{
	if (in->major == FUSE_KERNEL_VERSION && in->minor >= OLDEST_MINOR)
		return true;
	fuse_log(
		FUSE_LOG_ERR,
		"cuse: the kernel speaks protocol %u.%u; the oldest supported is %u.%u\n",
		in->major, in->minor, FUSE_KERNEL_VERSION, OLDEST_MINOR);
	return false;
}

/* What init() finds in *conn. */
static void suggest(struct fuse_conn_info *conn, const struct fuse_init_in *in,
		    uint32_t most)
{
	memset(conn, 0, sizeof(*conn));
	conn->proto_major = in->major;
	conn->proto_minor = in->minor;
	conn->max_read = most;
	conn->max_write = most;
	conn->time_gran = 1;
}

/* What it made of it, with everything in place that requests to come depend on. */
static void settle(struct fuse_session *se, uint32_t most)
{
	struct fuse_conn_info *conn = &se->protocol.conn;

	/* There is nothing to want: the kernel offers devices no features. */
	conn->want = 0;
	conn->want_ext = 0;
	conn->max_read = within(conn->max_read, LEAST_DATA, most);
	conn->max_write = within(conn->max_write, LEAST_DATA, most);
	se->protocol.payload_max = most;
	se->protocol.retrieve_max = most;
	fuse_dev_configure(se->dev, most + FUSE_DEV_HEADER_ROOM, false, false, false);
}

static int answer(struct fuse_session *se, struct fuse_req *req,
		  const struct fuse_init_in *in)
{
	const struct fuse_conn_info *conn = &se->protocol.conn;
	const struct fuse_cuse *cuse = se->cuse;
	struct cuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = in->minor < FUSE_KERNEL_MINOR_VERSION
				 ? in->minor
				 : FUSE_KERNEL_MINOR_VERSION,
		.flags = in->flags & cuse->flags & CUSE_UNRESTRICTED_IOCTL,
		.max_read = conn->max_read,
		.max_write = conn->max_write,
		.dev_major = cuse->major,
		.dev_minor = cuse->minor,
	};
	const struct iovec iov[] = {
		{ .iov_base = &out, .iov_len = sizeof(out) },
		{ .iov_base = (void *)cuse->info, .iov_len = cuse->info_size },
	};

	if ((cuse->flags & CUSE_UNRESTRICTED_IOCTL) && !out.flags)
		fuse_log(FUSE_LOG_WARNING,
			 "cuse: the kernel has no unrestricted ioctls\n");
	return fuse_reply_iov(req, iov, 2);
}

void fuse_cuse_negotiate(struct fuse_req *req, const struct fuse_init_in *in)
{
	const uint32_t most = DATA_PAGES * (uint32_t)getpagesize();
	struct fuse_session *se = req->protocol->session;
	struct fuse_protocol *protocol = &se->protocol;
	int error;

	if (!settle_version(in)) {
		fuse_reply_err(req, EPROTO);
		fuse_session_fail(se, -EPROTO);
		return;
	}
	suggest(&protocol->conn, in, most);
	if (protocol->ops.init)
		protocol->ops.init(protocol->userdata, &protocol->conn);
	settle(se, most);

	/* Before the answer: with it the device is there, and may be opened. */
	atomic_store(&protocol->got_init, true);
	error = answer(se, req, in);
	if (error) {
		fuse_session_fail(se, error);
		return;
	}
	if (se->cuse->ops.init_done)
		se->cuse->ops.init_done(protocol->userdata);
	fuse_stats_changed(se);
}
