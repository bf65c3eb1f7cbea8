// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Answering the live channel, before any ioctl handler of the filesystem's sees it.
 */
#include <unistd.h>

#include "protocol/live.h"
#include "protocol/opcode.h"
#include "support/clock.h"

#define COUNTERS (sizeof(struct fuse_transport_stats) / sizeof(uint64_t))

_Static_assert(COUNTERS <= FUSE_LIVE_COUNTERS, "the counters have room");

/* With another number, on another node or of another size it is the filesystem's. */
static bool is_for_us(const struct fuse_req *req, const struct fuse_ioctl_in *in)
{
	return in->cmd == FUSE_LIVE_IOC_STATS && req->nodeid == FUSE_ROOT_ID &&
	       !in->in_size && in->out_size == sizeof(struct fuse_live_stats) &&
	       !(in->flags & FUSE_IOCTL_UNRESTRICTED) &&
	       req->protocol->init_opcode == FUSE_INIT && req->protocol->hooks->get_stats;
}

static void fill_in(struct fuse_live_stats *live, struct fuse_protocol *protocol)
{
	struct fuse_session_stats stats = { 0 };

	_Static_assert(sizeof(live->transport) == sizeof(stats.transport) &&
			       sizeof(live->dialect) == sizeof(stats.dialect) &&
			       sizeof(live->pool) == sizeof(stats.pool),
		       "names are as long as those of the public structure");
	protocol->hooks->get_stats(protocol, &stats);
	*live = (struct fuse_live_stats){
		.version = FUSE_LIVE_VERSION,
		.size = sizeof(*live),
		.time_ns = (uint64_t)fuse_clock(),
		.counters = COUNTERS,
		.queues = stats.queues,
		.zero_copy = stats.zero_copy,
		.pid = (uint32_t)getpid(),
	};
	memcpy(live->transport, stats.transport, sizeof(live->transport));
	memcpy(live->dialect, stats.dialect, sizeof(live->dialect));
	memcpy(live->pool, stats.pool, sizeof(live->pool));
	memcpy(live->counter, &stats.total, sizeof(stats.total));
}

bool fuse_live_answers(struct fuse_req *req, const struct fuse_ioctl_in *in, int *res)
{
	struct fuse_live_stats live;

	if (!is_for_us(req, in))
		return false;
	*res = -EPERM;
	if (req->ctx.uid != 0 && req->ctx.uid != req->protocol->owner)
		return true;
	fill_in(&live, req->protocol);
	*res = 0;
	fuse_reply_ioctl(req, 0, &live, sizeof(live));
	return true;
}
