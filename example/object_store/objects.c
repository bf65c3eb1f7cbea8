// SPDX-License-Identifier: GPL-2.0-only
#include "objects.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DATA "data"
#define SUMS "sums"

static int data_folder = -1, sums_folder = -1;

/* Of the list, and of what is in the folders. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct object *objects;

static int open_folder(int parent, const char *name)
{
	if (mkdirat(parent, name, 0755) != 0 && errno != EEXIST)
		return -1;
	return openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int objects_open(const char *folder)
{
	int parent = open_folder(AT_FDCWD, folder);
	int error = 0;

	if (parent < 0)
		return errno;
	data_folder = open_folder(parent, DATA);
	sums_folder = open_folder(parent, SUMS);
	if (data_folder < 0 || sums_folder < 0)
		error = errno;
	close(parent);
	return error;
}

int objects_open_list(void)
{
	return openat(data_folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* With the lock held, like those that follow. */
static struct object *known(const char *name)
{
	for (struct object *object = objects; object; object = object->next)
		if (object->name && strcmp(object->name, name) == 0)
			return object;
	return NULL;
}

static struct object *new_object(const char *name, int data, int sums)
{
	struct object *object = calloc(1, sizeof(*object));

	if (!object)
		return NULL;
	object->name = strdup(name);
	if (!object->name) {
		free(object);
		return NULL;
	}
	checked_file_init(&object->file, data, sums);
	object->next = objects;
	objects = object;
	return object;
}

/*
 * flags: of open(2), for the data. If there are none, checksums are of a file that had this name
 * before, and was removed behind our back, or when we were interrupted.
 */
static int open_object(const char *name, int flags, struct object **object)
{
	const int usual = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	int data, sums = -1, error;
	struct stat attr;

	data = openat(data_folder, name, usual | flags, 0644);
	if (data >= 0 && fstat(data, &attr) == 0)
		sums = openat(sums_folder, name,
			      usual | O_CREAT | (attr.st_size ? 0 : O_TRUNC), 0644);
	if (sums >= 0) {
		*object = new_object(name, data, sums);
		if (*object)
			return 0;
		errno = ENOMEM;
	}
	error = errno;
	if (sums >= 0)
		close(sums);
	if (data >= 0)
		close(data);
	return error;
}

static int look_up(const char *name, int flags, struct object **object)
{
	int error = 0;

	*object = known(name);
	if (!*object)
		error = open_object(name, flags, object);
	else if (flags & O_EXCL)
		error = EEXIST;
	if (!error)
		(*object)->lookups++;
	return error;
}

static int look_up_locked(const char *name, int flags, struct object **object)
{
	int error;

	pthread_mutex_lock(&lock);
	error = look_up(name, flags, object);
	pthread_mutex_unlock(&lock);
	return error;
}

int objects_find(const char *name, struct object **object)
{
	return look_up_locked(name, 0, object);
}

int objects_create(const char *name, int only_new, struct object **object)
{
	return look_up_locked(name, O_CREAT | (only_new ? O_EXCL : 0), object);
}

/* What is open stays, without a name. */
int objects_remove(const char *name)
{
	struct object *object;
	int error = 0;

	pthread_mutex_lock(&lock);
	object = known(name);
	if (unlinkat(data_folder, name, 0) != 0)
		error = errno;
	else
		unlinkat(sums_folder, name, 0);
	if (object && !error) {
		free(object->name);
		object->name = NULL;
	}
	pthread_mutex_unlock(&lock);
	return error;
}

static void free_object(struct object *object)
{
	struct object **link = &objects;

	while (*link != object)
		link = &(*link)->next;
	*link = object->next;
	checked_file_close(&object->file);
	free(object->name);
	free(object);
}

void objects_forget(struct object *object, uint64_t lookups)
{
	pthread_mutex_lock(&lock);
	object->lookups -= lookups;
	if (!object->lookups)
		free_object(object);
	pthread_mutex_unlock(&lock);
}

int objects_get_attr(struct object *object, struct stat *attr)
{
	return fstat(object->file.data, attr) == 0 ? 0 : errno;
}
