// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The multi-threaded loop: threads that each receive a request, carry it out and receive
 * the next one. There is a thread to receive as long as the limit allows: when
 * the last idle one gets a request, it starts another before it begins.
 *
 * The pool's lock guards the list and the counts. A thread that has left is joined by
 * whoever starts the next one, or in the end.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "fuse_config.h"
#include "session/session.h"
#include "support/clock.h"

#define STACK_VARIABLE "FUSE_THREAD_STACK" /* in the environment; bytes */

/* Between two attempts to get threads out of their system calls. */
#define WAKE_INTERVAL_MS 5

struct pool {
	struct fuse_session *se;
	const struct fuse_loop_config *config;
	int wake_signal;
	size_t stack_size;

	pthread_mutex_t lock;
	pthread_cond_t someone_left;
	struct worker *workers; /* all that have not been joined */
	unsigned running;
	unsigned idle; /* of those: waiting for a request, or about to */
	bool stopping;
	bool clone_failed;
};

struct worker {
	struct pool *pool;
	struct worker *next;
	pthread_t thread;
	struct fuse_dev_channel *channel;
	struct fuse_buf buf;
	_Atomic bool receiving;
	bool left;
};

size_t fuse_thread_stack_size(void)
{
	const char *text = getenv(STACK_VARIABLE);
	unsigned size = 0;

	if (text)
		fuse_option_number(STACK_VARIABLE, text, PTHREAD_STACK_MIN, INT_MAX,
				   &size);
	return size;
}

int fuse_thread_start(pthread_t *thread, size_t stack_size, void *(*run)(void *),
		      void *data)
{
	pthread_attr_t attributes;
	sigset_t ours, former;
	int error;

	/* Signals that end the session are to interrupt its loop, not a handler. */
	sigemptyset(&ours);
	sigaddset(&ours, SIGHUP);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGQUIT);

	pthread_attr_init(&attributes);
	if (stack_size)
		pthread_attr_setstacksize(&attributes, stack_size);
	pthread_sigmask(SIG_BLOCK, &ours, &former);
	error = pthread_create(thread, &attributes, run, data);
	pthread_sigmask(SIG_SETMASK, &former, NULL);
	pthread_attr_destroy(&attributes);
	return -error;
}

static void free_worker(struct worker *worker)
{
	fuse_dev_channel_put(worker->channel);
	fuse_dev_buf_free(&worker->buf);
	free(worker);
}

/* With the lock held: what is left to do for a thread that has left takes no lock. */
static void join_those_who_left(struct pool *pool)
{
	struct worker **link = &pool->workers;

	while (*link) {
		struct worker *worker = *link;

		if (!worker->left) {
			link = &worker->next;
			continue;
		}
		*link = worker->next;
		pthread_join(worker->thread, NULL);
		free_worker(worker);
	}
}

static struct fuse_dev_channel *choose_channel(struct pool *pool)
{
	struct fuse_dev *dev = pool->se->dev;
	struct fuse_dev_channel *channel;

	if (pool->config->clone_fd && !pool->clone_failed) {
		channel = fuse_dev_clone(dev);
		if (channel)
			return channel;
		pool->clone_failed = true;
		fuse_log(FUSE_LOG_ERR,
			 "fuse: cannot clone the device: %s; going on without clone_fd\n",
			 strerror(errno));
	}
	return fuse_dev_first_channel(dev);
}

static void *run_worker(void *data);

/* With the lock held. Returns 0 or a negative errno. */
static int start_worker(struct pool *pool)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	int error;

	if (!worker)
		return -ENOMEM;
	join_those_who_left(pool);
	worker->pool = pool;
	worker->buf.fd = -1;
	worker->channel = choose_channel(pool);
	error = fuse_thread_start(&worker->thread, pool->stack_size, run_worker, worker);
	if (error) {
		free_worker(worker);
		return error;
	}
	worker->next = pool->workers;
	pool->workers = worker;
	pool->running++;
	pool->idle++;
	return 0;
}

/*
 * Until INIT is answered, the size of requests is not settled, and a thread that waited in
 * read() meanwhile would have told the kernel too small a buffer.
 */
static bool may_grow(const struct pool *pool)
{
	return !pool->idle && !pool->stopping &&
	       pool->running < pool->config->max_threads &&
	       atomic_load(&pool->se->protocol.got_init);
}

static void become_busy(struct pool *pool)
{
	int error = 0;

	pthread_mutex_lock(&pool->lock);
	pool->idle--;
	if (may_grow(pool))
		error = start_worker(pool);
	pthread_mutex_unlock(&pool->lock);
	if (error)
		fuse_log(FUSE_LOG_ERR, "fuse: cannot start another thread: %s\n",
			 strerror(-error));
}

