// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The transport's life cycle, as uring.h describes it. Owners set up their queues side by
 * side, but register their entries one after the other: the kernel starts to use the
 * rings when the last queue has its first entry, and until then everything can be undone.
 */
#include "fuse_config.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/fault.h"
#include "transport/uring/dialect.h"

/* ---- Memory ---- */

static void free_queue(struct fuse_uring_queue *queue)
{
	for (unsigned i = 0; queue->entries && i < queue->uring->entries; i++)
		fuse_uring_move_end(&queue->entries[i]);
	pthread_cond_destroy(&queue->transfer_done);
	pthread_mutex_destroy(&queue->wish_lock);
	free(queue->postponed);
	fuse_uring_region_close(&queue->region);
	if (queue->event >= 0)
		close(queue->event);
	free(queue->entries);
	free(queue);
}

static void destroy(struct fuse_uring *uring)
{
	for (unsigned i = 0; uring->queues && i < uring->queue_count; i++)
		if (uring->queues[i])
			free_queue(uring->queues[i]);
	free(uring->queues);
	CPU_FREE(uring->affinity);
	fuse_uring_workers_destroy(&uring->workers);
	pthread_cond_destroy(&uring->changed);
	pthread_mutex_destroy(&uring->lock);
	free(uring);
}

void fuse_uring_unref(struct fuse_uring *uring)
{
	if (atomic_fetch_sub(&uring->references, 1) == 1)
		destroy(uring);
}

static struct fuse_uring_queue *new_queue(struct fuse_uring *uring, unsigned id)
{
	struct fuse_uring_queue *queue =
		aligned_alloc(_Alignof(struct fuse_uring_queue), sizeof(*queue));

	if (!queue)
		return NULL;
	memset(queue, 0, sizeof(*queue));
	queue->uring = uring;
	queue->id = id;
	queue->qid = (uint16_t)id;
	queue->event = -1;
	queue->region.memfd = -1;
	pthread_mutex_init(&queue->wish_lock, NULL);
	pthread_cond_init(&queue->transfer_done, NULL);
	queue->entries = calloc(uring->entries, sizeof(*queue->entries));
	if (!queue->entries) {
		free_queue(queue);
		return NULL;
	}
	return queue;
}

/* The mask's size is the kernel's, and only trying tells it. */
static int get_affinity(struct fuse_uring *uring)
{
	for (unsigned cpus = 1024; cpus <= 65536; cpus *= 2) {
		uring->affinity_size = CPU_ALLOC_SIZE(cpus);
		uring->affinity = CPU_ALLOC(cpus);
		if (!uring->affinity)
			return -ENOMEM;
		CPU_ZERO_S(uring->affinity_size, uring->affinity);
		if (sched_getaffinity(0, uring->affinity_size, uring->affinity) == 0)
			return 0;
		if (errno != EINVAL)
			return -errno;
		CPU_FREE(uring->affinity);
		uring->affinity = NULL;
	}
	return -EINVAL;
}

/*
 * Signals are for the session's thread. Those that an instruction raises must not be blocked,
 * or a filesystem could not handle them.
 */
static void choose_signals(sigset_t *signals)
{
	static const int raised[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS };

	sigfillset(signals);
	for (unsigned i = 0; i < sizeof(raised) / sizeof(raised[0]); i++)
		sigdelset(signals, raised[i]);
}

static unsigned spare_entries(unsigned depth)
{
	unsigned spare = depth * FUSE_URING_SPARE;

	return spare < FUSE_URING_SPARE_MAX ? spare : FUSE_URING_SPARE_MAX;
}

/*
 * What is pinned is not given back, and so there are no buffers for spare entries then. These
 * still serve what needs none: above all those who wait for a lock, and those who release it.
 */
