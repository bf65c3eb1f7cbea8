// SPDX-License-Identifier: GPL-2.0-only
/*
 * sleepy: a filesystem whose handlers take their time, to see what happens to the others.
 *
 *   slow        a read sleeps for sleep_ms milliseconds in the handler
 *   slow_write  a write does
 *   lock        POSIX and BSD locks; who waits for one does so in the handler
 *   waiting     says how many do, or read from `late` or `later`
 *   async       a read is answered by another thread, after sleep_ms
 *   double      a read is answered twice
 *   refused     says how many second answers were refused
 *   late        a read is answered when the loop has ended
 *   later       a read is answered when the filesystem is not mounted any more
 *   exit        a read ends the session, out of the handler
 *
 * Everything else is answered at once, and the kernel may remember none of it.
 */
#include "locks.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum file {
	SLOW = FUSE_ROOT_ID + 1,
	SLOW_WRITE,
	LOCK,
	WAITING,
	ASYNC,
	DOUBLE,
	REFUSED,
	LATE,
	LATER,
	EXIT,
	END,
};

static const char *const names[END] = {
	[SLOW] = "slow",       [SLOW_WRITE] = "slow_write",
	[LOCK] = "lock",       [WAITING] = "waiting",
	[ASYNC] = "async",     [DOUBLE] = "double",
	[REFUSED] = "refused", [LATE] = "late",
	[LATER] = "later",     [EXIT] = "exit",
};

#define FILE_SIZE (1 << 20)

static struct {
	int sleep_ms;
} options = { .sleep_ms = 100 };

static const struct fuse_opt option_specs[] = {
	{ "sleep_ms=%d", 0, 0 },
	FUSE_OPT_END,
};

static const char help[] =
	"    -o sleep_ms=N          how long what is slow takes, in milliseconds (100)\n";

static struct fuse_session *session;
static struct lock_table posix_locks, bsd_locks;
static _Atomic unsigned refused;

/* A read that is answered later, and not by its handler. */
struct held_read {
	struct held_read *next;
	fuse_req_t req;
	fuse_ino_t ino;
	size_t size;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t none;
	unsigned threads; /* that will answer one */
	struct held_read *late;
} held = { .lock = PTHREAD_MUTEX_INITIALIZER, .none = PTHREAD_COND_INITIALIZER };

static void sleep_a_while(void)
{
	struct timespec left = { options.sleep_ms / 1000,
				 options.sleep_ms % 1000 * 1000000L };

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

/* ---- Names and attributes ---- */

static struct stat attr_of(fuse_ino_t ino)
{
	struct stat attr = { .st_ino = ino };

	if (ino == FUSE_ROOT_ID) {
		attr.st_mode = S_IFDIR | 0755;
		attr.st_nlink = 2;
	} else {
		attr.st_mode = S_IFREG | 0666;
		attr.st_nlink = 1;
		attr.st_size = FILE_SIZE;
	}
	return attr;
}

static void sleepy_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = { 0 };

	for (fuse_ino_t ino = SLOW; parent == FUSE_ROOT_ID && ino < END; ino++) {
		if (strcmp(names[ino], name) == 0) {
			e.ino = ino;
			e.attr = attr_of(ino);
			fuse_reply_entry(req, &e);
			return;
		}
	}
	fuse_reply_err(req, ENOENT);
}

static void sleepy_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr = attr_of(ino);

	fuse_reply_attr(req, &attr, 0);
}

static void sleepy_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			   struct fuse_file_info *fi)
{
	char buffer[1024];
	size_t used = 0, room = size < sizeof(buffer) ? size : sizeof(buffer);

	for (fuse_ino_t i = off ? (fuse_ino_t)off + 1 : SLOW; i < END; i++) {
		struct stat attr = attr_of(i);
		size_t need = fuse_add_direntry(req, buffer + used, room - used, names[i],
						&attr, (off_t)i);

		if (need > room - used)
			break;
		used += need;
	}
	fuse_reply_buf(req, buffer, used);
}

/* ---- Data ---- */

/* Every read(2) is to be a request, and several of them at a time. */
static void sleepy_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fi->direct_io = 1;
	fi->parallel_direct_writes = 1;
	fuse_reply_open(req, fi);
}

/* A file's bytes all say which file it is. */
static int answer(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	char *data = malloc(size ? size : 1);
	int res;

	if (!data)
		return fuse_reply_err(req, ENOMEM);
	memset(data, 'a' + (int)ino, size);
	res = fuse_reply_buf(req, data, size);
	free(data);
	return res;
}

static void answer_number(fuse_req_t req, unsigned number, size_t size, off_t off)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u\n", number);

	if (off != 0 || size < (size_t)length)
		length = 0;
	fuse_reply_buf(req, text, (size_t)length);
}

static void *answer_later(void *data)
{
	struct held_read *read = data;

	sleep_a_while();
	answer(read->req, read->ino, read->size);
	free(read);
	pthread_mutex_lock(&held.lock);
	if (--held.threads == 0)
		pthread_cond_signal(&held.none);
	pthread_mutex_unlock(&held.lock);
	return NULL;
}