/* With the lock held; the thread is not among the idle ones, and its end follows. */
static void leave(struct worker *worker)
{
	worker->pool->running--;
	worker->left = true;
	pthread_cond_signal(&worker->pool->someone_left);
}

/*
 * Returns false if there are idle threads enough without this one, which has left then: counted
 * as idle any longer, it would keep others from starting, or from staying. Whatever the limit is,
 * one has to receive.
 */
static bool become_idle(struct worker *worker)
{
	struct pool *pool = worker->pool;
	bool stay;

	pthread_mutex_lock(&pool->lock);
	stay = !pool->idle || pool->idle < pool->config->max_idle_threads;
	if (stay)
		pool->idle++;
	else
		leave(worker);
	pthread_mutex_unlock(&pool->lock);
	return stay;
}

static void leave_idle(struct worker *worker)
{
	struct pool *pool = worker->pool;

	pthread_mutex_lock(&pool->lock);
	pool->idle--;
	leave(worker);
	pthread_mutex_unlock(&pool->lock);
}

/* exited is set before receiving is looked at, and the other way round here: one sees. */
static int receive(struct worker *worker)
{
	int received = -EINTR;

	atomic_store(&worker->receiving, true);
	if (!fuse_session_exited(worker->pool->se))
		received = fuse_dev_receive(worker->channel, &worker->buf);
	atomic_store(&worker->receiving, false);
	return received;
}

static void *run_worker(void *data)
{
	struct worker *worker = data;
	struct pool *pool = worker->pool;
	struct fuse_session *se = pool->se;
	bool stay = true;
	sigset_t wake;

	sigemptyset(&wake);
	sigaddset(&wake, pool->wake_signal);
	pthread_sigmask(SIG_UNBLOCK, &wake, NULL);

	while (stay && !fuse_session_exited(se)) {
		int received = receive(worker);

		if (received == -EAGAIN)
			fuse_loop_wait(se, fuse_dev_channel_fd(worker->channel));
		if (!fuse_loop_received(se, received))
			continue;
		if (fuse_loop_forget(se, worker->channel, &worker->buf))
			continue;
		become_busy(pool);
		fuse_dev_process(worker->channel, &worker->buf);
		stay = become_idle(worker);
	}
	if (stay)
		leave_idle(worker);
	return NULL;
}

static void wait_for_exit(struct fuse_session *se)
{
	struct pollfd event = { .fd = se->exit_event, .events = POLLIN };

	while (!fuse_session_exited(se))
		poll(&event, 1, -1);
}

/* With the lock held. A thread in a handler is left alone: it finishes its request. */
static void wake_receivers(struct pool *pool)
{
	for (struct worker *worker = pool->workers; worker; worker = worker->next) {
		if (!worker->left && atomic_load(&worker->receiving))
			pthread_kill(worker->thread, pool->wake_signal);
	}
}

static void stop_workers(struct pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	while (pool->running) {
		wake_receivers(pool);
		fuse_clock_cond_wait(&pool->someone_left, &pool->lock,
				     fuse_clock() + WAKE_INTERVAL_MS * 1000000);
	}
	join_those_who_left(pool);
	pthread_mutex_unlock(&pool->lock);
}

static void init_pool(struct pool *pool)
{
	pthread_mutex_init(&pool->lock, NULL);
	fuse_clock_cond_init(&pool->someone_left);
}

static void run_pool(struct pool *pool)
{
	int error;

	pthread_mutex_lock(&pool->lock);
	error = start_worker(pool);
	pthread_mutex_unlock(&pool->lock);
	if (error) {
		fuse_log(FUSE_LOG_ERR, "fuse: cannot start a thread: %s\n",
			 strerror(-error));
		fuse_session_fail(pool->se, error);
		return;
	}
	wait_for_exit(pool->se);
	fuse_session_interrupt(pool->se);
	stop_workers(pool);
}

int fuse_session_loop_threads(struct fuse_session *se,
			      const struct fuse_loop_config *config)
{
	struct pool pool = { .se = se, .config = config };

	if (!se->dev)
		return -ENOTCONN;
	pool.stack_size = fuse_thread_stack_size();
	pool.wake_signal = fuse_wake_signal_get();
	if (!pool.wake_signal) {
		fuse_log(FUSE_LOG_ERR, "fuse: the program uses all real-time signals\n");
		return -EBUSY;
	}
	init_pool(&pool);
	fuse_loop_begin(se, FUSE_SESSION_MULTI, config->max_threads);
	if (!fuse_session_exited(se))
		run_pool(&pool);
	fuse_wake_signal_put();
	pthread_cond_destroy(&pool.someone_left);
	pthread_mutex_destroy(&pool.lock);
	return fuse_loop_end(se);
}
