// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What crosses from one thread to another: finished requests on their way to the owner of
 * their queue, and requests with slow handlers on their way to a worker.
 *
 * Finished requests. Only the owner may submit to its ring, so other threads push what
 * they finish on a list, and wake the owner if it sleeps. The owner says that it will
 * sleep and then looks at the list; a thread pushes and then looks whether the owner
 * sleeps. Both do so in that one order that all threads agree upon (the atomics' default), so
 * at least one of them sees the other.
 *
 * Workers. An owner runs a handler itself as long as handlers of that opcode are quick
 * on average. Slow ones, and opcodes of which too little is known, go to a worker, so that
 * they do not hold up the other requests of their CPU. So do, always, those that may wait
 * for another client. What they wait for may be another one of them, or a slow request, and
 * whoever is to be interrupted has to be at it: so each of these gets a worker, beyond the
 * number that slow ones have to share. There are no more than there are entries. Workers
 * are started when there is work for them, and end when there is none for a while, or when
 * they have become too many.
 */
#include "fuse_config.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "transport/uring/dialect.h"

#define IDLE_SECONDS 10

/* Handlers that take longer on average are slow. */
#define SLOW_NS 1000000u
/* What is quicker than this is not worth a write to memory that all queues share. */
#define QUICK_NS 100000u
/* No single run counts for more, lest the average remembers it for too long. */
#define SAMPLE_MAX_NS 64000000u
/* Runs after which an opcode counts as known. */
#define SAMPLES_KNOWN 3
/* The newest run's weight in the average is 1 to this. */
#define AVERAGE_OVER 16

/* ---- Finished requests ---- */

/* In place of the list's first entry once nobody will look at it again. */
#define ORPHANED ((struct fuse_uring_entry *)1)

void fuse_uring_wake(struct fuse_uring_queue *queue)
{
	const uint64_t one = 1;
	ssize_t written;

	do
		written = write(queue->event, &one, sizeof(one));
	while (written < 0 && errno == EINTR);
}

bool fuse_uring_is_orphaned(const struct fuse_uring_queue *queue)
{
	return atomic_load_explicit(&queue->finished, memory_order_relaxed) == ORPHANED;
}

/*
 * Puts the entry on the list and sees to it that the owner looks. False if the owner has
 * ended. The request's memory may go as soon as the owner has seen it, and the queue's with
 * it: `finishing` keeps the owner from ending meanwhile.
 */
static bool push_to_owner(struct fuse_uring_entry *entry)
{
	struct fuse_uring_queue *queue = entry->queue;
	struct fuse_uring_entry *first;

	atomic_fetch_add(&queue->finishing, 1);
	first = atomic_load(&queue->finished);
	do {
		if (first == ORPHANED)
			break;
		entry->next = first;
	} while (!atomic_compare_exchange_weak(&queue->finished, &first, entry));

	/* On a list that was not empty somebody else has pushed, who looks after the owner. */
	if (!first && atomic_load(&queue->sleeping) &&
	    atomic_exchange(&queue->sleeping, false))
		fuse_uring_wake(queue);
	atomic_fetch_sub(&queue->finishing, 1);
	return first != ORPHANED;
}

/* Not by way of the list, whose entries somebody else holds. */
void fuse_uring_ask_to_cancel(struct fuse_uring_queue *queue, uint64_t unique)
{
	unsigned count;

	pthread_mutex_lock(&queue->wish_lock);
	count = atomic_load(&queue->cancel_count);
	if (count < FUSE_URING_CANCELS) {
		queue->cancels[count] = unique;
		atomic_store(&queue->cancel_count, count + 1);
	}
	pthread_mutex_unlock(&queue->wish_lock);
	if (atomic_load(&queue->sleeping) && atomic_exchange(&queue->sleeping, false))
		fuse_uring_wake(queue);
}

bool fuse_uring_ask_to_transfer(struct fuse_uring_entry *entry)
{
	return push_to_owner(entry);
}

/* Finished when its owner has ended: the transport may go with it. */
static void vanish(struct fuse_uring_entry *entry)
{
	fuse_uring_memory_release(entry);
	fuse_uring_unref(entry->queue->uring);
}

void fuse_uring_finish(struct fuse_req *req)
{
	struct fuse_uring_entry *entry = (struct fuse_uring_entry *)req;

	if (entry->queue == fuse_uring_owned)
		fuse_uring_entry_settle(entry);
	else if (!push_to_owner(entry))
		vanish(entry);
}

bool fuse_uring_collect(struct fuse_uring_queue *queue)
{
	struct fuse_uring_entry *entry, *next;

	if (atomic_load_explicit(&queue->cancel_count, memory_order_relaxed))
		fuse_uring_move_cancel(queue);
	if (!atomic_load_explicit(&queue->finished, memory_order_relaxed))
		return false;
	for (entry = atomic_exchange(&queue->finished, NULL); entry; entry = next) {
		next = entry->next;
		if (entry->transfer.wanted)
			fuse_uring_transfer_begin(entry);
		else
			fuse_uring_entry_settle(entry);
	}
	return true;
}

/* Nobody else has ever seen these requests, and nobody would finish them. */
static void forget_loading(struct fuse_uring_queue *queue)
{
	for (unsigned id = 0; id < queue->uring->entries; id++) {
		struct fuse_uring_entry *entry = &queue->entries[id];

		if (entry->state != FUSE_ENTRY_LOADING)
			continue;
		entry->state = FUSE_ENTRY_UNUSED;
		queue->held--;
		fuse_uring_memory_release(entry);
	}
}

/*
 * Requests that are held have a reference to the transport from here on, and those who
 * finish them give it up. Taken for all of them before the list is closed, since
 * nobody knows who comes first.
 */
void fuse_uring_orphan(struct fuse_uring_queue *queue)
{
	struct fuse_uring_entry *entry, *next;

	forget_loading(queue);
	atomic_fetch_add(&queue->uring->references, queue->held);
	for (entry = atomic_exchange(&queue->finished, ORPHANED); entry; entry = next) {
		next = entry->next;
		if (!entry->transfer.wanted)
			vanish(entry);
	}
	while (atomic_load(&queue->finishing))
		sched_yield();
}

/* ---- How long handlers take ---- */

static unsigned place_of(uint32_t opcode)
{
	return opcode < FUSE_URING_OPCODES ? opcode : FUSE_URING_OPCODES - 1;
}

bool fuse_uring_is_slow(const struct fuse_uring_workers *workers, uint32_t opcode)
{
	unsigned place = place_of(opcode);

	return atomic_load_explicit(&workers->cost[place].samples, memory_order_relaxed) <
		       SAMPLES_KNOWN ||
	       atomic_load_explicit(&workers->cost[place].ns, memory_order_relaxed) >
		       SLOW_NS;
}

void fuse_uring_measured(struct fuse_uring_workers *workers, uint32_t opcode, int64_t ns)
{
	unsigned place = place_of(opcode);
	uint32_t sample = ns < SAMPLE_MAX_NS ? (uint32_t)ns : SAMPLE_MAX_NS;
	uint32_t samples =
		atomic_load_explicit(&workers->cost[place].samples, memory_order_relaxed);
	uint32_t average =
		atomic_load_explicit(&workers->cost[place].ns, memory_order_relaxed);

	if (samples < SAMPLES_KNOWN)
		atomic_store_explicit(&workers->cost[place].samples, samples + 1,
				      memory_order_relaxed);
	else if (sample < QUICK_NS && average < QUICK_NS)
		return;
	if (samples == 0)
		average = sample;
	else
		average = average - average / AVERAGE_OVER + sample / AVERAGE_OVER;
	atomic_store_explicit(&workers->cost[place].ns, average, memory_order_relaxed);
}

/* ---- Workers ---- */

static void push(struct fuse_uring_jobs *jobs, struct fuse_uring_entry *entry)
{
	entry->next = NULL;
	if (jobs->first)
		jobs->last->next = entry;
	else
		jobs->first = entry;
	jobs->last = entry;
	jobs->count++;
}

static struct fuse_uring_entry *pop(struct fuse_uring_jobs *jobs)
{
	struct fuse_uring_entry *entry = jobs->first;

	jobs->first = entry->next;
	jobs->count--;
	return entry;
}

static unsigned queued(const struct fuse_uring_workers *workers)
{
	return workers->slow.count + workers->waits.count;
}

/* How many threads there may be: those that wait, or will at once, do not count. */
static unsigned threads_max(const struct fuse_uring_workers *workers)
{
	return workers->max + workers->waiting + workers->waits.count;
}

/* A thread was started for each that waits: if that took a slow one, there would be too many. */
static struct fuse_uring_entry *next_job(struct fuse_uring_workers *workers, bool *waits)
{
	*waits = workers->waits.count;
	if (*waits)
		return pop(&workers->waits);
	return workers->slow.count ? pop(&workers->slow) : NULL;
}

static void run_job(struct fuse_uring_workers *workers, struct fuse_uring_entry *entry,
		    bool waits)
{
	const struct fuse_transport_handler *handler = &entry->queue->uring->handler;
	uint32_t opcode = entry->opcode;
	int64_t start = fuse_clock();

	if (entry->copy_wanted) {
		fuse_uring_move_copy(entry);
		return;
	}
	handler->dispatch(&entry->req);
	if (!waits)
		fuse_uring_measured(workers, opcode, fuse_clock() - start);
}

/* Returns false if nothing came for so long that the worker had better end. */
static bool await_job(struct fuse_uring_workers *workers)
{
	int64_t until = fuse_clock() + IDLE_SECONDS * INT64_C(1000000000);
	int result;

	workers->idle++;
	result = fuse_clock_cond_wait(&workers->work, &workers->lock, until);
	workers->idle--;
	return result != ETIMEDOUT || queued(workers) || workers->stopping;
}

/*
 * Ends the calling worker; the lock is held before and not after. A thread that ends joins the
 * one that ended before it, so that there is never more than one left to join.
 */
static void leave(struct fuse_uring_workers *workers)
{
	pthread_t before = workers->last_ended;
	bool any = workers->any_ended;

	workers->last_ended = pthread_self();
	workers->any_ended = true;
	if (--workers->threads == 0)
		pthread_cond_broadcast(&workers->ended);
	pthread_mutex_unlock(&workers->lock);
	if (any)
		pthread_join(before, NULL);
}

static void *worker(void *arg)
{
	struct fuse_uring *uring = arg;
	struct fuse_uring_workers *workers = &uring->workers;
	struct fuse_uring_entry *entry;
	bool waits;

	fuse_uring_served = uring;
	/* It was started by an owner, which runs on one CPU only. */
	sched_setaffinity(0, uring->affinity_size, uring->affinity);
	pthread_setname_np(pthread_self(), "fuse-ring-work");

	pthread_mutex_lock(&workers->lock);
	while (!workers->stopping && workers->threads <= threads_max(workers)) {
		entry = next_job(workers, &waits);
		if (!entry) {
			if (!await_job(workers))
				break;
			continue;
		}
		workers->waiting += waits;
		pthread_mutex_unlock(&workers->lock);
		run_job(workers, entry, waits);
		pthread_mutex_lock(&workers->lock);
		workers->waiting -= waits;
	}
	leave(workers);
	return NULL;
}

/* Called with the lock held. */
static bool start_worker(struct fuse_uring *uring)
{
	struct fuse_uring_workers *workers = &uring->workers;
	pthread_t thread;
	int error = fuse_uring_thread_start(uring, &thread, worker, uring);

	if (!error) {
		workers->threads++;
		return true;
	}
	if (!workers->complained) {
		workers->complained = true;
		fuse_log(FUSE_LOG_WARNING, "fuse: cannot start a worker: %s\n",
			 strerror(-error));
	}
	return false;
}

/*
 * A job that has to wait for a worker is safe only if one will come: one that is at a job which
 * ends by itself.
 */
static bool will_be_free(const struct fuse_uring_workers *workers, bool waits)
{
	return waits ? workers->threads > 0 : workers->threads > workers->waiting;
}

static void drop(struct fuse_uring_entry *entry)
{
	entry->dropped = true;
	fuse_uring_finish(&entry->req);
}

bool fuse_uring_hand_over(struct fuse_uring_entry *entry, bool waits)
{
	struct fuse_uring *uring = entry->queue->uring;
	struct fuse_uring_workers *workers = &uring->workers;
	bool taken = false;

	pthread_mutex_lock(&workers->lock);
	if (workers->stopping) {
		pthread_mutex_unlock(&workers->lock);
		/* It could keep the owner from ending, and its client is about to be told. */
		if (waits)
			drop(entry);
		return waits;
	}
	if (queued(workers) >= workers->idle &&
	    workers->threads < threads_max(workers) + waits)
		start_worker(uring);
	if (will_be_free(workers, waits)) {
		push(waits ? &workers->waits : &workers->slow, entry);
		taken = true;
		if (workers->idle)
			pthread_cond_signal(&workers->work);
	}
	pthread_mutex_unlock(&workers->lock);
	return taken;
}

void fuse_uring_workers_init(struct fuse_uring_workers *workers, unsigned max)
{
	workers->max = max;
	pthread_mutex_init(&workers->lock, NULL);
	pthread_cond_init(&workers->ended, NULL);
	fuse_clock_cond_init(&workers->work);
}

void fuse_uring_workers_stop(struct fuse_uring_workers *workers)
{
	pthread_mutex_lock(&workers->lock);
	workers->stopping = true;
	pthread_cond_broadcast(&workers->work);
	while (workers->slow.count)
		drop(pop(&workers->slow));
	while (workers->waits.count)
		drop(pop(&workers->waits));
	while (workers->threads)
		pthread_cond_wait(&workers->ended, &workers->lock);
	pthread_mutex_unlock(&workers->lock);
	if (workers->any_ended)
		pthread_join(workers->last_ended, NULL);
	workers->any_ended = false;
}

void fuse_uring_workers_destroy(struct fuse_uring_workers *workers)
{
	pthread_cond_destroy(&workers->work);
	pthread_cond_destroy(&workers->ended);
	pthread_mutex_destroy(&workers->lock);
}
