// SPDX-License-Identifier: GPL-2.0-only
#include "ticker.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

static struct {
	void (*tick)(struct fuse_session *session);
	double interval;
	struct fuse_session *session;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t stopped;
	int runs, stop;
} ticker = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct timespec after(struct timespec time, double seconds)
{
	long long nanoseconds = time.tv_nsec + (long long)(seconds * 1e9);

	time.tv_sec += nanoseconds / 1000000000;
	time.tv_nsec = nanoseconds % 1000000000;
	return time;
}

static void *run_ticker(void *unused)
{
	struct timespec next;

	clock_gettime(CLOCK_MONOTONIC, &next);
	pthread_mutex_lock(&ticker.lock);
	while (!ticker.stop) {
		next = after(next, ticker.interval);
		while (!ticker.stop &&
		       pthread_cond_timedwait(&ticker.stopped, &ticker.lock, &next) !=
			       ETIMEDOUT)
			;
		if (ticker.stop)
			break;
		pthread_mutex_unlock(&ticker.lock);
		ticker.tick(ticker.session);
		pthread_mutex_lock(&ticker.lock);
	}
	pthread_mutex_unlock(&ticker.lock);
	return NULL;
}

/* Called behind fuse_daemonize(), which leaves threads behind. */
static int start(struct fuse_session *session)
{
	pthread_condattr_t attributes;

	ticker.session = session;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&ticker.stopped, &attributes);
	pthread_condattr_destroy(&attributes);
	ticker.runs = pthread_create(&ticker.thread, NULL, run_ticker, NULL) == 0;
	return ticker.runs ? 0 : -1;
}

/*
 * Not before the unmount: until then a notification may wait for the kernel, and the kernel, with
 * nobody in the loop any more, for an answer.
 */
static void stop(struct fuse_session *session)
{
	if (!ticker.runs)
		return;
	pthread_mutex_lock(&ticker.lock);
	ticker.stop = 1;
	pthread_cond_signal(&ticker.stopped);
	pthread_mutex_unlock(&ticker.lock);
	pthread_join(ticker.thread, NULL);
}

int serve_and_tick(struct fuse_args *args, const struct program *program,
		   void (*tick)(struct fuse_session *session), double interval)
{
	struct program ticking = *program;

	ticker.tick = tick;
	ticker.interval = interval;
	ticking.started = start;
	ticking.unmounted = stop;
	return serve(args, &ticking);
}
