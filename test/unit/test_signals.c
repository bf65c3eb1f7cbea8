// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the handlers of a session leave of the program's own settings: SIGPIPE, which must not end
 * a program that has said so, nor be ignored in one that this one starts.
 */
#include "fuse_config.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "fuse_lowlevel.h"

static struct fuse_session *session_new(void)
{
	static const struct fuse_lowlevel_ops none;
	char *argv[] = { (char *)"signals", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	struct fuse_session *se = fuse_session_new(&args, &none, sizeof(none), NULL);

	CHECK(se);
	fuse_opt_free_args(&args);
	return se;
}

static void others_handler(int signal)
{
	(void)signal;
}

static void set(void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler };

	CHECK_INT(sigaction(SIGPIPE, &action, NULL), 0);
}

static void check_set(void (*handler)(int))
{
	struct sigaction action;

	CHECK_INT(sigaction(SIGPIPE, NULL, &action), 0);
	CHECK(action.sa_handler == handler);
}

/* The program would not outlive it otherwise. */
static void write_to_nobody(void)
{
	int pair[2];

	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	close(pair[1]);
	CHECK_INT(write(pair[0], "x", 1), -1);
	CHECK_INT(errno, EPIPE);
	close(pair[0]);
}

/* Whether a program that this one starts has SIGPIPE ignored. */
static int child_ignores(void)
{
	const unsigned long long bit = 1ULL << (SIGPIPE - 1);
	unsigned long long ignored;
	FILE *out =
		popen("exec sed -n 's/^SigIgn:[[:space:]]*//p' /proc/self/status", "r");

	CHECK(out);
	CHECK_INT(fscanf(out, "%llx", &ignored), 1);
	CHECK_INT(pclose(out), 0);
	return (ignored & bit) != 0;
}

static void test_default(struct fuse_session *se)
{
	CASE("SIGPIPE does nothing while the handlers are set, and has its default then");
	set(SIG_DFL);
	CHECK_INT(fuse_set_signal_handlers(se), 0);
	write_to_nobody();
	fuse_remove_signal_handlers(se);
	check_set(SIG_DFL);
}

static void test_child(struct fuse_session *se)
{
	CASE("a program that is started meanwhile does not have SIGPIPE ignored");
	set(SIG_DFL);
	CHECK_INT(fuse_set_signal_handlers(se), 0);
	CHECK_INT(child_ignores(), 0);
	fuse_remove_signal_handlers(se);
}

static void test_kept(struct fuse_session *se, const char *what, void (*handler)(int))
{
	CASE("SIGPIPE %s by the program stays so", what);
	set(handler);
	CHECK_INT(fuse_set_signal_handlers(se), 0);
	check_set(handler);
	fuse_remove_signal_handlers(se);
	check_set(handler);
	write_to_nobody();
}

static void test_set_since(struct fuse_session *se)
{
	CASE("SIGPIPE ignored by the program since the handlers were set stays so");
	set(SIG_DFL);
	CHECK_INT(fuse_set_signal_handlers(se), 0);
	set(SIG_IGN);
	fuse_remove_signal_handlers(se);
	check_set(SIG_IGN);
	write_to_nobody();
}

int main(void)
{
	struct fuse_session *se = session_new();

	test_default(se);
	test_child(se);
	test_kept(se, "ignored", SIG_IGN);
	test_kept(se, "handled", others_handler);
	test_set_since(se);
	fuse_session_destroy(se);
	return 0;
}
