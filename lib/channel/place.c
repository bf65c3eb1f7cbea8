// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The directory is this user's own and new, so that nobody can put a socket of his in the place of
 * ours. Anybody may connect, as far as the file system goes: who is let in is decided when he
 * does. A server that is killed leaves the directory behind, and nothing else.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "channel/place.h"

#define NAME "/socket"

/* In a folder that all may write to, the owner of a name has to be safe from the others. */
static bool is_safe(const char *folder)
{
	struct stat status;

	if (folder[0] != '/' || stat(folder, &status) != 0 || !S_ISDIR(status.st_mode))
		return false;
	if (status.st_uid != geteuid() && status.st_uid != 0)
		return false;
	return !(status.st_mode & (S_IWOTH | S_IWGRP)) || (status.st_mode & S_ISVTX);
}

/* Leaves the new directory's name in the address. */
static int make_directory(struct fuse_channel_place *place, const char *folder)
{
	char *path = place->address.sun_path;
	const size_t room = sizeof(place->address.sun_path) - strlen(NAME);

	if (!is_safe(folder))
		return -EACCES;
	if ((size_t)snprintf(path, room, "%s/fuse-memory-XXXXXX", folder) >= room)
		return -ENAMETOOLONG;
	return mkdtemp(path) ? 0 : -errno;
}

static int make_directory_somewhere(struct fuse_channel_place *place, bool for_others)
{
	const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
	const char *first = NULL;

	/* The second one is open to its user only. */
	if (geteuid() == 0)
		first = "/run";
	else if (runtime && !for_others)
		first = runtime;
	if (first && make_directory(place, first) == 0)
		return 0;
	return make_directory(place, "/tmp");
}

static int bind_and_listen(struct fuse_channel_place *place, const char *directory)
{
	const struct sockaddr *address = (const void *)&place->address;
	const int kind = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;

	place->socket = socket(AF_UNIX, kind, 0);
	if (place->socket < 0 ||
	    bind(place->socket, address, sizeof(place->address)) != 0 ||
	    chmod(place->address.sun_path, 0666) != 0 || chmod(directory, 0711) != 0 ||
	    listen(place->socket, SOMAXCONN) != 0)
		return -errno;
	return 0;
}

int fuse_channel_place_open(struct fuse_channel_place *place, bool for_others)
{
	char directory[sizeof(place->address.sun_path)];
	int error;

	memset(place, 0, sizeof(*place));
	place->socket = -1;
	place->address.sun_family = AF_UNIX;
	error = make_directory_somewhere(place, for_others);
	if (error) {
		place->address.sun_path[0] = '\0';
		return error;
	}
	strcpy(directory, place->address.sun_path);
	strcat(place->address.sun_path, NAME);
	error = bind_and_listen(place, directory);
	if (error)
		fuse_channel_place_close(place);
	return error;
}

void fuse_channel_place_close(struct fuse_channel_place *place)
{
	char *path = place->address.sun_path;
	char *slash = strrchr(path, '/');

	if (place->socket >= 0)
		close(place->socket);
	place->socket = -1;
	if (!slash)
		return;
	unlink(path);
	*slash = '\0';
	rmdir(path);
	path[0] = '\0';
}
