// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where messages go: standard error, a receiver, and syslog.
 */
#include "fuse_log.h"

#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <syslog.h>
#include <unistd.h>

static char text[256];
static enum fuse_log_level text_level;

/* What one call writes to standard error. */
static const char *stderr_of(void (*speak)(void))
{
	static char written[512];
	int kept = dup(STDERR_FILENO);
	FILE *file = tmpfile();
	size_t length;

	CHECK(kept >= 0 && file);
	CHECK(dup2(fileno(file), STDERR_FILENO) == STDERR_FILENO);
	speak();
	CHECK(dup2(kept, STDERR_FILENO) == STDERR_FILENO);
	close(kept);
	rewind(file);
	length = fread(written, 1, sizeof(written) - 1, file);
	written[length] = '\0';
	fclose(file);
	return written;
}

static void receive(enum fuse_log_level level, const char *fmt, va_list ap)
{
	text_level = level;
	vsnprintf(text, sizeof(text), fmt, ap);
	errno = EBADF;
}

static void speak(void)
{
	fuse_log(FUSE_LOG_WARNING, "%s %d\n", "message", 7);
}

static void speak_to_syslog(void)
{
	/* LOG_PERROR makes syslog show on standard error what it sends. */
	fuse_log_enable_syslog("test_log", LOG_PERROR, LOG_USER);
	fuse_log(FUSE_LOG_DEBUG, "to syslog %d\n", 8);
	fuse_log_close_syslog();
}

static void test_levels(void)
{
	CASE("levels are those of syslog");
	CHECK_INT(FUSE_LOG_EMERG, LOG_EMERG);
	CHECK_INT(FUSE_LOG_ALERT, LOG_ALERT);
	CHECK_INT(FUSE_LOG_CRIT, LOG_CRIT);
	CHECK_INT(FUSE_LOG_ERR, LOG_ERR);
	CHECK_INT(FUSE_LOG_WARNING, LOG_WARNING);
	CHECK_INT(FUSE_LOG_NOTICE, LOG_NOTICE);
	CHECK_INT(FUSE_LOG_INFO, LOG_INFO);
	CHECK_INT(FUSE_LOG_DEBUG, LOG_DEBUG);
}

static void test_standard_error(void)
{
	CASE("a message goes to standard error");
	CHECK_TEXT(stderr_of(speak), "message 7\n");
}

static void test_receiver(void)
{
	CASE("a receiver gets messages and levels, and errno survives it");
	fuse_set_log_func(receive);
	errno = ENOSPC;
	CHECK_TEXT(stderr_of(speak), "");
	errno = ENOSPC;
	speak();
	CHECK_INT(errno, ENOSPC);
	CHECK_TEXT(text, "message 7\n");
	CHECK_INT(text_level, FUSE_LOG_WARNING);

	CASE("a receiver comes before syslog");
	CHECK_TEXT(stderr_of(speak_to_syslog), "");
	CHECK_TEXT(text, "to syslog 8\n");

	CASE("NULL brings standard error back");
	fuse_set_log_func(NULL);
	text[0] = '\0';
	CHECK_TEXT(stderr_of(speak), "message 7\n");
	CHECK_TEXT(text, "");
}

static void test_syslog(void)
{
	CASE("syslog gets messages while it is enabled");
	CHECK(strstr(stderr_of(speak_to_syslog), "test_log: to syslog 8\n"));

	CASE("standard error is back after closing syslog");
	CHECK_TEXT(stderr_of(speak), "message 7\n");

	CASE("closing syslog twice does no harm");
	fuse_log_close_syslog();
	CHECK_TEXT(stderr_of(speak), "message 7\n");
}

static atomic_int counted[2];
static atomic_bool done;

static void count_first(enum fuse_log_level level, const char *fmt, va_list ap)
{
	counted[0]++;
}

static void count_second(enum fuse_log_level level, const char *fmt, va_list ap)
{
	counted[1]++;
}

static void *replace(void *unused)
{
	while (!done) {
		fuse_set_log_func(count_second);
		fuse_set_log_func(count_first);
	}
	return unused;
}

static void test_threads(void)
{
	enum {
		MESSAGES = 20000
	};
	pthread_t thread;

	CASE("replacing the receiver while others log loses nothing");
	fuse_set_log_func(count_first);
	CHECK_INT(pthread_create(&thread, NULL, replace, NULL), 0);
	for (int i = 0; i < MESSAGES; i++)
		fuse_log(FUSE_LOG_INFO, "%d\n", i);
	done = true;
	pthread_join(thread, NULL);
	CHECK_INT(counted[0] + counted[1], MESSAGES);
	fuse_set_log_func(NULL);
}

int main(void)
{
	test_levels();
	test_standard_error();
	test_receiver();
	test_syslog();
	test_threads();
	return 0;
}
