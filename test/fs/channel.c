// SPDX-License-Identifier: GPL-2.0-only
/*
 * channel: a filesystem of paths with a memory channel: /folder, and /folder/file. What it is
 * like the environment says:
 *
 *   CHANNEL_GETXATTR   none (there is no such operation), enosys (it always fails), or own: it has
 *                      "user.own", and answers every other name, the channel's as well, with
 *                      "filesystem"
 *   CHANNEL_ALLOW      the only user who may use the channel
 *   CHANNEL_TWICE      opens the channel twice, and prints what the second time comes to
 */
#define FUSE_USE_VERSION 318
#include <fuse.h>
#include <fuse_shared_memory.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uid_t allowed;

static int channel_getattr(const char *path, struct stat *attr, struct fuse_file_info *fi)
{
	memset(attr, 0, sizeof(*attr));
	attr->st_mode = S_IFDIR | 0755;
	attr->st_nlink = 1;
	if (strcmp(path, "/folder/file") == 0)
		attr->st_mode = S_IFREG | 0644;
	else if (strcmp(path, "/") != 0 && strcmp(path, "/folder") != 0)
		return -ENOENT;
	return 0;
}

static int answer(char *value, size_t size, const char *text)
{
	size_t length = strlen(text);

	if (!size)
		return (int)length;
	if (size < length)
		return -ERANGE;
	memcpy(value, text, length);
	return (int)length;
}

static int own_getxattr(const char *path, const char *name, char *value, size_t size)
{
	return answer(value, size, strcmp(name, "user.own") == 0 ? path : "filesystem");
}

static int no_getxattr(const char *path, const char *name, char *value, size_t size)
{
	return -ENOSYS;
}

static int allow(void *userdata, pid_t pid, uid_t uid, gid_t gid)
{
	return userdata == &allowed && pid > 0 && uid == allowed ? 0 : -EACCES;
}

static void *channel_init(struct fuse_conn_info *conn, struct fuse_config *config)
{
	struct fuse_session *session = fuse_get_session(fuse_get_context()->fuse);
	struct fuse_memory_channel_config channel = { .max_regions = 2 };
	const char *user = getenv("CHANNEL_ALLOW");

	if (user) {
		allowed = (uid_t)atoi(user);
		channel.allow = allow;
		channel.userdata = &allowed;
	}
	if (fuse_session_open_memory_channel(session, &channel) != 0)
		abort();
	if (getenv("CHANNEL_TWICE"))
		fprintf(stderr, "again: %s\n",
			strerror(-fuse_session_open_memory_channel(session, NULL)));
	return NULL;
}

int main(int argc, char **argv)
{
	struct fuse_operations operations = {
		.getattr = channel_getattr,
		.init = channel_init,
	};
	const char *kind = getenv("CHANNEL_GETXATTR");

	if (kind && strcmp(kind, "own") == 0)
		operations.getxattr = own_getxattr;
	else if (kind && strcmp(kind, "enosys") == 0)
		operations.getxattr = no_getxattr;
	return fuse_main(argc, argv, &operations, NULL);
}
