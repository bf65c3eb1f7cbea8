// SPDX-License-Identifier: GPL-2.0-only
/*
 * An owner's locks never overlap each other. Neighbours are not joined: nobody could tell.
 */
#include "locks.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/file.h>

struct held_lock {
	struct held_lock *next;
	uint64_t owner;
	short type;
	off_t start;
	off_t end; /* its last byte; INT64_MAX: however far the file may grow */
	pid_t pid;
};

void lock_table_init(struct lock_table *table)
{
	pthread_mutex_init(&table->lock, NULL);
	pthread_cond_init(&table->changed, NULL);
	table->held = NULL;
	table->waiting = 0;
}

void lock_table_destroy(struct lock_table *table)
{
	while (table->held) {
		struct held_lock *next = table->held->next;

		free(table->held);
		table->held = next;
	}
	pthread_cond_destroy(&table->changed);
	pthread_mutex_destroy(&table->lock);
}

static struct held_lock range_of(uint64_t owner, const struct flock *lock)
{
	return (struct held_lock){
		.owner = owner,
		.type = lock->l_type,
		.start = lock->l_start,
		.end = lock->l_len ? lock->l_start + lock->l_len - 1 : INT64_MAX,
		.pid = lock->l_pid,
	};
}

static bool overlap(const struct held_lock *a, const struct held_lock *b)
{
	return a->start <= b->end && b->start <= a->end;
}

/* With the lock held, as all below. */
static const struct held_lock *find_obstacle(const struct lock_table *table,
					     const struct held_lock *wanted)
{
	const struct held_lock *held;

	if (wanted->type == F_UNLCK)
		return NULL;
	for (held = table->held; held; held = held->next)
		if (held->owner != wanted->owner && overlap(held, wanted) &&
		    (held->type == F_WRLCK || wanted->type == F_WRLCK))
			return held;
	return NULL;
}

static void add(struct lock_table *table, struct held_lock *spare,
		const struct held_lock *what)
{
	*spare = *what;
	spare->next = table->held;
	table->held = spare;
}

/* Takes a range out of what its owner holds; uses *spare if one lock becomes two. */
static void cut(struct lock_table *table, const struct held_lock *range,
		struct held_lock **spare)
{
	struct held_lock **link = &table->held;

	while (*link) {
		struct held_lock *held = *link;
		struct held_lock behind = *held;

		if (held->owner != range->owner || !overlap(held, range)) {
			link = &held->next;
		} else if (held->start < range->start) {
			held->end = range->start - 1;
			link = &held->next;
			if (behind.end > range->end) {
				behind.start = range->end + 1;
				add(table, *spare, &behind);
				*spare = NULL;
			}
		} else if (held->end > range->end) {
			held->start = range->end + 1;
			link = &held->next;
		} else {
			*link = held->next;
			free(held);
		}
	}
}

static int replace(struct lock_table *table, const struct held_lock *wanted)
{
	struct held_lock *one = malloc(sizeof(*one));
	struct held_lock *spare = malloc(sizeof(*spare));

	if (!one || !spare) {
		free(one);
		free(spare);
		return ENOMEM;
	}
	cut(table, wanted, &spare);
	free(spare);
	if (wanted->type == F_UNLCK)
		free(one);
	else
		add(table, one, wanted);
	pthread_cond_broadcast(&table->changed);
	return 0;
}

static void on_interrupt(fuse_req_t req, void *data)
{
	struct lock_table *table = data;

	pthread_mutex_lock(&table->lock);
	pthread_cond_broadcast(&table->changed);
	pthread_mutex_unlock(&table->lock);
}

int lock_table_set(struct lock_table *table, fuse_req_t req, uint64_t owner,
		   const struct flock *lock, int wait)
{
	struct held_lock wanted = range_of(owner, lock);
	int res = 0;

	if (wait) /* it may be called at once, and takes the lock */
		fuse_req_interrupt_func(req, on_interrupt, table);

	pthread_mutex_lock(&table->lock);
	while (!res && find_obstacle(table, &wanted)) {
		if (!wait) {
			res = EAGAIN;
		} else if (fuse_req_interrupted(req)) {
			res = EINTR;
		} else {
			table->waiting++;
			pthread_cond_wait(&table->changed, &table->lock);
			table->waiting--;
		}
	}
	if (!res)
		res = replace(table, &wanted);
	pthread_mutex_unlock(&table->lock);

	if (wait)
		fuse_req_interrupt_func(req, NULL, NULL);
	return res;
}

int lock_table_flock(struct lock_table *table, fuse_req_t req, uint64_t owner, int op)
{
	struct flock whole = { .l_whence = SEEK_SET };
	int wait = !(op & LOCK_NB);

	switch (op & ~LOCK_NB) {
	case LOCK_SH:
		whole.l_type = F_RDLCK;
		break;
	case LOCK_EX:
		whole.l_type = F_WRLCK;
		break;
	case LOCK_UN:
		whole.l_type = F_UNLCK;
		break;
	default:
		return EINVAL;
	}
	return lock_table_set(table, req, owner, &whole, wait);
}

void lock_table_find(struct lock_table *table, uint64_t owner, struct flock *lock)
{
	struct held_lock wanted = range_of(owner, lock);
	const struct held_lock *obstacle;

	pthread_mutex_lock(&table->lock);
	obstacle = find_obstacle(table, &wanted);
	if (obstacle) {
		lock->l_type = obstacle->type;
		lock->l_start = obstacle->start;
		lock->l_len = obstacle->end == INT64_MAX
				      ? 0
				      : obstacle->end - obstacle->start + 1;
		lock->l_pid = obstacle->pid;
	} else {
		lock->l_type = F_UNLCK;
	}
	pthread_mutex_unlock(&table->lock);
}

void lock_table_drop(struct lock_table *table, uint64_t owner)
{
	const struct held_lock all = { .owner = owner, .end = INT64_MAX };
	struct held_lock *unused = NULL; /* nothing is left to become two */

	pthread_mutex_lock(&table->lock);
	cut(table, &all, &unused);
	pthread_cond_broadcast(&table->changed);
	pthread_mutex_unlock(&table->lock);
}

unsigned lock_table_waiting(struct lock_table *table)
{
	unsigned waiting;

	pthread_mutex_lock(&table->lock);
	waiting = table->waiting;
	pthread_mutex_unlock(&table->lock);
	return waiting;
}
