// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fuse_config.h"

#include "transport/uring/place.h"

/* What is compared is the time for so many bytes, or for more in no less than this time. */
#define PERIOD_BYTES  (8u << 20)
#define PERIOD_MIN_NS 2000000
/* If they take longer, nobody is in a hurry. */
#define PERIOD_MAX_NS FUSE_PLACE_TELL_NS
/* Where requests are smaller than this on average, more goes into waking than into data. */
#define LARGE_BYTES (32u << 10)
/* Comparisons get rarer as long as home wins, between these. In periods. */
#define INTERVAL_MIN 4
#define INTERVAL_MAX 128
/* The scheduler needs some time to make use of more CPUs. In periods. */
#define TRIAL 3
/* One bad period may just have had a pause in it. */
#define BAD_MAX 2

/* By an eighth: less may be chance, and the neighbours are better off without us. */
static bool is_clearly_more(uint64_t speed, uint64_t other)
{
	return speed > other + other / 8;
}

static void go_home(struct fuse_uring_place *place)
{
	place->stage = FUSE_PLACE_HOME;
	if (place->interval < INTERVAL_MIN)
		place->interval = INTERVAL_MIN;
	else if (place->interval < INTERVAL_MAX)
		place->interval *= 2;
	place->countdown = place->interval;
}

static void go_away(struct fuse_uring_place *place)
{
	place->stage = FUSE_PLACE_AWAY;
	place->interval = 0;
	place->countdown = INTERVAL_MAX;
	place->bad = 0;
}

static void try(struct fuse_uring_place *place)
{
	place->stage = FUSE_PLACE_TRIAL;
	place->countdown = TRIAL;
}

static bool is_due(struct fuse_uring_place *place)
{
	if (place->countdown <= 1)
		return true;
	place->countdown--;
	return false;
}

/*
 * Away can turn bad at any moment: when caller and owner have begun to sleep in turns, each on
 * its CPU, they do not stop by themselves. So it is left as soon as home was better, and not
 * only at the next comparison.
 */
static void stay_away(struct fuse_uring_place *place, uint64_t speed)
{
	place->away_speed = speed;
	if (speed < place->home_speed)
		place->bad++;
	else
		place->bad = 0;
	if (place->bad == BAD_MAX)
		go_home(place);
	else if (is_due(place))
		place->stage = FUSE_PLACE_REVISION;
}

/* A period has passed, at that speed. */
static void compare(struct fuse_uring_place *place, uint64_t speed)
{
	enum fuse_uring_stage stage = place->stage;

	switch (stage) {
	case FUSE_PLACE_HOME:
		place->home_speed = speed;
		if (is_due(place))
			try(place);
		break;
	case FUSE_PLACE_TRIAL:
		if (!is_due(place))
			break;
		if (is_clearly_more(speed, place->home_speed))
			go_away(place);
		else
			go_home(place);
		break;
	case FUSE_PLACE_AWAY:
		stay_away(place, speed);
		break;
	case FUSE_PLACE_REVISION:
		place->home_speed = speed;
		if (is_clearly_more(place->away_speed, speed))
			go_away(place);
		else
			go_home(place);
		break;
	}
}

/* Nothing to win at the moment. What comes next may be more of what was best away. */
static void rest(struct fuse_uring_place *place)
{
	if (place->stage != FUSE_PLACE_HOME)
		place->countdown = 1;
	place->stage = FUSE_PLACE_HOME;
}

/* The period is over. What others tell meanwhile belongs to the next one, or is lost. */
static void judge(struct fuse_uring_place *place, int64_t now, int64_t elapsed)
{
	uint64_t bytes = atomic_exchange_explicit(&place->bytes, 0, memory_order_relaxed);
	uint64_t requests =
		atomic_exchange_explicit(&place->requests, 0, memory_order_relaxed);

	if (elapsed >= PERIOD_MAX_NS || bytes / LARGE_BYTES < requests)
		rest(place);
	else
		/* In bytes per second, which fits for any period that was not too long. */
		compare(place, bytes * 1000 / (uint64_t)(elapsed / 1000) * 1000);
	atomic_store_explicit(&place->since, now, memory_order_relaxed);
}

void fuse_uring_place_tell(struct fuse_uring_place *place, int64_t now, uint64_t requests,
			   uint64_t bytes)
{
	int64_t elapsed;

	atomic_fetch_add_explicit(&place->requests, requests, memory_order_relaxed);
	bytes += atomic_fetch_add_explicit(&place->bytes, bytes, memory_order_relaxed);
	elapsed = now - atomic_load_explicit(&place->since, memory_order_relaxed);
	if (elapsed < PERIOD_MIN_NS || (bytes < PERIOD_BYTES && elapsed < PERIOD_MAX_NS))
		return;
	if (atomic_flag_test_and_set_explicit(&place->judging, memory_order_acquire))
		return;
	/* Somebody may have judged in between. */
	elapsed = now - atomic_load_explicit(&place->since, memory_order_relaxed);
	if (elapsed >= PERIOD_MIN_NS)
		judge(place, now, elapsed);
	atomic_flag_clear_explicit(&place->judging, memory_order_release);
}
