// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * POSIX locks: who holds which. The filesystem decides who may have one; this is a record of
 * what it has granted to callers here, because F_GETLK is to tell the process that holds a
 * lock, which nobody below may know.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/file.h>

#include "path/path.h"

struct fuse_held_lock {
	struct fuse_held_lock *next;
	fuse_ino_t ino;
	uint64_t owner;
	int type; /* F_RDLCK or F_WRLCK */
	pid_t pid;
	off_t start, end; /* the last byte */
};

void fuse_locks_init(struct fuse_lock_table *table)
{
	pthread_mutex_init(&table->lock, NULL);
	for (int i = 0; i < FUSE_LOCK_CHAINS; i++)
		table->chain[i] = NULL;
}

void fuse_locks_destroy(struct fuse_lock_table *table)
{
	for (int i = 0; i < FUSE_LOCK_CHAINS; i++) {
		struct fuse_held_lock *lock = table->chain[i], *next;

		for (; lock; lock = next) {
			next = lock->next;
			free(lock);
		}
	}
	pthread_mutex_destroy(&table->lock);
}

static struct fuse_held_lock **chain_of(struct fuse_lock_table *table, fuse_ino_t ino)
{
	return &table->chain[ino % FUSE_LOCK_CHAINS];
}

static off_t last_byte(const struct flock *lock)
{
	return lock->l_len ? lock->l_start + lock->l_len - 1 : INT64_MAX;
}

static bool overlap(const struct fuse_held_lock *held, off_t start, off_t end)
{
	return held->start <= end && start <= held->end;
}

static void add(struct fuse_held_lock **chain, struct fuse_held_lock *lock, off_t start,
		off_t end)
{
	lock->start = start;
	lock->end = end;
	lock->next = *chain;
	*chain = lock;
}

/*
 * Takes a range out of an owner's locks. These do not overlap, so that at most one has both
 * ends of the range within it, and becomes two. For that there is a spare one.
 */
static void cut_out(struct fuse_held_lock **chain, fuse_ino_t ino, uint64_t owner,
		    off_t start, off_t end, struct fuse_held_lock **spare)
{
	struct fuse_held_lock **link = chain, *held, *rest = NULL;
	off_t rest_end = 0;

	while ((held = *link)) {
		if (held->ino != ino || held->owner != owner ||
		    !overlap(held, start, end)) {
			link = &held->next;
			continue;
		}
		if (held->start < start && held->end > end) {
			rest = *spare;
			*spare = NULL;
			rest_end = held->end;
			if (rest)
				*rest = *held;
			held->end = start - 1;
		} else if (held->start < start) {
			held->end = start - 1;
		} else if (held->end > end) {
			held->start = end + 1;
		} else {
			*link = held->next;
			free(held);
			continue;
		}
		link = &held->next;
	}
	if (rest)
		add(chain, rest, end + 1, rest_end);
}

/* Neighbours of one kind are one lock, or the record would grow without end. */
static void join(struct fuse_held_lock **chain, struct fuse_held_lock *lock)
{
	struct fuse_held_lock **link = chain, *held;

	while ((held = *link)) {
		bool touches = (held->end < INT64_MAX && held->end + 1 == lock->start) ||
			       (lock->end < INT64_MAX && lock->end + 1 == held->start);

		if (held == lock || held->ino != lock->ino ||
		    held->owner != lock->owner || held->type != lock->type || !touches) {
			link = &held->next;
			continue;
		}
		if (held->start < lock->start)
			lock->start = held->start;
		if (held->end > lock->end)
			lock->end = held->end;
		*link = held->next;
		free(held);
	}
}

void fuse_locks_set(struct fuse_lock_table *table, fuse_ino_t ino, uint64_t owner,
		    const struct flock *lock)
{
	/* Without memory the record is not complete, which nobody will notice. */
	struct fuse_held_lock *spare = malloc(sizeof(*spare));
	struct fuse_held_lock *new = NULL;
	struct fuse_held_lock **chain = chain_of(table, ino);

	if (lock->l_type != F_UNLCK)
		new = malloc(sizeof(*new));
	pthread_mutex_lock(&table->lock);
	cut_out(chain, ino, owner, lock->l_start, last_byte(lock), &spare);
	if (new) {
		new->ino = ino;
		new->owner = owner;
		new->type = lock->l_type;
		new->pid = lock->l_pid;
		add(chain, new, lock->l_start, last_byte(lock));
		join(chain, new);
	}
	pthread_mutex_unlock(&table->lock);
	free(spare);
}

