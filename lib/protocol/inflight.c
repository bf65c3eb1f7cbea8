// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Requests in flight, kept so that FUSE_INTERRUPT finds the request it means.
 *
 * A shard's lock guards its list and, of every request in that list, the fields for
 * interruption. No other lock is taken and nobody is called while it is held.
 *
 * An interrupt function runs without the lock. While it does, interrupt_running keeps its
 * request alive: whoever answers the request meanwhile leaves the finishing to the thread that
 * runs the function.
 */
#include <errno.h>

#include "protocol/protocol.h"
#include "support/clock.h"

#define EARLY_LIFETIME_NS 1000000000

/* The kernel counts uniques in steps of two; the low bit marks an interrupt's own. */
static struct fuse_inflight_shard *shard_of(struct fuse_inflight *table, uint64_t unique)
{
	return &table->shard[(unique >> 1) % FUSE_INFLIGHT_SHARDS];
}

int fuse_inflight_init(struct fuse_inflight *table)
{
	for (int i = 0; i < FUSE_INFLIGHT_SHARDS; i++) {
		struct fuse_inflight_shard *shard = &table->shard[i];

		shard->first = NULL;
		shard->early_count = 0;
		shard->closed = false;
		pthread_mutex_init(&shard->lock, NULL);
		pthread_cond_init(&shard->interrupt_done, NULL);
	}
	return 0;
}

void fuse_inflight_destroy(struct fuse_inflight *table)
{
	for (int i = 0; i < FUSE_INFLIGHT_SHARDS; i++) {
		pthread_cond_destroy(&table->shard[i].interrupt_done);
		pthread_mutex_destroy(&table->shard[i].lock);
	}
}

static void forget_early(struct fuse_inflight_shard *shard, unsigned slot)
{
	shard->early[slot] = shard->early[--shard->early_count];
}

/* What is too old counts as forgotten, and is dropped on the way. */
static bool take_early(struct fuse_inflight_shard *shard, uint64_t unique)
{
	int64_t now = fuse_clock();
	bool found = false;

	for (unsigned i = shard->early_count; i-- > 0;) {
		bool expired = shard->early[i].expires <= now;
		bool match = shard->early[i].unique == unique;

		if (match && !expired)
			found = true;
		if (match || expired)
			forget_early(shard, i);
	}
	return found;
}

/* A full shard loses the oldest: an interrupt that is lost is only a wait not cut short. */
static void remember_early(struct fuse_inflight_shard *shard, uint64_t unique)
{
	unsigned oldest = 0;

	if (shard->early_count == FUSE_INFLIGHT_EARLY) {
		for (unsigned i = 1; i < FUSE_INFLIGHT_EARLY; i++) {
			if (shard->early[i].expires < shard->early[oldest].expires)
				oldest = i;
		}
		forget_early(shard, oldest);
	}
	shard->early[shard->early_count].unique = unique;
	shard->early[shard->early_count].expires = fuse_clock() + EARLY_LIFETIME_NS;
	shard->early_count++;
}

bool fuse_inflight_add(struct fuse_inflight *table, struct fuse_req *req)
{
	struct fuse_inflight_shard *shard = shard_of(table, req->unique);
	bool interrupted;

	pthread_mutex_lock(&shard->lock);
	req->next = shard->first;
	req->link = &shard->first;
	if (req->next)
		req->next->link = &req->next;
	shard->first = req;
	req->interrupted = req->abandoned = shard->closed;
	if (shard->early_count && take_early(shard, req->unique))
		req->interrupted = true;
	interrupted = req->interrupted;
	pthread_mutex_unlock(&shard->lock);
	return interrupted;
}

static void give_back(struct fuse_req *req)
{
	atomic_store(&req->state, FUSE_REQ_IDLE);
	req->transport->finish(req);
}

/* With the lock held. */
static void take_out(struct fuse_req *req)
{
	if (!req->link)
		return;
	*req->link = req->next;
	if (req->next)
		req->next->link = req->link;
	req->link = NULL;
}

bool fuse_inflight_leave(struct fuse_inflight *table, struct fuse_req *req)
{
	struct fuse_inflight_shard *shard = shard_of(table, req->unique);
	bool alone;

	pthread_mutex_lock(&shard->lock);
	alone = !req->interrupt_running;
	if (alone)
		take_out(req);
	pthread_mutex_unlock(&shard->lock);
	return alone;
}