static void settle_buffers(struct fuse_uring *uring,
			   const struct fuse_uring_config *config)
{
	bool pooled = uring->dialect->pool != FUSE_URING_POOL_NONE;
	bool pinned = uring->dialect->pool == FUSE_URING_POOL_REGISTERED;

	uring->buffers = pinned ? uring->depth : uring->entries;
	if (pooled && config->bufs)
		uring->buffers = config->bufs;
	uring->kept_buffers = uring->buffers;
	if (!pinned && uring->depth < uring->buffers)
		uring->kept_buffers = uring->depth;
}

static int fill_in(struct fuse_uring *uring, const struct fuse_uring_config *config,
		   const struct fuse_uring_dialect *dialect)
{
	uring->fd = config->fd;
	uring->dialect = dialect;
	uring->handler = config->handler;
	uring->disconnected = config->disconnected;
	uring->depth = config->queue_depth;
	uring->entries = config->queue_depth + spare_entries(config->queue_depth);
	settle_buffers(uring, config);
	uring->unlinked = config->unlinked;
	uring->strict = config->strict;
	uring->poll_ns = (int64_t)config->poll_us * 1000;
	uring->payload_max = config->payload_max;
	uring->debug = config->debug;
	if (config->kernel_flags & FUSE_HAS_IO_URING_SHARED_MEMORY)
		uring->memories = config->memories;
	choose_signals(&uring->signals);
	fuse_uring_look_at_self(&uring->self);
	return get_affinity(uring);
}

static struct fuse_uring *allocate(const struct fuse_uring_config *config,
				   const struct fuse_uring_dialect *dialect,
				   unsigned queue_count)
{
	struct fuse_uring *uring = calloc(1, sizeof(*uring));
	bool complete;

	if (!uring)
		return NULL;
	pthread_mutex_init(&uring->lock, NULL);
	pthread_cond_init(&uring->changed, NULL);
	fuse_uring_workers_init(&uring->workers, config->max_workers);
	atomic_init(&uring->references, 1);

	complete = !fill_in(uring, config, dialect);
	uring->queue_count = queue_count;
	uring->queues = calloc(queue_count, sizeof(*uring->queues));
	for (unsigned i = 0; uring->queues && complete && i < queue_count; i++) {
		uring->queues[i] = new_queue(uring, i);
		complete = uring->queues[i];
	}
	if (complete && uring->queues)
		return uring;
	fuse_uring_unref(uring);
	return NULL;
}

/* ---- Owners and the session's thread talk to each other ---- */

void fuse_uring_explain(struct fuse_uring_reason *why, const char *step, int queue,
			int error)
{
	char buffer[80];
	const char *text = strerror_r(-error, buffer, sizeof(buffer));

	if (queue < 0)
		snprintf(why->text, sizeof(why->text), "%s: %s", step, text);
	else
		snprintf(why->text, sizeof(why->text), "%s (ring %d): %s", step, queue,
			 text);
}

void fuse_uring_report(struct fuse_uring_queue *queue, enum fuse_uring_phase phase,
		       const char *step, int error)
{
	struct fuse_uring *uring = queue->uring;

	pthread_mutex_lock(&uring->lock);
	queue->phase = phase;
	/* The first one's, not the fastest one's, so that the same failure has the same words. */
	if (error && (!uring->error || queue->id < uring->failed)) {
		uring->error = error;
		uring->failed = queue->id;
		fuse_uring_explain(&uring->why, step, (int)queue->id, error);
	}
	pthread_cond_broadcast(&uring->changed);
	pthread_mutex_unlock(&uring->lock);
}

bool fuse_uring_await_start(struct fuse_uring_queue *queue)
{
	struct fuse_uring *uring = queue->uring;
	bool start;

	pthread_mutex_lock(&uring->lock);
	while (queue->phase == FUSE_QUEUE_SET_UP && !atomic_load(&uring->ending))
		pthread_cond_wait(&uring->changed, &uring->lock);
	start = queue->phase == FUSE_QUEUE_REGISTERING;
	pthread_mutex_unlock(&uring->lock);
	return start;
}

