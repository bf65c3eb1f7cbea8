// SPDX-License-Identifier: GPL-2.0-only
/*
 * A filesystem that takes its time, for tests of what must not wait for what.
 *
 *     slow         a read sleeps before it is answered, in the thread that it came in
 *     slow_write   so does a write
 *     async        a read is answered as late, but by another thread
 *     lock         a lock that is held is waited for, in the thread that the request came in;
 *                  there is one lock, for the whole file, and it is always exclusive
 *     quick        nothing takes any time
 *
 * What is asked about names and attributes is answered at once. -o sleep_ms=N says how long
 * to sleep, in milliseconds; 100 if it is not given. Reads see the letter z for ever, past
 * the page cache.
 */
#define FUSE_USE_VERSION 318
#include <fuse_lowlevel.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILE_SIZE (INT64_C(1) << 30)
#define TIMEOUT	  3600.0

enum {
	SLOW = 2,
	SLOW_WRITE,
	ASYNC,
	LOCK,
	QUICK,
	END,
};

static const char *const names[END] = {
	[SLOW] = "slow", [SLOW_WRITE] = "slow_write", [ASYNC] = "async",
	[LOCK] = "lock", [QUICK] = "quick",
};

static struct {
	unsigned sleep_ms;
} settings = { .sleep_ms = 100 };

static const struct fuse_opt options[] = {
	{ "sleep_ms=%u", offsetof(__typeof__(settings), sleep_ms), 0 },
	FUSE_OPT_END,
};

static struct fuse_session *session;

/* Time */

static struct timespec after_ms(unsigned ms)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	time.tv_sec += ms / 1000;
	time.tv_nsec += ms % 1000 * 1000000L;
	if (time.tv_nsec >= 1000000000L) {
		time.tv_sec++;
		time.tv_nsec -= 1000000000L;
	}
	return time;
}

static void sleep_until(const struct timespec *time)
{
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, time, NULL) == EINTR)
		;
}

static void take_time(void)
{
	struct timespec end = after_ms(settings.sleep_ms);

	sleep_until(&end);
}

static void init_condition(pthread_cond_t *condition)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(condition, &attr);
	pthread_condattr_destroy(&attr);
}

/* Names and attributes */

static struct stat attr_of(fuse_ino_t ino)
{
	struct stat attr = { .st_ino = ino, .st_uid = getuid(), .st_gid = getgid() };

	attr.st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0666;
	attr.st_nlink = ino == FUSE_ROOT_ID ? 2 : 1;
	attr.st_size = ino == FUSE_ROOT_ID ? 0 : FILE_SIZE;
	return attr;
}

static void sleepy_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = { .attr_timeout = 0, .entry_timeout = TIMEOUT };

	for (fuse_ino_t ino = SLOW; ino < END; ino++) {
		if (strcmp(name, names[ino]) != 0)
			continue;
		e.ino = ino;
		e.attr = attr_of(ino);
		fuse_reply_entry(req, &e);
		return;
	}
	fuse_reply_err(req, ENOENT);
}

/* Not cached, so that each stat(2) is a request. */
static void sleepy_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr = attr_of(ino);

	fuse_reply_attr(req, &attr, 0);
}

static void sleepy_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
			   struct fuse_file_info *fi)
{
	sleepy_getattr(req, ino, fi);
}

static void sleepy_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			   struct fuse_file_info *fi)
{
	char buffer[512];
	size_t used = 0;

	for (fuse_ino_t next = off ? (fuse_ino_t)off : SLOW; next < END; next++) {
		struct stat attr = attr_of(next);

		used += fuse_add_direntry(req, buffer + used, sizeof(buffer) - used,
					  names[next], &attr, (off_t)next + 1);
	}
	fuse_reply_buf(req, buffer, used < size ? used : 0);
}

static void sleepy_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fi->direct_io = 1;
	fi->parallel_direct_writes = 1;
	fuse_reply_open(req, fi);
}

/* Reads and writes */

static void answer_read(fuse_req_t req, size_t size)
{
	char *data = malloc(size);

	if (!data) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	memset(data, 'z', size);
	fuse_reply_buf(req, data, size);
	free(data);
}

struct pending {
	struct pending *next;
	fuse_req_t req;
	size_t size;
	struct timespec due;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct pending *first, **last;
	pthread_t thread;
	bool over;
} queue = { .lock = PTHREAD_MUTEX_INITIALIZER, .last = &queue.first };

/* Everything sleeps equally long, so what comes first is due first. */
static void *answer_pending(void *unused)
{
	struct pending *first;

	pthread_mutex_lock(&queue.lock);
	for (;;) {
		while (!queue.first && !queue.over)
			pthread_cond_wait(&queue.changed, &queue.lock);
		first = queue.first;
		if (!first)
			break;
		queue.first = first->next;
		if (!queue.first)
			queue.last = &queue.first;
		pthread_mutex_unlock(&queue.lock);
		sleep_until(&first->due);
		answer_read(first->req, first->size);
		free(first);
		pthread_mutex_lock(&queue.lock);
	}
	pthread_mutex_unlock(&queue.lock);
	return NULL;
}

static void answer_later(fuse_req_t req, size_t size)
{
	struct pending *pending = malloc(sizeof(*pending));

	if (!pending) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	*pending = (struct pending){ NULL, req, size, after_ms(settings.sleep_ms) };
	pthread_mutex_lock(&queue.lock);
	*queue.last = pending;
	queue.last = &pending->next;
	pthread_cond_signal(&queue.changed);
	pthread_mutex_unlock(&queue.lock);
}

