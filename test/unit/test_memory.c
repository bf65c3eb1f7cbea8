// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Memory that clients share: what is taken and what is refused, its names, what the kernel is
 * told, and when it goes. The kernel is played by this test.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "memory/memory.h"

#define SIZE 65536
#define BOTH (F_SEAL_SHRINK | F_SEAL_GROW)

static struct {
	struct fuse_memories *memories;
	int next_number;
	int adds, removes;
	bool writable;
	int add_error;
	int busy; /* how often a removal is put off */
} kernel;

static int add(void *context, int fd, bool writable)
{
	CHECK(context == &kernel);
	CHECK(fcntl(fd, F_GETFD) >= 0);
	kernel.adds++;
	kernel.writable = writable;
	return kernel.add_error ? kernel.add_error : kernel.next_number++;
}

static int forget(void *context, unsigned number)
{
	CHECK(context == &kernel && number);
	kernel.removes++;
	return kernel.busy-- > 0 ? -EBUSY : 0;
}

static const struct fuse_memory_kernel_ops ops = { .add = add, .remove = forget };

static void start(struct fuse_memories *memories, bool attached)
{
	memset(&kernel, 0, sizeof(kernel));
	kernel.next_number = 7;
	fuse_memories_init(memories);
	if (attached)
		fuse_memories_attach(memories, &ops, &kernel);
}

