// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Signals that end a session. Handlers get no argument of ours, so there is one session of the
 * process that they end. A signal that the program has a disposition for is left alone.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fuse_config.h"
#include "session/session.h"

#if __has_include(<execinfo.h>)
#include <execinfo.h>
#define HAVE_BACKTRACE
#endif

#define BACKTRACE_DEPTH 64

static _Atomic(struct fuse_session *) served;

static const int ending[] = { SIGHUP, SIGINT, SIGTERM };
static const int failing[] = { SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV };

static void end_session(int signal)
{
	struct fuse_session *se = atomic_load(&served);

	if (se)
		fuse_session_fail(se, signal);
}

/*
 * SIGPIPE is to do nothing, so that a write to a pipe that nobody reads fails with EPIPE. Other than
 * SIG_IGN, a handler of the library's own cannot be taken for the program's, and ends with exec(),
 * so that a child gets the default that it expects.
 */
static void do_nothing(int signal)
{
	(void)signal;
}

static void print_backtrace(void)
{
#ifdef HAVE_BACKTRACE
	void *frames[BACKTRACE_DEPTH];

	backtrace_symbols_fd(frames, backtrace(frames, BACKTRACE_DEPTH), STDERR_FILENO);
#endif
}

/* Nothing here may allocate or lock: the broken program may hold any lock. */
static void report_failure(int signal)
{
	char text[] = "fuse: the program is broken, signal 00\n";
	const size_t digits = sizeof(text) - 4;

	text[digits] = (char)('0' + signal / 10);
	text[digits + 1] = (char)('0' + signal % 10);
	if (write(STDERR_FILENO, text, sizeof(text) - 1) > 0)
		print_backtrace();
	end_session(signal);
	/* SA_RESETHAND has put the default back, which now does its work. */
	raise(signal);
}

/* Replaces one disposition by another if it is in force. */
static int replace(int signal, void (*from)(int), void (*to)(int), int flags)
{
	struct sigaction action;

	if (sigaction(signal, NULL, &action) != 0)
		goto fail;
	if ((action.sa_flags & SA_SIGINFO) || action.sa_handler != from)
		return 0;
	memset(&action, 0, sizeof(action));
	sigemptyset(&action.sa_mask);
	action.sa_handler = to;
	action.sa_flags = flags;
	if (sigaction(signal, &action, NULL) == 0)
		return 0;
fail:
	fuse_log(FUSE_LOG_ERR, "fuse: cannot handle signal %d\n", signal);
	return -1;
}

int fuse_set_signal_handlers(struct fuse_session *se)
{
	for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++) {
		/* No SA_RESTART: a loop that waits is to notice. */
		if (replace(ending[i], SIG_DFL, end_session, 0) != 0)
			return -1;
	}
	if (replace(SIGPIPE, SIG_DFL, do_nothing, SA_RESTART) != 0)
		return -1;
	atomic_store(&served, se);
	return 0;
}

int fuse_set_fail_signal_handlers(struct fuse_session *se)
{
#ifdef HAVE_BACKTRACE
	/* The first call loads a library, which a handler must not do. */
	void *frame;

	backtrace(&frame, 1);
#endif
	for (size_t i = 0; i < sizeof(failing) / sizeof(failing[0]); i++) {
		if (replace(failing[i], SIG_DFL, report_failure,
			    SA_RESETHAND | SA_NODEFER) != 0)
			return -1;
	}
	atomic_store(&served, se);
	return 0;
}

void fuse_remove_signal_handlers(struct fuse_session *se)
{
	if (atomic_load(&served) != se)
		fuse_log(FUSE_LOG_ERR,
			 "fuse: the signal handlers are not those of this session\n");
	else
		atomic_store(&served, NULL);

	for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
		replace(ending[i], end_session, SIG_DFL, 0);
	for (size_t i = 0; i < sizeof(failing) / sizeof(failing[0]); i++)
		replace(failing[i], report_failure, SIG_DFL, 0);
	replace(SIGPIPE, do_nothing, SIG_DFL, 0);
}
