// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A session from its options to its end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fuse_config.h"
#include "fuse_shared_memory.h"
#include "session/session.h"
#include "support/tsan.h"

/* Before INIT has settled it; also what max_write is unless the filesystem lowers it. */
#define INITIAL_BUFSIZE (1024 * 1024 + FUSE_DEV_HEADER_ROOM)

/* The numbers of /dev/fuse, which the kernel has assigned for good. */
#define DEVICE_MAJOR 10
#define DEVICE_MINOR 229

struct fuse_protocol *fuse_session_protocol(struct fuse_session *se)
{
	return &se->protocol;
}

static struct fuse_session *session_of(struct fuse_protocol *protocol)
{
	return protocol->session;
}

/* ---- Hooks and handler, which the rooms below call ---- */

static void call_destroy(struct fuse_session *se)
{
	if (!atomic_exchange(&se->destroyed, true) && se->protocol.ops.destroy)
		se->protocol.ops.destroy(se->protocol.userdata);
}

static void on_destroy(struct fuse_protocol *protocol)
{
	call_destroy(session_of(protocol));
}

/* A connection that is gone has been unmounted or aborted: that is an end like others. */
static void on_failed(struct fuse_protocol *protocol, int error)
{
	if (error == -ENODEV || error == -ENOTCONN || error == -ECONNABORTED)
		fuse_session_exit(session_of(protocol));
	else
		fuse_session_fail(session_of(protocol), error);
}

static void on_interrupted(struct fuse_protocol *protocol, uint64_t unique)
{
	fuse_rings_interrupt(session_of(protocol), unique);
}

static void on_get_stats(struct fuse_protocol *protocol, struct fuse_session_stats *stats)
{
	fuse_session_get_stats(session_of(protocol), stats, sizeof(*stats));
}

static size_t on_channel_path(struct fuse_protocol *protocol, char *path)
{
	return fuse_memory_channel_path(session_of(protocol), path,
					FUSE_CHANNEL_PATH_MAX);
}

static const struct fuse_protocol_hooks hooks = {
	.init = fuse_session_negotiate,
	.destroy = on_destroy,
	.failed = on_failed,
	.interrupted = on_interrupted,
	.get_stats = on_get_stats,
	.channel_path = on_channel_path,
};

/* The session whose handlers take turns and in one of which this thread is, or NULL. */
static _Thread_local const struct fuse_session *has_the_turn;

/*
 * A filesystem that runs the single-threaded loop, or a loop of its own, relies on being
 * called by one thread at a time. Rings have a thread for every queue, so while there are rings
 * its handlers take turns. Without rings there is no lock: a loop of one's own may
 * well have several threads, and then means it.
 */
static void dispatch(struct fuse_req *req)
{
	struct fuse_session *se = session_of(req->protocol);
	bool take_turns = se->mode != FUSE_SESSION_MULTI && atomic_load(&se->on_rings);
	const struct fuse_session *outer = has_the_turn;

	FUSE_REQUEST_ARRIVES(req->protocol);
	if (take_turns) {
		pthread_mutex_lock(&se->handler_lock);
		has_the_turn = se;
	}
	fuse_protocol_dispatch(req);
	if (take_turns) {
		has_the_turn = outer;
		pthread_mutex_unlock(&se->handler_lock);
	}
}

bool fuse_session_awaits_caller(struct fuse_session *se)
{
	return has_the_turn == se || fuse_rings_run_caller(se);
}

/* ---- New and destroy ---- */

static void warn_of_newer_program(void)
{
	fuse_log(FUSE_LOG_ERR, "fuse: warning: this library is older than the program, "
			       "some operations may not work\n");
}

static void copy_ops(struct fuse_lowlevel_ops *to, const struct fuse_lowlevel_ops *ops,
		     size_t size)
{
	if (size > sizeof(*to)) {
		warn_of_newer_program();
		size = sizeof(*to);
	}
	if (ops)
		memcpy(to, ops, size);
}

