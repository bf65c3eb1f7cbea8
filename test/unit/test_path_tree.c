// SPDX-License-Identifier: GPL-2.0-only
/*
 * Claims on paths: who may work beside whom, in which order those who wait are served, and
 * that nobody waits for ever.
 */
#include "check.h"
#include "path/tree.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

static struct fuse_tree tree;
static fuse_ino_t a, b, ab, abc;

static fuse_ino_t make(fuse_ino_t parent, const char *name)
{
	struct fuse_node *dir = fuse_node_find(&tree.nodes, parent);
	struct fuse_node *node = fuse_node_look_up(&tree.nodes, dir, name);

	CHECK(node);
	return node->id;
}

/*   /a/b/c and /b   */
static void set_up(void)
{
	fuse_tree_init(&tree);
	CHECK_INT(fuse_nodes_init(&tree.nodes, 0, false), 0);
	a = make(FUSE_ROOT_ID, "a");
	b = make(FUSE_ROOT_ID, "b");
	ab = make(a, "b");
	abc = make(ab, "c");
}

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

static struct fuse_claims one(fuse_ino_t ino, const char *name, bool exclusive)
{
	return (struct fuse_claims){
		.place = { { .ino = ino, .name = name, .exclusive = exclusive } },
		.count = 1,
	};
}

static struct fuse_claims two(fuse_ino_t ino, const char *name, fuse_ino_t ino2,
			      const char *name2, bool exclusive)
{
	return (struct fuse_claims){
		.place = { { .ino = ino, .name = name, .exclusive = exclusive },
			   { .ino = ino2, .name = name2, .exclusive = exclusive } },
		.count = 2,
	};
}

/* A thread that claims, says that it has, and drops when told to. */
struct worker {
	struct fuse_claims claims;
	pthread_t thread;
	_Atomic bool has, drop;
	int result;
	int order;
};

static _Atomic int orders;

static void *work(void *data)
{
	struct worker *worker = data;

	worker->result = fuse_tree_claim(&tree, &worker->claims);
	worker->order = ++orders;
	worker->has = true;
	if (worker->result)
		return NULL;
	while (!worker->drop)
		sleep_ms(1);
	fuse_tree_drop(&tree, &worker->claims);
	return NULL;
}

static void start(struct worker *worker, struct fuse_claims claims)
{
	*worker = (struct worker){ .claims = claims };
	CHECK_INT(pthread_create(&worker->thread, NULL, work, worker), 0);
}

static void finish(struct worker *worker)
{
	worker->drop = true;
	pthread_join(worker->thread, NULL);
}

static bool has_within(struct worker *worker, int ms)
{
	for (int i = 0; i < ms && !worker->has; i++)
		sleep_ms(1);
	return worker->has;
}

#define WAITS(worker) CHECK(!has_within(worker, 30))
#define HAS(worker)   CHECK(has_within(worker, 5000) && !(worker)->result)

static void test_paths(void)
{
	struct fuse_claims claims;

	CASE("paths of what is claimed");
	set_up();
	claims = one(abc, NULL, false);
	CHECK_INT(fuse_tree_claim(&tree, &claims), 0);
	CHECK_TEXT(claims.place[0].path, "/a/b/c");
	fuse_tree_drop(&tree, &claims);

	claims = two(a, "b", b, "new", true);
	CHECK_INT(fuse_tree_claim(&tree, &claims), 0);
	CHECK_TEXT(claims.place[0].path, "/a/b");
	CHECK_TEXT(claims.place[1].path, "/b/new");
	CHECK(claims.place[0].node && claims.place[0].node->id == ab);
	CHECK(!claims.place[1].node && claims.place[1].dir->id == b);
	fuse_tree_drop(&tree, &claims);

	claims = one(12345, NULL, false);
	CHECK_INT(fuse_tree_claim(&tree, &claims), -ESTALE);
	claims = two(FUSE_ROOT_ID, "a", abc, "into-itself", true);
	CHECK_INT(fuse_tree_claim(&tree, &claims), -EINVAL);

	fuse_node_remove_name(&tree.nodes, fuse_node_find(&tree.nodes, abc));
	claims = one(abc, NULL, false);
	CHECK_INT(fuse_tree_claim(&tree, &claims), -ENOENT);
	claims = one(abc, NULL, false);
	claims.nameless_ok = true;
	CHECK_INT(fuse_tree_claim(&tree, &claims), 0);
	CHECK(!claims.place[0].path);
	fuse_tree_drop(&tree, &claims);
	CHECK(!tree.held[0] && !tree.held[1] && !tree.waiting);
	fuse_tree_destroy(&tree);
}

/* Whether two requests can have their claims at the same time, in either order. */
static bool get_along(struct fuse_claims first, struct fuse_claims second)
{
	struct worker one_worker, other;
	bool both;

	start(&one_worker, first);
	HAS(&one_worker);
	start(&other, second);
	both = has_within(&other, 30);
	one_worker.drop = true;
	HAS(&other);
	finish(&other);
	finish(&one_worker);
	return both;
}

