// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mounts and filesystems below SOURCE.
 */
#include "place.h"
#include "inode.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* No filesystem in use has inode numbers of more bits than this. */
#define INO_BITS 48

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct device *devices;
static struct mount *mounts;
static uint64_t device_count;

uint64_t place_dev(const struct statx *stx)
{
	return makedev(stx->stx_dev_major, stx->stx_dev_minor);
}

/* Kernels before 5.8 do not tell: there a file has one inode, wherever it is seen. */
uint64_t place_mount(const struct statx *stx)
{
	return stx->stx_mask & STATX_PLACE ? stx->stx_mnt_id : 0;
}

static struct device *find_device(uint64_t dev)
{
	struct device *device;

	for (device = devices; device; device = device->next)
		if (device->dev == dev)
			return device;
	device = calloc(1, sizeof(*device));
	if (!device)
		return NULL;
	device->dev = dev;
	device->ino_offset = device_count++ << INO_BITS;
	device->next = devices;
	devices = device;
	return device;
}

static struct mount *find_mount(uint64_t id)
{
	struct mount *mount;

	for (mount = mounts; mount; mount = mount->next)
		if (mount->id == id)
			return mount;
	mount = calloc(1, sizeof(*mount));
	if (!mount)
		return NULL;
	mount->id = id;
	mount->anchor = -1;
	mount->next = mounts;
	mounts = mount;
	return mount;
}

/*
 * open_by_handle_at() does not take a descriptor of O_PATH. Any directory of the mount
 * will do, and nearly always the first file seen of a mount is its root.
 */
static void try_anchor(struct mount *mount, const struct statx *stx, int fd)
{
	if (S_ISDIR(stx->stx_mode))
		mount->anchor = WITH_ROOM_FOR_FD(openat(fd, ".", O_RDONLY | O_CLOEXEC));
}

int place_find(const struct statx *stx, int fd, struct device **device,
	       struct mount **mount)
{
	uint64_t id = place_mount(stx);

	pthread_mutex_lock(&lock);
	*device = find_device(place_dev(stx));
	*mount = find_mount(id);
	if (*mount && (*mount)->anchor < 0)
		try_anchor(*mount, stx, fd);
	if (*device && !(*device)->first_mount)
		(*device)->first_mount = id;
	else if (*device && (*device)->first_mount != id)
		(*device)->in_two_places = true;
	pthread_mutex_unlock(&lock);
	return *device && *mount ? 0 : -ENOMEM;
}

/* mountinfo writes blanks and backslashes in a path as \ooo. */
static void decode_path(char *path)
{
	char *to = path;

	for (const char *from = path; *from; to++) {
		unsigned code;

		if (sscanf(from, "\\%3o", &code) == 1) {
			*to = (char)code;
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

static bool is_below(const char *path, const char *top)
{
	size_t length = strcmp(top, "/") == 0 ? 0 : strlen(top);

	return strncmp(path, top, length) == 0 && path[length] == '/';
}

void place_scan(int source, const struct statx *stx)
{
	char top[4096], *line = NULL, *path = NULL;
	FILE *mountinfo = fopen("/proc/self/mountinfo", "re");
	ssize_t length = readlink(proc_path(source).text, top, sizeof(top) - 1);
	unsigned major, minor;
	size_t size = 0;

	if (!mountinfo || length < 0)
		goto out;
	top[length] = '\0';

	pthread_mutex_lock(&lock);
	find_device(place_dev(stx));
	while (getline(&line, &size, mountinfo) >= 0) {
		uint64_t before = device_count;
		struct device *device;

		free(path);
		path = NULL;
		if (sscanf(line, "%*d %*d %u:%u %*s %ms", &major, &minor, &path) != 3)
			continue;
		decode_path(path);
		if (!is_below(path, top))
			continue;
		device = find_device(makedev(major, minor));
		if (device && device_count == before)
			device->in_two_places = true;
	}
	pthread_mutex_unlock(&lock);
out:
	if (mountinfo)
		fclose(mountinfo);
	free(path);
	free(line);
}
