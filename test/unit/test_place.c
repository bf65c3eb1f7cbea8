// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where an owner runs, as a matter of speeds: those at home and away are given, and time is what
 * they make of it.
 */
#include "fuse_config.h"

#include <pthread.h>

#include "check.h"
#include "transport/uring/place.h"

#define MIB (1u << 20)

struct world {
	struct fuse_uring_place place;
	int64_t now;
	uint64_t bytes;
	uint64_t at_home, away; /* bytes per second */
	unsigned moves;
	uint64_t bytes_away;
};

static const struct world fresh = { .now = 1000000000000 };

/* So many requests of that size, one after the other. */
static void serve(struct world *world, unsigned count, unsigned size)
{
	while (count--) {
		bool away = fuse_uring_place_is_away(&world->place);

		world->now += (int64_t)size * 1000000000 /
			      (int64_t)(away ? world->away : world->at_home);
		world->bytes += size;
		if (away)
			world->bytes_away += size;
		fuse_uring_place_tell(&world->place, world->now, 1, size);
		world->moves += fuse_uring_place_is_away(&world->place) != away;
	}
}

static struct world served(uint64_t at_home, uint64_t away, unsigned count, unsigned size)
{
	struct world world = fresh;

	world.at_home = at_home;
	world.away = away;
	serve(&world, count, size);
	return world;
}

static void test_better_away(void)
{
	struct world world;

	CASE("twice as fast away: nearly always there");
	world = served(1000 * MIB, 2000 * MIB, 64000, 128 << 10);
	CHECK(world.bytes_away > world.bytes / 100 * 98);

	CASE("a pause changes nothing");
	world.bytes = world.bytes_away = 0;
	for (int i = 0; i < 100; i++) {
		world.now += 40000000;
		serve(&world, 640, 128 << 10);
	}
	CHECK(world.bytes_away > world.bytes / 100 * 95);

	CASE("but not any longer than it is");
	world.away = 500 * MIB;
	world.bytes_away = 0;
	serve(&world, 2 * 64, 128 << 10);
	CHECK(world.bytes_away <= 3 * 64 * (128 << 10));

	CASE("and back as soon as it is again");
	world.away = 2000 * MIB;
	serve(&world, 16 * 64, 128 << 10);
	CHECK(fuse_uring_place_is_away(&world.place));

	CASE("home, too, when that is faster by then");
	world.at_home = 4000 * MIB;
	serve(&world, 3 * 256 * 64,
	      128 << 10); /* until the next comparison, and longer */
	CHECK(!fuse_uring_place_is_away(&world.place));
	world.bytes = world.bytes_away = 0;
	serve(&world, 64000, 128 << 10);
	CHECK(world.bytes_away < world.bytes / 20);
}

static void test_better_at_home(void)
{
	struct world world;

	CASE("slower away: tried, more and more rarely");
	world = served(2000 * MIB, 1000 * MIB, 64000, 128 << 10);
	CHECK(world.moves >= 4);
	CHECK(world.bytes_away < world.bytes / 20);

	CASE("hardly faster away: not worth it");
	world = served(2000 * MIB, 2200 * MIB, 64000, 128 << 10);
	CHECK(world.bytes_away < world.bytes / 20);
}

static void test_left_alone(void)
{
	struct world world;

	CASE("small requests stay at home without a trial");
	world = served(200 * MIB, 400 * MIB, 1000000, 4096);
	CHECK_INT(world.moves, 0);

	CASE("so do those that nobody is in a hurry for");
	world = served(20 * MIB, 40 * MIB, 1000, MIB);
	CHECK_INT(world.moves, 0);

	CASE("and who was away comes home when there is no more to do");
	world = served(1000 * MIB, 2000 * MIB, 640, 128 << 10);
	CHECK(fuse_uring_place_is_away(&world.place));
	world.now += 1000000000;
	serve(&world, 1, 4096);
	CHECK(!fuse_uring_place_is_away(&world.place));

	CASE("to leave soon again");
	serve(&world, 2 * 64 + 1, 128 << 10);
	CHECK(fuse_uring_place_is_away(&world.place));
}

static void test_odd_numbers(void)
{
	struct world world = fresh;

	CASE("no time, clocks that stand still, and one that is behind");
	for (int i = 0; i < 100; i++)
		fuse_uring_place_tell(&world.place, i % 3 - 1, 1, 16 * MIB);
	CHECK(!fuse_uring_place_is_away(&world.place));

	CASE("all bytes there are");
	for (int i = 1; i < 100; i++)
		fuse_uring_place_tell(&world.place, i * 3000000, 1, UINT64_MAX);
}

/* Owners tell at the same time; what they say may get lost, but not what it is all about. */
static void *tell_all(void *data)
{
	struct fuse_uring_place *place = data;

	for (int64_t now = 1; now < 200000000; now += 1000)
		fuse_uring_place_tell(place, now, 1, 128 << 10);
	return NULL;
}

static void test_together(void)
{
	struct fuse_uring_place place = { 0 };
	pthread_t threads[4];
	unsigned away = 0;

	CASE("four owners");
	for (unsigned i = 0; i < 4; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, tell_all, &place), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);

	CASE("and it is in use as before");
	for (int64_t now = 300000000; now < 5300000000; now += 1000000) {
		bool is_away = fuse_uring_place_is_away(&place);

		away += is_away;
		fuse_uring_place_tell(&place, now, 1, is_away ? 4 * MIB : MIB);
	}
	CHECK(away > 2500); /* of 5000 times */
}

int main(void)
{
	test_better_away();
	test_better_at_home();
	test_left_alone();
	test_odd_numbers();
	test_together();
	return 0;
}
