// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The io_uring transport in the life of a session, and the last rungs of the ladder: from
 * rings to /dev/fuse, with one line of log for each step down.
 */
#include <errno.h>
#include <linux/limits.h>
#include <stdio.h>

#include "fuse_config.h"
#include "session/session.h"

bool fuse_rings_wanted(const struct fuse_session *se)
{
	return se->options.io_uring;
}

void fuse_rings_step_down(struct fuse_session *se, const char *why)
{
	if (se->options.io_uring_strict)
		fuse_log(FUSE_LOG_ERR, "fuse: io_uring_strict: %s\n", why);
	else
		fuse_log(FUSE_LOG_WARNING, "fuse: using /dev/fuse, not io_uring: %s\n",
			 why);
}

static void on_disconnected(struct fuse_protocol *protocol)
{
	fuse_session_exit(protocol->session);
}

/*
 * The longest name and the longest extended attribute, together. A kernel with a smaller payload
 * buffer than a request needs does not refuse the request but crashes.
 */
#define LEAST_PAYLOAD (XATTR_SIZE_MAX + 2 * PATH_MAX)

/* Whoever insists gets it all the same. */
static bool has_no_use_for_it(const struct fuse_session *se)
{
	if (!se->in_memory || se->options.io_uring_strict)
		return false;
	fuse_log(FUSE_LOG_INFO, "fuse: the filesystem reads and writes in memory only, "
				"which takes less time without io_uring_zero_copy\n");
	return true;
}

static struct fuse_uring *make(struct fuse_session *se, struct fuse_uring_reason *why)
{
	struct fuse_uring_config *config = &se->uring_config;

	if (se->has_io) {
		snprintf(why->text, sizeof(why->text), "the session has I/O of its own");
		return NULL;
	}
	if (se->protocol.payload_max < LEAST_PAYLOAD) {
		snprintf(
			why->text, sizeof(why->text),
			"payloads are limited to %zu bytes, and extended attributes need %d",
			se->protocol.payload_max, LEAST_PAYLOAD);
		return NULL;
	}
	config->fd = se->fd;
	config->queue_depth = se->options.queue_depth;
	config->poll_us = se->options.poll_us;
	config->zero_copy = se->options.zero_copy && !has_no_use_for_it(se);
	config->unlinked = se->options.unlinked;
	config->pool = se->options.pool;
	config->pin = se->options.pin;
	config->bufs = se->options.bufs;
	config->memories = &se->memories;
	config->strict = se->options.io_uring_strict;
	config->max_workers = se->max_workers;
	config->payload_max = se->protocol.payload_max;
	config->debug = se->protocol.debug;
	config->disconnected = on_disconnected;
	return fuse_uring_new(config, why);
}

/* How opens are to be answered from now on. */
static void tell_protocol(struct fuse_session *se)
{
	struct fuse_protocol *protocol = &se->protocol;

	atomic_store(&protocol->zero_copy, fuse_uring_zero_copy(se->uring));
	atomic_store(&protocol->policy.for_all, fuse_uring_zero_copies_all(se->uring));
}

static void replace(struct fuse_session *se, struct fuse_uring *uring)
{
	struct fuse_uring *former;

	pthread_mutex_lock(&se->transport_lock);
	former = se->uring;
	se->uring = uring;
	se->uring_runs = uring;
	pthread_mutex_unlock(&se->transport_lock);
	if (former)
		fuse_uring_free(former);
}

uint64_t fuse_rings_new(struct fuse_session *se, uint64_t kernel_flags)
{
	struct fuse_uring_reason why = { "" };
	struct fuse_uring *uring;

	se->uring_config.kernel_flags = kernel_flags;
	uring = make(se, &why);
	if (!uring) {
		fuse_rings_step_down(se, why.text);
		return 0;
	}
	replace(se, uring);
	return fuse_uring_init_flags(uring);
}

