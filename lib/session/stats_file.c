// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * -o stats=PATH: the statistics as a JSON file, which a reader always finds complete. It is
 * written under another name in the same directory and then takes the place of the
 * former one.
 *
 * The directory is opened once, early: a daemon changes its own, and may give up
 * privileges later.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuse_config.h"
#include "session/session.h"
#include "session/stats_json.h"
#include "support/clock.h"

#define INTERVAL_NS 1000000000

struct fuse_stats_file {
	struct fuse_session *se;
	int directory;
	char *name;
	char *new_name;
	bool complained; /* one line for a file that cannot be written, not one a second */

	bool runs;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wish;
	bool changed; /* guarded by lock, like the next */
	bool stop;
};

static void print_queues(FILE *out, struct fuse_session *se, unsigned queues)
{
	struct fuse_transport_stats stats;

	fprintf(out, "  \"per_queue\": [");
	for (unsigned i = 0; i < queues; i++) {
		if (fuse_session_get_queue_stats(se, i, &stats, sizeof(stats)) != 0)
			break;
		fprintf(out, "%s\n    {\n", i ? "," : "");
		fuse_stats_print(out, "      ", &stats);
		fprintf(out, "\n    }");
	}
	fprintf(out, "%s]\n", queues ? "\n  " : "");
}

static void print_stats(FILE *out, struct fuse_session *se)
{
	struct fuse_session_stats stats;

	fuse_session_get_stats(se, &stats, sizeof(stats));
	fprintf(out, "{\n");
	fuse_stats_print_kind(out, "  ", &stats);
	fuse_stats_print(out, "  ", &stats.total);
	fprintf(out, ",\n");
	print_queues(out, se, stats.queues);
	fprintf(out, "}\n");
}

/* A leftover of a process with the same number is removed; anything else stays. */
static int create(struct fuse_stats_file *file)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(file->directory, file->new_name, flags, 0644);

	if (fd < 0 && errno == EEXIST && !unlinkat(file->directory, file->new_name, 0))
		fd = openat(file->directory, file->new_name, flags, 0644);
	return fd;
}

static bool write_new(struct fuse_stats_file *file)
{
	int fd = create(file);
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
	bool good;

	if (!out) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	print_stats(out, file->se);
	good = !ferror(out);
	return fclose(out) == 0 && good;
}

static void write_file(struct fuse_stats_file *file)
{
	int error;

	if (write_new(file) &&
	    renameat(file->directory, file->new_name, file->directory, file->name) == 0)
		return;
	error = errno;
	unlinkat(file->directory, file->new_name, 0);
	if (!file->complained)
		fuse_log(FUSE_LOG_ERR, "fuse: cannot write statistics to '%s': %s\n",
			 file->name, strerror(error));
	file->complained = true;
}

/* With the lock held: until somebody wishes something, or the interval is over. */
static void wait_a_second(struct fuse_stats_file *file)
{
	int64_t until = fuse_clock() + INTERVAL_NS;

	while (!file->stop && !file->changed) {
		if (fuse_clock_cond_wait(&file->wish, &file->lock, until) == ETIMEDOUT)
			break;
	}
	file->changed = false;
}

static void *run(void *data)
{
	struct fuse_stats_file *file = data;

	pthread_mutex_lock(&file->lock);
	while (!file->stop) {
		pthread_mutex_unlock(&file->lock);
		write_file(file);
		pthread_mutex_lock(&file->lock);
		wait_a_second(file);
	}
	pthread_mutex_unlock(&file->lock);
	return NULL;
}

void fuse_stats_start(struct fuse_session *se)
{
	struct fuse_stats_file *file = se->stats;
	sigset_t all, former;
	int error;

	if (!file || file->runs)
		return;
	file->stop = false;
	/* The program's signal handlers are not to run in this thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &former);
	error = pthread_create(&file->thread, NULL, run, file);
	pthread_sigmask(SIG_SETMASK, &former, NULL);
	if (error)
		fuse_log(FUSE_LOG_ERR, "fuse: no thread for the statistics: %s\n",
			 strerror(error));
	file->runs = !error;
}

void fuse_stats_changed(struct fuse_session *se)
{
	struct fuse_stats_file *file = se->stats;

	if (!file)
		return;
	pthread_mutex_lock(&file->lock);
	file->changed = true;
	pthread_cond_signal(&file->wish);
	pthread_mutex_unlock(&file->lock);
}

void fuse_stats_stop(struct fuse_session *se)
{
	struct fuse_stats_file *file = se->stats;

	if (!file || !file->runs)
		return;
	pthread_mutex_lock(&file->lock);
	file->stop = true;
	pthread_cond_signal(&file->wish);
	pthread_mutex_unlock(&file->lock);
	pthread_join(file->thread, NULL);
	file->runs = false;
	write_file(file);
}

static void free_file(struct fuse_stats_file *file)
{
	if (file->directory >= 0)
		close(file->directory);
	free(file->name);
	free(file->new_name);
	free(file);
}

static int open_directory(struct fuse_stats_file *file, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *directory;

	file->name = strdup(slash ? slash + 1 : path);
	directory = slash ? strndup(path, (size_t)(slash + 1 - path)) : strdup(".");
	if (file->name && directory)
		file->directory = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	free(directory);
	if (file->directory < 0)
		return -errno;
	if (!*file->name)
		return -EISDIR;
	if (asprintf(&file->new_name, ".%s.%ld.new", file->name, (long)getpid()) < 0) {
		file->new_name = NULL;
		return -ENOMEM;
	}
	return 0;
}

/* Writes nothing that stays: the session may fail for other reasons yet. */
static int try_directory(struct fuse_stats_file *file)
{
	struct stat status;
	int fd;

	if (fstatat(file->directory, file->name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISDIR(status.st_mode))
		return -EISDIR;
	fd = create(file);
	if (fd < 0)
		return -errno;
	close(fd);
	unlinkat(file->directory, file->new_name, 0);
	return 0;
}

int fuse_stats_open(struct fuse_session *se, const char *path)
{
	struct fuse_stats_file *file = calloc(1, sizeof(*file));
	int error = -ENOMEM;

	if (file) {
		file->se = se;
		file->directory = -1;
		error = open_directory(file, path);
		if (!error)
			error = try_directory(file);
	}
	if (error) {
		fuse_log(FUSE_LOG_ERR, "fuse: option stats: cannot write '%s': %s\n",
			 path, strerror(-error));
		if (file)
			free_file(file);
		return -1;
	}
	pthread_mutex_init(&file->lock, NULL);
	fuse_clock_cond_init(&file->wish);
	se->stats = file;
	return 0;
}

void fuse_stats_close(struct fuse_session *se)
{
	struct fuse_stats_file *file = se->stats;

	if (!file)
		return;
	pthread_cond_destroy(&file->wish);
	pthread_mutex_destroy(&file->lock);
	free_file(file);
	se->stats = NULL;
}