bool fuse_locks_find(struct fuse_lock_table *table, fuse_ino_t ino, uint64_t owner,
		     struct flock *lock)
{
	struct fuse_held_lock *held;

	pthread_mutex_lock(&table->lock);
	for (held = *chain_of(table, ino); held; held = held->next) {
		if (held->ino == ino && held->owner != owner &&
		    overlap(held, lock->l_start, last_byte(lock)) &&
		    (held->type == F_WRLCK || lock->l_type == F_WRLCK))
			break;
	}
	if (held) {
		lock->l_type = (short)held->type;
		lock->l_start = held->start;
		lock->l_len = held->end == INT64_MAX ? 0 : held->end - held->start + 1;
		lock->l_pid = held->pid;
	}
	pthread_mutex_unlock(&table->lock);
	return held;
}

/* ---- Handlers ---- */

int fuse_flush_locks(struct fuse_op *op, fuse_ino_t ino, struct fuse_file_info *fi,
		     int flushed)
{
	struct flock all = { .l_type = F_UNLCK, .l_whence = SEEK_SET };
	int unlocked = fuse_fs_lock(op->f->fs, fuse_op_path(op), fi, F_SETLK, &all);

	if (unlocked == -ENOSYS)
		return flushed;
	fuse_locks_set(&op->f->locks, ino, fi->lock_owner, &all);
	/* Saying that it has no flush() would be the last that is heard of closing. */
	return flushed == -ENOSYS ? 0 : flushed;
}

void fuse_path_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		     struct flock *lock)
{
	struct fuse_op op;
	int error;

	if (fuse_locks_find(&fuse_of(req)->locks, ino, fi->lock_owner, lock)) {
		fuse_reply_lock(req, lock);
		return;
	}
	error = fuse_op_begin_open(&op, req, ino, fi);
	if (!error) {
		error = fuse_fs_lock(op.f->fs, fuse_op_path(&op), fi, F_GETLK, lock);
		fuse_op_end(&op);
	}
	if (error)
		fuse_reply_err(req, -error);
	else
		fuse_reply_lock(req, lock);
}

/*
 * Who may wait for other callers must hold no claims meanwhile, or a rename above would wait
 * for them, too. The path was right when the operation began, and there is an open file.
 */
static int begin(struct fuse_op *op, fuse_req_t req, fuse_ino_t ino,
		 struct fuse_file_info *fi, bool unlocks, bool waits)
{
	int error;

	if (unlocks) {
		fuse_op_begin_closing(op, req, ino);
		return 0;
	}
	error = fuse_op_begin_open(op, req, ino, fi);
	if (!error && waits)
		fuse_op_let_go(op);
	return error;
}

void fuse_path_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		     struct flock *lock, int sleep)
{
	struct fuse_op op;
	int error = begin(&op, req, ino, fi, lock->l_type == F_UNLCK, sleep);

	if (!error) {
		error = fuse_fs_lock(op.f->fs, fuse_op_path(&op), fi,
				     sleep ? F_SETLKW : F_SETLK, lock);
		if (!error)
			fuse_locks_set(&op.f->locks, ino, fi->lock_owner, lock);
		fuse_op_end(&op);
	}
	fuse_reply_err(req, -error);
}

void fuse_path_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
	struct fuse_op locking;
	int error = begin(&locking, req, ino, fi, (op & ~LOCK_NB) == LOCK_UN,
			  !(op & LOCK_NB));

	if (!error) {
		error = fuse_fs_flock(locking.f->fs, fuse_op_path(&locking), fi, op);
		fuse_op_end(&locking);
	}
	fuse_reply_err(req, -error);
}
