// SPDX-License-Identifier: GPL-2.0-only

#include "fuse_config.h"
#include "fusermount3.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOCKET_VARIABLE "_FUSE_COMMFD"

static bool quiet;

void say(const char *format, ...)
{
	va_list arguments;

	if (quiet)
		return;
	fputs(PROGRAM ": ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

void say_nothing(void)
{
	quiet = true;
}

enum action {
	MOUNT,
	UNMOUNT,
	WATCH,
	HELP,
	VERSION
};

struct arguments {
	enum action action;
	bool lazy;
	bool quiet;
	char *options; /* all of -o, NULL: none */
	const char *socket;
	const char *mountpoint;
};

static void print_usage(void)
{
	fputs("usage: " PROGRAM " [-o OPTION[,OPTION...]] MOUNTPOINT\n"
	      "       " PROGRAM " -u [-z] [-q] MOUNTPOINT\n"
	      "\n"
	      "    -u, --unmount      unmount\n"
	      "    -z, --lazy         unmount now, clean up when nobody uses it any more\n"
	      "    -q, --quiet        no messages\n"
	      "    -o OPTION,...      mount options\n"
	      "    --auto-unmount     wait for the socket to close, then unmount\n"
	      "    --comm-fd=N        the socket; otherwise " SOCKET_VARIABLE
	      " names it\n"
	      "    -h, --help         print this\n"
	      "    -V, --version      print the version\n"
	      "\n"
	      "Mounting is for file systems to ask for: the descriptor goes over the socket.\n",
	      stdout);
}

static int append_options(char **all, const char *more)
{
	char *joined;

	if (asprintf(&joined, "%s%s%s", *all ? *all : "", *all ? "," : "", more) < 0) {
		say("out of memory");
		return -1;
	}
	free(*all);
	*all = joined;
	return 0;
}

static int parse_arguments(int argc, char **argv, struct arguments *arguments)
{
	enum {
		AUTO_UNMOUNT = 256,
		COMM_FD
	};
	static const struct option names[] = {
		{ "unmount", no_argument, NULL, 'u' },
		{ "lazy", no_argument, NULL, 'z' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "options", required_argument, NULL, 'o' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ "auto-unmount", no_argument, NULL, AUTO_UNMOUNT },
		{ "comm-fd", required_argument, NULL, COMM_FD },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "uzqo:hV", names, NULL)) != -1) {
		switch (option) {
		case 'u':
			arguments->action = UNMOUNT;
			break;
		case 'z':
			arguments->lazy = true;
			break;
		case 'q':
			arguments->quiet = true;
			break;
		case 'o':
			if (append_options(&arguments->options, optarg) != 0)
				return -1;
			break;
		case AUTO_UNMOUNT:
			arguments->action = WATCH;
			break;
		case COMM_FD:
			arguments->socket = optarg;
			break;
		case 'h':
			arguments->action = HELP;
			return 0;
		case 'V':
			arguments->action = VERSION;
			return 0;
		default:
			return -1;
		}
	}
	if (arguments->lazy && arguments->action != UNMOUNT) {
		say("-z is only for -u");
		return -1;
	}
	if (arguments->options && arguments->action != MOUNT) {
		say("-o is only for mounting");
		return -1;
	}
	if (argc - optind != 1) {
		say(argc > optind ? "more than one mount point" : "missing mount point");
		return -1;
	}
	arguments->mountpoint = argv[optind];
	return 0;
}

/* A duplicate of the Unix socket with that number, above those of stdio */
static int take_socket(const char *text)
{
	struct sockaddr_storage address = { 0 };
	socklen_t size = sizeof(address);
	char *end;
	long fd;

	if (!text) {
		say("no socket in " SOCKET_VARIABLE ": a file system has to start this");
		return -1;
	}
	errno = 0;
	fd = strtol(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || fd > INT_MAX ||
	    getsockname((int)fd, (struct sockaddr *)&address, &size) != 0 ||
	    address.ss_family != AF_UNIX) {
		say("'%s' is not the number of a Unix socket", text);
		return -1;
	}
	fd = fcntl((int)fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (fd < 0)
		say("cannot use the socket: %s", strerror(errno));
	return (int)fd;
}

static int run(const struct arguments *arguments, const struct caller *caller, int socket)
{
	struct watch watch;

	switch (arguments->action) {
	case MOUNT:
		return mount_filesystem(caller, arguments->mountpoint, arguments->options,
					socket);
	case UNMOUNT:
		return unmount_filesystem(caller, arguments->mountpoint, arguments->lazy);
	case WATCH:
		if (watch_prepare(&watch, caller, arguments->mountpoint) != 0)
			return -1;
		return watch_run(&watch, caller, socket);
	case HELP:
		print_usage();
		return 0;
	case VERSION:
		puts(PROGRAM " version: " PACKAGE_VERSION);
		return 0;
	}
	return -1;
}

static int parse_and_run(int argc, char **argv, const struct caller *caller,
			 struct arguments *arguments)
{
	int socket = -1;

	if (parse_arguments(argc, argv, arguments) != 0)
		return -1;
	if (arguments->quiet)
		say_nothing();
	if (arguments->action == MOUNT || arguments->action == WATCH) {
		socket = take_socket(arguments->socket);
		if (socket < 0)
			return -1;
	}
	process_sanitize(socket);
	return run(arguments, caller, socket);
}

int main(int argc, char **argv)
{
	const struct caller caller = { .uid = getuid(), .gid = getgid() };
	struct arguments arguments = { .action = MOUNT };
	int result;

	process_open_stdio();
	if (argc < 1)
		return EXIT_FAILURE;
	privileges_lower(&caller);
	arguments.socket = getenv(SOCKET_VARIABLE);
	/* Decides whether getopt() takes options after the mount point, as callers rely on. */
	unsetenv("POSIXLY_CORRECT");
	result = parse_and_run(argc, argv, &caller, &arguments);
	free(arguments.options);
	return result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
