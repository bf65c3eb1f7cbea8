/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the library's messages go.
 *
 * This header stands alone: it may be included without FUSE_USE_VERSION. Any thread may
 * call any of these functions at any time.
 */
#ifndef FUSE_LOG_H_
#define FUSE_LOG_H_

#include <stdarg.h>

#if defined(__GNUC__)
#define FUSE_LOG_PRINTF_(fmt_, args_) __attribute__((format(printf, fmt_, args_)))
#else
#define FUSE_LOG_PRINTF_(fmt_, args_)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** How bad it is. The numbers are those of syslog(3). */
enum fuse_log_level {
	FUSE_LOG_EMERG,
	FUSE_LOG_ALERT,
	FUSE_LOG_CRIT,
	FUSE_LOG_ERR,
	FUSE_LOG_WARNING,
	FUSE_LOG_NOTICE,
	FUSE_LOG_INFO,
	FUSE_LOG_DEBUG
};

/**
 * A receiver of messages. It may be called from several threads at once, and must not
 * call fuse_log() itself.
 *
 * @param level how bad it is
 * @param fmt printf's format, its newline included
 * @param ap the format's arguments
 */
typedef void (*fuse_log_func_t)(enum fuse_log_level level, const char *fmt, va_list ap);

/**
 * Choose the receiver of all later messages. A call that is already under way in another
 * thread may still reach the receiver before.
 *
 * @param func the receiver; NULL for the library's own, which writes to standard error
 *
 * Since 3.7.
 */
void fuse_set_log_func(fuse_log_func_t func);

/**
 * Log a message.
 *
 * @param level how bad it is
 * @param fmt printf's format, its newline included
 *
 * errno is the same afterwards. Since 3.7.
 */
void fuse_log(enum fuse_log_level level, const char *fmt, ...) FUSE_LOG_PRINTF_(2, 3);

/**
 * Send the messages of the library's own receiver to syslog(3) instead of standard error.
 *
 * A receiver set with fuse_set_log_func() keeps getting them instead.
 *
 * @param ident the name before every message. syslog keeps the pointer: the string must
 *              live until fuse_log_close_syslog(). NULL for the program's name.
 * @param option as for openlog(3)
 * @param facility as for openlog(3)
 *
 * Since 3.17.
 */
void fuse_log_enable_syslog(const char *ident, int option, int facility);

/**
 * Go back to standard error and close the connection to syslog. Since 3.17.
 */
void fuse_log_close_syslog(void);

#ifdef __cplusplus
}
#endif

#undef FUSE_LOG_PRINTF_

#endif /* FUSE_LOG_H_ */
