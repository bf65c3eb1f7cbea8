// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Forgetting what need not be remembered any longer.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "path/path.h"

/* How long to sleep, at most, and while there is nothing to wait for. In seconds. */
#define LONGEST_SLEEP 10

int fuse_clean_cache(struct fuse *fuse)
{
	int64_t left;

	fuse_tree_lock(&fuse->tree);
	left = fuse->tree.nodes.root ? fuse_nodes_clean(&fuse->tree.nodes, fuse_clock())
				     : -1;
	fuse_tree_unlock(&fuse->tree);
	if (left < 0 || left > (int64_t)LONGEST_SLEEP * 1000000000)
		return LONGEST_SLEEP;
	return (int)(left / 1000000000) + 1;
}

void fuse_cleanup_init(struct fuse_cleanup *cleanup)
{
	pthread_mutex_init(&cleanup->lock, NULL);
	fuse_clock_cond_init(&cleanup->changed);
}

void fuse_cleanup_destroy(struct fuse_cleanup *cleanup)
{
	pthread_cond_destroy(&cleanup->changed);
	pthread_mutex_destroy(&cleanup->lock);
}

static void sleep_for(struct fuse_cleanup *cleanup, int seconds)
{
	int64_t until = fuse_clock() + seconds * INT64_C(1000000000);

	while (!cleanup->stopping &&
	       fuse_clock_cond_wait(&cleanup->changed, &cleanup->lock, until) == 0)
		;
}

static void *clean(void *data)
{
	struct fuse *f = data;
	struct fuse_cleanup *cleanup = &f->cleanup;
	int seconds;

	pthread_mutex_lock(&cleanup->lock);
	while (!cleanup->stopping) {
		pthread_mutex_unlock(&cleanup->lock);
		seconds = fuse_clean_cache(f);
		pthread_mutex_lock(&cleanup->lock);
		sleep_for(cleanup, seconds);
	}
	pthread_mutex_unlock(&cleanup->lock);
	return NULL;
}

/* With the lock held. Before init() has returned, nobody knows whether there is a need. */
static int start_if_needed(struct fuse *f)
{
	struct fuse_cleanup *cleanup = &f->cleanup;
	sigset_t all, former;
	int error;

	if (!cleanup->wanted || cleanup->running || !f->started || f->conf.remember <= 0)
		return 0;
	cleanup->stopping = false;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &former);
	error = pthread_create(&cleanup->thread, NULL, clean, f);
	pthread_sigmask(SIG_SETMASK, &former, NULL);
	cleanup->running = error == 0;
	if (error)
		fuse_log(FUSE_LOG_ERR, "fuse: cannot start a thread: %s\n",
			 strerror(error));
	return error ? -1 : 0;
}

void fuse_cleanup_may_start(struct fuse *f)
{
	pthread_mutex_lock(&f->cleanup.lock);
	f->started = true;
	start_if_needed(f);
	pthread_mutex_unlock(&f->cleanup.lock);
}

int fuse_start_cleanup_thread(struct fuse *fuse)
{
	int result;

	pthread_mutex_lock(&fuse->cleanup.lock);
	fuse->cleanup.wanted = true;
	result = start_if_needed(fuse);
	pthread_mutex_unlock(&fuse->cleanup.lock);
	return result;
}

void fuse_stop_cleanup_thread(struct fuse *fuse)
{
	struct fuse_cleanup *cleanup = &fuse->cleanup;
	bool running;

	pthread_mutex_lock(&cleanup->lock);
	cleanup->wanted = false;
	cleanup->stopping = true;
	running = cleanup->running;
	cleanup->running = false;
	pthread_cond_signal(&cleanup->changed);
	pthread_mutex_unlock(&cleanup->lock);
	if (running)
		pthread_join(cleanup->thread, NULL);
}
