// SPDX-License-Identifier: GPL-2.0-only
/*
 * poll: files that can be waited for.
 *
 * There are sixteen, 0 to F. Every quarter of a second, somebody puts a byte into one of them, the
 * next one each time; reading takes bytes out. Who polls a file is told when there is something.
 *
 *     poll MOUNTPOINT
 *     poll_client MOUNTPOINT
 *     fusermount3 -u MOUNTPOINT
 */
#define FUSE_USE_VERSION 318
#include <fuse.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILES	    16
#define INTERVAL_MS 250

/* So many bytes wait in a file at most. */
#define MOST_BYTES 10

static struct {
	unsigned bytes;
	struct fuse_pollhandle *waiting; /* who polls it; NULL: nobody */
} files[FILES];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_t producer;
static bool stopping;

static const char names[] = "0123456789ABCDEF";

static int number_of(const char *path)
{
	const char *found = NULL;

	if (path[0] == '/' && path[1] && !path[2])
		found = strchr(names, path[1]);
	return found ? (int)(found - names) : -1;
}

/* ---- The producer ---- */

static void produce(int i)
{
	if (files[i].bytes < MOST_BYTES)
		files[i].bytes++;
	if (!files[i].waiting)
		return;
	/* Once told, the poller looks again, and brings a new handle if it has to wait. */
	fuse_notify_poll(files[i].waiting);
	fuse_pollhandle_destroy(files[i].waiting);
	files[i].waiting = NULL;
}

static void *run_producer(void *data)
{
	const struct timespec interval = { 0, INTERVAL_MS * 1000000L };

	for (int i = 0;; i = (i + 1) % FILES) {
		bool stop;

		nanosleep(&interval, NULL);
		pthread_mutex_lock(&lock);
		produce(i);
		stop = stopping;
		pthread_mutex_unlock(&lock);
		if (stop)
			return NULL;
	}
}

/* Here and not in main(): threads do not survive going to the background. */
static void *poll_init(struct fuse_conn_info *conn, struct fuse_config *cfg)
{
	if (pthread_create(&producer, NULL, run_producer, NULL) != 0) {
		fuse_log(FUSE_LOG_ERR, "poll: cannot start a thread\n");
		fuse_exit(fuse_get_context()->fuse);
		stopping = true;
	}
	return NULL;
}

static void poll_destroy(void *data)
{
	bool started;

	pthread_mutex_lock(&lock);
	started = !stopping;
	stopping = true;
	pthread_mutex_unlock(&lock);
	if (started)
		pthread_join(producer, NULL);
	for (int i = 0; i < FILES; i++)
		fuse_pollhandle_destroy(files[i].waiting);
}

/* ---- The files ---- */

static int poll_getattr(const char *path, struct stat *attr, struct fuse_file_info *fi)
{
	int i = number_of(path);

	memset(attr, 0, sizeof(*attr));
	if (strcmp(path, "/") == 0) {
		attr->st_mode = S_IFDIR | 0555;
		attr->st_nlink = 2;
		return 0;
	}
	if (i < 0)
		return -ENOENT;
	attr->st_mode = S_IFREG | 0444;
	attr->st_nlink = 1;
	pthread_mutex_lock(&lock);
	attr->st_size = files[i].bytes;
	pthread_mutex_unlock(&lock);
	return 0;
}

static int poll_readdir(const char *path, void *buf, fuse_fill_dir_t filler, off_t off,
			struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	for (int i = 0; i < FILES; i++) {
		char name[] = { names[i], '\0' };

		filler(buf, name, NULL, 0, FUSE_FILL_DIR_DEFAULTS);
	}
	return 0;
}

static int poll_open(const char *path, struct fuse_file_info *fi)
{
	if ((fi->flags & O_ACCMODE) != O_RDONLY)
		return -EACCES;
	/* What is in it changes by itself, it has no positions, and is not to be cached. */
	fi->direct_io = 1;
	fi->nonseekable = 1;
	fi->fh = (uint64_t)number_of(path);
	return 0;
}

static int poll_read(const char *path, char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	pthread_mutex_lock(&lock);
	if (size > files[fi->fh].bytes)
		size = files[fi->fh].bytes;
	files[fi->fh].bytes -= (unsigned)size;
	pthread_mutex_unlock(&lock);
	memset(buf, names[fi->fh], size);
	return (int)size;
}

static int poll_poll(const char *path, struct fuse_file_info *fi,
		     struct fuse_pollhandle *ph, unsigned *reventsp)
{
	pthread_mutex_lock(&lock);
	if (ph) {
		fuse_pollhandle_destroy(files[fi->fh].waiting);
		files[fi->fh].waiting = ph;
	}
	if (files[fi->fh].bytes)
		*reventsp |= POLLIN;
	pthread_mutex_unlock(&lock);
	return 0;
}

static const struct fuse_operations operations = {
	.init = poll_init,
	.destroy = poll_destroy,
	.getattr = poll_getattr,
	.readdir = poll_readdir,
	.open = poll_open,
	.read = poll_read,
	.poll = poll_poll,
};

int main(int argc, char **argv)
{
	return fuse_main(argc, argv, &operations, NULL);
}
