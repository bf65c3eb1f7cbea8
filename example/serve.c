// SPDX-License-Identifier: GPL-2.0-only
#include "serve.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- The thread that ticks ---- */

static struct {
	const struct program *program;
	struct fuse_session *session;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t stopped;
	int stop;
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
		next = after(next, ticker.program->interval);
		while (!ticker.stop &&
		       pthread_cond_timedwait(&ticker.stopped, &ticker.lock, &next) !=
			       ETIMEDOUT)
			;
		if (ticker.stop)
			break;
		pthread_mutex_unlock(&ticker.lock);
		ticker.program->tick(ticker.session);
		pthread_mutex_lock(&ticker.lock);
	}
	pthread_mutex_unlock(&ticker.lock);
	return NULL;
}

static int start_ticker(const struct program *program, struct fuse_session *session)
{
	pthread_condattr_t attributes;

	ticker.program = program;
	ticker.session = session;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&ticker.stopped, &attributes);
	pthread_condattr_destroy(&attributes);
	return pthread_create(&ticker.thread, NULL, run_ticker, NULL);
}

static void stop_ticker(void)
{
	pthread_mutex_lock(&ticker.lock);
	ticker.stop = 1;
	pthread_cond_signal(&ticker.stopped);
	pthread_mutex_unlock(&ticker.lock);
	pthread_join(ticker.thread, NULL);
}

/* ---- The session ---- */

static int run_loop(struct fuse_session *session, const struct fuse_cmdline_opts *opts)
{
	struct fuse_loop_config *config;
	int res;

	if (opts->singlethread)
		return fuse_session_loop(session);
	config = fuse_loop_cfg_create();
	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_clone_fd(config, (unsigned)opts->clone_fd);
	fuse_loop_cfg_set_idle_threads(config, opts->max_idle_threads);
	fuse_loop_cfg_set_max_threads(config, opts->max_threads);
	res = fuse_session_loop_mt(session, config);
	fuse_loop_cfg_destroy(config);
	return res;
}

/*
 * The thread is started behind fuse_daemonize(), which leaves threads behind. It is stopped
 * behind the unmount: until then a notification may wait for the kernel, and the kernel, with
 * nobody in the loop any more, for an answer. Returns whether all went well.
 */
static int run(struct fuse_session *session, const struct program *program,
	       const struct fuse_cmdline_opts *opts)
{
	int good = 0, ticks = 0;

	if (fuse_session_mount(session, opts->mountpoint) != 0)
		return 0;
	if (fuse_daemonize(opts->foreground) == 0) {
		ticks = start_ticker(program, session) == 0;
		good = ticks && run_loop(session, opts) >= 0;
	}
	fuse_session_unmount(session);
	if (ticks)
		stop_ticker();
	return good;
}

static int serve_session(struct fuse_args *args, const struct program *program,
			 const struct fuse_cmdline_opts *opts)
{
	struct fuse_session *session = fuse_session_new(
		args, program->operations, sizeof(*program->operations), NULL);
	int good = 0;

	if (!session)
		return 0;
	if (fuse_set_signal_handlers(session) == 0) {
		good = run(session, program, opts);
		fuse_remove_signal_handlers(session);
	}
	fuse_session_destroy(session);
	return good;
}

int serve(struct fuse_args *args, const struct program *program)
{
	struct fuse_cmdline_opts opts;
	int good = 0;

	if (fuse_parse_cmdline(args, &opts) != 0)
		return 1;
	if (opts.show_help) {
		printf("usage: %s [options] MOUNTPOINT\n\n%s\n", args->argv[0],
		       program->help);
		fuse_cmdline_help();
		fuse_lowlevel_help();
		good = 1;
	} else if (opts.show_version) {
		printf("FUSE library version %s\n", fuse_pkgversion());
		fuse_lowlevel_version();
		good = 1;
	} else if (!opts.mountpoint) {
		fprintf(stderr, "%s: MOUNTPOINT is missing, try --help\n", args->argv[0]);
	} else {
		good = serve_session(args, program, &opts);
	}
	free(opts.mountpoint);
	return good ? 0 : 1;
}
