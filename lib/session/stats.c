// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What went through a session's transports, as a structure.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fuse_config.h"
#include "session/session.h"

/* The two have the same members in the same order; one of them can be read while it grows. */
_Static_assert(sizeof(struct fuse_counters) == sizeof(struct fuse_transport_stats),
	       "counters and statistics differ");

#define COUNTERS (sizeof(struct fuse_transport_stats) / sizeof(uint64_t))

static void add_counters(struct fuse_transport_stats *stats,
			 const struct fuse_counters *counters)
{
	const _Atomic uint64_t *from = (const void *)counters;
	uint64_t *to = (void *)stats;

	for (size_t i = 0; i < COUNTERS; i++)
		to[i] += atomic_load_explicit(&from[i], memory_order_relaxed);
}

/* The caller may have been compiled with a shorter or with a longer structure. */
static void copy_out(void *to, size_t to_size, const void *from, size_t from_size)
{
	memset(to, 0, to_size);
	memcpy(to, from, to_size < from_size ? to_size : from_size);
}

int fuse_session_get_stats(struct fuse_session *se, struct fuse_session_stats *stats,
			   size_t size)
{
	struct fuse_session_stats whole;

	if (!se || !stats || !size)
		return -EINVAL;
	memset(&whole, 0, sizeof(whole));
	if (se->dev)
		add_counters(&whole.total, fuse_dev_counters(se->dev));
	strcpy(whole.transport, "dev");

	pthread_mutex_lock(&se->transport_lock);
	if (se->uring) {
		strcpy(whole.transport, "io_uring");
		snprintf(whole.dialect, sizeof(whole.dialect), "%s",
			 fuse_uring_dialect(se->uring));
		snprintf(whole.pool, sizeof(whole.pool), "%s",
			 fuse_uring_pool(se->uring));
		whole.zero_copy = fuse_uring_zero_copy(se->uring);
		whole.queues = fuse_uring_queues(se->uring);
		for (unsigned i = 0; i < whole.queues; i++)
			add_counters(&whole.total, fuse_uring_counters(se->uring, i));
	}
	pthread_mutex_unlock(&se->transport_lock);
	copy_out(stats, size, &whole, sizeof(whole));
	return 0;
}

int fuse_session_get_queue_stats(struct fuse_session *se, unsigned queue,
				 struct fuse_transport_stats *stats, size_t size)
{
	struct fuse_transport_stats whole;
	bool found = false;

	if (!se || !stats || !size)
		return -EINVAL;
	memset(&whole, 0, sizeof(whole));
	pthread_mutex_lock(&se->transport_lock);
	if (se->uring && queue < fuse_uring_queues(se->uring)) {
		add_counters(&whole, fuse_uring_counters(se->uring, queue));
		found = true;
	}
	pthread_mutex_unlock(&se->transport_lock);
	if (!found)
		return -EINVAL;
	copy_out(stats, size, &whole, sizeof(whole));
	return 0;
}
