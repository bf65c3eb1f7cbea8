// SPDX-License-Identifier: GPL-2.0-only
/*
 * invalidate_path: files that change by themselves, and a kernel that may cache them all the same.
 *
 * The kernel is allowed to keep what it knows for ever. A thread changes the files once a
 * second and then tells it, with fuse_invalidate_path(), that what it knows is wrong. With
 * --no-notify it does not, and callers go on seeing what was.
 *
 *     invalidate_path MOUNTPOINT
 *     watch cat MOUNTPOINT/current_time       once a second another time
 *     ls -l MOUNTPOINT/growing                and another size
 *     fusermount3 -u MOUNTPOINT
 */
#define FUSE_USE_VERSION 318
#include <fuse.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* For the kernel's cache: longer than anybody will look. */
#define FOREVER 86400.0

static const char time_path[] = "/current_time";
static const char growing_path[] = "/growing";

static struct {
	int no_notify;
	unsigned interval_ms;
} options = { .interval_ms = 1000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char time_text[64];
static off_t growing_size;

static pthread_t changer;
static bool running, stopping;

/* ---- What changes ---- */

static void change(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	pthread_mutex_lock(&lock);
	snprintf(time_text, sizeof(time_text), "%lld.%09ld\n", (long long)now.tv_sec,
		 now.tv_nsec);
	growing_size++;
	pthread_mutex_unlock(&lock);
}

/*
 * Without the lock: the kernel may wait for operations on the file. -ENOENT says that it
 * does not know the file yet, and so has nothing wrong.
 */
static void tell(struct fuse *fuse, const char *path)
{
	int error = fuse_invalidate_path(fuse, path);

	if (error && error != -ENOENT)
		fuse_log(FUSE_LOG_ERR, "invalidate_path: %s: %s\n", path,
			 strerror(-error));
}

static bool is_over(void)
{
	bool over;

	pthread_mutex_lock(&lock);
	over = stopping;
	pthread_mutex_unlock(&lock);
	return over;
}

static void *keep_changing(void *data)
{
	const struct timespec interval = { options.interval_ms / 1000,
					   options.interval_ms % 1000 * 1000000L };
	struct fuse *fuse = data;

	while (!is_over()) {
		change();
		if (!options.no_notify) {
			tell(fuse, time_path);
			tell(fuse, growing_path);
		}
		nanosleep(&interval, NULL);
	}
	return NULL;
}

static void *inv_init(struct fuse_conn_info *conn, struct fuse_config *cfg)
{
	cfg->entry_timeout = FOREVER;
	cfg->attr_timeout = FOREVER;
	cfg->negative_timeout = FOREVER;
	cfg->kernel_cache = 1;
	running = pthread_create(&changer, NULL, keep_changing,
				 fuse_get_context()->fuse) == 0;
	return NULL;
}

static void inv_destroy(void *data)
{
	pthread_mutex_lock(&lock);
	stopping = true;
	pthread_mutex_unlock(&lock);
	if (running)
		pthread_join(changer, NULL);
}

/* ---- What callers see ---- */

static int inv_getattr(const char *path, struct stat *attr, struct fuse_file_info *fi)
{
	memset(attr, 0, sizeof(*attr));
	attr->st_uid = getuid();
	attr->st_gid = getgid();
	attr->st_nlink = 1;
	attr->st_mode = S_IFREG | 0444;
	pthread_mutex_lock(&lock);
	if (strcmp(path, "/") == 0) {
		attr->st_mode = S_IFDIR | 0555;
		attr->st_nlink = 2;
	} else if (strcmp(path, time_path) == 0) {
		attr->st_size = (off_t)strlen(time_text);
	} else if (strcmp(path, growing_path) == 0) {
		attr->st_size = growing_size;
	} else {
		attr->st_mode = 0;
	}
	pthread_mutex_unlock(&lock);
	return attr->st_mode ? 0 : -ENOENT;
}

static int inv_readdir(const char *path, void *buf, fuse_fill_dir_t filler, off_t off,
		       struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	filler(buf, ".", NULL, 0, FUSE_FILL_DIR_DEFAULTS);
	filler(buf, "..", NULL, 0, FUSE_FILL_DIR_DEFAULTS);
	filler(buf, time_path + 1, NULL, 0, FUSE_FILL_DIR_DEFAULTS);
	filler(buf, growing_path + 1, NULL, 0, FUSE_FILL_DIR_DEFAULTS);
	return 0;
}

static int inv_open(const char *path, struct fuse_file_info *fi)
{
	return (fi->flags & O_ACCMODE) == O_RDONLY ? 0 : -EACCES;
}

static int inv_read(const char *path, char *buf, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	bool is_time = strcmp(path, time_path) == 0;
	size_t length, left;

	pthread_mutex_lock(&lock);
	length = is_time ? strlen(time_text) : (size_t)growing_size;
	left = (size_t)off < length ? length - (size_t)off : 0;
	if (size > left)
		size = left;
	if (is_time)
		memcpy(buf, time_text + (length - left), size);
	else
		memset(buf, 'x', size);
	pthread_mutex_unlock(&lock);
	return (int)size;
}

static const struct fuse_operations operations = {
	.init = inv_init,
	.destroy = inv_destroy,
	.getattr = inv_getattr,
	.readdir = inv_readdir,
	.open = inv_open,
	.read = inv_read,
};

int main(int argc, char **argv)
{
	static const struct fuse_opt table[] = {
		{ "--no-notify", offsetof(__typeof__(options), no_notify), 1 },
		{ "--interval-ms=%u", offsetof(__typeof__(options), interval_ms), 0 },
		FUSE_OPT_END,
	};
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	int status;

	if (fuse_opt_parse(&args, &options, table, NULL) != 0)
		return 1;
	/* Before the first caller comes. */
	change();
	status = fuse_main(args.argc, args.argv, &operations, NULL);
	fuse_opt_free_args(&args);
	return status;
}