/* Returns 0, or the error with which the queue failed. */
static int await_phase(struct fuse_uring_queue *queue, enum fuse_uring_phase phase,
		       struct fuse_uring_reason *why)
{
	struct fuse_uring *uring = queue->uring;
	int error = 0;

	pthread_mutex_lock(&uring->lock);
	while (queue->phase != phase && queue->phase != FUSE_QUEUE_FAILED)
		pthread_cond_wait(&uring->changed, &uring->lock);
	if (queue->phase == FUSE_QUEUE_FAILED) {
		error = uring->error;
		*why = uring->why;
	}
	pthread_mutex_unlock(&uring->lock);
	return error;
}

int fuse_uring_thread_start(struct fuse_uring *uring, pthread_t *thread,
			    void *(*main)(void *), void *arg)
{
	sigset_t before;
	int error;

	pthread_sigmask(SIG_SETMASK, &uring->signals, &before);
	error = pthread_create(thread, NULL, main, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -error;
}

void fuse_uring_lost(struct fuse_uring_queue *queue)
{
	struct fuse_uring *uring = queue->uring;

	queue->disconnected = true;
	if (!atomic_load(&uring->ending) && !atomic_exchange(&uring->told, true) &&
	    uring->disconnected)
		uring->disconnected(uring->handler.protocol);
}

/* ---- Beginning ---- */

static int start_owners(struct fuse_uring *uring, struct fuse_uring_reason *why)
{
	int error = 0;

	for (unsigned i = 0; i < uring->queue_count; i++) {
		error = fuse_fault("thread-create");
		if (!error)
			error = fuse_uring_thread_start(uring, &uring->queues[i]->thread,
							fuse_uring_owner,
							uring->queues[i]);
		if (error) {
			fuse_uring_explain(why, "thread-create", (int)i, error);
			return error;
		}
		uring->owners++;
	}
	for (unsigned i = 0; i < uring->queue_count && !error; i++)
		error = await_phase(uring->queues[i], FUSE_QUEUE_SET_UP, why);
	return error;
}

static bool pool_fits(const struct fuse_uring *uring, struct fuse_uring_reason *why)
{
	uint64_t size = (uint64_t)uring->buffers * uring->payload_max;
	uint64_t size_max = uring->dialect->pool_size_max;

	if (!size_max || size <= size_max)
		return true;
	snprintf(why->text, sizeof(why->text),
		 "a pool of %u buffers of %zu bytes is larger than 4 GiB: "
		 "io_uring_bufs or io_uring_q_depth have to be less",
		 uring->buffers, uring->payload_max);
	return false;
}

static struct fuse_uring *bring_up(const struct fuse_uring_config *config,
				   const struct fuse_uring_dialect *dialect,
				   struct fuse_uring_reason *why)
{
	struct fuse_uring *uring;
	int cpus = fuse_uring_possible_cpus(why);

	if (cpus < 0)
		return NULL;
	uring = allocate(config, dialect, (unsigned)cpus);
	if (!uring) {
		fuse_uring_explain(why, "memory", -1, -ENOMEM);
		return NULL;
	}
	if (!pool_fits(uring, why)) {
		fuse_uring_free(uring);
		return NULL;
	}
	/* Now, because when it is needed it may be impossible to get another ring. */
	fuse_uring_control_open(&uring->control);
	if (start_owners(uring, why)) {
		fuse_uring_stop(uring);
		fuse_uring_free(uring);
		return NULL;
	}
	return uring;
}

/* An option that only some rungs can satisfy. */
static bool asks_for_more(const struct fuse_uring_config *config)
{
	return config->zero_copy || config->pool != FUSE_URING_POOL_ANY ||
	       config->pin != FUSE_URING_PIN_ANY || config->bufs;
}

static bool has_all(const struct fuse_uring_dialect *rung,
		    const struct fuse_uring_config *config)
{
	return (rung->zero_copy || !config->zero_copy) &&
	       (rung->pool != FUSE_URING_POOL_NONE || !config->bufs) &&
	       (rung->pool == config->pool || config->pool == FUSE_URING_POOL_ANY) &&
	       (rung->pin == config->pin || config->pin == FUSE_URING_PIN_ANY);
}

/*
 * Of the two formats with pools a kernel has one, and its lack of the other is not worth a
 * word. Where it has neither, mainline's is missed, unless an option is about the other.
 */
static bool is_out_of_question(const struct fuse_uring_dialect *rung,
			       const struct fuse_uring_config *config)
{
	if (!rung->offer || (config->kernel_flags & rung->offer))
		return false;
	if (rung->offer == FUSE_HAS_IO_URING_BUFRING)
		return config->pin == FUSE_URING_PIN_ANY;
	return config->kernel_flags & FUSE_HAS_IO_URING_BUFRING;
}

/* Whether to try it at all. */
static bool is_considered(const struct fuse_uring_dialect *rung,
			  const struct fuse_uring_config *config)
{
	if (is_out_of_question(rung, config) || (rung->suits && !rung->suits(config)))
		return false;
	return !config->strict || has_all(rung, config);
}

static const char *const pool_names[] = {
	[FUSE_URING_POOL_ANY] = "",
	[FUSE_URING_POOL_NONE] = "",
	[FUSE_URING_POOL_PLAIN] = "plain",
	[FUSE_URING_POOL_REGISTERED] = "registered",
};

/* A rung that the mount does without, and why. */
struct missed {
	const struct fuse_uring_dialect *rung;
	bool offered;
	struct fuse_uring_reason why;
};

/*
 * Nobody misses what an older kernel does not have, unless it was asked for. And what
 * stands in the way of a rung may do so with the next, too.
 */
static void log_step_down(const struct fuse_uring_config *config,
			  const struct missed *missed, struct fuse_uring_reason *said)
{
	const struct fuse_uring_dialect *rung = missed->rung;
	const char *pool = pool_names[rung->pool];

	if ((!missed->offered && !asks_for_more(config)) ||
	    strcmp(said->text, missed->why.text) == 0)
		return;
	*said = missed->why;
	fuse_log(FUSE_LOG_WARNING, "fuse: no io_uring as %s%s%s%s%s: %s\n", rung->name,
		 *pool ? ", " : "", pool,
		 rung->pin > FUSE_URING_PIN_NONE ? ", headers pinned" : "",
		 rung->zero_copy ? ", zero-copy" : "", missed->why.text);
}

struct fuse_uring *fuse_uring_new(const struct fuse_uring_config *config,
				  struct fuse_uring_reason *why)
{
	const struct fuse_uring_dialect *const *rung;
	struct fuse_uring_reason said = { "" };
	struct missed missed = { .rung = NULL };
	struct fuse_uring *uring = NULL;

	if (!fuse_uring_check(config, why))
		return NULL;
	snprintf(why->text, sizeof(why->text),
		 "no kernel has all that is asked for together");
	for (rung = fuse_uring_ladder; *rung && !uring; rung++) {
		if (!is_considered(*rung, config))
			continue;
		/* Of the last one the caller tells. */
		if (missed.rung)
			log_step_down(config, &missed, &said);
		missed.rung = *rung;
		missed.offered = (*rung)->probe(config->kernel_flags, why);
		if (missed.offered)
			uring = bring_up(config, *rung, why);
		missed.why = *why;
	}
	if (uring && !said.text[0] && config->pin > uring->dialect->pin)
		fuse_log(
			FUSE_LOG_WARNING,
			"fuse: io_uring_pin is for buffer rings (Linux 7.2 with patches), and does "
			"nothing with %s\n",
			uring->dialect->name);
	return uring;
}

/*
 * Callers wait until every queue has an entry, or until the kernel has refused one:
 * then it gives rings up for this connection and the callers go on to /dev/fuse.
 */
static void make_kernel_give_up(struct fuse_uring *uring)
{
	int error = fuse_uring_refuse(&uring->control, uring->fd);

	if (error)
		fuse_log(FUSE_LOG_ERR,
			 "fuse: cannot turn io_uring off, clients may hang: %s\n",
			 strerror(-error));
}

int fuse_uring_start(struct fuse_uring *uring, struct fuse_uring_reason *why)
{
	int error = 0;

	for (unsigned i = 0; i < uring->queue_count && !error; i++) {
		fuse_uring_report(uring->queues[i], FUSE_QUEUE_REGISTERING, NULL, 0);
		error = await_phase(uring->queues[i], FUSE_QUEUE_RUNNING, why);
	}
	if (error)
		make_kernel_give_up(uring);
	else
		fuse_uring_memory_start(uring);
	if (error || !uring->memories)
		fuse_uring_control_close(&uring->control);
	return error;
}

/* ---- Ending ---- */

static enum fuse_uring_phase phase_of(struct fuse_uring_queue *queue)
{
	enum fuse_uring_phase phase;

	pthread_mutex_lock(&queue->uring->lock);
	phase = queue->phase;
	pthread_mutex_unlock(&queue->uring->lock);
	return phase;
}

/*
 * Workers first: what their handlers wait for may be a request that an owner has to take.
 */
void fuse_uring_stop(struct fuse_uring *uring)
{
	fuse_uring_workers_stop(&uring->workers);

	pthread_mutex_lock(&uring->lock);
	atomic_store(&uring->ending, true);
	pthread_cond_broadcast(&uring->changed);
	pthread_mutex_unlock(&uring->lock);

	while (uring->owners) {
		struct fuse_uring_queue *queue = uring->queues[--uring->owners];

		/* Before, the event may not exist, and the owner looks at `ending` by itself. */
		if (phase_of(queue) == FUSE_QUEUE_RUNNING)
			fuse_uring_wake(queue);
		pthread_join(queue->thread, NULL);
	}
	fuse_uring_memory_stop(uring);
	fuse_uring_control_close(&uring->control);
}

_Thread_local struct fuse_uring *fuse_uring_served;

bool fuse_uring_is_own_thread(const struct fuse_uring *uring)
{
	return uring == fuse_uring_served;
}

/* Which queue has it only the owners know. */
void fuse_uring_interrupt(struct fuse_uring *uring, uint64_t unique)
{
	if (!uring->dialect->zero_copy)
		return;
	for (unsigned i = 0; i < uring->queue_count; i++)
		fuse_uring_ask_to_cancel(uring->queues[i], unique);
}

void fuse_uring_free(struct fuse_uring *uring)
{
	fuse_uring_unref(uring);
}

/* ---- Facts ---- */

uint64_t fuse_uring_init_flags(const struct fuse_uring *uring)
{
	return uring->dialect->init_flags;
}

const char *fuse_uring_dialect(const struct fuse_uring *uring)
{
	return uring->dialect->name;
}

const char *fuse_uring_pool(const struct fuse_uring *uring)
{
	return pool_names[uring->dialect->pool];
}

bool fuse_uring_pins_headers(const struct fuse_uring *uring)
{
	return uring->dialect->pin >= FUSE_URING_PIN_HEADERS;
}

bool fuse_uring_zero_copy(const struct fuse_uring *uring)
{
	return uring->dialect->zero_copy;
}

bool fuse_uring_zero_copies_all(const struct fuse_uring *uring)
{
	return uring->dialect->for_all;
}

unsigned fuse_uring_queues(const struct fuse_uring *uring)
{
	return uring->queue_count;
}

const struct fuse_counters *fuse_uring_counters(const struct fuse_uring *uring,
						unsigned queue)
{
	return queue < uring->queue_count ? &uring->queues[queue]->counters : NULL;
}