static bool agree(struct fuse_claims first, struct fuse_claims second)
{
	bool one_way = get_along(first, second), other_way = get_along(second, first);

	CHECK(one_way == other_way);
	return one_way;
}

static void test_conflicts(void)
{
	CASE("who gets along with whom");
	set_up();
	CHECK(agree(one(abc, NULL, false), one(abc, NULL, false)));
	CHECK(agree(one(abc, NULL, false), one(FUSE_ROOT_ID, NULL, false)));
	/* removing a name, and work on it, below and above */
	CHECK(!agree(one(a, "b", true), one(ab, NULL, false)));
	CHECK(!agree(one(a, "b", true), one(abc, NULL, false)));
	CHECK(!agree(one(a, "b", true), one(ab, "new", false)));
	CHECK(agree(one(a, "b", true), one(a, NULL, false)));
	CHECK(agree(one(a, "b", true), one(a, "new", false)));
	CHECK(agree(one(a, "b", true), one(b, NULL, false)));
	/* a name that is not there is nobody's path */
	CHECK(agree(one(a, "none", true), one(abc, NULL, false)));
	/* renames */
	CHECK(agree(two(ab, "c", b, "d", true), one(ab, "new", false)));
	CHECK(!agree(two(a, "b", b, "d", true), one(ab, "new", false)));
	CHECK(!agree(two(a, "b", b, "d", true), two(ab, "c", b, "e", true)));
	CHECK(agree(two(ab, "c", ab, "d", true), two(FUSE_ROOT_ID, "b", a, "x", true)));
	fuse_tree_destroy(&tree);
}

static void test_order(void)
{
	struct worker holder, renamer, reader, other;

	CASE("those who wait are served in order");
	set_up();
	orders = 0;
	start(&holder, one(abc, NULL, false));
	HAS(&holder);
	start(&renamer, two(FUSE_ROOT_ID, "a", b, "a", true));
	WAITS(&renamer);
	/* It could have its claim beside the holder's, but must not pass who came earlier. */
	start(&reader, one(abc, NULL, false));
	WAITS(&reader);
	start(&other, one(b, NULL, false));
	HAS(&other);
	finish(&holder);
	HAS(&renamer);
	WAITS(&reader);
	/* The renamer's path changes; who waits gets the new one. */
	fuse_tree_lock(&tree);
	CHECK_INT(fuse_node_rename(&tree.nodes, fuse_node_find(&tree.nodes, a),
				   fuse_node_find(&tree.nodes, b), "moved"),
		  0);
	fuse_tree_unlock(&tree);
	finish(&renamer);
	HAS(&reader);
	CHECK_TEXT(reader.claims.place[0].path, "/b/moved/b/c");
	finish(&reader);
	finish(&other);
	CHECK(holder.order < renamer.order && renamer.order < reader.order);
	CHECK(!tree.held[0] && !tree.held[1] && !tree.waiting);
	fuse_tree_destroy(&tree);
}

static void test_those_who_wait_fail(void)
{
	struct worker remover, reader, waiter;

	CASE("what is waited for goes away");
	set_up();
	start(&remover, one(ab, "c", true));
	HAS(&remover);
	start(&reader, one(abc, NULL, false));
	start(&waiter, one(ab, "c", true));
	WAITS(&reader);
	fuse_tree_lock(&tree);
	fuse_node_remove_name(&tree.nodes, fuse_node_find(&tree.nodes, abc));
	fuse_node_forget(&tree.nodes, fuse_node_find(&tree.nodes, abc), 1);
	fuse_tree_unlock(&tree);
	finish(&remover);
	CHECK(has_within(&reader, 5000));
	/* As long as somebody else waits for it, it is known, but has no name. */
	CHECK(reader.result == -ENOENT || reader.result == -ESTALE);
	/* There is no such name any more, and that is for the filesystem to say. */
	HAS(&waiter);
	CHECK(!waiter.claims.place[0].node);
	finish(&reader);
	finish(&waiter);
	fuse_tree_destroy(&tree);
}

static void test_who_may_pass(void)
{
	struct worker holder, renamer, urgent, patient;

	CASE("a lock is waited for, a rename waits, and the unlock gets through");
	set_up();
	start(&holder, one(abc, NULL, false));
	HAS(&holder);
	start(&renamer, two(FUSE_ROOT_ID, "a", b, "a", true));
	WAITS(&renamer);
	struct fuse_claims claims = one(abc, NULL, false);
	claims.urgent = true;
	start(&urgent, claims);
	CHECK(has_within(&urgent, 200));
	finish(&urgent);
	/* Others wait for a turn, but not for ever. */
	start(&patient, one(abc, NULL, false));
	WAITS(&patient);
	CHECK(has_within(&patient, 3000) && !patient.result);
	CHECK(!renamer.has);
	finish(&patient);
	finish(&holder);
	HAS(&renamer);
	finish(&renamer);
	fuse_tree_destroy(&tree);
}