static void log_leftovers(const struct fuse_args *args)
{
	size_t size = 1;
	char *list;

	for (int i = 1; i < args->argc; i++)
		size += strlen(args->argv[i]) + 1;
	list = calloc(1, size);
	if (!list)
		return;
	for (int i = 1; i < args->argc; i++) {
		if (i > 1)
			strcat(list, " ");
		strcat(list, args->argv[i]);
	}
	fuse_log(FUSE_LOG_ERR, "fuse: unknown option(s): `%s'\n", list);
	free(list);
}

static int take_options(struct fuse_session *se, struct fuse_args *args)
{
	struct fuse_protocol *protocol = &se->protocol;

	if (!args || args->argc == 0) {
		fuse_log(FUSE_LOG_ERR, "fuse: a session needs at least a program name\n");
		return -1;
	}
	if (fuse_session_options_parse(&se->options, args) != 0)
		return -1;
	se->mount_options = fuse_mount_options_parse(args);
	if (!se->mount_options)
		return -1;
	if (args->argc > 1) {
		log_leftovers(args);
		return -1;
	}
	if (args->argv[0][0] == '-')
		fuse_log(FUSE_LOG_ERR,
			 "fuse: warning: argv[0] looks like an option, but is ignored\n");
	protocol->debug = se->options.debug;
	protocol->only_owner_and_root = fuse_mount_options_allow_root(se->mount_options);
	protocol->owner = getuid();
	if (se->options.stats_path)
		return fuse_stats_open(se, se->options.stats_path);
	return 0;
}

static void free_session(struct fuse_session *se)
{
	fuse_rings_free(se);
	fuse_memories_destroy(&se->memories);
	fuse_dev_free(se->dev);
	if (se->fd >= 0)
		close(se->fd);
	if (se->exit_event >= 0)
		close(se->exit_event);
	fuse_stats_close(se);
	fuse_protocol_destroy(&se->protocol);
	pthread_mutex_destroy(&se->handler_lock);
	pthread_mutex_destroy(&se->transport_lock);
	pthread_mutex_destroy(&se->stop_lock);
	pthread_mutex_destroy(&se->unmount_lock);
	pthread_mutex_destroy(&se->channel_lock);
	fuse_session_options_free(&se->options);
	free(se->mountpoint);
	free(se->cuse);
	fuse_mount_options_free(se->mount_options);
	free(se);
}

struct fuse_session *fuse_session_new_versioned(struct fuse_args *args,
						const struct fuse_lowlevel_ops *op,
						size_t op_size,
						struct libfuse_version *version,
						void *userdata)
{
	struct fuse_session *se = calloc(1, sizeof(*se));

	if (!se || fuse_protocol_init(&se->protocol) != 0) {
		fuse_log(FUSE_LOG_ERR, "fuse: no memory for a session\n");
		free(se);
		return NULL;
	}
	se->fd = -1;
	pthread_mutex_init(&se->handler_lock, NULL);
	pthread_mutex_init(&se->transport_lock, NULL);
	pthread_mutex_init(&se->stop_lock, NULL);
	pthread_mutex_init(&se->unmount_lock, NULL);
	fuse_memories_init(&se->memories);
	pthread_mutex_init(&se->channel_lock, NULL);
	se->protocol.session = se;
	se->protocol.hooks = &hooks;
	se->protocol.userdata = userdata;
	copy_ops(&se->protocol.ops, op, op_size);

	se->exit_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (se->exit_event < 0) {
		fuse_log(FUSE_LOG_ERR, "fuse: cannot make an eventfd: %s\n",
			 strerror(errno));
		free_session(se);
		return NULL;
	}
	if (take_options(se, args) != 0) {
		free_session(se);
		return NULL;
	}
	return se;
}

void fuse_session_destroy(struct fuse_session *se)
{
	if (!se)
		return;
	fuse_session_interrupt(se);
	fuse_rings_stop(se);
	fuse_session_close_memory_channel(se);
	if (atomic_load(&se->protocol.got_init))
		call_destroy(se);
	fuse_stats_stop(se);
	free_session(se);
}

