// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The options of a session that are not the mount's. Numbers are parsed here and not by
 * fuse_opt, so that a bad one is answered with the range that is allowed.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuse_config.h"
#include "session/session.h"

/* Entries of a queue, each with a payload buffer of its own. */
#define QUEUE_DEPTH_DEFAULT 8
#define QUEUE_DEPTH_MAX	    1024

/* How long a queue looks for the next request before it sleeps; see default_poll_us(). */
#define POLL_US_DEFAULT 50
#define POLL_US_MAX	1000000

/* Payload buffers of a queue, where the kernel shares them out. */
#define BUFS_MAX 65535

enum key {
	KEY_QUEUE_DEPTH,
	KEY_POOL,
	KEY_PIN,
	KEY_BUFS,
	KEY_POLL_US,
	KEY_STATS,
};

#define FLAG(templ, member)                                             \
	{                                                               \
		templ, offsetof(struct fuse_session_options, member), 1 \
	}

static const struct fuse_opt table[] = {
	FLAG("debug", debug),
	FLAG("-d", debug),
	FLAG("--debug", debug),
	FLAG("io_uring", io_uring),
	FLAG("io_uring_strict", io_uring),
	FLAG("io_uring_strict", io_uring_strict),
	FLAG("io_uring_zero_copy", io_uring),
	FLAG("io_uring_zero_copy", zero_copy),
	FLAG("io_uring_unlinked", unlinked),
	FUSE_OPT_KEY("io_uring_pool=", KEY_POOL),
	FUSE_OPT_KEY("io_uring_pin=", KEY_PIN),
	FUSE_OPT_KEY("io_uring_bufs=", KEY_BUFS),
	FUSE_OPT_KEY("io_uring_q_depth=", KEY_QUEUE_DEPTH),
	FUSE_OPT_KEY("io_uring_poll_us=", KEY_POLL_US),
	FUSE_OPT_KEY("stats=", KEY_STATS),
	FUSE_OPT_END,
};

int fuse_option_number(const char *name, const char *text, unsigned min, unsigned max,
		       unsigned *number)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	/* strtoul() takes white space and signs, too. */
	if (text[0] < '0' || text[0] > '9' || *end || errno || value < min ||
	    value > max) {
		fuse_log(FUSE_LOG_ERR,
			 "fuse: option %s: '%s' is not a number from %u to %u\n", name,
			 text, min, max);
		return -1;
	}
	*number = (unsigned)value;
	return 0;
}

static int set_stats_path(struct fuse_session_options *options, const char *path)
{
	if (!*path) {
		fuse_log(FUSE_LOG_ERR, "fuse: option stats: the path is missing\n");
		return -1;
	}
	free(options->stats_path);
	options->stats_path = strdup(path);
	return options->stats_path ? 0 : -1;
}

static int set_pool(struct fuse_session_options *options, const char *kind)
{
	if (!strcmp(kind, "none")) {
		options->pool = FUSE_URING_POOL_NONE;
	} else if (!strcmp(kind, "plain")) {
		options->pool = FUSE_URING_POOL_PLAIN;
	} else if (!strcmp(kind, "registered")) {
		options->pool = FUSE_URING_POOL_REGISTERED;
	} else {
		fuse_log(FUSE_LOG_ERR,
			 "fuse: option io_uring_pool: '%s' is none of plain, "
			 "registered and none\n",
			 kind);
		return -1;
	}
	return 0;
}

static int set_pin(struct fuse_session_options *options, const char *what)
{
	if (!strcmp(what, "none")) {
		options->pin = FUSE_URING_PIN_NONE;
	} else if (!strcmp(what, "headers")) {
		options->pin = FUSE_URING_PIN_HEADERS;
	} else if (!strcmp(what, "all")) {
		options->pin = FUSE_URING_PIN_ALL;
	} else {
		fuse_log(FUSE_LOG_ERR,
			 "fuse: option io_uring_pin: '%s' is none of none, headers and "
			 "all\n",
			 what);
		return -1;
	}
	return 0;
}

