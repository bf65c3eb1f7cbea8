// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The one way by which the library speaks.
 */
#include "fuse_log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <syslog.h>

static void write_message(enum fuse_log_level level, const char *fmt, va_list ap);

/* Both may change while other threads log; a message goes by what it finds. */
static _Atomic(fuse_log_func_t) receiver = write_message;
static atomic_bool to_syslog;

static void write_message(enum fuse_log_level level, const char *fmt, va_list ap)
{
	if (atomic_load(&to_syslog))
		vsyslog((int)level, fmt, ap);
	else
		vfprintf(stderr, fmt, ap);
}

void fuse_set_log_func(fuse_log_func_t func)
{
	atomic_store(&receiver, func ? func : write_message);
}

void fuse_log(enum fuse_log_level level, const char *fmt, ...)
{
	/* Callers log on their way out, with the errno they are about to report. */
	int saved_errno = errno;
	va_list ap;

	va_start(ap, fmt);
	atomic_load (&receiver)(level, fmt, ap);
	va_end(ap);
	errno = saved_errno;
}

void fuse_log_enable_syslog(const char *ident, int option, int facility)
{
	openlog(ident, option, facility);
	atomic_store(&to_syslog, true);
}

void fuse_log_close_syslog(void)
{
	/*
	 * A thread that saw the old value may log after closelog(), which opens the
	 * connection again: a descriptor more, but no message lost.
	 */
	atomic_store(&to_syslog, false);
	closelog();
}