/* ---- The descriptor ---- */

static int make_dev(struct fuse_session *se)
{
	struct fuse_dev_config config = {
		.fd = se->fd,
		.io = se->has_io ? &se->io : NULL,
		.io_userdata = se->protocol.userdata,
		.bufsize = INITIAL_BUFSIZE,
		.handler = {
			.protocol = &se->protocol,
			.dispatch = dispatch,
			.may_wait = fuse_protocol_may_wait,
			.load_time = fuse_protocol_load_time,
		},
	};
	struct fuse_dev *dev = fuse_dev_new(&config);

	if (!dev)
		return -ENOMEM;
	fuse_dev_free(se->dev);
	se->dev = dev;
	se->uring_config.handler = config.handler;
	se->protocol.notify = (struct fuse_notify_channel){
		.transport = dev,
		.send = fuse_dev_notify,
		.send_data = fuse_dev_notify_data,
	};
	return 0;
}

/* Like the standard streams, the device must not get a number that a program prints to. */
static void reserve_standard_streams(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int fuse_session_open_device(const char *path)
{
	reserve_standard_streams();
	return open(path, O_RDWR | O_CLOEXEC);
}

int fuse_session_attach(struct fuse_session *se, int fd)
{
	se->fd = fd;
	if (make_dev(se) == 0)
		return 0;
	fuse_log(FUSE_LOG_ERR, "fuse: no memory for a session\n");
	return -1;
}

static bool strict_rings_possible(const struct fuse_session *se)
{
	struct fuse_uring_reason why;

	if (!se->options.io_uring_strict)
		return true;
	if (fuse_uring_available(se->options.queue_depth, se->options.zero_copy, &why))
		return true;
	fuse_log(FUSE_LOG_ERR, "fuse: io_uring_strict: %s\n", why.text);
	return false;
}

/* Anything else would be read from and written to as if it were the kernel. */
static bool is_fuse_device(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) &&
	       status.st_rdev == makedev(DEVICE_MAJOR, DEVICE_MINOR);
}

static int open_mount(struct fuse_session *se, const char *mountpoint)
{
	int fd = fuse_mount_fd_from_path(mountpoint);

	if (fd >= 0 && !is_fuse_device(fd)) {
		fuse_log(FUSE_LOG_ERR, "fuse: bad mount point '%s': not a /dev/fuse\n",
			 mountpoint);
		return -1;
	}
	if (fd >= 0) {
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		return fd;
	}
	/* A daemon changes its directory. What cannot be resolved, mounting will explain. */
	se->mountpoint = realpath(mountpoint, NULL);
	if (!se->mountpoint)
		se->mountpoint = strdup(mountpoint);
	fd = se->mountpoint ? fuse_mount_at(se->mountpoint, se->mount_options) : -1;
	if (fd < 0) {
		free(se->mountpoint);
		se->mountpoint = NULL;
	}
	return fd;
}

int fuse_session_mount(struct fuse_session *se, const char *mountpoint)
{
	int fd;

	if (!mountpoint) {
		fuse_log(FUSE_LOG_ERR, "fuse: no mount point given\n");
		return -1;
	}
	if (se->fd >= 0) {
		fuse_log(FUSE_LOG_ERR, "fuse: the session is mounted already\n");
		return -1;
	}
	if (!strict_rings_possible(se))
		return -1;
	reserve_standard_streams();
	fd = open_mount(se, mountpoint);
	if (fd < 0)
		return -1;
	if (fuse_session_attach(se, fd) == 0)
		return 0;
	fuse_session_unmount(se);
	return -1;
}

/*
 * Whoever waits for an answer gets an error when the last reference to the connection is
 * gone. Then nobody can hold up the unmount either.
 */
static void unmount(struct fuse_session *se)
{
	if (!se->mountpoint)
		return;
	fuse_session_interrupt(se);
	fuse_rings_stop(se);
	if (se->dev)
		fuse_dev_shutdown(se->dev);
	fuse_unmount_at(se->mountpoint, se->fd);
	free(se->mountpoint);
	se->mountpoint = NULL;
}