static int make(int seals)
{
	int fd = memfd_create("shared", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	CHECK(fd >= 0);
	CHECK(ftruncate(fd, SIZE) == 0);
	CHECK(fcntl(fd, F_ADD_SEALS, seals) == 0);
	return fd;
}

/* The same file by another descriptor. */
static int reopen(int fd, int flags)
{
	char path[64];
	int other;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	other = open(path, flags | O_CLOEXEC);
	CHECK(other >= 0);
	return other;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void refuse(struct fuse_memories *memories, int fd, int error)
{
	uint64_t id = 99;

	CHECK_INT(fuse_memories_add(memories, fd, &id), error);
	CHECK_INT(id, 99);
	if (fd >= 0)
		close(fd);
}

static void test_refusals(void)
{
	struct fuse_memories memories;
	int pipes[2], empty, whole;

	CASE("what is refused");
	start(&memories, true);
	CHECK(pipe(pipes) == 0);
	close(pipes[1]);
	refuse(&memories, -1, -EBADF);
	refuse(&memories, pipes[0], -EOPNOTSUPP);
	refuse(&memories, open("/", O_RDONLY), -EOPNOTSUPP);
	refuse(&memories, open("/dev/zero", O_RDWR), -EOPNOTSUPP);
	refuse(&memories, make(0), -EPERM);
	refuse(&memories, make(F_SEAL_SHRINK), -EPERM);
	refuse(&memories, make(F_SEAL_GROW), -EPERM);
	whole = make(BOTH);
	refuse(&memories, reopen(whole, O_WRONLY), -EBADF);
	refuse(&memories, reopen(whole, O_PATH), -EBADF);
	close(whole);
	empty = memfd_create("empty", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	CHECK(fcntl(empty, F_ADD_SEALS, BOTH) == 0);
	refuse(&memories, empty, -EINVAL);
	CHECK_INT(kernel.adds, 0);
	fuse_memories_destroy(&memories);
}

static void test_life(void)
{
	struct fuse_memories memories;
	struct fuse_memory *memory;
	uint64_t id, other;
	int fd = make(BOTH), own;

	CASE("from its first name to its end");
	start(&memories, true);
	CHECK_INT(fuse_memories_add(&memories, fd, &id), 0);
	CHECK(id > 0 && kernel.adds == 1 && kernel.writable);
	CHECK(pwrite(fd, "hello", 5, 4096) == 5);
	memory = fuse_memories_get(&memories, 7, 4096, 5, true);
	CHECK(memory && !memcmp(memory->base + 4096, "hello", 5));
	CHECK_INT(fuse_memories_id_of(&memories, memory), id);
	own = memory->fd;

	/* The same by another descriptor is one piece with two names. */
	CHECK_INT(fuse_memories_add(&memories, fd, &other), 0);
	CHECK(other != id && kernel.adds == 1);
	CHECK_INT(fuse_memories_remove(&memories, id), 0);
	CHECK_INT(fuse_memories_remove(&memories, id), -ENOENT);
	CHECK_INT(kernel.removes, 0);
	CHECK_INT(fuse_memories_id_of(&memories, memory), other);
	CHECK_INT(fuse_memories_remove(&memories, other), 0);
	CHECK_INT(kernel.removes, 1);
	CHECK(!fuse_memories_get(&memories, 7, 0, 1, false));

	/* A request still has it. */
	CHECK_INT(fuse_memories_id_of(&memories, memory), 0);
	CHECK(is_open(own) && memory->base[4096] == 'h');
	fuse_memories_destroy(&memories);
	CHECK(is_open(own) && memory->base[4096] == 'h');
	fuse_memory_put(memory);
	CHECK(!is_open(own));
	close(fd);
}

static void test_places(void)
{
	struct fuse_memories memories;
	struct fuse_memory *memory;
	uint64_t id;
	int fd = make(BOTH);

	CASE("what a request may name");
	start(&memories, true);
	CHECK_INT(fuse_memories_add(&memories, fd, &id), 0);
	CHECK(!fuse_memories_get(&memories, 0, 0, 1, false));
	CHECK(!fuse_memories_get(&memories, 6, 0, 1, false));
	CHECK(!fuse_memories_get(&memories, 8, 0, 1, false));
	CHECK(!fuse_memories_get(&memories, FUSE_MEMORY_NUMBERS + 1ULL, 0, 1, false));
	CHECK(!fuse_memories_get(&memories, UINT64_MAX, 0, 1, false));
	CHECK(!fuse_memories_get(&memories, 7, SIZE, 1, false));
	CHECK(!fuse_memories_get(&memories, 7, 1, SIZE, false));
	CHECK(!fuse_memories_get(&memories, 7, UINT64_MAX, 2, false));
	CHECK(!fuse_memories_get(&memories, 7, 2, SIZE_MAX, false));
	memory = fuse_memories_get(&memories, 7, 1, SIZE - 1, true);
	CHECK(memory != NULL);
	fuse_memory_put(memory);
	CHECK_INT(fuse_memories_remove(&memories, id), 0);
	fuse_memories_destroy(&memories);
	close(fd);
}

static void look_only(int fd)
{
	struct fuse_memories memories;
	struct fuse_memory *memory;
	uint64_t id;

	start(&memories, true);
	CHECK_INT(fuse_memories_add(&memories, fd, &id), 0);
	CHECK(!kernel.writable);
	CHECK(!fuse_memories_get(&memories, 7, 0, 1, true));
	memory = fuse_memories_get(&memories, 7, 0, 1, false);
	CHECK(memory && memory->base[0] == 0);
	fuse_memory_put(memory);
	fuse_memories_destroy(&memories);
	close(fd);
}

static void test_read_only(void)
{
	int fd = make(BOTH);

	CASE("memory that may only be read");
	look_only(reopen(fd, O_RDONLY));
	look_only(make(BOTH | F_SEAL_WRITE));
	look_only(make(BOTH | F_SEAL_FUTURE_WRITE));
	close(fd);
}

static void test_lingering(void)
{
	struct fuse_memories memories;
	struct fuse_memory *memory;
	uint64_t id, again;
	int fd = make(BOTH), own;

	CASE("removed while requests are on their way");
	start(&memories, true);
	CHECK_INT(fuse_memories_add(&memories, fd, &id), 0);
	kernel.busy = 2;
	CHECK_INT(fuse_memories_remove(&memories, id), 0);
	CHECK_INT(kernel.removes, 1);

	/* One of them arrives, and meanwhile the memory comes back under another number. */
	memory = fuse_memories_get(&memories, 7, 0, SIZE, true);
	CHECK(memory != NULL);
	own = memory->fd;
	CHECK_INT(fuse_memories_add(&memories, fd, &again), 0);
	CHECK(again != id && kernel.adds == 2);
	fuse_memory_put(memory);
	fuse_memories_answered(&memories);
	CHECK_INT(kernel.removes, 2);
	CHECK(is_open(own));
	fuse_memories_answered(&memories);
	CHECK_INT(kernel.removes, 3);
	CHECK(!is_open(own));
	fuse_memories_answered(&memories); /* nothing is left to be asked */
	CHECK_INT(kernel.removes, 3);
	CHECK(!fuse_memories_get(&memories, 7, 0, 1, false));
	memory = fuse_memories_get(&memories, 8, 0, 1, false);
	CHECK(memory != NULL);
	fuse_memory_put(memory);

	/* The session ends before the kernel lets go. */
	kernel.busy = 1000;
	CHECK_INT(fuse_memories_remove(&memories, again), 0);
	fuse_memories_destroy(&memories);
	close(fd);
}

static void test_attaching(void)
{
	struct fuse_memories memories;
	uint64_t ids[3];
	int fds[3];

	CASE("a kernel that comes, goes and comes again");
	start(&memories, false);
	for (int i = 0; i < 3; i++) {
		fds[i] = make(BOTH);
		CHECK_INT(fuse_memories_add(&memories, fds[i], &ids[i]), 0);
	}
	CHECK_INT(kernel.adds, 0);
	CHECK(!fuse_memories_get(&memories, 7, 0, 1, false));
	CHECK_INT(fuse_memories_remove(&memories, ids[0]), 0);
	fuse_memories_attach(&memories, &ops, &kernel);
	CHECK_INT(kernel.adds, 2);

	/* What is removed while nobody can be told is told later. */
	fuse_memories_detach(&memories);
	CHECK_INT(fuse_memories_remove(&memories, ids[1]), 0);
	CHECK_INT(kernel.removes, 0);
	fuse_memories_attach(&memories, &ops, &kernel);
	CHECK_INT(kernel.removes, 1);
	CHECK_INT(kernel.adds, 2);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	fuse_memories_destroy(&memories);
}

static void test_kernel_refuses(void)
{
	struct fuse_memories memories;
	uint64_t id;
	int fd = make(BOTH);

	CASE("a kernel that will not have it");
	start(&memories, true);
	kernel.add_error = -ENOSPC;
	CHECK_INT(fuse_memories_add(&memories, fd, &id), 0);
	CHECK_INT(fuse_memories_remove(&memories, id), 0);
	CHECK_INT(kernel.removes, 0);
	close(fd);
	fuse_memories_destroy(&memories);
}

/* Names and files in numbers, in no order, against an array. */
static void test_many(void)
{
	enum {
		FILES = 50,
		ROUNDS = 20000
	};
	struct fuse_memories memories;
	uint64_t id[FILES][2] = { { 0 } };
	int fds[FILES];

	CASE("many");
	start(&memories, true);
	srandom(1);
	for (int i = 0; i < FILES; i++)
		fds[i] = make(BOTH);
	for (int i = 0; i < ROUNDS; i++) {
		int file = (int)(random() % FILES), slot = (int)(random() % 2);
		uint64_t *place = &id[file][slot];

		if (*place) {
			CHECK_INT(fuse_memories_remove(&memories, *place), 0);
			*place = 0;
		} else {
			CHECK_INT(fuse_memories_add(&memories, fds[file], place), 0);
		}
		if (kernel.next_number > 60000)
			kernel.next_number = 7;
	}
	CHECK(kernel.adds > ROUNDS / 8 && kernel.adds < ROUNDS / 2);
	for (int i = 0; i < FILES; i++) {
		bool known = id[i][0] || id[i][1];

		CHECK_INT(fuse_memories_remove(&memories, id[i][0]),
			  id[i][0] ? 0 : -ENOENT);
		CHECK_INT(fuse_memories_remove(&memories, id[i][1]),
			  id[i][1] ? 0 : -ENOENT);
		kernel.adds -= known;
		close(fds[i]);
	}
	CHECK(!memories.by_file && !memories.by_id && !memories.lingering);
	fuse_memories_destroy(&memories);
}

int main(void)
{
	test_refusals();
	test_life();
	test_places();
	test_read_only();
	test_lingering();
	test_attaching();
	test_kernel_refuses();
	test_many();
	return 0;
}