/* With stop_lock held. */
static void stop(struct fuse_session *se)
{
	bool running;

	pthread_mutex_lock(&se->transport_lock);
	running = se->uring_runs;
	se->uring_runs = false;
	pthread_mutex_unlock(&se->transport_lock);
	if (!running)
		return;
	fuse_uring_stop(se->uring);
	atomic_store(&se->on_rings, false);
}

/* With stop_lock held. Returns 0 or a negative errno, after a message. */
static int start_locked(struct fuse_session *se)
{
	struct fuse_uring_reason why = { "" };
	const char *pool;
	int error;

	/* Who else clears it has the lock, and it is set in this thread only. */
	if (!se->uring_runs)
		return 0; /* stopped before they could begin */
	atomic_store(&se->on_rings, true);
	/* Before the first open can arrive. Where it does not come about, the kernel ignores it. */
	tell_protocol(se);
	error = fuse_uring_start(se->uring, &why);
	if (error) {
		fuse_rings_step_down(se, why.text);
		stop(se);
		replace(se, NULL);
		return error;
	}
	tell_protocol(se);
	pool = fuse_uring_pool(se->uring);
	fuse_log(FUSE_LOG_INFO, "fuse: using io_uring (%s%s%s%s%s), %u queues\n",
		 fuse_uring_dialect(se->uring), *pool ? ", " : "", pool,
		 fuse_uring_pins_headers(se->uring) ? ", headers pinned" : "",
		 fuse_uring_zero_copy(se->uring) ? ", zero-copy" : "",
		 fuse_uring_queues(se->uring));
	return 0;
}

/* Whoever wants to stop them waits: half of the owners would end, and the others be waited for. */
static int start(struct fuse_session *se)
{
	int error;

	pthread_mutex_lock(&se->stop_lock);
	error = start_locked(se);
	pthread_mutex_unlock(&se->stop_lock);
	return error;
}

void fuse_rings_start(struct fuse_session *se)
{
	int error = start(se);

	if (error && se->options.io_uring_strict)
		fuse_session_fail(se, error);
}

/*
 * The kernel, once it has used rings, has no way back to /dev/fuse, so here a failure ends
 * the session whatever was asked for. And as long as the connection lives it keeps the queues, which
 * cannot be told of another pool of buffers.
 */
void fuse_rings_restart(struct fuse_session *se)
{
	struct fuse_uring_reason why = { "" };
	struct fuse_uring *uring;
	int error = -EIO;

	if (!se->uring || se->uring_runs)
		return;
	if (*fuse_uring_pool(se->uring)) {
		fuse_log(FUSE_LOG_ERR,
			 "fuse: no second loop over pooled buffers, which belong to the "
			 "connection: mount with io_uring_pool=none\n");
		fuse_session_fail(se, -EOPNOTSUPP);
		return;
	}
	uring = make(se, &why);
	if (uring) {
		replace(se, uring);
		error = start(se);
	} else {
		fuse_rings_step_down(se, why.text);
	}
	if (error)
		fuse_session_fail(se, error);
}

bool fuse_rings_run_caller(struct fuse_session *se)
{
	bool is_one;

	pthread_mutex_lock(&se->transport_lock);
	is_one = se->uring && fuse_uring_is_own_thread(se->uring);
	pthread_mutex_unlock(&se->transport_lock);
	return is_one;
}

/*
 * Whoever comes second waits for the first one: the loop must not return, and the program let go
 * of its data, while handlers run. A handler itself cannot wait for its end, and leaves that to
 * the loop.
 */
void fuse_rings_stop(struct fuse_session *se)
{
	if (fuse_session_awaits_caller(se))
		return;
	pthread_mutex_lock(&se->stop_lock);
	stop(se);
	pthread_mutex_unlock(&se->stop_lock);
}

void fuse_rings_interrupt(struct fuse_session *se, uint64_t unique)
{
	pthread_mutex_lock(&se->transport_lock);
	if (se->uring && se->uring_runs)
		fuse_uring_interrupt(se->uring, unique);
	pthread_mutex_unlock(&se->transport_lock);
}

void fuse_rings_free(struct fuse_session *se)
{
	if (se->uring)
		fuse_uring_free(se->uring);
	se->uring = NULL;
}
