// SPDX-License-Identifier: GPL-2.0-only
/*
 * Locks, which are set in the source, so that its other users and ours see each other's.
 *
 * flock() locks belong to an open file, and so to our descriptor of it. POSIX locks belong
 * to a process, or to what the kernel names as the owner in its place; all of them are ours
 * in the source, so each owner gets an open file description of its own for each inode, and
 * its locks are that one's (F_OFD_SETLK).
 *
 * Who waits for a lock waits in a thread of its own. The lock may be released by a request
 * that is yet to come, and however many threads there are for requests, as many callers can
 * wait. What is not like in the source: two processes that wait for each other's POSIX
 * locks do so until one is interrupted; there is no EDEADLK.
 */
#include "lock.h"
#include "data.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

/* An owner of POSIX locks on an inode. Under the inode's lock. */
struct lock_owner {
	struct lock_owner *next;
	uint64_t id;
	int fd;

	/* Who it is, to tell those whom its locks are in the way of. */
	pid_t pid;

	/* The open file that it came through last. */
	uint64_t fh;

	/* Requests that use it at the moment. */
	unsigned users;
};

/* Owners */

/* Both kinds of lock need access; one for writing cannot be had where nobody may write. */
static int open_for_locks(int fd)
{
	struct proc_path path = proc_path(fd);
	int locks = WITH_ROOM_FOR_FD(open(path.text, O_RDWR | O_CLOEXEC));

	if (locks < 0)
		locks = WITH_ROOM_FOR_FD(open(path.text, O_RDONLY | O_CLOEXEC));
	return locks;
}

static struct lock_owner *find_owner(const struct inode *inode, uint64_t id)
{
	struct lock_owner *owner;

	for (owner = inode->lock_owners; owner; owner = owner->next)
		if (owner->id == id)
			return owner;
	return NULL;
}

/* Returns 0 or a negative errno value. */
static int add_owner(struct inode *inode, int file_fd, uint64_t id,
		     struct lock_owner **added)
{
	struct lock_owner *owner;
	int fd = open_for_locks(file_fd);

	if (fd < 0)
		return fd;
	owner = calloc(1, sizeof(*owner));
	if (!owner) {
		close(fd);
		return -ENOMEM;
	}
	owner->id = id;
	owner->fd = fd;
	owner->next = inode->lock_owners;
	inode->lock_owners = owner;
	*added = owner;
	return 0;
}

static int take_owner(struct inode *inode, const struct fuse_file_info *fi, pid_t pid,
		      struct lock_owner **taken)
{
	struct lock_owner *owner;
	int res = 0;

	pthread_mutex_lock(&inode->lock);
	owner = find_owner(inode, fi->lock_owner);
	if (!owner)
		res = add_owner(inode, file_of(fi)->fd, fi->lock_owner, &owner);
	if (res == 0) {
		owner->users++;
		owner->fh = fi->fh;
		if (pid > 0)
			owner->pid = pid;
		*taken = owner;
	}
	pthread_mutex_unlock(&inode->lock);
	return res;
}

static void return_owner(struct inode *inode, struct lock_owner *owner)
{
	pthread_mutex_lock(&inode->lock);
	owner->users--;
	pthread_mutex_unlock(&inode->lock);
}

/*
 * One that still waits for a lock stays: it has a request under way through another
 * descriptor.
 */
static void end_owner(struct lock_owner **link)
{
	struct lock_owner *owner = *link;
	struct flock all = { .l_type = F_UNLCK };

	if (owner->users) {
		fcntl(owner->fd, F_OFD_SETLK, &all);
		return;
	}
	*link = owner->next;
	close(owner->fd);
	free(owner);
}

void lock_flush(struct inode *inode, uint64_t id)
{
	struct lock_owner **link;

	pthread_mutex_lock(&inode->lock);
	for (link = &inode->lock_owners; *link; link = &(*link)->next) {
		if ((*link)->id == id) {
			end_owner(link);
			break;
		}
	}
	pthread_mutex_unlock(&inode->lock);
}

/*
 * A process's locks are gone by now, at its own close(). What is left belongs to the open
 * file itself (the client's own F_OFD_SETLK): nothing else says that these go.
 */
