// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Getting a thread out of a read() that waits.
 *
 * poll() on the device would wake all threads for every request, and cancelling a thread
 * may lose the message that it was just being given. A signal whose handler does nothing
 * makes read() return EINTR, and only if it has taken no message. It may arrive right
 * before the read begins, so whoever sends it sends it again until the thread has left.
 *
 * Signals belong to the program, so one is borrowed that nobody uses, of the real-time
 * ones, from the top. It is only ever sent to threads of this library. Loops
 * of several sessions share it: this is state of the process, like signals are.
 */
#include <signal.h>
#include <string.h>

#include "session/session.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned users;
static int borrowed;

static void do_nothing(int signal)
{
	(void)signal;
}

static bool is_unused(int signal)
{
	struct sigaction action;

	return sigaction(signal, NULL, &action) == 0 && !(action.sa_flags & SA_SIGINFO) &&
	       action.sa_handler == SIG_DFL;
}

static int borrow(void)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action)); /* no SA_RESTART */
	sigemptyset(&action.sa_mask);
	action.sa_handler = do_nothing;
	for (int signal = SIGRTMAX; signal >= SIGRTMIN; signal--) {
		if (is_unused(signal) && sigaction(signal, &action, NULL) == 0)
			return signal;
	}
	return 0;
}

int fuse_wake_signal_get(void)
{
	int signal;

	pthread_mutex_lock(&lock);
	if (!users)
		borrowed = borrow();
	if (borrowed)
		users++;
	signal = borrowed;
	pthread_mutex_unlock(&lock);
	return signal;
}

/* The threads have ended, and signals that were on the way to them with them. */
void fuse_wake_signal_put(void)
{
	pthread_mutex_lock(&lock);
	if (--users == 0)
		signal(borrowed, SIG_DFL);
	pthread_mutex_unlock(&lock);
}