/* Who comes second waits until it is done, but for a handler, which the first one may wait for. */
void fuse_session_unmount(struct fuse_session *se)
{
	if (!fuse_session_awaits_caller(se))
		pthread_mutex_lock(&se->unmount_lock);
	else if (pthread_mutex_trylock(&se->unmount_lock) != 0)
		return;
	unmount(se);
	pthread_mutex_unlock(&se->unmount_lock);
}

int fuse_session_set_io(struct fuse_session *se, const struct fuse_custom_io *io,
			size_t op_size, int fd)
{
	if (op_size > sizeof(*io))
		warn_of_newer_program();
	if (!io || op_size < offsetof(struct fuse_custom_io, splice_receive) ||
	    !io->read || !io->writev) {
		fuse_log(FUSE_LOG_ERR, "fuse: custom I/O needs read and writev\n");
		return -EINVAL;
	}
	if (fd < 0) {
		fuse_log(FUSE_LOG_ERR, "fuse: custom I/O needs a descriptor, not %d\n",
			 fd);
		return -EBADF;
	}
	memset(&se->io, 0, sizeof(se->io));
	memcpy(&se->io, io, op_size < sizeof(*io) ? op_size : sizeof(*io));
	se->has_io = true;
	se->fd = fd;
	return make_dev(se);
}

int fuse_session_fd(struct fuse_session *se)
{
	return se->fd;
}

/* ---- The end of the loop ---- */

void fuse_session_exit(struct fuse_session *se)
{
	const uint64_t one = 1;
	int kept = errno;

	atomic_store(&se->exited, true);
	/* It can only fail because it is readable many times over. */
	if (write(se->exit_event, &one, sizeof(one)) < 0)
		errno = kept;
}

void fuse_session_fail(struct fuse_session *se, int error)
{
	int none = 0;

	atomic_compare_exchange_strong(&se->error, &none, error);
	fuse_session_exit(se);
}

void fuse_session_interrupt(struct fuse_session *se)
{
	struct fuse_protocol *protocol = &se->protocol;

	if (atomic_load(&protocol->got_init) && !protocol->conn.no_interrupt)
		fuse_inflight_close(&protocol->inflight);
}

void fuse_session_reset(struct fuse_session *se)
{
	uint64_t count;

	atomic_store(&se->exited, false);
	atomic_store(&se->error, 0);
	if (read(se->exit_event, &count, sizeof(count)) < 0)
		return; /* it was not exited */
}

int fuse_session_exited(struct fuse_session *se)
{
	return atomic_load(&se->exited);
}

/* ---- Loops of the program's own ---- */

/* The caller frees the memory with free(), so it must not be what dev/ would allocate. */
static int reserve(struct fuse_session *se, struct fuse_buf *buf)
{
	size_t size = fuse_dev_bufsize(se->dev);
	void *mem;

	if (buf->mem && buf->mem_size >= size)
		return 0;
	mem = realloc(buf->mem, size);
	if (!mem)
		return -ENOMEM;
	buf->mem = mem;
	buf->mem_size = size;
	return 0;
}

int fuse_session_receive_buf(struct fuse_session *se, struct fuse_buf *buf)
{
	int received;

	if (!se->dev)
		return -ENOTCONN;
	do {
		received = reserve(se, buf);
		if (received)
			return received;
		received = fuse_dev_receive_into(fuse_dev_first_channel(se->dev), buf);
	} while (received == -EMSGSIZE && buf->mem_size < fuse_dev_bufsize(se->dev));
	if (received == 0)
		fuse_session_exit(se);
	return received;
}

void fuse_session_process_buf(struct fuse_session *se, const struct fuse_buf *buf)
{
	if (!se->dev && make_dev(se) != 0) {
		fuse_log(FUSE_LOG_ERR, "fuse: no memory for a session\n");
		return;
	}
	fuse_dev_process(fuse_dev_first_channel(se->dev), buf);
}
