// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waiting. Signals are blocked but while waiting, so that none comes between a look and a wait.
 */
#include "fusestat.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t ended, stopped, redraw;
static sigset_t unblocked;

static void on_signal(int number)
{
	if (number == SIGWINCH)
		redraw = 1;
	else if (number == SIGTSTP)
		stopped = 1;
	else
		ended = 1;
}

void wait_prepare(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP };
	struct sigaction action = { .sa_handler = on_signal };
	sigset_t blocked;

	sigemptyset(&blocked);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		sigaction(signals[i], &action, NULL);
		sigaddset(&blocked, signals[i]);
	}
	sigprocmask(SIG_BLOCK, &blocked, &unblocked);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigdelset(&unblocked, signals[i]);
}

/* The shell gets a terminal as it was, and we ours when we go on. */
static void stop(void)
{
	bool drawn = terminal_leave();

	stopped = 0;
	raise(SIGSTOP);
	if (drawn)
		terminal_enter();
}

static bool wants_to_end(void)
{
	char key;

	return read(STDIN_FILENO, &key, 1) == 1 && (key == 'q' || key == 'Q');
}

/* 0: the time is over */
static int poll_until(struct pollfd fds[2], int64_t until)
{
	int64_t now = fuse_clock();
	int64_t left = until > now ? until - now : 0;
	const struct timespec timeout = {
		.tv_sec = (time_t)(left / 1000000000),
		.tv_nsec = (long)(left % 1000000000),
	};

	return ppoll(fds, 2, &timeout, &unblocked);
}

enum wait_result wait_until(int fd, int64_t until)
{
	struct pollfd fds[2] = {
		{ .fd = terminal_is_fit() && isatty(STDIN_FILENO) ? STDIN_FILENO : -1,
		  .events = POLLIN },
		{ .fd = fd, .events = POLLIN },
	};
	int ready;

	for (;;) {
		ready = ended ? -1 : poll_until(fds, until);
		if (ended || (ready < 0 && errno != EINTR))
			return WAIT_END;
		if (ready < 0 && (stopped || redraw)) {
			if (stopped)
				stop();
			redraw = 0;
			return WAIT_REDRAW;
		}
		if (ready == 0)
			return WAIT_OVER;
		if (ready > 0 && fds[1].revents)
			return WAIT_READY;
		if (ready > 0 && (!(fds[0].revents & POLLIN) || wants_to_end()))
			return WAIT_END;
	}
}
