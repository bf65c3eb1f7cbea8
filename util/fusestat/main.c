// SPDX-License-Identifier: GPL-2.0-only

#include "fuse_config.h"
#include "fusestat.h"

#include <getopt.h>
#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct request {
	const char *path;
	double interval; /* seconds */
	unsigned count;	 /* or COUNT_EVER */
	bool json;
};

void say(const char *format, ...)
{
	va_list arguments;

	terminal_leave();
	fputs(PROGRAM ": ", stderr);
	va_start(arguments, format);
	text_print_list(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

static void print_usage(void)
{
	fputs("usage: " PROGRAM " [options] MOUNTPOINT\n"
	      "\n"
	      "    -i, --interval=SECONDS  between two looks, 1 by default\n"
	      "    -n, --count=COUNT       end after so many\n"
	      "    -j, --json              all figures since the start, once, as JSON\n"
	      "    -h, --help              print this\n"
	      "    -V, --version           print the version\n"
	      "\n"
	      "Shows what goes through a FUSE mount of this library: its owner and root may ask.\n"
	      "In a terminal q ends it. Elsewhere it prints a line for each interval.\n",
	      stdout);
}

/* ---- The command line ---- */

static bool parse_interval(const char *text, double *seconds)
{
	char *end;

	*seconds = strtod(text, &end);
	if (*text && !*end && *seconds >= 0.1 && *seconds <= 86400)
		return true;
	say("'%s' is no interval: seconds, from 0.1 to 86400", text);
	return false;
}

static bool parse_count(const char *text, unsigned *count)
{
	char *end;
	long number = strtol(text, &end, 10);

	*count = (unsigned)number;
	if (*text && !*end && number >= 1 && number <= 1000000000)
		return true;
	say("'%s' is no count: 1 or more", text);
	return false;
}

/* Returns an exit status, or -1 to go on. */
static int parse(struct request *request, int argc, char **argv)
{
	static const struct option options[] = {
		{ "interval", required_argument, NULL, 'i' },
		{ "count", required_argument, NULL, 'n' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "i:n:jhV", options, NULL)) != -1) {
		switch (option) {
		case 'i':
			if (!parse_interval(optarg, &request->interval))
				return 1;
			break;
		case 'n':
			if (!parse_count(optarg, &request->count))
				return 1;
			break;
		case 'j':
			request->json = true;
			break;
		case 'h':
			print_usage();
			return 0;
		case 'V':
			puts(PROGRAM " version: " PACKAGE_VERSION);
			return 0;
		default:
			return 1;
		}
	}
	if (argc - optind != 1) {
		say("%s, try --help", optind == argc ? "the mount point is missing"
						     : "one mount point only");
		return 1;
	}
	request->path = argv[optind];
	return -1;
}

/* ---- Samples, one after the other ---- */

/* False: somebody wants to end. */
static bool pause_until(int64_t until, const struct sample *before,
			const struct sample *now, bool screen)
{
	for (;;) {
		enum wait_result result = wait_until(-1, until);

		if (result == WAIT_END)
			return false;
		if (result == WAIT_OVER)
			return true;
		if (screen)
			show_screen(before, now);
	}
}

static void show(const struct sample *before, const struct sample *now, bool screen)
{
	if (screen)
		show_screen(before, now);
	else if (before)
		show_line(before, now);
	else
		show_heading(now);
}

/* A screen tells something at once, a line only when there is a second sample. */
static enum take_result watch(const struct request *request, bool screen)
{
	const int64_t interval = (int64_t)(request->interval * 1e9);
	struct sample samples[2], *now = &samples[0], *before = NULL;
	int64_t next = fuse_clock();
	unsigned shown = 0;

	for (unsigned i = 0;; i++) {
		enum take_result result;

		now = &samples[i % 2];
		result = sample_take(request->path, now);
		if (result != TAKE_DONE)
			return result;
		before = i ? &samples[(i + 1) % 2] : NULL;
		if (before && !sample_follows(before, now))
			before = NULL;
		if (screen)
			terminal_enter();
		show(before, now, screen);
		shown += screen || before;
		if (request->count != COUNT_EVER && shown >= request->count)
			return TAKE_DONE;
		next += interval;
		if (next < fuse_clock())
			next = fuse_clock() + interval;
		if (!pause_until(next, before, now, screen))
			return TAKE_ENDED;
	}
}

static enum take_result show_once(const struct request *request)
{
	struct sample sample;
	enum take_result result = sample_take(request->path, &sample);

	if (result == TAKE_DONE)
		show_json(&sample);
	return result;
}

int main(int argc, char **argv)
{
	struct request request = { .interval = 1, .count = COUNT_EVER };
	enum take_result result;
	int status;

	setlocale(LC_CTYPE, "");
	status = parse(&request, argc, argv);
	if (status >= 0)
		return status;
	wait_prepare();
	result = request.json ? show_once(&request) : watch(&request, terminal_is_fit());
	terminal_leave();
	return result == TAKE_FAILED || ferror(stdout) ? 1 : 0;
}