void fuse_inflight_finish(struct fuse_inflight *table, struct fuse_req *req)
{
	struct fuse_inflight_shard *shard = shard_of(table, req->unique);
	bool leave_it;

	pthread_mutex_lock(&shard->lock);
	take_out(req);
	leave_it = req->interrupt_running;
	req->finish_pending = leave_it;
	pthread_mutex_unlock(&shard->lock);

	if (!leave_it)
		give_back(req);
}

/* Called with the lock held, returns without it; the request may be gone then. */
static void call_func(struct fuse_inflight_shard *shard, struct fuse_req *req)
{
	fuse_interrupt_func_t func = req->interrupt_func;
	void *data = req->interrupt_data;
	bool finish;

	req->interrupt_running = true;
	req->interrupt_thread = pthread_self();
	pthread_mutex_unlock(&shard->lock);

	func(req, data);

	pthread_mutex_lock(&shard->lock);
	req->interrupt_running = false;
	finish = req->finish_pending;
	pthread_cond_broadcast(&shard->interrupt_done);
	pthread_mutex_unlock(&shard->lock);

	if (finish)
		give_back(req);
}

bool fuse_inflight_interrupt(struct fuse_inflight *table, uint64_t unique)
{
	struct fuse_inflight_shard *shard = shard_of(table, unique);
	struct fuse_req *req;

	pthread_mutex_lock(&shard->lock);
	for (req = shard->first; req; req = req->next) {
		if (req->unique == unique)
			break;
	}
	if (!req) {
		remember_early(shard, unique);
	} else if (!req->interrupted) {
		req->interrupted = true;
		if (req->interrupt_func) {
			call_func(shard, req);
			return true;
		}
	}
	pthread_mutex_unlock(&shard->lock);
	return req;
}

static struct fuse_req *find_uninterrupted(const struct fuse_inflight_shard *shard)
{
	struct fuse_req *req = shard->first;

	while (req && req->interrupted)
		req = req->next;
	return req;
}

void fuse_inflight_close(struct fuse_inflight *table)
{
	for (int i = 0; i < FUSE_INFLIGHT_SHARDS; i++) {
		struct fuse_inflight_shard *shard = &table->shard[i];
		struct fuse_req *req;

		pthread_mutex_lock(&shard->lock);
		shard->closed = true;
		/* From the start each time: without the lock, the list may have changed. */
		while ((req = find_uninterrupted(shard))) {
			req->interrupted = req->abandoned = true;
			if (req->interrupt_func) {
				call_func(shard, req);
				pthread_mutex_lock(&shard->lock);
			}
		}
		pthread_mutex_unlock(&shard->lock);
	}
}

void fuse_inflight_open(struct fuse_inflight *table)
{
	for (int i = 0; i < FUSE_INFLIGHT_SHARDS; i++) {
		pthread_mutex_lock(&table->shard[i].lock);
		table->shard[i].closed = false;
		pthread_mutex_unlock(&table->shard[i].lock);
	}
}

void fuse_inflight_set_func(struct fuse_inflight *table, struct fuse_req *req,
			    fuse_interrupt_func_t func, void *data)
{
	struct fuse_inflight_shard *shard = shard_of(table, req->unique);
	bool nested;

	pthread_mutex_lock(&shard->lock);
	/*
	 * The caller is about to free what the former function works with. Only from within
	 * that function there is nothing to wait for.
	 */
	while (req->interrupt_running &&
	       !pthread_equal(req->interrupt_thread, pthread_self()))
		pthread_cond_wait(&shard->interrupt_done, &shard->lock);

	req->interrupt_func = func;
	req->interrupt_data = data;
	nested = req->interrupt_running;
	if (func && req->interrupted && !nested) {
		call_func(shard, req);
		return;
	}
	pthread_mutex_unlock(&shard->lock);
	if (func && nested)
		func(req, data);
}

bool fuse_inflight_interrupted(struct fuse_inflight *table, const struct fuse_req *req)
{
	struct fuse_inflight_shard *shard = shard_of(table, req->unique);
	bool interrupted;

	pthread_mutex_lock(&shard->lock);
	interrupted = req->interrupted;
	pthread_mutex_unlock(&shard->lock);
	return interrupted;
}

bool fuse_inflight_abandoned(struct fuse_inflight *table, const struct fuse_req *req)
{
	struct fuse_inflight_shard *shard = shard_of(table, req->unique);
	bool abandoned;

	pthread_mutex_lock(&shard->lock);
	abandoned = req->abandoned;
	pthread_mutex_unlock(&shard->lock);
	return abandoned;
}
