// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The client's end of a memory channel.
 */
#include "fuse_config.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "channel/client.h"
#include "channel/message.h"
#include "fuse_shared_memory.h"
#include "mount/mountinfo.h"

/* ---- Where the channel is ---- */

static bool is_device(const struct fuse_mount_entry *entry, dev_t device)
{
	return makedev(entry->connection >> 20, entry->connection & 0xfffff) == device;
}

/* A mount of the whole file system, and no other one is mounted on top of it. */
static bool shows_root(const struct fuse_mount_entry *entry, dev_t device)
{
	struct stat status;

	return strcmp(entry->root, "/") == 0 && stat(entry->mountpoint, &status) == 0 &&
	       status.st_dev == device;
}

/* The attribute's value, terminated. 0 or a negative errno. */
static int ask(const char *root, char *value, size_t room)
{
	ssize_t size = getxattr(root, FUSE_MEMORY_CHANNEL_XATTR, value, room - 1);

	if (size < 0)
		return errno == ENODATA ? -EOPNOTSUPP : -errno;
	value[size] = '\0';
	return 0;
}

/*
 * The file system's root need not be a parent of the path: a bind mount may show no more than a
 * part. So all places where it is mounted are looked at.
 */
static int find_socket(const char *path, char *value, size_t room)
{
	struct fuse_mount_table table = { 0 };
	struct fuse_mount_entry entry;
	struct stat status;
	int error = -EOPNOTSUPP;

	if (stat(path, &status) != 0)
		return -errno;
	if (fuse_mount_table_open(&table) != 0)
		return -errno;
	while (fuse_mount_table_next(&table, &entry)) {
		if (!fuse_mount_entry_is_fuse(&entry) ||
		    !is_device(&entry, status.st_dev))
			continue;
		error = -EXDEV;
		if (shows_root(&entry, status.st_dev)) {
			error = ask(entry.mountpoint, value, room);
			break;
		}
	}
	fuse_mount_table_close(&table);
	return error;
}

/* ---- Talking to it ---- */

/* The server's next message, which has to be of that kind. */
static int receive(int channel, enum fuse_channel_kind kind,
		   struct fuse_channel_message *message)
{
	int fd, error;

	error = fuse_channel_receive(channel, message, &fd, 0);
	if (fd >= 0)
		close(fd);
	if (error)
		return error;
	if (fd >= 0 || message->kind != kind || message->error > 0)
		return -EPROTO;
	return message->error;
}

static int connect_to(int channel, const struct sockaddr_un *address)
{
	struct fuse_channel_message message;
	int res;

	do {
		res = connect(channel, (const void *)address, sizeof(*address));
	} while (res != 0 && errno == EINTR);
	if (res != 0)
		return -errno;
	return receive(channel, FUSE_CHANNEL_WELCOME, &message);
}

int fuse_channel_connect(const char *socket_path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int channel, error;

	if (socket_path[0] != '/' || strlen(socket_path) >= sizeof(address.sun_path))
		return -EPROTO;
	strcpy(address.sun_path, socket_path);
	channel = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (channel < 0)
		return -errno;
	error = connect_to(channel, &address);
	if (!error)
		return channel;
	close(channel);
	return error;
}

int fuse_memory_channel_connect(const char *path)
{
	char socket_path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	int error;

	if (!path)
		return -EINVAL;
	error = find_socket(path, socket_path, sizeof(socket_path));
	return error ? error : fuse_channel_connect(socket_path);
}

/* One message there, one back. */
static int converse(int channel, enum fuse_channel_kind kind, uint64_t *id, int fd)
{
	struct fuse_channel_message message;
	int error = fuse_channel_send(channel, kind, *id, 0, fd, 0);

	if (!error)
		error = receive(channel, FUSE_CHANNEL_DONE, &message);
	if (!error)
		*id = message.id;
	return error;
}

int fuse_memory_channel_give(int channel, int memory, uint64_t *id)
{
	uint64_t given = 0;
	int error;

	if (!id)
		return -EINVAL;
	if (memory < 0)
		return -EBADF;
	error = converse(channel, FUSE_CHANNEL_GIVE, &given, memory);
	if (!error)
		*id = given;
	return error;
}

int fuse_memory_channel_take_back(int channel, uint64_t id)
{
	return converse(channel, FUSE_CHANNEL_TAKE_BACK, &id, -1);
}
