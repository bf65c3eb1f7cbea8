// SPDX-License-Identifier: LGPL-2.1-or-later
#include "channel/closer.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

/* Lives as long as its owner, and as the last of its threads. */
struct fuse_closer {
	pthread_mutex_t lock;
	int wake; /* -1: the owner has gone */
	unsigned users;
	struct task *tasks;
};

struct task {
	struct fuse_closer *closer;
	struct task *next;
	int fd;
	uid_t uid;
};

struct fuse_closer *fuse_closer_new(int wake)
{
	struct fuse_closer *closer = calloc(1, sizeof(*closer));

	if (!closer)
		return NULL;
	pthread_mutex_init(&closer->lock, NULL);
	closer->wake = wake;
	closer->users = 1;
	return closer;
}

/* Gives up the lock, too. */
static void leave(struct fuse_closer *closer)
{
	bool last = --closer->users == 0;

	pthread_mutex_unlock(&closer->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&closer->lock);
	free(closer);
}

void fuse_closer_free(struct fuse_closer *closer)
{
	if (!closer)
		return;
	pthread_mutex_lock(&closer->lock);
	closer->wake = -1;
	leave(closer);
}

static void wake_owner(struct fuse_closer *closer)
{
	const uint64_t one = 1;

	if (closer->wake >= 0 && write(closer->wake, &one, sizeof(one)) < 0)
		return; /* it is readable many times over */
}

static void finish(struct task *task)
{
	struct fuse_closer *closer = task->closer;
	struct task **link;

	pthread_mutex_lock(&closer->lock);
	for (link = &closer->tasks; *link != task;)
		link = &(*link)->next;
	*link = task->next;
	free(task);
	wake_owner(closer);
	leave(closer);
}

static void *run(void *data)
{
	struct task *task = data;

	close(task->fd);
	finish(task);
	return NULL;
}

/* Returns 0 or an errno. */
static int start(struct task *task)
{
	pthread_attr_t attributes;
	sigset_t all, former;
	pthread_t thread;
	int error;

	/* Nobody waits for it. The program's signal handlers are not to run in it. */
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &former);
	error = pthread_create(&thread, &attributes, run, task);
	pthread_sigmask(SIG_SETMASK, &former, NULL);
	pthread_attr_destroy(&attributes);
	return error;
}

void fuse_closer_close(struct fuse_closer *closer, int fd, uid_t uid)
{
	struct task *task = malloc(sizeof(*task));

	if (!task) {
		close(fd);
		return;
	}
	*task = (struct task){ .closer = closer, .fd = fd, .uid = uid };
	pthread_mutex_lock(&closer->lock);
	closer->users++;
	task->next = closer->tasks;
	closer->tasks = task;
	pthread_mutex_unlock(&closer->lock);
	/* Without a thread there is nothing for it but to wait here. */
	if (start(task) != 0)
		run(task);
}

bool fuse_closer_is_busy(struct fuse_closer *closer, uid_t uid)
{
	const struct task *task;

	pthread_mutex_lock(&closer->lock);
	for (task = closer->tasks; task && task->uid != uid;)
		task = task->next;
	pthread_mutex_unlock(&closer->lock);
	return task != NULL;
}
