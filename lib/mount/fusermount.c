// SPDX-License-Identifier: LGPL-2.1-or-later

#include "fuse_config.h"
#include "fusermount.h"
#include "fuse_log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROGRAM		"fusermount3"
#define SOCKET_VARIABLE "_FUSE_COMMFD"

/* The environment with the number of the socket in it; only the array is allocated. */
static char **environment_with(char *variable)
{
	size_t count = 0;
	char **copy;
	size_t kept = 0;

	while (environ && environ[count])
		count++;
	copy = calloc(count + 2, sizeof(*copy));
	if (!copy)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		if (strncmp(environ[i], SOCKET_VARIABLE "=", sizeof(SOCKET_VARIABLE)) !=
		    0)
			copy[kept++] = environ[i];
	}
	copy[kept] = variable;
	return copy;
}

/* Its owner's PATH must not choose what a set-uid file system runs. */
static int spawn_program(pid_t *pid, const posix_spawn_file_actions_t *actions,
			 const posix_spawnattr_t *attributes, const char *const argv[],
			 char **env)
{
	char *const *arguments = (char *const *)argv;
	int error = posix_spawn(pid, FUSERMOUNT_DIR "/" PROGRAM, actions, attributes,
				arguments, env);

	if (error != 0 && !getauxval(AT_SECURE) &&
	    posix_spawnp(pid, PROGRAM, actions, attributes, arguments, env) == 0)
		return 0;
	return error;
}

/*
 * Starts fusermount3 with the descriptors that are not -1: socket under its own number, errors
 * in place of its stderr. 0, or -1 with errno set and the reason logged.
 */