void lock_release(struct inode *inode, uint64_t fh)
{
	struct lock_owner **link;

	pthread_mutex_lock(&inode->lock);
	for (link = &inode->lock_owners; *link;) {
		struct lock_owner *owner = *link;

		if (owner->fh == fh)
			end_owner(link);
		if (*link == owner)
			link = &owner->next;
	}
	pthread_mutex_unlock(&inode->lock);
}

/* Waiting */

#define WAKE_UP SIGUSR1

/* So often who waits looks whether there is reason to go on. In nanoseconds. */
#define PERIOD 200000000

struct waiter {
	fuse_req_t req;
	struct inode *inode;
	atomic_bool interrupted;
	pthread_t thread;

	/* Either a POSIX lock and its owner, or NULL and a flock(2) operation on fd. */
	struct lock_owner *owner;
	struct flock lock;
	int fd;
	int operation;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t none;
	unsigned count;
	bool stopped;
} waiters = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.none = PTHREAD_COND_INITIALIZER,
};

static void on_signal(int number)
{
}

static void on_interrupt(fuse_req_t req, void *data)
{
	struct waiter *waiter = data;

	waiter->interrupted = true;
	pthread_kill(waiter->thread, WAKE_UP);
}

static bool is_over(void)
{
	bool stopped;

	pthread_mutex_lock(&waiters.lock);
	stopped = waiters.stopped;
	pthread_mutex_unlock(&waiters.lock);
	return stopped || fuse_session_exited(settings.session);
}

static int wait_once(struct waiter *waiter)
{
	if (waiter->owner)
		return result_of(fcntl(waiter->fd, F_OFD_SETLKW, &waiter->lock));
	return result_of(flock(waiter->fd, waiter->operation));
}

/*
 * A process that closes a file, or ends, goes on before we get to hear of it. What is in the
 * way can be its lock still, and somebody who knows that it is gone must not notice. So who
 * does not want to wait waits for some milliseconds.
 */
static int try_again(struct waiter *waiter)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int res = -EWOULDBLOCK;

	for (int i = 0; i < 10 && res == -EWOULDBLOCK; i++) {
		nanosleep(&pause, NULL);
		res = result_of(flock(waiter->fd, waiter->operation));
	}
	return res;
}

/*
 * A signal that arrives just before the system call begins does not end it. So there is one
 * every now and then, and one at once when the caller is interrupted.
 */
static int wait_for_lock(struct waiter *waiter)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID,
				  .sigev_signo = WAKE_UP };
	struct itimerspec period = { { 0, PERIOD }, { 0, PERIOD } };
	timer_t timer;
	int res;

	event._sigev_un._tid = gettid();
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0)
		return -errno;
	timer_settime(timer, 0, &period, NULL);
	do
		res = wait_once(waiter);
	while (res == -EINTR && !waiter->interrupted && !is_over());
	timer_delete(timer);
	/* Without a signal of its own the client would see what the kernel makes of EINTR. */
	return res == -EINTR && !waiter->interrupted ? -ENOTCONN : res;
}

static void *run_waiter(void *data)
{
	struct waiter *waiter = data;
	int res;

	waiter->thread = pthread_self();
	fuse_req_interrupt_func(waiter->req, on_interrupt, waiter);
	if (waiter->operation & LOCK_NB)
		res = try_again(waiter);
	else
		res = wait_for_lock(waiter);
	fuse_req_interrupt_func(waiter->req, NULL, NULL);

	if (waiter->owner)
		return_owner(waiter->inode, waiter->owner);
	fuse_reply_err(waiter->req, -res);
	inode_forget(waiter->inode, 1);
	free(waiter);

	pthread_mutex_lock(&waiters.lock);
	if (--waiters.count == 0)
		pthread_cond_signal(&waiters.none);
	pthread_mutex_unlock(&waiters.lock);
	return NULL;
}

/* The thread begins with all signals blocked but its own: the others are main's. */
static int start_thread(struct waiter *waiter)
{
	sigset_t most, before;
	pthread_attr_t attr;
	pthread_t thread;
	int res;

	sigfillset(&most);
	sigdelset(&most, WAKE_UP);
	pthread_sigmask(SIG_SETMASK, &most, &before);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	res = pthread_create(&thread, &attr, run_waiter, waiter);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -res;
}