static int take_option(void *data, const char *arg, int key, struct fuse_args *rest)
{
	struct fuse_session_options *options = data;
	const char *value = strchr(arg, '=');

	(void)rest;
	switch (key) {
	case KEY_QUEUE_DEPTH:
		return fuse_option_number("io_uring_q_depth", value + 1, 1,
					  QUEUE_DEPTH_MAX, &options->queue_depth);
	case KEY_POOL:
		return set_pool(options, value + 1);
	case KEY_PIN:
		return set_pin(options, value + 1);
	case KEY_BUFS:
		return fuse_option_number("io_uring_bufs", value + 1, 1, BUFS_MAX,
					  &options->bufs);
	case KEY_POLL_US:
		return fuse_option_number("io_uring_poll_us", value + 1, 0, POLL_US_MAX,
					  &options->poll_us);
	case KEY_STATS:
		return set_stats_path(options, value + 1);
	default:
		return 1;
	}
}

/*
 * Polling keeps a CPU's idle task and the wake-up from it out of a request's way. A machine's
 * only CPU is not idle as long as somebody has something to ask; there it would cost system
 * calls and bring nothing.
 */
static unsigned default_poll_us(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN) == 1 ? 0 : POLL_US_DEFAULT;
}

/* Wishes that no kernel could fulfil together. */
static int check_memory(const struct fuse_session_options *options)
{
	bool some = options->pin == FUSE_URING_PIN_NONE ||
		    options->pin == FUSE_URING_PIN_HEADERS;
	const char *problem = NULL;

	if (options->zero_copy && options->pool == FUSE_URING_POOL_NONE)
		problem = "pool: zero-copy is not to be had without a pool";
	else if (options->zero_copy && some)
		problem = "pin: zero-copy is not to be had without pinned buffers";
	else if (options->pool == FUSE_URING_POOL_REGISTERED && some)
		problem = "pin: the buffers of a registered pool are pinned";
	else if (options->pool == FUSE_URING_POOL_PLAIN &&
		 options->pin == FUSE_URING_PIN_ALL)
		problem = "pin: the buffers of a plain pool are not pinned";
	if (!problem)
		return 0;
	fuse_log(FUSE_LOG_ERR, "fuse: option io_uring_%s\n", problem);
	return -1;
}

int fuse_session_options_parse(struct fuse_session_options *options,
			       struct fuse_args *args)
{
	options->queue_depth = QUEUE_DEPTH_DEFAULT;
	options->poll_us = default_poll_us();
	if (fuse_opt_parse(args, options, table, take_option) < 0)
		return -1;
	return check_memory(options);
}

void fuse_session_options_free(struct fuse_session_options *options)
{
	free(options->stats_path);
	options->stats_path = NULL;
}

void fuse_session_options_help(void)
{
	printf("    -o io_uring            carry requests over io_uring where the kernel can\n"
	       "    -o io_uring_q_depth=N  requests per queue, 1 to %u (%u)\n"
	       "    -o io_uring_poll_us=N  microseconds of polling before a queue sleeps, "
	       "0 to %u (%u)\n"
	       "    -o io_uring_strict     fail rather than do without io_uring, or what else "
	       "was asked for\n"
	       "    -o io_uring_zero_copy  data of reads and writes go past the server (implies "
	       "io_uring)\n"
	       "    -o io_uring_unlinked   ...and are waited for before the reply is sent\n"
	       "    -o io_uring_pool=KIND  payload buffers are 'registered', i.e. pinned, "
	       "'plain', or in 'none' (plain)\n"
	       "    -o io_uring_pin=WHAT   of buffer rings the kernel pins 'none', 'headers' or "
	       "'all' (what it can)\n"
	       "    -o io_uring_bufs=N     payload buffers per queue, 1 to %u (one for each "
	       "request)\n"
	       "    -o stats=PATH          write statistics to a file, once a second\n",
	       QUEUE_DEPTH_MAX, QUEUE_DEPTH_DEFAULT, POLL_US_MAX, default_poll_us(),
	       BUFS_MAX);
}