static int spawn(pid_t *pid, const char *const argv[], int socket, int errors)
{
	char variable[sizeof(SOCKET_VARIABLE "=-2147483648")];
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t no_signals, usual;
	char **env;
	int error;

	snprintf(variable, sizeof(variable), SOCKET_VARIABLE "=%d", socket);
	env = environment_with(socket >= 0 ? variable : NULL);
	if (!env) {
		fuse_log(FUSE_LOG_ERR, "fuse: no memory to run " PROGRAM "\n");
		errno = ENOMEM;
		return -1;
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	sigemptyset(&no_signals);
	sigemptyset(&usual);
	sigaddset(&usual, SIGCHLD);
	sigaddset(&usual, SIGPIPE);
	error = posix_spawnattr_setsigmask(&attributes, &no_signals);
	if (error == 0)
		error = posix_spawnattr_setsigdefault(&attributes, &usual);
	if (error == 0)
		error = posix_spawnattr_setflags(
			&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	/* Duplicating a descriptor onto itself clears its close-on-exec flag in the child. */
	if (error == 0 && socket >= 0)
		error = posix_spawn_file_actions_adddup2(&actions, socket, socket);
	if (error == 0 && errors >= 0)
		error = posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
	if (error == 0)
		error = spawn_program(pid, &actions, &attributes, argv, env);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	free(env);
	if (error != 0) {
		fuse_log(FUSE_LOG_ERR,
			 "fuse: cannot run " FUSERMOUNT_DIR "/" PROGRAM ": %s\n",
			 strerror(error));
		errno = error;
		return -1;
	}
	return 0;
}

/* The exit status, or -1 if it cannot be known (the program ignores SIGCHLD, or reaps). */
static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/*
 * -1 with errno ECONNRESET when the sender has gone without sending one, and with EMFILE when it
 * was sent, but there is no number left for it.
 */
static int receive_descriptor(int socket)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	char byte;
	struct iovec vector = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &vector,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header;
	ssize_t received;
	int fd;

	do {
		received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	} while (received < 0 && errno == EINTR);
	if (received < 0)
		return -1;
	header = CMSG_FIRSTHDR(&message);
	if (received == 0 || !header || header->cmsg_level != SOL_SOCKET ||
	    header->cmsg_type != SCM_RIGHTS ||
	    header->cmsg_len != CMSG_LEN(sizeof(int))) {
		errno = message.msg_flags & MSG_CTRUNC ? EMFILE : ECONNRESET;
		return -1;
	}
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

/*
 * What fusermount3 has written so far, or, when wait is set, until it ends; passed on line by
 * line. Returns whether there was anything.
 */
static bool relay_messages(int errors, bool wait, enum fuse_log_level level)
{
	char text[4096];
	size_t length = 0;
	char *rest = text;
	char *line;

	fcntl(errors, F_SETFL, wait ? 0 : O_NONBLOCK);
	while (length < sizeof(text) - 1) {
		ssize_t got = read(errors, text + length, sizeof(text) - 1 - length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		length += (size_t)got;
	}
	text[length] = '\0';
	while ((line = strsep(&rest, "\n"))) {
		if (*line)
			fuse_log(level, "%s\n", line);
	}
	return length > 0;
}

static int open_channels(int sockets[2], int pipes[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
		return -1;
	if (pipe2(pipes, O_CLOEXEC) == 0)
		return 0;
	close(sockets[0]);
	close(sockets[1]);
	return -1;
}

/*
 * The child's stderr is put over number 2, and it opens 0 and 1 if it has to: in a daemon that
 * has closed these, a channel of ours must not have one of these numbers.
 */
static int move_above_stdio(int *fd)
{
	int moved = fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

	if (moved < 0)
		return -1;
	close(*fd);
	*fd = moved;
	return 0;
}

/* Our ends are sockets[0] and pipes[0]; this closes the other two. */
static int start(pid_t *pid, const char *const argv[], int sockets[2], int pipes[2])
{
	int result = -1;

	if (move_above_stdio(&sockets[1]) == 0 && move_above_stdio(&pipes[1]) == 0)
		result = spawn(pid, argv, sockets[1], pipes[1]);
	else
		fuse_log(FUSE_LOG_ERR, "fuse: no descriptors to run " PROGRAM ": %s\n",
			 strerror(errno));
	close(sockets[1]);
	close(pipes[1]);
	return result;
}

/* The one line that says why, unless fusermount3 has said it */
static int report_failure(const char *mountpoint, int error, bool explained)
{
	if (error == EMFILE) {
		fuse_log(FUSE_LOG_ERR, "fuse: no descriptor left for the mount on '%s'\n",
			 mountpoint);
		fuse_fusermount_unmount(mountpoint);
		errno = EMFILE;
		return -1;
	}
	if (!explained)
		fuse_log(FUSE_LOG_ERR, "fuse: " PROGRAM " could not mount on '%s'\n",
			 mountpoint);
	errno = EPERM;
	return -1;
}

int fuse_fusermount_mount(const char *mountpoint, const char *options,
			  struct fuse_mount_watch *watch)
{
	const char *const with_options[] = { PROGRAM, "-o",	  options,
					     "--",    mountpoint, NULL };
	const char *const without[] = { PROGRAM, "--", mountpoint, NULL };
	int sockets[2], pipes[2];
	bool stays, explained;
	int fd, error;
	pid_t pid;

	if (open_channels(sockets, pipes) != 0) {
		fuse_log(FUSE_LOG_ERR, "fuse: no descriptors to run " PROGRAM ": %s\n",
			 strerror(errno));
		return -1;
	}
	if (start(&pid, options ? with_options : without, sockets, pipes) != 0) {
		error = errno;
		close(sockets[0]);
		close(pipes[0]);
		errno = error;
		return -1;
	}
	fd = receive_descriptor(sockets[0]);
	error = errno;
	stays = watch && fd >= 0;
	if (stays)
		*watch = (struct fuse_mount_watch){ .socket = sockets[0], .pid = pid };
	else
		close(sockets[0]);
	explained = relay_messages(pipes[0], !stays,
				   fd < 0 ? FUSE_LOG_ERR : FUSE_LOG_WARNING);
	close(pipes[0]);
	if (!stays)
		wait_for(pid);
	return fd >= 0 ? fd : report_failure(mountpoint, error, explained);
}

void fuse_fusermount_unmount(const char *mountpoint)
{
	const char *const argv[] = { PROGRAM, "-u", "-q", "-z", "--", mountpoint, NULL };
	pid_t pid;

	if (spawn(&pid, argv, -1, -1) == 0)
		wait_for(pid);
}

void fuse_fusermount_version(void)
{
	const char *const argv[] = { PROGRAM, "--version", NULL };
	pid_t pid;

	fflush(stdout);
	if (spawn(&pid, argv, -1, -1) == 0)
		wait_for(pid);
}

/*
 * It ends by itself once the socket closes, normally within milliseconds, and is waited for so
 * that no zombie stays. No longer than a second, though: it may be unmounting a file system that
 * somebody else still has a descriptor of. After fork() it is another process's child.
 */
void fuse_mount_watch_end(struct fuse_mount_watch *watch)
{
	const struct timespec pause = { .tv_nsec = 2000000 };

	if (watch->socket < 0)
		return;
	close(watch->socket);
	watch->socket = -1;
	for (int i = 0; i < 500 && waitpid(watch->pid, NULL, WNOHANG) == 0; i++)
		nanosleep(&pause, NULL);
}