static void sleepy_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			struct fuse_file_info *fi)
{
	if (off >= FILE_SIZE)
		size = 0;
	else if ((off_t)size > FILE_SIZE - off)
		size = (size_t)(FILE_SIZE - off);
	if (ino == ASYNC) {
		answer_later(req, size);
		return;
	}
	if (ino == SLOW)
		take_time();
	answer_read(req, size);
}

static void sleepy_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size,
			 off_t off, struct fuse_file_info *fi)
{
	if (ino == SLOW_WRITE)
		take_time();
	fuse_reply_write(req, size);
}

/* The lock */

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool held;
	uint64_t owner;
	pid_t pid;
} held = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static void interrupt(fuse_req_t req, void *interrupted)
{
	pthread_mutex_lock(&held.mutex);
	*(bool *)interrupted = true;
	pthread_cond_broadcast(&held.changed);
	pthread_mutex_unlock(&held.mutex);
}

static int take(fuse_req_t req, uint64_t owner, pid_t pid, bool wait)
{
	bool interrupted = false;
	int error = 0;

	fuse_req_interrupt_func(req, interrupt, &interrupted);
	pthread_mutex_lock(&held.mutex);
	while (held.held && held.owner != owner && !error) {
		struct timespec soon = after_ms(100);

		if (!wait)
			error = EAGAIN;
		else if (interrupted || fuse_session_exited(session))
			error = EINTR;
		else
			pthread_cond_timedwait(&held.changed, &held.mutex, &soon);
	}
	if (!error) {
		held.held = true;
		held.owner = owner;
		held.pid = pid;
	}
	pthread_mutex_unlock(&held.mutex);
	fuse_req_interrupt_func(req, NULL, NULL);
	return error;
}

static void release(uint64_t owner)
{
	pthread_mutex_lock(&held.mutex);
	if (held.held && held.owner == owner) {
		held.held = false;
		pthread_cond_broadcast(&held.changed);
	}
	pthread_mutex_unlock(&held.mutex);
}

static void sleepy_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
			 struct flock *lock)
{
	pthread_mutex_lock(&held.mutex);
	if (held.held && held.owner != fi->lock_owner)
		*lock = (struct flock){ .l_type = F_WRLCK, .l_pid = held.pid };
	else
		lock->l_type = F_UNLCK;
	pthread_mutex_unlock(&held.mutex);
	fuse_reply_lock(req, lock);
}

static void sleepy_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
			 struct flock *lock, int wait)
{
	int error = 0;

	if (lock->l_type == F_UNLCK)
		release(fi->lock_owner);
	else
		error = take(req, fi->lock_owner, lock->l_pid, wait);
	fuse_reply_err(req, error);
}

static void sleepy_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
	int error = 0;

	if (op & LOCK_UN)
		release(fi->lock_owner);
	else
		error = take(req, fi->lock_owner, fuse_req_ctx(req)->pid, !(op & LOCK_NB));
	fuse_reply_err(req, error);
}

static void sleepy_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	release(fi->lock_owner);
	fuse_reply_err(req, 0);
}

static void sleepy_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (fi->flock_release)
		release(fi->lock_owner);
	fuse_reply_err(req, 0);
}

static const struct fuse_lowlevel_ops operations = {
	.lookup = sleepy_lookup,
	.getattr = sleepy_getattr,
	.setattr = sleepy_setattr,
	.readdir = sleepy_readdir,
	.open = sleepy_open,
	.read = sleepy_read,
	.write = sleepy_write,
	.getlk = sleepy_getlk,
	.setlk = sleepy_setlk,
	.flock = sleepy_flock,
	.flush = sleepy_flush,
	.release = sleepy_release,
};

/* Life and end */

static int run(const struct fuse_cmdline_opts *opts)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int res = -ENOMEM;

	init_condition(&held.changed);
	pthread_cond_init(&queue.changed, NULL);
	if (pthread_create(&queue.thread, NULL, answer_pending, NULL) != 0) {
		fuse_loop_cfg_destroy(config);
		return -EAGAIN;
	}
	if (opts->singlethread) {
		res = fuse_session_loop(session);
	} else if (config) {
		fuse_loop_cfg_set_clone_fd(config, (unsigned)opts->clone_fd);
		fuse_loop_cfg_set_idle_threads(config, opts->max_idle_threads);
		fuse_loop_cfg_set_max_threads(config, opts->max_threads);
		res = fuse_session_loop_mt(session, config);
	}
	fuse_loop_cfg_destroy(config);

	pthread_mutex_lock(&queue.lock);
	queue.over = true;
	pthread_cond_signal(&queue.changed);
	pthread_mutex_unlock(&queue.lock);
	pthread_join(queue.thread, NULL);
	return res;
}

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct fuse_cmdline_opts opts;
	int status = 1;

	if (fuse_parse_cmdline(&args, &opts) != 0 ||
	    fuse_opt_parse(&args, &settings, options, NULL) != 0)
		return 1;
	if (!opts.mountpoint) {
		fprintf(stderr, "usage: %s [options] [-o sleep_ms=N] MOUNTPOINT\n", argv[0]);
		goto out;
	}
	session = fuse_session_new(&args, &operations, sizeof(operations), NULL);
	if (!session || fuse_set_signal_handlers(session) != 0)
		goto out;
	if (fuse_session_mount(session, opts.mountpoint) == 0) {
		if (fuse_daemonize(opts.foreground) == 0 && run(&opts) >= 0)
			status = 0;
		fuse_session_unmount(session);
	}
	fuse_remove_signal_handlers(session);
out:
	if (session)
		fuse_session_destroy(session);
	free(opts.mountpoint);
	fuse_opt_free_args(&args);
	return status;
}
