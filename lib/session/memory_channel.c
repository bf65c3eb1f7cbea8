// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A session's memory channel. It is opened when the program likes, mostly before it goes to the
 * background; its thread begins with INIT, which no process receives that will fork yet.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "channel/server.h"
#include "fuse_config.h"
#include "fuse_shared_memory.h"
#include "session/session.h"

#define DEFAULT_REGIONS 16
#define DEFAULT_CLIENTS 64
#define DEFAULT_BYTES	((uint64_t)1 << 30)

static bool is_for_others(const struct fuse_session *se)
{
	return fuse_mount_options_allow_other(se->mount_options) &&
	       !fuse_mount_options_allow_root(se->mount_options);
}

static int allow_usual(void *userdata, pid_t pid, uid_t uid, gid_t gid)
{
	const struct fuse_session *se = userdata;

	return uid == 0 || uid == geteuid() || is_for_others(se) ? 0 : -EACCES;
}

static int add(void *owner, int fd, uint64_t *id)
{
	return fuse_session_add_shared_memory(owner, fd, id);
}

static int remove_again(void *owner, uint64_t id)
{
	return fuse_session_remove_shared_memory(owner, id);
}

static void fill_in(struct fuse_session *se, struct fuse_channel_config *to,
		    const struct fuse_memory_channel_config *from)
{
	*to = (struct fuse_channel_config){
		.max_regions = from->max_regions ? from->max_regions : DEFAULT_REGIONS,
		.max_clients = from->max_clients ? from->max_clients : DEFAULT_CLIENTS,
		.max_bytes = from->max_bytes ? from->max_bytes : DEFAULT_BYTES,
		.hugetlb = from->flags & FUSE_MEMORY_CHANNEL_HUGETLB,
		.for_others = from->allow || is_for_others(se),
		.allow = from->allow ? from->allow : allow_usual,
		.userdata = from->allow ? from->userdata : se,
		.add = add,
		.remove = remove_again,
		.owner = se,
	};
}

/* With the lock held. */
static int open_channel(struct fuse_session *se, const struct fuse_channel_config *config)
{
	struct fuse_channel_server *channel;
	int error;

	if (se->channel)
		return -EEXIST;
	error = fuse_channel_server_new(&channel, config);
	if (error)
		return error;
	error = se->channel_may_run ? fuse_channel_server_start(channel) : 0;
	if (error) {
		fuse_channel_server_free(channel);
		return error;
	}
	se->channel = channel;
	atomic_store(&se->protocol.keeps_xattrs, true);
	return 0;
}

int fuse_session_open_memory_channel(struct fuse_session *se,
				     const struct fuse_memory_channel_config *config)
{
	static const struct fuse_memory_channel_config usual;
	struct fuse_channel_config whole;
	int error;

	if (!config)
		config = &usual;
	/* A device has no root to ask. */
	if (!se || se->cuse || (config->flags & ~(unsigned)FUSE_MEMORY_CHANNEL_HUGETLB))
		return -EINVAL;
	fill_in(se, &whole, config);
	pthread_mutex_lock(&se->channel_lock);
	error = open_channel(se, &whole);
	pthread_mutex_unlock(&se->channel_lock);
	return error;
}

void fuse_session_close_memory_channel(struct fuse_session *se)
{
	struct fuse_channel_server *channel;

	if (!se)
		return;
	pthread_mutex_lock(&se->channel_lock);
	channel = se->channel;
	se->channel = NULL;
	pthread_mutex_unlock(&se->channel_lock);
	fuse_channel_server_free(channel);
}

void fuse_memory_channel_start(struct fuse_session *se)
{
	int error = 0;

	pthread_mutex_lock(&se->channel_lock);
	if (se->channel && !se->channel_may_run)
		error = fuse_channel_server_start(se->channel);
	se->channel_may_run = true;
	pthread_mutex_unlock(&se->channel_lock);
	if (!error)
		return;
	fuse_log(FUSE_LOG_ERR, "fuse: no thread for the memory channel: %s\n",
		 strerror(-error));
	fuse_session_close_memory_channel(se);
}

size_t fuse_memory_channel_path(struct fuse_session *se, char *path, size_t room)
{
	size_t length = 0;

	pthread_mutex_lock(&se->channel_lock);
	if (se->channel) {
		const char *known = fuse_channel_server_path(se->channel);

		length = strlen(known);
		if (length < room)
			memcpy(path, known, length + 1);
	}
	pthread_mutex_unlock(&se->channel_lock);
	return length < room ? length : 0;
}
