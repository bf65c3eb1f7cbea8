// SPDX-License-Identifier: GPL-2.0-only
/*
 * Descriptors of inodes, not more at a time than we may have.
 *
 * The kernel can know of millions of inodes, and forgets them only when memory gets short.
 * So an inode's descriptor may be closed meanwhile: first the source is asked for a handle
 * of the file, which names it, generation and all, whatever happens to its names. The
 * handle is also what tells it from a later file of the same number.
 *
 * Which one to close: all open descriptors stand in a ring, around which a hand goes. It
 * closes those that have not been used since it last came by. These stay:
 *  - those in use: users counts the holders, and is far below 0 while one is being closed;
 *  - files that have no name any more but are open, since a handle does not keep them alive.
 *    Those that were deleted behind our back and that nobody has open are gone for the
 *    source, and thus (ESTALE) for whoever still knows them;
 *  - all, if the source has no handles or if we are not allowed to open any.
 *
 * Without a lock only inode_hold() reads fd, and only after it made users positive.
 */
#include "inode.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define BEING_CLOSED (INT_MIN / 2)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct inode *hand;
static size_t count; /* in the ring */
static size_t most;  /* that we want there; the rest of what we may have is for files */
static bool can_reopen;

/* The ring. The lock is held. */

static void ring_add(struct inode *inode)
{
	if (!hand) {
		inode->ring_next = inode->ring_prev = inode;
		hand = inode;
	} else {
		inode->ring_next = hand;
		inode->ring_prev = hand->ring_prev;
		hand->ring_prev->ring_next = inode;
		hand->ring_prev = inode;
	}
	inode->in_ring = true;
	count++;
}

static void ring_remove(struct inode *inode)
{
	if (!inode->in_ring)
		return;
	if (hand == inode)
		hand = inode->ring_next == inode ? NULL : inode->ring_next;
	inode->ring_next->ring_prev = inode->ring_prev;
	inode->ring_prev->ring_next = inode->ring_next;
	inode->in_ring = false;
	count--;
}

/* Handles */

union handle {
	struct file_handle head;
	char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
};

static size_t handle_size(const struct file_handle *handle)
{
	return sizeof(*handle) + handle->handle_bytes;
}

static int get_handle(int fd, union handle *handle)
{
	int mount_id;

	handle->head.handle_bytes = MAX_HANDLE_SZ;
	return result_of(
		name_to_handle_at(fd, "", &handle->head, &mount_id, AT_EMPTY_PATH));
}

static bool has_handle(const struct inode *inode, int fd)
{
	union handle handle;

	return get_handle(fd, &handle) == 0 &&
	       handle.head.handle_bytes == inode->handle->handle_bytes &&
	       memcmp(&handle, inode->handle, handle_size(inode->handle)) == 0;
}

static bool keep_handle(struct inode *inode)
{
	union handle handle;

	if (inode->handle)
		return true;
	if (get_handle(inode->fd, &handle) < 0)
		return false;
	inode->handle = malloc(handle_size(&handle.head));
	if (!inode->handle)
		return false;
	memcpy(inode->handle, &handle, handle_size(&handle.head));
	return true;
}

/* Closing and opening. The lock is held. */

static bool has_name(int fd)
{
	struct statx stx;

	return statx(fd, "", AT_EMPTY_PATH, STATX_NLINK, &stx) == 0 && stx.stx_nlink > 0;
}

/* An inode that is being opened at this moment counts, too. */
static bool is_open(struct inode *inode)
{
	bool open;

	if (pthread_mutex_trylock(&inode->lock))
		return true;
	open = inode->opens > 0;
	pthread_mutex_unlock(&inode->lock);
	return open;
}

/* Moves the hand. */
static bool close_if_idle(struct inode *inode)
{
	int nobody = 0;
	bool closed = false;

	hand = inode->ring_next;
	if (atomic_exchange(&inode->recent, false))
		return false;
	if (!atomic_compare_exchange_strong(&inode->users, &nobody, BEING_CLOSED))
		return false;
	ring_remove(inode);
	if (inode->mount->anchor >= 0 && keep_handle(inode) &&
	    (has_name(inode->fd) || !is_open(inode))) {
		close(inode->fd);
		inode->fd = -1;
		closed = true;
	}
	atomic_fetch_sub(&inode->users, BEING_CLOSED);
	return closed;
}

/* Twice around is enough to find all that there is. */
static bool make_room(void)
{
	size_t wanted = most / 32 + 1, closed = 0;

	if (!can_reopen)
		return false;
	for (size_t steps = 2 * count; steps && hand && closed < wanted; steps--)
		closed += close_if_idle(hand);
	return closed > 0;
}

static int reopen(struct inode *inode)
{
	int fd;

	do
		fd = result_of(open_by_handle_at(inode->mount->anchor, inode->handle,
						 O_PATH | O_CLOEXEC));
	while ((fd == -EMFILE || fd == -ENFILE) && make_room());
	if (fd < 0)
		return fd == -EMFILE ? -ENFILE : fd;
	inode->fd = fd;
	if (count >= most)
		make_room();
	ring_add(inode);
	return fd;
}

/* For the rest of the program */

bool descriptor_make_room(void)
{
	bool made;

	pthread_mutex_lock(&lock);
	made = make_room();
	pthread_mutex_unlock(&lock);
	return made;
}

int inode_hold(struct inode *inode)
{
	int fd;

	atomic_store_explicit(&inode->recent, true, memory_order_relaxed);
	if (atomic_fetch_add(&inode->users, 1) >= 0) {
		fd = inode->fd;
		if (fd >= 0)
			return fd;
	}
	pthread_mutex_lock(&lock);
	fd = inode->fd;
	if (fd < 0)
		fd = reopen(inode);
	pthread_mutex_unlock(&lock);
	if (fd < 0)
		inode_drop(inode);
	return fd;
}

void inode_drop(struct inode *inode)
{
	atomic_fetch_sub(&inode->users, 1);
}

void descriptor_give(struct inode *inode, int fd)
{
	pthread_mutex_lock(&lock);
	inode->fd = fd;
	inode->recent = true;
	if (count >= most)
		make_room();
	ring_add(inode);
	pthread_mutex_unlock(&lock);
}

bool descriptor_fits(struct inode *inode, int fd)
{
	bool fits;

	pthread_mutex_lock(&lock);
	fits = !descriptor_is_closed(inode) || has_handle(inode, fd);
	pthread_mutex_unlock(&lock);
	return fits;
}

void descriptor_end(struct inode *inode)
{
	pthread_mutex_lock(&lock);
	ring_remove(inode);
	pthread_mutex_unlock(&lock);
	if (inode->fd >= 0)
		close(inode->fd);
}

static bool try_reopen(const struct inode *inode)
{
	union handle handle;
	int fd;

	if (inode->mount->anchor < 0 || get_handle(inode->fd, &handle) < 0)
		return false;
	fd = open_by_handle_at(inode->mount->anchor, &handle.head, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return false;
	close(fd);
	return true;
}

void descriptor_start(const struct inode *root)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
		getrlimit(RLIMIT_NOFILE, &limit);
	} else {
		limit.rlim_cur = 1024;
	}
	most = limit.rlim_cur / 4 * 3;
	can_reopen = try_reopen(root);
}