/* Answers the request. The owner is to be returned later if there is one, unless it fails. */
static int start_waiter(const struct waiter *what)
{
	struct waiter *waiter = malloc(sizeof(*waiter));
	int res;

	if (!waiter)
		return -ENOMEM;
	*waiter = *what;
	pthread_mutex_lock(&waiters.lock);
	waiters.count++;
	pthread_mutex_unlock(&waiters.lock);
	inode_keep(waiter->inode);

	res = start_thread(waiter);
	if (res == 0)
		return 0;
	inode_forget(waiter->inode, 1);
	pthread_mutex_lock(&waiters.lock);
	waiters.count--;
	pthread_mutex_unlock(&waiters.lock);
	free(waiter);
	return res;
}

void lock_start(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(WAKE_UP, &action, NULL);
}

void lock_stop(void)
{
	pthread_mutex_lock(&waiters.lock);
	waiters.stopped = true;
	while (waiters.count)
		pthread_cond_wait(&waiters.none, &waiters.lock);
	pthread_mutex_unlock(&waiters.lock);
}

/* Operations */

/* A lock that conflicts is EAGAIN or EACCES, as the source likes. */
static bool would_wait(int res)
{
	return res == -EAGAIN || res == -EACCES;
}

/* EBADF: only locks for reading can be had, see open_for_locks(). */
static int set_now(struct lock_owner *owner, const struct flock *lock)
{
	struct flock copy = *lock;
	int res = result_of(fcntl(owner->fd, F_OFD_SETLK, &copy));

	return res == -EBADF ? -ENOLCK : res;
}

void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
	      struct flock *lock, int sleep)
{
	struct inode *inode = inode_of(ino);
	struct lock_owner *owner;
	int res = take_owner(inode, fi, lock->l_pid, &owner);

	if (res < 0) {
		fuse_reply_err(req, -res);
		return;
	}
	lock->l_pid = 0; /* as F_OFD_SETLK wants it */
	res = set_now(owner, lock);
	if (sleep && would_wait(res)) {
		struct waiter waiter = {
			.req = req,
			.inode = inode,
			.owner = owner,
			.lock = *lock,
			.fd = owner->fd,
		};

		res = start_waiter(&waiter);
		if (res == 0)
			return;
	}
	return_owner(inode, owner);
	fuse_reply_err(req, -res);
}

/*
 * For the source it is always us who has the lock. The owner is the one that finds nobody
 * else in the way of locking what it has locked. If several share it, no one is named.
 */
static pid_t find_holder(const struct inode *inode, const struct flock *held)
{
	const struct lock_owner *owner;

	for (owner = inode->lock_owners; owner; owner = owner->next) {
		struct flock question = *held;

		question.l_type = F_WRLCK;
		question.l_pid = 0;
		if (fcntl(owner->fd, F_OFD_GETLK, &question) == 0 &&
		    question.l_type == F_UNLCK)
			return owner->pid;
	}
	return -1;
}

void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
	      struct flock *lock)
{
	struct inode *inode = inode_of(ino);
	struct lock_owner *owner;
	int res;

	pthread_mutex_lock(&inode->lock);
	owner = find_owner(inode, fi->lock_owner);
	lock->l_pid = 0;
	res = result_of(fcntl(owner ? owner->fd : file_of(fi)->fd, F_OFD_GETLK, lock));
	if (res == 0 && lock->l_type != F_UNLCK && lock->l_pid == -1)
		lock->l_pid = find_holder(inode, lock);
	pthread_mutex_unlock(&inode->lock);

	if (res < 0)
		fuse_reply_err(req, -res);
	else
		fuse_reply_lock(req, lock);
}

void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
	int fd = file_of(fi)->fd, res = result_of(flock(fd, op | LOCK_NB));

	if (res == -EWOULDBLOCK) {
		struct waiter waiter = {
			.req = req,
			.inode = inode_of(ino),
			.fd = fd,
			.operation = op,
		};

		res = start_waiter(&waiter);
		if (res == 0)
			return;
	}
	fuse_reply_err(req, -res);
}
