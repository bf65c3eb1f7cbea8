// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The single-threaded loop, and what it shares with the other one (workers.c).
 *
 * The loop has to end at once when any thread calls fuse_session_exit(), so it waits for
 * the device and for the exit event, and reads without waiting. A message that was there when
 * poll() looked may be gone: its caller was killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>

#include "fuse_config.h"
#include "session/session.h"

void fuse_loop_begin(struct fuse_session *se, enum fuse_session_mode mode,
		     unsigned max_workers)
{
	se->mode = mode;
	se->max_workers = max_workers;
	fuse_inflight_open(&se->protocol.inflight);
	fuse_rings_restart(se);
	fuse_stats_start(se);
}

int fuse_loop_end(struct fuse_session *se)
{
	fuse_session_interrupt(se);
	fuse_rings_stop(se);
	fuse_stats_stop(se);
	return atomic_load(&se->error);
}

/* Unmounted, or aborted. */
static void hang_up(struct fuse_session *se)
{
	atomic_store(&se->hung_up, true);
	fuse_session_exit(se);
}

bool fuse_loop_received(struct fuse_session *se, int received)
{
	if (received > 0)
		return true;
	if (received == 0)
		hang_up(se);
	else if (received != -EINTR && received != -EAGAIN)
		fuse_session_fail(se, received);
	return false;
}

void fuse_loop_wait(struct fuse_session *se, int fd)
{
	struct pollfd events[] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = se->exit_event, .events = POLLIN },
	};

	poll(events, 2, -1);
}

/*
 * Even where all else goes over rings, the kernel sends forgets by way of the device: all that
 * there are at the time, in one message. Nobody waits for them. So who has got some lets
 * others come together, instead of being woken up for each file that is removed.
 */
#define FORGETS_COME_TOGETHER_NS 1000000

static bool are_forgets(const struct fuse_buf *buf)
{
	const struct fuse_in_header *header = buf->mem;

	return !(buf->flags & FUSE_BUF_IS_FD) && buf->size >= sizeof(*header) &&
	       (header->opcode == FUSE_FORGET || header->opcode == FUSE_BATCH_FORGET);
}

bool fuse_loop_forget(struct fuse_session *se, struct fuse_dev_channel *channel,
		      const struct fuse_buf *buf)
{
	const struct timespec pause = { .tv_nsec = FORGETS_COME_TOGETHER_NS };

	if (!atomic_load_explicit(&se->on_rings, memory_order_relaxed) ||
	    !are_forgets(buf))
		return false;
	fuse_dev_process(channel, buf);
	nanosleep(&pause, NULL);
	return true;
}

/* Returns the former flags, or -1 if there is nothing to restore. */
static int stop_waiting_reads(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || (flags & O_NONBLOCK) ||
	    fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -1;
	return flags;
}

int fuse_session_loop(struct fuse_session *se)
{
	struct fuse_dev_channel *channel;
	struct fuse_buf buf = { .fd = -1 };
	bool wait = !se->has_io;
	int flags = -1;
	int received;

	if (!se->dev)
		return -ENOTCONN;
	channel = fuse_dev_first_channel(se->dev);
	if (!se->has_io)
		flags = stop_waiting_reads(se->fd);
	fuse_loop_begin(se, FUSE_SESSION_SINGLE, 0);
	while (!fuse_session_exited(se)) {
		if (wait) {
			fuse_loop_wait(se, se->fd);
			if (fuse_session_exited(se))
				break;
		}
		received = fuse_dev_receive(channel, &buf);
		/* Whether custom I/O has a descriptor to wait for, only it knows. */
		wait = !se->has_io || received == -EAGAIN;
		if (!fuse_loop_received(se, received))
			continue;
		if (!fuse_loop_forget(se, channel, &buf))
			fuse_dev_process(channel, &buf);
	}
	fuse_dev_buf_free(&buf);
	if (flags >= 0)
		fcntl(se->fd, F_SETFL, flags);
	return fuse_loop_end(se);
}