static bool start_thread(struct held_read *read)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int error;

	pthread_mutex_lock(&held.lock);
	held.threads++;
	pthread_mutex_unlock(&held.lock);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	error = pthread_create(&thread, &attributes, answer_later, read);
	pthread_attr_destroy(&attributes);
	if (!error)
		return true;
	pthread_mutex_lock(&held.lock);
	held.threads--;
	pthread_mutex_unlock(&held.lock);
	return false;
}

static void hold(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct held_read *read = malloc(sizeof(*read));

	if (!read) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	*read = (struct held_read){ .req = req, .ino = ino, .size = size };
	if (ino != ASYNC) {
		pthread_mutex_lock(&held.lock);
		read->next = held.late;
		held.late = read;
		pthread_mutex_unlock(&held.lock);
	} else if (!start_thread(read)) {
		free(read);
		fuse_reply_err(req, EAGAIN);
	}
}

static unsigned count_held(void)
{
	unsigned count = 0;

	pthread_mutex_lock(&held.lock);
	for (const struct held_read *read = held.late; read; read = read->next)
		count++;
	pthread_mutex_unlock(&held.lock);
	return count;
}

static void sleepy_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			struct fuse_file_info *fi)
{
	size_t left = off < FILE_SIZE ? (size_t)(FILE_SIZE - off) : 0;

	size = size < left ? size : left;
	switch (ino) {
	case SLOW:
		sleep_a_while();
		answer(req, ino, size);
		break;
	case ASYNC:
	case LATE:
	case LATER:
		hold(req, ino, size);
		break;
	case DOUBLE:
		answer(req, ino, size);
		/* The other way round it would be a read that failed. */
		if (fuse_reply_err(req, EIO) < 0)
			refused++;
		break;
	case REFUSED:
		answer_number(req, refused, size, off);
		break;
	case WAITING:
		answer_number(req,
			      lock_table_waiting(&posix_locks) +
				      lock_table_waiting(&bsd_locks) + count_held(),
			      size, off);
		break;
	case EXIT:
		fuse_session_exit(session);
		answer(req, ino, size);
		break;
	default:
		answer(req, ino, size);
	}
}

static void sleepy_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size,
			 off_t off, struct fuse_file_info *fi)
{
	if (ino == SLOW_WRITE)
		sleep_a_while();
	fuse_reply_write(req, size);
}

/* ---- Locks ---- */

static void sleepy_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
			 struct flock *lock)
{
	lock_table_find(&posix_locks, fi->lock_owner, lock);
	fuse_reply_lock(req, lock);
}

static void sleepy_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
			 struct flock *lock, int sleep)
{
	fuse_reply_err(req,
		       lock_table_set(&posix_locks, req, fi->lock_owner, lock, sleep));
}

static void sleepy_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
			 int op)
{
	fuse_reply_err(req, lock_table_flock(&bsd_locks, req, fi->lock_owner, op));
}

static void sleepy_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (ino == LOCK)
		lock_table_drop(&posix_locks, fi->lock_owner);
	fuse_reply_err(req, 0);
}

static void sleepy_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (fi->flock_release)
		lock_table_drop(&bsd_locks, fi->lock_owner);
	fuse_reply_err(req, 0);
}

static const struct fuse_lowlevel_ops operations = {
	.lookup = sleepy_lookup,
	.getattr = sleepy_getattr,
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

/* ---- The end ---- */

static int started(struct fuse_session *se)
{
	session = se;
	return 0;
}

/* What comes of it is the library's business; that nothing breaks, the tests'. */
static void answer_held(fuse_ino_t ino)
{
	struct held_read **link = &held.late;

	while (*link) {
		struct held_read *read = *link;
		int res;

		if (read->ino != ino) {
			link = &read->next;
			continue;
		}
		*link = read->next;
		res = answer(read->req, read->ino, read->size);
		fprintf(stderr, "sleepy: %s was answered: %d\n", names[ino], res);
		free(read);
	}
}

static void loop_ended(struct fuse_session *se)
{
	answer_held(LATE);
}

static void unmounted(struct fuse_session *se)
{
	answer_held(LATER);
	pthread_mutex_lock(&held.lock);
	while (held.threads)
		pthread_cond_wait(&held.none, &held.lock);
	pthread_mutex_unlock(&held.lock);
}

int main(int argc, char **argv)
{
	static const struct program program = {
		.help = help,
		.operations = &operations,
		.started = started,
		.loop_ended = loop_ended,
		.unmounted = unmounted,
	};
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	int status = 1;

	lock_table_init(&posix_locks);
	lock_table_init(&bsd_locks);
	if (fuse_opt_parse(&args, &options, option_specs, NULL) == 0)
		status = serve(&args, &program);
	lock_table_destroy(&posix_locks);
	lock_table_destroy(&bsd_locks);
	fuse_opt_free_args(&args);
	return status;
}