static void test_letting_go(void)
{
	struct worker renamer;
	struct fuse_claims claims;

	CASE("who lets go keeps its path");
	set_up();
	claims = one(abc, NULL, false);
	CHECK_INT(fuse_tree_claim(&tree, &claims), 0);
	start(&renamer, two(FUSE_ROOT_ID, "a", b, "a", true));
	WAITS(&renamer);
	fuse_tree_let_go(&tree, &claims);
	HAS(&renamer);
	CHECK_TEXT(claims.place[0].path, "/a/b/c");
	fuse_tree_drop(&tree, &claims);
	finish(&renamer);
	fuse_tree_destroy(&tree);
}

/*
 * Threads that move directories about and work below them. While a claim is held, the path
 * is compared with what the tree says, again and again.
 */
enum {
	THREADS = 8,
	DIRECTORIES = 12,
	ROUNDS = 4000
};

static fuse_ino_t directory[DIRECTORIES];
static _Atomic int worked, moved;

static unsigned roll(unsigned *state, unsigned sides)
{
	*state = *state * 1103515245 + 12345;
	return *state / 65536 % sides;
}

static void check_path(const struct fuse_claims *claims)
{
	char *now, room[FUSE_PLACE_ROOM];
	const struct fuse_node *node = claims->place[0].node;

	fuse_tree_lock(&tree);
	CHECK_INT(fuse_node_path(&tree.nodes, node, NULL, room, sizeof(room), &now), 0);
	fuse_tree_unlock(&tree);
	CHECK_TEXT(now, claims->place[0].path);
	if (now != room)
		free(now);
}

static void work_below(fuse_ino_t ino)
{
	struct fuse_claims claims = one(ino, NULL, false);

	if (fuse_tree_claim(&tree, &claims) != 0)
		return;
	for (int i = 0; i < 3; i++) {
		check_path(&claims);
		sched_yield();
	}
	fuse_tree_drop(&tree, &claims);
	worked++;
}

/* As the kernel does it, no two threads at a time make the same name: each is used once. */
static void move(fuse_ino_t from, fuse_ino_t to, const char *name)
{
	struct fuse_claims claims;
	char old[32];
	fuse_ino_t parent;
	struct fuse_node *node;

	fuse_tree_lock(&tree);
	node = fuse_node_find(&tree.nodes, from);
	snprintf(old, sizeof(old), "%s", fuse_node_name(node));
	parent = node->parent->id;
	fuse_tree_unlock(&tree);
	claims = two(parent, old, to, name, true);
	if (fuse_tree_claim(&tree, &claims) != 0)
		return;
	CHECK(!claims.place[1].node);
	/* It may have been moved since we looked. */
	if (claims.place[0].node) {
		check_path(&claims);
		sched_yield();
		fuse_tree_lock(&tree);
		CHECK_INT(fuse_node_rename(&tree.nodes, claims.place[0].node,
					   claims.place[1].dir, name),
			  0);
		fuse_tree_unlock(&tree);
		moved++;
	}
	fuse_tree_drop(&tree, &claims);
}

static void *move_about(void *data)
{
	unsigned thread = (unsigned)(uintptr_t)data, state = thread;
	char name[32];

	for (int i = 0; i < ROUNDS; i++) {
		fuse_ino_t from = directory[roll(&state, DIRECTORIES)];
		fuse_ino_t to = directory[roll(&state, DIRECTORIES)];

		snprintf(name, sizeof(name), "d%u-%d", thread, i);
		if (roll(&state, 4))
			work_below(from);
		else
			move(from, roll(&state, 2) ? to : FUSE_ROOT_ID, name);
	}
	return NULL;
}

static void test_moving_about(void)
{
	pthread_t thread[THREADS];
	char name[32];

	CASE("%d threads move %d directories about", THREADS, DIRECTORIES);
	set_up();
	for (int i = 0; i < DIRECTORIES; i++) {
		snprintf(name, sizeof(name), "start%d", i);
		directory[i] = make(i ? directory[i / 2] : FUSE_ROOT_ID, name);
	}
	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK_INT(pthread_create(&thread[i], NULL, move_about, (void *)(i + 1)),
			  0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	printf("worked %d times, moved %d\n", worked, moved);
	CHECK(worked > ROUNDS && moved > ROUNDS / 100);
	CHECK(!tree.held[0] && !tree.held[1] && !tree.waiting);
	fuse_tree_destroy(&tree);
}

int main(void)
{
	test_paths();
	test_conflicts();
	test_order();
	test_those_who_wait_fail();
	test_who_may_pass();
	test_letting_go();
	test_moving_about();
	return 0;
}
