// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Interrupted callers, for filesystems that want to hear of them by a signal.
 *
 * A signal that comes just before a system call does not interrupt it. So it is sent again
 * and again, by a thread that is started when it is first needed, until the operation has
 * returned. It is never sent to a thread that has gone on to something else: operations
 * leave the list, under its lock, before they end.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "path/path.h"

#define INTERVAL ((int64_t)50 * 1000000) /* nanoseconds */

static void do_nothing(int signal)
{
	(void)signal;
}

/* A disposition of the program's own is left alone. */
static int install(struct fuse_interrupts *interrupts)
{
	struct sigaction action;

	if (sigaction(interrupts->signal, NULL, &action) != 0) {
		fuse_log(FUSE_LOG_ERR, "fuse: option intr_signal: %d: %s\n",
			 interrupts->signal, strerror(errno));
		return -1;
	}
	if ((action.sa_flags & SA_SIGINFO) || action.sa_handler != SIG_DFL)
		return 0;
	memset(&action, 0, sizeof(action));
	sigemptyset(&action.sa_mask);
	action.sa_handler = do_nothing; /* and no SA_RESTART */
	sigaction(interrupts->signal, &action, NULL);
	interrupts->installed = true;
	return 0;
}

int fuse_interrupts_start(struct fuse *f)
{
	struct fuse_interrupts *interrupts = &f->interrupts;

	pthread_mutex_init(&interrupts->lock, NULL);
	fuse_clock_cond_init(&interrupts->changed);
	interrupts->signal = f->conf.intr_signal;
	return f->conf.intr ? install(interrupts) : 0;
}

void fuse_interrupts_stop(struct fuse *f)
{
	struct fuse_interrupts *interrupts = &f->interrupts;

	pthread_mutex_lock(&interrupts->lock);
	interrupts->stopping = true;
	pthread_cond_signal(&interrupts->changed);
	pthread_mutex_unlock(&interrupts->lock);
	if (interrupts->running)
		pthread_join(interrupts->thread, NULL);
	if (interrupts->installed)
		signal(interrupts->signal, SIG_DFL);
	pthread_cond_destroy(&interrupts->changed);
	pthread_mutex_destroy(&interrupts->lock);
}

static void *send_signals(void *data)
{
	struct fuse_interrupts *interrupts = data;

	pthread_mutex_lock(&interrupts->lock);
	while (!interrupts->stopping) {
		if (!interrupts->list)
			pthread_cond_wait(&interrupts->changed, &interrupts->lock);
		else
			fuse_clock_cond_wait(&interrupts->changed, &interrupts->lock,
					     fuse_clock() + INTERVAL);
		for (struct fuse_interrupted *i = interrupts->list; i; i = i->next)
			pthread_kill(i->thread, interrupts->signal);
	}
	pthread_mutex_unlock(&interrupts->lock);
	return NULL;
}

static int start_thread(struct fuse_interrupts *interrupts)
{
	sigset_t all, former;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &former);
	error = pthread_create(&interrupts->thread, NULL, send_signals, interrupts);
	pthread_sigmask(SIG_SETMASK, &former, NULL);
	return error;
}

static void on_interrupt(fuse_req_t req, void *data)
{
	struct fuse_interrupted *interrupted = data;
	struct fuse_interrupts *interrupts = interrupted->interrupts;

	(void)req;
	pthread_mutex_lock(&interrupts->lock);
	interrupted->next = interrupts->list;
	interrupted->link = &interrupts->list;
	if (interrupted->next)
		interrupted->next->link = &interrupted->next;
	interrupts->list = interrupted;
	pthread_kill(interrupted->thread, interrupts->signal);
	if (!interrupts->running && !interrupts->stopping)
		interrupts->running = start_thread(interrupts) == 0;
	pthread_cond_signal(&interrupts->changed);
	pthread_mutex_unlock(&interrupts->lock);
}

/*
 * Threads of a transport may block all signals. Nobody but us sends this one to them, so it
 * is not blocked again.
 */
static void unblock(int signal)
{
	static __thread int unblocked;
	sigset_t set;

	if (unblocked == signal)
		return;
	sigemptyset(&set);
	sigaddset(&set, signal);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	unblocked = signal;
}

void fuse_interrupts_watch(struct fuse_op *op)
{
	unblock(op->f->interrupts.signal);
	op->interrupted.interrupts = &op->f->interrupts;
	op->interrupted.thread = pthread_self();
	fuse_req_interrupt_func(op->req, on_interrupt, &op->interrupted);
}

void fuse_interrupts_unwatch(struct fuse_op *op)
{
	struct fuse_interrupts *interrupts = &op->f->interrupts;
	struct fuse_interrupted *interrupted = &op->interrupted;

	/* Returns when on_interrupt() does not run, and will not. */
	fuse_req_interrupt_func(op->req, NULL, NULL);
	pthread_mutex_lock(&interrupts->lock);
	if (interrupted->link) {
		*interrupted->link = interrupted->next;
		if (interrupted->next)
			interrupted->next->link = interrupted->link;
		interrupted->link = NULL;
	}
	pthread_mutex_unlock(&interrupts->lock);
}
