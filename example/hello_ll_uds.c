// SPDX-License-Identifier: GPL-2.0-only
/*
 * hello_ll_uds: the filesystem of hello_ll, for whoever comes by a Unix socket.
 *
 * A session need not talk to /dev/fuse. Whatever can carry requests here and replies back will
 * do, and who is at the other end is up to it: a virtual machine, another container, or
 * a program that mounts for us and passes messages on. fuse_session_custom_io() takes
 * the functions that read and write.
 *
 *     hello_ll_uds SOCKET
 *
 * makes the socket, waits for one connection, and serves it until it is closed. Each message is
 * one packet (SOCK_SEQPACKET). From a shell there is little to see of it, for lack of a
 * program that speaks the protocol; test/test_example_uds.py mounts it by passing
 * messages between /dev/fuse and the socket, in some twenty lines.
 */
#define FUSE_USE_VERSION 318
#include <fuse_lowlevel.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const char file_name[] = "hello";
static const char file_text[] = "Hello World!\n";

#define FILE_INO 2
#define TIMEOUT	 86400.0

/* A packet has to fit into the buffers of a socket. */
#define MAX_WRITE 65536

/* ---- The filesystem, of which hello_ll.c says more ---- */

static void hello_init(void *userdata, struct fuse_conn_info *conn)
{
	conn->max_write = MAX_WRITE;
}

static struct stat attr_of(fuse_ino_t ino)
{
	struct stat attr = { .st_ino = ino, .st_uid = getuid(), .st_gid = getgid() };

	attr.st_mode = ino == FILE_INO ? S_IFREG | 0444 : S_IFDIR | 0555;
	attr.st_nlink = ino == FILE_INO ? 1 : 2;
	if (ino == FILE_INO)
		attr.st_size = sizeof(file_text) - 1;
	return attr;
}

static void hello_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = {
		.ino = FILE_INO,
		.attr = attr_of(FILE_INO),
		.attr_timeout = TIMEOUT,
		.entry_timeout = TIMEOUT,
	};

	if (parent == FUSE_ROOT_ID && strcmp(name, file_name) == 0)
		fuse_reply_entry(req, &e);
	else
		fuse_reply_err(req, ENOENT);
}

static void hello_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr = attr_of(ino);

	fuse_reply_attr(req, &attr, TIMEOUT);
}

static void hello_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			  struct fuse_file_info *fi)
{
	struct stat attr = attr_of(FILE_INO);
	char buffer[64];
	size_t used = 0;

	if (off == 0)
		used = fuse_add_direntry(req, buffer, sizeof(buffer), file_name, &attr,
					 1);
	fuse_reply_buf(req, buffer, used < size ? used : 0);
}

static void hello_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	size_t length = sizeof(file_text) - 1;
	size_t start = (size_t)off < length ? (size_t)off : length;

	fuse_reply_buf(req, file_text + start,
		       size < length - start ? size : length - start);
}

static const struct fuse_lowlevel_ops operations = {
	.init = hello_init,
	.lookup = hello_lookup,
	.getattr = hello_getattr,
	.readdir = hello_readdir,
	.read = hello_read,
};

/* ---- The way of its messages ---- */

/* 0 when the other end has closed the socket, and that ends the session. */
static ssize_t receive(int fd, void *buffer, size_t size, void *userdata)
{
	return recv(fd, buffer, size, 0);
}

/* A peer that has gone is an error like others, and no reason for a signal. */
static ssize_t send_pieces(int fd, struct iovec *iov, int count, void *userdata)
{
	const struct msghdr message = { .msg_iov = iov, .msg_iovlen = (size_t)count };

	return sendmsg(fd, &message, MSG_NOSIGNAL);
}

/* Any thread may call them: a packet is read and written as a whole. */
static const struct fuse_custom_io io = { .read = receive, .writev = send_pieces };

static int fail(const char *what)
{
	fprintf(stderr, "hello_ll_uds: %s: %s\n", what, strerror(errno));
	return -1;
}

/* Waits for the one connection. Its descriptor, or -1 */
static int accept_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener, fd;

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return fail(path);
	}
	strcpy(address.sun_path, path);
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (listener < 0)
		return fail("socket");
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(listener, 1) != 0) {
		fail(path);
		close(listener);
		return -1;
	}
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		fail("accept");
	close(listener);
	unlink(path);
	return fd;
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
	fuse_loop_cfg_set_max_threads(config, opts->max_threads);
	res = fuse_session_loop_mt(session, config);
	fuse_loop_cfg_destroy(config);
	return res;
}

/* Instead of mounting, the session is given the socket. Closing it is left to the session. */
static int serve(struct fuse_args *args, const struct fuse_cmdline_opts *opts,
		 const char *path)
{
	struct fuse_session *session =
		fuse_session_new(args, &operations, sizeof(operations), NULL);
	int good = 0, fd;

	if (!session)
		return 0;
	if (fuse_set_signal_handlers(session) == 0) {
		fd = accept_at(path);
		if (fd >= 0 && fuse_session_custom_io(session, &io, sizeof(io), fd) == 0)
			good = run_loop(session, opts) >= 0;
		fuse_remove_signal_handlers(session);
	}
	fuse_session_destroy(session);
	return good;
}

/* What would be the mount point: it is not there yet, which the library could not know. */
static int take_path(void *data, const char *argument, int key, struct fuse_args *rest)
{
	const char **path = data;

	if (key != FUSE_OPT_KEY_NONOPT || *path)
		return 1;
	*path = argument;
	return 0;
}

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	static const struct fuse_opt none[] = { FUSE_OPT_END };
	struct fuse_cmdline_opts opts;
	const char *path = NULL;
	int good = 0;

	if (fuse_opt_parse(&args, &path, none, take_path) != 0 ||
	    fuse_parse_cmdline(&args, &opts) != 0)
		return 1;
	if (opts.show_help) {
		printf("usage: %s [options] SOCKET\n\n", argv[0]);
		fuse_cmdline_help();
		fuse_lowlevel_help();
		good = 1;
	} else if (!path || opts.mountpoint) {
		fprintf(stderr, "hello_ll_uds: there has to be one SOCKET, try --help\n");
	} else {
		good = serve(&args, &opts, path);
	}
	free(opts.mountpoint);
	fuse_opt_free_args(&args);
	return good ? 0 : 1;
}
