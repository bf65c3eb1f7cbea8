// SPDX-License-Identifier: GPL-2.0-only
/*
 * The files in the folder, and those that are open.
 */
#include "zero_copy.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct file *files;

/* stripe: -1 for the file itself */
static void path_of(const struct way *way, int stripe, char *path)
{
	if (way->target)
		snprintf(path, PATH_MAX, "%s", way->target);
	else if (stripe < 0)
		snprintf(path, PATH_MAX, "%s/%s", options.folder, way->name);
	else
		snprintf(path, PATH_MAX, "%s/%s.%d", options.folder, way->name, stripe);
}

static int open_path(const struct way *way, int stripe, int flags)
{
	char path[PATH_MAX];

	path_of(way, stripe, path);
	return open(path, flags | O_CLOEXEC, 0666);
}

/* Returns 0 or an errno. */
static int create(const struct way *way, int stripe)
{
	int fd = open_path(way, stripe, O_RDWR | O_CREAT);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

int file_create_all(void)
{
	int error = 0;

	for (size_t i = 0; i < way_count && !error; i++) {
		if (ways[i].target)
			continue;
		if (!ways[i].is_striped)
			error = create(&ways[i], -1);
		for (int s = 0; ways[i].is_striped && s < STRIPES && !error; s++)
			error = create(&ways[i], s);
	}
	return error;
}

/* ---- Attributes ---- */

/* How much of a striped file's beginning lies in this stripe. */
static off_t size_of_stripe(off_t size, int stripe)
{
	off_t round = (off_t)(STRIPES * STRIPE_SIZE);
	off_t rest = size % round - (off_t)(stripe * STRIPE_SIZE);

	if (rest < 0)
		rest = 0;
	if (rest > (off_t)STRIPE_SIZE)
		rest = (off_t)STRIPE_SIZE;
	return size / round * (off_t)STRIPE_SIZE + rest;
}

static int striped_attr(const struct way *way, struct stat *attr)
{
	off_t size = 0;

	for (int s = 0; s < STRIPES; s++) {
		char path[PATH_MAX];

		path_of(way, s, path);
		if (stat(path, attr) < 0)
			return errno;
		size += attr->st_size;
	}
	attr->st_size = size + options.longer;
	return 0;
}

int file_attr(const struct way *way, struct stat *attr)
{
	char path[PATH_MAX];

	if (way->is_striped)
		return striped_attr(way, attr);
	path_of(way, -1, path);
	if (stat(path, attr) < 0)
		return errno;
	attr->st_mode = S_IFREG | 0666;
	if (!way->target)
		attr->st_size += options.longer;
	return 0;
}

int file_truncate(const struct way *way, off_t size)
{
	char path[PATH_MAX];

	if (way->target)
		return 0;
	if (!way->is_striped) {
		path_of(way, -1, path);
		return truncate(path, size) < 0 ? errno : 0;
	}
	for (int s = 0; s < STRIPES; s++) {
		path_of(way, s, path);
		if (truncate(path, size_of_stripe(size, s)) < 0)
			return errno;
	}
	return 0;
}

/* ---- Open files ---- */

static void close_one(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void release(struct file *file)
{
	close_one(file->fd);
	close_one(file->near);
	close_one(file->far);
	for (int s = 0; s < STRIPES; s++)
		close_one(file->stripes[s]);
	free(file);
}

/* For both, whatever the client wants: mapped pages may be read before they are written. */
static int open_data(struct file *file)
{
	if (file->way->is_striped) {
		for (int s = 0; s < STRIPES; s++) {
			file->stripes[s] = open_path(file->way, s, O_RDWR);
			if (file->stripes[s] < 0)
				return errno;
		}
		return 0;
	}
	file->fd = open_path(file->way, -1, O_RDWR);
	if (file->fd < 0 && file->way->target)
		file->fd = open_path(file->way, -1, O_RDONLY);
	return file->fd < 0 ? errno : 0;
}

int file_open(const struct way *way, int flags, struct file **opened)
{
	struct file *file = malloc(sizeof(*file));
	int error;

	if (!file)
		return ENOMEM;
	*file = (struct file){ .way = way, .fd = -1, .near = -1, .far = -1 };
	for (int s = 0; s < STRIPES; s++)
		file->stripes[s] = -1;
	error = open_data(file);
	if (!error && way->open)
		error = way->open(file, flags);
	if (error) {
		release(file);
		return error;
	}
	pthread_mutex_lock(&lock);
	file->next = files;
	file->link = &files;
	if (files)
		files->link = &file->next;
	files = file;
	pthread_mutex_unlock(&lock);
	*opened = file;
	return 0;
}

void file_close(struct file *file)
{
	pthread_mutex_lock(&lock);
	*file->link = file->next;
	if (file->next)
		file->next->link = file->link;
	pthread_mutex_unlock(&lock);
	release(file);
}

/* Nobody sends a release() for what is open when a session ends. */
void file_close_all(void)
{
	while (files)
		file_close(files);
}
