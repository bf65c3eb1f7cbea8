/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FUSESTAT_H
#define FUSESTAT_H

/*
 * fusestat: what goes through a mount, live in a terminal, line by line, or once as JSON.
 *
 * A mount's server may never answer, and whoever asks it then may not even be killed. So the
 * process that has the terminal never touches the mount: for each sample a child does.
 */

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "fuse_lowlevel.h"
#include "protocol/live.h"
#include "support/clock.h"

#define PROGRAM	   "fusestat"
#define ANSWER_S   5 /* how long a server may take */
#define TYPE_MAX   64
#define COUNT_EVER 0

enum ask_result {
	ASK_ANSWERED,
	ASK_NO_PATH,	/* error says why */
	ASK_NOT_FUSE,	/* type is what it is instead */
	ASK_NOT_A_ROOT, /* in a FUSE file system, or a mount of a part of one */
	ASK_REFUSED,	/* error */
	ASK_FOREIGN,	/* FUSE, but not this library, or too old a version of it */
	ASK_FAILED,	/* error */
};

struct answer {
	enum ask_result result;
	int error;
	char type[TYPE_MAX];
	struct fuse_live_stats live;
};

/* What a mount told, in the terms of the library. */
struct sample {
	const char *path;
	char type[TYPE_MAX];
	uint32_t pid;
	uint64_t time_ns;
	struct fuse_session_stats stats;
};

/* ask.c: asks a mount. May never return. */
void ask(const char *path, struct answer *answer);

/* sample.c */
enum take_result {
	TAKE_DONE,
	TAKE_FAILED, /* after a message on standard error */
	TAKE_ENDED,  /* the user does not want it any more */
};
/* Has a child ask, and waits for it; not longer than ANSWER_S. */
enum take_result sample_take(const char *path, struct sample *sample);
/* So much of what happened between two samples; `before` may be NULL, then since the start. */
uint64_t sample_bytes(const struct sample *sample);
/* False if they are not of one server, or not in this order. */
bool sample_follows(const struct sample *before, const struct sample *now);

/* show.c */
void show_screen(const struct sample *before, const struct sample *now);
void show_heading(const struct sample *now);
void show_line(const struct sample *before, const struct sample *now);
void show_json(const struct sample *now);

/* text.c: into `to`, of `size` bytes: at most `width` columns, and nothing a terminal obeys */
void text_fit(char *to, size_t size, const char *from, unsigned width);
/* One line or a part of one, as long as any, with nothing a terminal obeys */
__attribute__((format(printf, 2, 3))) void text_print(FILE *out, const char *format, ...);
__attribute__((format(printf, 2, 0))) void text_print_list(FILE *out, const char *format,
							   va_list arguments);
/* With three digits between commas. */
const char *text_number(char to[32], uint64_t number);

/* terminal.c */
bool terminal_is_fit(void);
void terminal_enter(void);
bool terminal_leave(void); /* false: it was not entered, or is left already */
/* A line of the screen; what does not fit is cut off. */
__attribute__((format(printf, 1, 2))) void terminal_line(const char *format, ...);
void terminal_begin(void);
void terminal_end(void);

/* wait.c: signals, keys and time */
void wait_prepare(void);
enum wait_result {
	WAIT_OVER,  /* the time */
	WAIT_READY, /* the descriptor can be read */
	WAIT_REDRAW,
	WAIT_END, /* a signal, or the key q */
};
/* fd may be -1; until is of fuse_clock(). */
enum wait_result wait_until(int fd, int64_t until);

__attribute__((format(printf, 1, 2))) void say(const char *format, ...);

#endif
