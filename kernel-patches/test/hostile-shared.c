// SPDX-License-Identifier: GPL-2.0-only
/*
 * Servers and clients that do with shared memory what they must not do. What the kernel has to
 * refuse is checked one by one; then come random commands. Whether the kernel took harm is for the
 * kernel's own tools to say (KASAN, lockdep, kmemleak). After each test none of the files that were
 * registered is held any more: they lie in a file system of their own, which tells how many it has.
 *
 *	hostile-shared [random commands]
 *
 * Needs root, a kernel with the patches for 7.3, and enable_uring=Y.
 */
#define _GNU_SOURCE
#include "pools.h"
#include "by_hand.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_SIZE (1UL << 20)
#define MEMORY_SIZE (1UL << 20)
#define IO_SIZE 16384U

static char mountpoint[] = "/tmp/hostile-XXXXXX";
static char arena[] = "/tmp/arena-XXXXXX";
static char data_path[64];

static const struct setup own = { .payload = OWN, .depth = 4 };
static const struct setup one_buffer = { .payload = POOL, .depth = 4, .nr_bufs = 1 };
static const struct setup zero_copy = {
	.payload = REGISTERED_POOL, .zero_copy = true, .depth = 4, .nr_bufs = 4
};

/* Memory: files without a name */

static unsigned long arena_files(void)
{
	struct statvfs state;

	CHECK(!statvfs(arena, &state));
	return state.f_files - state.f_ffree;
}

static unsigned long files_at_rest;

static int make_memory(void)
{
	int fd = open(arena, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && !ftruncate(fd, MEMORY_SIZE));
	return fd;
}

static char *map_memory(int fd)
{
	char *memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	CHECK(memory != MAP_FAILED);
	return memory;
}

/* Whoever lets go of a file last may leave that to a worker. */
static void check_nothing_held(void)
{
	for (int i = 0; i < 5000 && arena_files() != files_at_rest; i++)
		usleep(2000);
	if (arena_files() != files_at_rest)
		die("%lu files are still held", arena_files() - files_at_rest);
}

/* A server that is done by hand */

struct by_hand {
	struct mounted mounted;
	struct queue queues[8];
	struct queue *queue; /* that of the clients' CPU */
	struct commander commander;
};

static void by_hand_begin(struct by_hand *hand, const struct setup *setup)
{
	mount_begin(&hand->mounted, mountpoint);
	CHECK(hand->mounted.kernel_flags & FUSE_HAS_IO_URING_SHARED_MEMORY);
	CHECK(hand->mounted.nr_queues <= 8);
	for (int i = 0; i < hand->mounted.nr_queues; i++) {
		queue_init(&hand->queues[i], &hand->mounted, i, setup);
		for (int slot = 0; slot < setup->depth; slot++)
			queue_register(&hand->queues[i], slot);
		CHECK(io_uring_submit(&hand->queues[i].ring) == setup->depth);
	}
	hand->queue = &hand->queues[0];
	commander_init(&hand->commander, &hand->mounted);
}

static void by_hand_end(struct by_hand *hand)
{
	mount_end(&hand->mounted);
	commander_free(&hand->commander);
	for (int i = 0; i < hand->mounted.nr_queues; i++)
		queue_free(&hand->queues[i]);
}

static int add(struct by_hand *hand, int fd, uint64_t flags)
{
	return memory_add(&hand->commander, fd, flags);
}

static int add_all(struct by_hand *hand, int fd)
{
	int id = add(hand, fd, MEMORY_BOTH);

	if (id <= 0)
		die("ADD_MEMORY: %s", strerror(-id));
	return id;
}

static int removed(struct by_hand *hand, uint32_t id)
{
	return memory_remove(&hand->commander, id);
}

/* What is needed until a file is open, and after it was closed */
static void answer(struct queue *queue, unsigned int slot)
{
	struct fuse_in_header *in = queue_in(queue, slot);
	char *payload = queue_payload(queue, slot);
	struct fuse_attr attr = { .ino = in->nodeid == 1 ? 1 : 2,
				  .mode = in->nodeid == 1 ? S_IFDIR | 0755 :
							    S_IFREG | 0666,
				  .nlink = 1,
				  .size = FILE_SIZE };

	switch (in->opcode) {
	case FUSE_LOOKUP:
		attr.ino = 2;
		attr.mode = S_IFREG | 0666;
		*(struct fuse_entry_out *)payload = (struct fuse_entry_out){
			.nodeid = 2, .attr_valid = 9, .attr = attr
		};
		queue_commit(queue, slot, 0, sizeof(struct fuse_entry_out));
		break;
	case FUSE_GETATTR:
		*(struct fuse_attr_out *)payload =
			(struct fuse_attr_out){ .attr_valid = 9, .attr = attr };
		queue_commit(queue, slot, 0, sizeof(struct fuse_attr_out));
		break;
	case FUSE_OPEN:
		*(struct fuse_open_out *)payload = (struct fuse_open_out){
			/* who is killed has no FLUSH to wait for */
			.open_flags = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES |
				      FOPEN_IO_URING_ZERO_COPY | FOPEN_NOFLUSH,
		};
		queue_commit(queue, slot, 0, sizeof(struct fuse_open_out));
		break;
	case FUSE_RELEASE:
		queue_commit(queue, slot, 0, 0);
		break;
	default:
		queue_commit(queue, slot, -ENOSYS, 0);
	}
}

/* Serves until there is a request of this kind. Returns its slot. */
static unsigned int serve_until(struct queue *queue, uint32_t opcode)
{
	for (;;) {
		struct completion cqe = ring_next(&queue->ring);

		if (cqe.res)
			die("waiting for opcode %u: %s", opcode, strerror(-cqe.res));
		if (queue_in(queue, cqe.user_data)->opcode == opcode)
			return cqe.user_data;
		answer(queue, cqe.user_data);
	}
}

static void commit(struct queue *queue, unsigned int slot, int error, uint32_t size)
{
	queue_commit(queue, slot, error, size);
	io_uring_submit(&queue->ring);
}

static void commit_write(struct queue *queue, unsigned int slot, uint32_t size)
{
	*(struct fuse_write_out *)queue_payload(queue, slot) =
		(struct fuse_write_out){ .size = size };
	commit(queue, slot, 0, sizeof(struct fuse_write_out));
}

static bool is_shared(struct queue *queue, unsigned int slot, int id, uint64_t offset)
{
	struct fuse_uring_ent_in_out *ent = &queue->headers[slot].ring_ent_in_out;

	if (!(ent->flags & FUSE_URING_ENT_SHARED_MEMORY))
		return false;
	CHECK((int)FUSE_URING_MEMORY_ID(ent->memory) == id);
	CHECK(FUSE_URING_MEMORY_OFFSET(ent->memory) == offset);
	return true;
}

/* Clients: each a thread, with the file open, so that it does nothing but what it is for */

struct client {
	pthread_t thread;
	int fd;
	bool write;
	char *bytes;
	size_t size;
	ssize_t result;
	int error;
};

static void *open_data(void *argument)
{
	*(int *)argument = open(data_path, O_RDWR | O_CLOEXEC);
	return NULL;
}

static int open_by_hand(struct by_hand *hand)
{
	pthread_t thread;
	int fd = -1;

	CHECK(!pthread_create(&thread, NULL, open_data, &fd));
	answer(hand->queue, serve_until(hand->queue, FUSE_OPEN));
	io_uring_submit(&hand->queue->ring);
	pthread_join(thread, NULL);
	CHECK(fd >= 0);
	return fd;
}

static void *close_data(void *argument)
{
	close(*(int *)argument);
	return NULL;
}

static void close_by_hand(struct by_hand *hand, int fd)
{
	pthread_t thread;

	CHECK(!pthread_create(&thread, NULL, close_data, &fd));
	answer(hand->queue, serve_until(hand->queue, FUSE_RELEASE));
	io_uring_submit(&hand->queue->ring);
	pthread_join(thread, NULL);
}

static void *run_client(void *argument)
{
	struct client *client = argument;

	if (client->write)
		client->result = pwrite(client->fd, client->bytes, client->size, 0);
	else
		client->result = pread(client->fd, client->bytes, client->size, 0);
	client->error = errno;
	return NULL;
}

static void client_start(struct client *client, int fd, bool write, char *bytes, size_t size)
{
	*client = (struct client){ .fd = fd, .write = write, .bytes = bytes, .size = size };
	CHECK(!pthread_create(&client->thread, NULL, run_client, client));
}

static ssize_t client_end(struct client *client)
{
	pthread_join(client->thread, NULL);
	return client->result;
}

/* Wrong commands */

static void expect_add(struct by_hand *hand, const char *what, int fd, uint64_t flags,
		       int error)
{
	int result = add(hand, fd, flags);

	if (error ? result != error : result <= 0)
		die("%s: %d, not %d", what, result, error);
	if (result > 0)
		CHECK(removed(hand, result) == 0);
	if (fd >= 0)
		close(fd);
}

static int reopen(int fd, int mode)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = open(path, mode | O_CLOEXEC);
	CHECK(fd >= 0);
	return fd;
}

static int sealed(unsigned int seals)
{
	int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	CHECK(fd >= 0 && !ftruncate(fd, 4096));
	CHECK(!fcntl(fd, F_ADD_SEALS, seals));
	return fd;
}

static int one_end(int ends[2])
{
	close(ends[1]);
	return ends[0];
}

static int make_pipe(void)
{
	int ends[2];

	CHECK(!pipe2(ends, O_CLOEXEC));
	return one_end(ends);
}

static int make_socket(void)
{
	int ends[2];

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
	return one_end(ends);
}

static void test_descriptors(void)
{
	int memory = make_memory(), closed = fcntl(memory, F_DUPFD, 900);
	struct by_hand hand;

	close(closed);
	by_hand_begin(&hand, &own);
#define REFUSE(fd, flags, error) expect_add(&hand, #fd, fd, flags, error)
#define ACCEPT(fd, flags) expect_add(&hand, #fd, fd, flags, 0)
	REFUSE(-1, MEMORY_BOTH, -EBADF);
	REFUSE(INT32_MIN, MEMORY_BOTH, -EBADF);
	CHECK(add(&hand, closed, MEMORY_BOTH) == -EBADF);
	REFUSE(reopen(memory, O_PATH), MEMORY_BOTH, -EBADF);

	REFUSE(open("/", O_RDONLY), FUSE_URING_MEMORY_READ, -EOPNOTSUPP);
	REFUSE(open(arena, O_RDONLY), FUSE_URING_MEMORY_READ, -EOPNOTSUPP);
	REFUSE(make_pipe(), FUSE_URING_MEMORY_READ, -EOPNOTSUPP);
	REFUSE(make_socket(), MEMORY_BOTH, -EOPNOTSUPP);
	REFUSE(eventfd(0, 0), MEMORY_BOTH, -EOPNOTSUPP);
	REFUSE(epoll_create1(0), MEMORY_BOTH, -EOPNOTSUPP);
	REFUSE(open("/dev/zero", O_RDWR), MEMORY_BOTH, -EOPNOTSUPP);
	REFUSE(open("/dev/fuse", O_RDWR), MEMORY_BOTH, -EOPNOTSUPP);
	REFUSE(dup(hand.mounted.fuse), MEMORY_BOTH, -EOPNOTSUPP);
	REFUSE(dup(hand.queue->ring.ring_fd), MEMORY_BOTH, -EOPNOTSUPP);
	REFUSE(open("/proc/self/status", O_RDONLY), FUSE_URING_MEMORY_READ, -EOPNOTSUPP);
	REFUSE(open("/proc/self/exe", O_RDONLY), FUSE_URING_MEMORY_READ, -EOPNOTSUPP);

	closed = open_by_hand(&hand);
	CHECK(add(&hand, closed, MEMORY_BOTH) == -EOPNOTSUPP);
	close_by_hand(&hand, closed);

	REFUSE(reopen(memory, O_RDONLY), FUSE_URING_MEMORY_WRITE, -EACCES);
	REFUSE(reopen(memory, O_RDONLY), MEMORY_BOTH, -EACCES);
	ACCEPT(reopen(memory, O_RDONLY), FUSE_URING_MEMORY_READ);
	REFUSE(reopen(memory, O_WRONLY), FUSE_URING_MEMORY_READ, -EACCES);
	REFUSE(reopen(memory, O_WRONLY), MEMORY_BOTH, -EACCES);
	ACCEPT(reopen(memory, O_WRONLY), FUSE_URING_MEMORY_WRITE);
	ACCEPT(dup(memory), MEMORY_BOTH);

	REFUSE(sealed(F_SEAL_WRITE), FUSE_URING_MEMORY_WRITE, -EACCES);
	REFUSE(sealed(F_SEAL_WRITE), MEMORY_BOTH, -EACCES);
	ACCEPT(sealed(F_SEAL_WRITE), FUSE_URING_MEMORY_READ);
	REFUSE(sealed(F_SEAL_FUTURE_WRITE), FUSE_URING_MEMORY_WRITE, -EACCES);
	ACCEPT(sealed(F_SEAL_FUTURE_WRITE), FUSE_URING_MEMORY_READ);
	ACCEPT(sealed(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), MEMORY_BOTH);

	REFUSE(dup(memory), 0, -EINVAL);
	REFUSE(dup(memory), 4, -EINVAL);
	REFUSE(dup(memory), MEMORY_BOTH | 1ULL << 63, -EINVAL);
	by_hand_end(&hand);
	close(memory);
	check_nothing_held();
}

#define ADD FUSE_IO_URING_CMD_ADD_MEMORY
#define REMOVE FUSE_IO_URING_CMD_REMOVE_MEMORY

static void test_commands(void)
{
	int memory = make_memory(), other = make_memory(), id, next;
	struct fuse_uring_cmd_req commands[6] = { 0 };
	struct by_hand hand;

	by_hand_begin(&hand, &own);
	for (int i = 0; i < 6; i++)
		commands[i] = (struct fuse_uring_cmd_req){ .flags = MEMORY_BOTH,
							   .memory.fd = memory };
	commands[0].qid = 1;
	commands[1].commit_id = 1;
	commands[2].padding[5] = 1;
	commands[3].memory.id = 1;
	commands[4].bufpool.len = 1;
	commands[5].bufpool.reserved = 1;
	for (int i = 0; i < 6; i++)
		CHECK(memory_command(&hand.commander, ADD, &commands[i]) == -EINVAL);

	id = add_all(&hand, memory);
	CHECK(add(&hand, memory, MEMORY_BOTH) == -EEXIST);
	CHECK(add(&hand, memory, FUSE_URING_MEMORY_READ) == -EEXIST);
	expect_add(&hand, "reopened", reopen(memory, O_RDONLY), FUSE_URING_MEMORY_READ,
		   -EEXIST);
	for (int i = 0; i < 6; i++)
		commands[i] = (struct fuse_uring_cmd_req){ .memory.id = id };
	commands[0].qid = 1;
	commands[1].commit_id = 1;
	commands[2].flags = 1;
	commands[3].memory.fd = memory;
	commands[4].bufpool.len = 1;
	commands[5].bufpool.reserved = 1;
	for (int i = 0; i < 6; i++)
		CHECK(memory_command(&hand.commander, REMOVE, &commands[i]) == -EINVAL);

	next = add_all(&hand, other);
	CHECK(next != id);
	CHECK(removed(&hand, 0) == -ENOENT);
	CHECK(removed(&hand, 12345) == -ENOENT);
	CHECK(removed(&hand, 65536 + id) == -ENOENT);
	CHECK(removed(&hand, UINT32_MAX) == -ENOENT);
	CHECK(removed(&hand, id) == 0);
	CHECK(removed(&hand, id) == -ENOENT);
	/* ids come back only after all others */
	next = add_all(&hand, memory);
	CHECK(next > id);
	for (int i = 0; i < 1000; i++) {
		CHECK(removed(&hand, next) == 0);
		id = add_all(&hand, memory);
		CHECK(id == next + 1);
		next = id;
	}
	close(memory);
	close(other);
	by_hand_end(&hand);
	check_nothing_held();
}

/* By descriptors of the device that were cloned, and on a ring without the large entries */
static void test_other_ways(void)
{
	int memory = make_memory(), id;
	struct mounted clone;
	struct commander commander;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	struct by_hand hand;
	struct io_uring ring;

	by_hand_begin(&hand, &own);
	clone = hand.mounted;
	clone.fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	CHECK(clone.fuse >= 0 && !ioctl(clone.fuse, FUSE_DEV_IOC_CLONE, &hand.mounted.fuse));
	commander_init(&commander, &clone);
	id = memory_add(&commander, memory, MEMORY_BOTH);
	CHECK(id > 0 && add(&hand, memory, MEMORY_BOTH) == -EEXIST);
	commander_free(&commander);
	close(clone.fuse);
	CHECK(removed(&hand, id) == 0);

	CHECK(!io_uring_queue_init(4, &ring, 0));
	sqe = io_uring_get_sqe(&ring);
	CHECK(sqe);
	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, hand.mounted.fuse, NULL, 0, ADD);
	CHECK(io_uring_submit_and_wait(&ring, 1) == 1 && !io_uring_peek_cqe(&ring, &cqe));
	CHECK(cqe->res == -EINVAL);
	io_uring_queue_exit(&ring);

	/* of a queue's own ring */
	sqe = queue_command(hand.queue, ADD, 7000);
	sqe_command(sqe)->flags = FUSE_URING_MEMORY_READ;
	sqe_command(sqe)->memory.fd = memory;
	id = ring_next(&hand.queue->ring).res;
	CHECK(id > 0);
	mount_abort(&hand.mounted);
	close(memory);
	check_nothing_held();
	memory = make_memory();
	id = add(&hand, memory, MEMORY_BOTH);
	CHECK(id == -ECONNABORTED || id == -ENOTCONN);
	id = removed(&hand, 1);
	CHECK(id == -ECONNABORTED || id == -ENOTCONN);
	close(memory);
	by_hand_end(&hand);
	check_nothing_held();
}

/* Descriptors are closed at once: the kernel alone holds the files. */
static void fill_up(struct by_hand *hand, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		int fd = make_memory();

		CHECK(pwrite(fd, "", 1, 0) == 1);
		add_all(hand, fd);
		close(fd);
	}
}

static void test_limits(void)
{
	struct rlimit old, limit;
	struct by_hand hand;
	int fd;

	CHECK(!getrlimit(RLIMIT_NOFILE, &old));
	by_hand_begin(&hand, &own);
	limit = (struct rlimit){ 100, old.rlim_max };
	CHECK(!setrlimit(RLIMIT_NOFILE, &limit));
	fill_up(&hand, 100);
	fd = make_memory();
	CHECK(add(&hand, fd, MEMORY_BOTH) == -EMFILE);
	CHECK(removed(&hand, 50) == 0);
	CHECK(add_all(&hand, fd) == 101);
	CHECK(removed(&hand, 101) == 0);
	close(fd);

	limit = (struct rlimit){ 10000, old.rlim_max < 10000 ? 10000 : old.rlim_max };
	CHECK(!setrlimit(RLIMIT_NOFILE, &limit));
	fill_up(&hand, 10000 - 99);
	fd = make_memory();
	CHECK(add(&hand, fd, MEMORY_BOTH) == -EMFILE);
	close(fd);
	CHECK(arena_files() == files_at_rest + 10000);
	for (uint32_t id = 1; id < 5000; id++)
		CHECK(removed(&hand, id) == (id == 50 || id == 101 ? -ENOENT : 0));
	CHECK(arena_files() == files_at_rest + 10000 - 4997);
	by_hand_end(&hand);
	check_nothing_held();
	CHECK(!setrlimit(RLIMIT_NOFILE, &old));
}

/* All ids, if there may be as many descriptors */
static void test_all_ids(void)
{
	struct rlimit old, limit = { 70000, 70000 };
	struct by_hand hand;
	int fd;

	CHECK(!getrlimit(RLIMIT_NOFILE, &old));
	CHECK(!setrlimit(RLIMIT_NOFILE, &limit));
	by_hand_begin(&hand, &own);
	for (unsigned int i = 1; i < 65536; i++) {
		fd = make_memory();
		CHECK(add_all(&hand, fd) == (int)i);
		close(fd);
	}
	fd = make_memory();
	CHECK(add(&hand, fd, MEMORY_BOTH) == -ENOSPC);
	CHECK(removed(&hand, 777) == 0);
	CHECK(add_all(&hand, fd) == 777);
	close(fd);
	by_hand_end(&hand);
	check_nothing_held();
	CHECK(!setrlimit(RLIMIT_NOFILE, &old));
}

/* Removal with requests under way, also with one that no entry has taken yet */
static void test_busy(const struct setup *setup)
{
	int memory = make_memory(), id, again, fd;
	char *bytes = map_memory(memory);
	struct client clients[6];
	unsigned int slots[6];
	struct by_hand hand;

	by_hand_begin(&hand, setup);
	fd = open_by_hand(&hand);
	id = add_all(&hand, memory);
	for (int i = 0; i < 6; i++) {
		client_start(&clients[i], fd, i & 1 && setup != &one_buffer,
			     bytes + i * IO_SIZE, IO_SIZE);
		mount_wait_for(&hand.mounted, i + 1);
	}
	for (int i = 0; i < 4; i++) {
		slots[i] = ring_next(&hand.queue->ring).user_data;
		CHECK(is_shared(hand.queue, slots[i], id, i * IO_SIZE));
	}
	CHECK(removed(&hand, id) == -EBUSY);
	CHECK(removed(&hand, id) == -EBUSY);
	again = add_all(&hand, memory);
	CHECK(again != id && add(&hand, memory, MEMORY_BOTH) == -EEXIST);
	for (int i = 0; i < 6; i++) {
		if (i >= 4) {
			slots[i] = ring_next(&hand.queue->ring).user_data;
			CHECK(is_shared(hand.queue, slots[i], id, i * IO_SIZE));
		}
		CHECK(removed(&hand, id) == -EBUSY);
		if (clients[i].write) {
			commit_write(hand.queue, slots[i], IO_SIZE);
		} else {
			memset(bytes + i * IO_SIZE, 'a' + i, IO_SIZE);
			commit(hand.queue, slots[i], 0, IO_SIZE);
		}
	}
	CHECK(removed(&hand, id) == 0);
	CHECK(removed(&hand, id) == -ENOENT);
	for (int i = 0; i < 6; i++)
		CHECK(client_end(&clients[i]) == IO_SIZE);

	client_start(&clients[0], fd, false, bytes, IO_SIZE);
	slots[0] = serve_until(hand.queue, FUSE_READ);
	CHECK(is_shared(hand.queue, slots[0], again, 0));
	commit(hand.queue, slots[0], -EXDEV, 0);
	CHECK(removed(&hand, again) == 0);
	CHECK(client_end(&clients[0]) == -1 && clients[0].error == EXDEV);
	close_by_hand(&hand, fd);
	munmap(bytes, MEMORY_SIZE);
	close(memory);
	by_hand_end(&hand);
	check_nothing_held();
}

/* Replies that cannot be */
static void test_replies(void)
{
	int memory = make_memory(), id, fd;
	char *bytes = map_memory(memory);
	struct client client;
	struct by_hand hand;
	unsigned int slot;

	by_hand_begin(&hand, &one_buffer);
	fd = open_by_hand(&hand);
	id = add_all(&hand, memory);
	for (int i = 0; i < 3; i++) {
		static const uint32_t too_much[] = { IO_SIZE + 1, 1U << 31, UINT32_MAX };

		memset(bytes, 0x66, MEMORY_SIZE);
		client_start(&client, fd, false, bytes + 100, IO_SIZE);
		slot = serve_until(hand.queue, FUSE_READ);
		CHECK(is_shared(hand.queue, slot, id, 100));
		commit(hand.queue, slot, 0, too_much[i]);
		CHECK(client_end(&client) == -1 && client.error == EINVAL);
		for (unsigned int k = 0; k < MEMORY_SIZE; k++)
			CHECK(bytes[k] == 0x66);
	}
	/* a header that says something else of where the data are makes no difference */
	client_start(&client, fd, false, bytes + 100, IO_SIZE);
	slot = serve_until(hand.queue, FUSE_READ);
	hand.queue->headers[slot].ring_ent_in_out.memory = 0;
	hand.queue->headers[slot].ring_ent_in_out.flags = FUSE_URING_ENT_ZERO_COPY;
	memset(bytes + 100, 0x67, IO_SIZE);
	commit(hand.queue, slot, 0, 10);
	CHECK(client_end(&client) == 10);
	CHECK(bytes[99] == 0x66 && bytes[109] == 0x67 && !bytes[110]);
	CHECK(!bytes[99 + IO_SIZE] && bytes[100 + IO_SIZE] == 0x66);
	close_by_hand(&hand, fd);
	munmap(bytes, MEMORY_SIZE);
	close(memory);
	by_hand_end(&hand);
	check_nothing_held();
}

/* The one buffer is taken; a READ into shared memory has no need of it, a WRITE waits for it. */
static void test_no_buffer(void)
{
	int memory = make_memory(), id, fd;
	char *bytes = map_memory(memory), *anonymous = malloc(IO_SIZE);
	struct client writer, readers[2], other;
	unsigned int slot, slots[2];
	struct by_hand hand;

	by_hand_begin(&hand, &one_buffer);
	fd = open_by_hand(&hand);
	id = add_all(&hand, memory);
	client_start(&writer, fd, true, memset(anonymous, 1, IO_SIZE), IO_SIZE);
	slot = serve_until(hand.queue, FUSE_WRITE);
	CHECK(!is_shared(hand.queue, slot, id, 0));
	for (int i = 0; i < 2; i++) {
		client_start(&readers[i], fd, false, bytes + i * IO_SIZE, IO_SIZE);
		slots[i] = serve_until(hand.queue, FUSE_READ);
		CHECK(is_shared(hand.queue, slots[i], id, i * IO_SIZE));
	}
	client_start(&other, fd, true, bytes, IO_SIZE);
	mount_wait_for(&hand.mounted, 4);
	for (int i = 0; i < 2; i++) {
		commit(hand.queue, slots[i], 0, IO_SIZE);
		CHECK(client_end(&readers[i]) == IO_SIZE);
	}
	commit_write(hand.queue, slot, IO_SIZE);
	CHECK(client_end(&writer) == IO_SIZE);
	slot = serve_until(hand.queue, FUSE_WRITE);
	CHECK(is_shared(hand.queue, slot, id, 0));
	commit_write(hand.queue, slot, IO_SIZE);
	CHECK(client_end(&other) == IO_SIZE);
	close_by_hand(&hand, fd);
	munmap(bytes, MEMORY_SIZE);
	free(anonymous);
	close(memory);
	by_hand_end(&hand);
	check_nothing_held();
}

/* What becomes of the memory while the server has the request */

static void punch(int memory)
{
	CHECK(!fallocate(memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, MEMORY_SIZE));
}

static void cut(int memory)
{
	CHECK(!ftruncate(memory, 0) && !ftruncate(memory, MEMORY_SIZE));
}

static void test_vanishing(void (*vanish)(int memory))
{
	int memory = make_memory(), id, fd;
	char *bytes = map_memory(memory), *servers = map_memory(memory);
	struct client client;
	struct by_hand hand;
	unsigned int slot;

	by_hand_begin(&hand, &one_buffer);
	fd = open_by_hand(&hand);
	id = add_all(&hand, memory);

	/* the server sees what the file has now, which is nothing */
	memset(bytes, 0x21, MEMORY_SIZE);
	client_start(&client, fd, true, bytes, IO_SIZE);
	slot = serve_until(hand.queue, FUSE_WRITE);
	CHECK(is_shared(hand.queue, slot, id, 0));
	vanish(memory);
	for (unsigned int i = 0; i < MEMORY_SIZE; i++)
		CHECK(!servers[i]);
	commit_write(hand.queue, slot, IO_SIZE);
	CHECK(client_end(&client) == IO_SIZE);

	/* what it fills in is in the file; the pages that were cleared are so no longer */
	client_start(&client, fd, false, bytes, IO_SIZE);
	slot = serve_until(hand.queue, FUSE_READ);
	CHECK(is_shared(hand.queue, slot, id, 0));
	vanish(memory);
	memset(servers, 0x22, MEMORY_SIZE);
	commit(hand.queue, slot, 0, 1000);
	CHECK(client_end(&client) == 1000);
	for (unsigned int i = 0; i < MEMORY_SIZE; i++)
		CHECK(bytes[i] == 0x22);

	/* shorter, and not longer again */
	client_start(&client, fd, false, bytes, IO_SIZE);
	slot = serve_until(hand.queue, FUSE_READ);
	CHECK(!ftruncate(memory, 5000));
	commit(hand.queue, slot, 0, 0);
	CHECK(client_end(&client) == 0);
	CHECK(removed(&hand, id) == 0);
	close_by_hand(&hand, fd);
	munmap(bytes, MEMORY_SIZE);
	munmap(servers, MEMORY_SIZE);
	close(memory);
	by_hand_end(&hand);
	check_nothing_held();
}

/* The client has unmapped the memory, and has other memory in its place. */
static void test_unmapped(void)
{
	int memory = make_memory(), id, fd;
	char *bytes = map_memory(memory), *servers = map_memory(memory);
	struct client client;
	struct by_hand hand;
	unsigned int slot;

	by_hand_begin(&hand, &one_buffer);
	fd = open_by_hand(&hand);
	id = add_all(&hand, memory);
	client_start(&client, fd, false, bytes, IO_SIZE);
	slot = serve_until(hand.queue, FUSE_READ);
	CHECK(is_shared(hand.queue, slot, id, 0));
	CHECK(mmap(bytes, MEMORY_SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == bytes);
	memset(bytes, 0x31, MEMORY_SIZE);
	memset(servers, 0x32, MEMORY_SIZE);
	commit(hand.queue, slot, 0, 100);
	CHECK(client_end(&client) == 100);
	for (unsigned int i = 0; i < MEMORY_SIZE; i++) {
		CHECK(bytes[i] == 0x31);
		CHECK(servers[i] == (i < 100 || i >= IO_SIZE ? 0x32 : 0));
	}
	close_by_hand(&hand, fd);
	munmap(bytes, MEMORY_SIZE);
	munmap(servers, MEMORY_SIZE);
	close(memory);
	by_hand_end(&hand);
	check_nothing_held();
}

/* Clients that are killed: with their request in the server, and before it is */
static void test_killed_clients(void)
{
	int memory = make_memory(), id, fd, status;
	char *bytes = map_memory(memory);
	struct by_hand hand;
	unsigned int slot;
	pid_t pids[6];

	by_hand_begin(&hand, &one_buffer);
	fd = open_by_hand(&hand);
	id = add_all(&hand, memory);
	for (int i = 0; i < 6; i++) {
		pids[i] = fork();
		CHECK(pids[i] >= 0);
		if (!pids[i]) {
			close(hand.mounted.fuse);
			_exit(pread(fd, bytes, IO_SIZE, 0) != IO_SIZE);
		}
		mount_wait_for(&hand.mounted, i + 1);
	}
	/* four are with the server */
	for (int i = 0; i < 6; i++)
		CHECK(!kill(pids[i], SIGKILL));
	for (int i = 4; i < 6; i++)
		CHECK(waitpid(pids[i], &status, 0) == pids[i] && WIFSIGNALED(status));
	mount_wait_for(&hand.mounted, 4);
	for (int i = 0; i < 4; i++) {
		CHECK(removed(&hand, id) == -EBUSY);
		slot = serve_until(hand.queue, FUSE_READ);
		CHECK(is_shared(hand.queue, slot, id, 0));
		commit(hand.queue, slot, 0, i * 1000);
		CHECK(waitpid(pids[i], &status, 0) == pids[i] && WIFSIGNALED(status));
	}
	CHECK(removed(&hand, id) == 0);
	close_by_hand(&hand, fd);
	munmap(bytes, MEMORY_SIZE);
	close(memory);
	by_hand_end(&hand);
	check_nothing_held();
}

/* The connection goes, with requests that are with the server, and that wait. */
static void test_abort(bool close_ring)
{
	int memory = make_memory(), fd;
	char *bytes = map_memory(memory);
	struct client clients[6];
	struct by_hand hand;

	by_hand_begin(&hand, &own);
	fd = open_by_hand(&hand);
	add_all(&hand, memory);
	fill_up(&hand, 20);
	for (int i = 0; i < 6; i++) {
		client_start(&clients[i], fd, i & 1, bytes + i * IO_SIZE, IO_SIZE);
		mount_wait_for(&hand.mounted, i + 1);
	}
	serve_until(hand.queue, FUSE_READ);
	if (close_ring) {
		io_uring_queue_exit(&hand.queue->ring);
		usleep(100000);
	}
	mount_abort(&hand.mounted);
	for (int i = 0; i < 6; i++)
		CHECK(client_end(&clients[i]) == -1 &&
		      (clients[i].error == ECONNABORTED || clients[i].error == ENOTCONN ||
		       clients[i].error == ECANCELED));
	close(fd);
	munmap(bytes, MEMORY_SIZE);
	close(memory);
	/* the mount and the device are still there */
	check_nothing_held();
	if (close_ring)
		CHECK(!io_uring_queue_init(4, &hand.queue->ring, 0));
	by_hand_end(&hand);
}

/* A server that is killed with requests under way, while others hold the mount */
static void be_killed(int ready, int memory)
{
	struct by_hand hand;

	by_hand_begin(&hand, &zero_copy);
	add_all(&hand, memory);
	fill_up(&hand, 20);
	CHECK(write(ready, "", 1) == 1);
	serve_until(hand.queue, FUSE_READ);
	kill(getpid(), SIGKILL);
}

static void *open_and_read(void *argument)
{
	struct client *client = argument;

	open_data(&client->fd);
	if (client->fd >= 0)
		run_client(client);
	return NULL;
}

static void test_killed_server(void)
{
	for (int round = 0; round < 10; round++) {
		int memory = make_memory(), status, ends[2];
		char *bytes = map_memory(memory), byte;
		struct client clients[3];
		pid_t pid;

		CHECK(!pipe(ends));
		pid = fork();
		CHECK(pid >= 0);
		if (!pid) {
			be_killed(ends[1], memory);
			_exit(1);
		}
		CHECK(read(ends[0], &byte, 1) == 1);
		for (int i = 0; i < 3; i++) {
			clients[i] = (struct client){ .bytes = bytes + i * IO_SIZE,
						      .size = IO_SIZE,
						      .result = -1 };
			CHECK(!pthread_create(&clients[i].thread, NULL, open_and_read,
					      &clients[i]));
		}
		CHECK(waitpid(pid, &status, 0) == pid);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		for (int i = 0; i < 3; i++)
			CHECK(client_end(&clients[i]) == -1);
		munmap(bytes, MEMORY_SIZE);
		close(memory);
		check_nothing_held();
		for (int i = 0; i < 3; i++)
			if (clients[i].fd >= 0)
				close(clients[i].fd);
		umount2(mountpoint, MNT_DETACH);
		close(ends[0]);
		close(ends[1]);
	}
}

/* Several rings that add and remove the same memory at once, and an abort in between */

struct racer {
	pthread_t thread;
	struct commander commander;
	pthread_barrier_t *barrier;
	int memory, added;
};

static void *race(void *argument)
{
	struct racer *racer = argument;

	pthread_barrier_wait(racer->barrier);
	for (int i = 0; i < 20; i++) {
		int id = memory_add(&racer->commander, racer->memory, MEMORY_BOTH);

		if (id == -EEXIST)
			continue;
		if (id == -ENOTCONN || id == -ECONNABORTED)
			break;
		CHECK(id > 0);
		racer->added++;
		id = memory_remove(&racer->commander, id);
		CHECK(id == 0 || id == -ENOTCONN || id == -ECONNABORTED);
	}
	return NULL;
}

static void test_race(void)
{
	for (int round = 0; round < 40; round++) {
		int memory = make_memory(), added = 0;
		pthread_barrier_t barrier;
		struct racer racers[8];
		struct by_hand hand;

		by_hand_begin(&hand, &own);
		pthread_barrier_init(&barrier, NULL, 9);
		for (int i = 0; i < 8; i++) {
			racers[i] = (struct racer){ .barrier = &barrier, .memory = memory };
			commander_init(&racers[i].commander, &hand.mounted);
			CHECK(!pthread_create(&racers[i].thread, NULL, race, &racers[i]));
		}
		pthread_barrier_wait(&barrier);
		if (round % 4 == 3)
			mount_abort(&hand.mounted);
		for (int i = 0; i < 8; i++) {
			pthread_join(racers[i].thread, NULL);
			commander_free(&racers[i].commander);
			added += racers[i].added;
		}
		CHECK(added || round % 4 == 3);
		pthread_barrier_destroy(&barrier);
		close(memory);
		by_hand_end(&hand);
		check_nothing_held();
	}
}

/*
 * Random commands, and clients that do I/O from memory that comes, goes, shrinks and is punched.
 * Data are checked by nobody here, but whoever reads into his memory, and reads nothing there that
 * nobody has put there, is content: each byte of the server's, and of the clients', is 0x5a.
 */

#define NR_RANDOM 8

static volatile bool stop;
static int random_memories[NR_RANDOM];

/* Touches memory through descriptors: where the file has been cut there is no memory. */
static void check_byte(int memory, off_t at)
{
	unsigned char byte = 0;

	if (pread(memory, &byte, 1, at) == 1 && byte && byte != 0x5a)
		die("somebody's byte: %#x", byte);
}

static void *transfer(void *argument)
{
	unsigned int own_seed = (uintptr_t)argument;
	char *maps[NR_RANDOM], *anonymous = malloc(65536);

	memset(anonymous, 0x5a, 65536);
	for (int i = 0; i < NR_RANDOM; i++)
		maps[i] = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE,
			       rand_r(&own_seed) % 4 ? MAP_SHARED : MAP_PRIVATE,
			       random_memories[i], 0);
	while (!stop) {
		int fd = open(data_path, O_RDWR | (rand_r(&own_seed) & 1 ? O_DIRECT : 0));

		if (fd < 0) {
			usleep(1000);
			continue;
		}
		for (int i = 0; i < 8 && !stop; i++) {
			int which = rand_r(&own_seed) % (NR_RANDOM + 1);
			char *bytes = which == NR_RANDOM ? anonymous : maps[which];
			size_t size = 1 + rand_r(&own_seed) % 32768;
			off_t at = rand_r(&own_seed) % 32768;

			if (rand_r(&own_seed) & 1)
				(void)!pread(fd, bytes + at, size, 0);
			else
				(void)!pwrite(fd, bytes + at, size, 0);
			if (which < NR_RANDOM)
				check_byte(random_memories[which], at);
		}
		close(fd);
	}
	for (int i = 0; i < NR_RANDOM; i++)
		munmap(maps[i], MEMORY_SIZE);
	free(anonymous);
	return NULL;
}

static void *spoil_memory(void *argument)
{
	unsigned int own_seed = (uintptr_t)argument;
	char bytes[4096];

	memset(bytes, 0x5a, sizeof(bytes));
	while (!stop) {
		int memory = random_memories[rand_r(&own_seed) % NR_RANDOM];
		off_t at = rand_r(&own_seed) % 65536;

		switch (rand_r(&own_seed) % 8) {
		case 0:
			(void)!ftruncate(memory, at);
			(void)!ftruncate(memory, MEMORY_SIZE);
			break;
		case 1:
		case 2:
			(void)!fallocate(memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					 at, 1 + rand_r(&own_seed) % 65536);
			break;
		default:
			(void)!pwrite(memory, bytes, sizeof(bytes), at);
		}
		if (!(rand_r(&own_seed) % 16))
			sched_yield();
	}
	return NULL;
}

static void random_command(struct by_hand *hand, uint64_t *commit_ids)
{
	static int ids[16];
	struct fuse_uring_cmd_req command = { 0 };
	struct queue *queue = &hand->queues[chance(hand->mounted.nr_queues)];
	struct io_uring_sqe *sqe;
	int result;

	switch (chance(8)) {
	case 0:
	case 1:
	case 2:
		result = add(hand, random_memories[chance(NR_RANDOM)], 1 + chance(3));
		if (result > 0)
			ids[chance(16)] = result;
		break;
	case 3:
	case 4:
		removed(hand, chance(4) ? (unsigned int)ids[chance(16)] : chance(100));
		break;
	case 5:
		command.flags = chance(2) ? chance(5) : 1ULL << chance(64);
		command.memory.id = chance(2) ? 0 : chance(300);
		command.memory.fd = (int)chance(300) - 10;
		command.qid = chance(8) ? 0 : chance(65536);
		if (command.memory.fd != hand->mounted.fuse)
			memory_command(&hand->commander, chance(2) ? ADD : REMOVE, &command);
		break;
	default: /* an id that was good once, or is */
		sqe = queue_command(queue, FUSE_IO_URING_CMD_COMMIT_AND_FETCH, 3000);
		sqe_command(sqe)->commit_id = chance(4) ? commit_ids[chance(64)] :
							  (uint64_t)chance(RAND_MAX);
		if (queue->setup.payload == REGISTERED_POOL && chance(8)) {
			sqe->uring_cmd_flags = IORING_URING_CMD_FIXED;
			sqe->buf_index = queue->setup.depth;
		}
		io_uring_submit(&queue->ring);
	}
}

/* A READ's or WRITE's place is touched, before a reply that may be nonsense. */
static void random_answer(struct queue *queue, unsigned int slot)
{
	static char bytes[65536];
	struct fuse_uring_req_header *header = &queue->headers[slot];
	uint32_t opcode = queue_in(queue, slot)->opcode;
	uint32_t size = 0;

	if (opcode != FUSE_READ && opcode != FUSE_WRITE) {
		answer(queue, slot);
		return;
	}
	memset(bytes, 0x5a, sizeof(bytes));
	size = ((struct fuse_read_in *)header->op_in)->size;
	if (header->ring_ent_in_out.flags & FUSE_URING_ENT_SHARED_MEMORY &&
	    opcode == FUSE_READ && size <= sizeof(bytes)) {
		/* which memory it is this does not care to know */
		(void)!pwrite(random_memories[chance(NR_RANDOM)], bytes, size,
			      FUSE_URING_MEMORY_OFFSET(header->ring_ent_in_out.memory));
	} else if (opcode == FUSE_READ &&
		   !(header->ring_ent_in_out.flags & FUSE_URING_ENT_ZERO_COPY)) {
		memset(queue_payload(queue, slot), 0x5a, size);
	}
	if (opcode == FUSE_WRITE)
		*(struct fuse_write_out *)queue_payload(queue, slot) =
			(struct fuse_write_out){ .size = chance(8) ? size : chance(100000) };
	switch (chance(8)) {
	case 0:
		queue_commit(queue, slot, -(int)chance(600), 0);
		break;
	case 1:
		queue_commit(queue, slot, 0, chance(3) ? chance(70000) : chance(UINT32_MAX));
		break;
	case 2:
		if (opcode == FUSE_READ) {
			queue_commit(queue, slot, 0, chance(size + 1));
			break;
		}
		/* fall through */
	default:
		queue_commit(queue, slot, 0,
			     opcode == FUSE_READ ? size : sizeof(struct fuse_write_out));
	}
}

static unsigned int random_mount(unsigned int commands, unsigned long *shared)
{
	static const struct setup *const setups[] = { &own, &one_buffer, &zero_copy };
	static uint64_t commit_ids[64];
	pthread_t clients[4], spoiler;
	unsigned int sent = 0;
	struct by_hand hand;

	for (int i = 0; i < NR_RANDOM; i++)
		random_memories[i] = make_memory();
	by_hand_begin(&hand, setups[chance(3)]);
	stop = false;
	for (uintptr_t i = 0; i < 4; i++)
		CHECK(!pthread_create(&clients[i], NULL, transfer, another_seed()));
	CHECK(!pthread_create(&spoiler, NULL, spoil_memory, another_seed()));
	while (sent < commands) {
		struct queue *queue = &hand.queues[chance(hand.mounted.nr_queues)];
		struct io_uring_cqe *cqe;

		for (unsigned int i = chance(4); i; i--, sent++)
			random_command(&hand, commit_ids);
		io_uring_submit(&queue->ring);
		io_uring_get_events(&queue->ring);
		while (!io_uring_peek_cqe(&queue->ring, &cqe)) {
			uint64_t slot = cqe->user_data;
			int result = cqe->res;

			io_uring_cqe_seen(&queue->ring, cqe);
			/* by an id of another time the entry may have come back */
			if (result || slot >= queue->setup.depth)
				continue;
			commit_ids[chance(64)] = queue->headers[slot].ring_ent_in_out.commit_id;
			*shared += !!(queue->headers[slot].ring_ent_in_out.flags &
				      FUSE_URING_ENT_SHARED_MEMORY);
			random_answer(queue, slot);
			sent++;
		}
		sched_yield();
	}
	stop = true;
	mount_abort(&hand.mounted);
	for (int i = 0; i < 4; i++)
		pthread_join(clients[i], NULL);
	pthread_join(spoiler, NULL);
	for (int i = 0; i < NR_RANDOM; i++)
		close(random_memories[i]);
	check_nothing_held();
	by_hand_end(&hand);
	return sent;
}

static void test_random(unsigned int commands)
{
	unsigned int sent = 0, mounts = 0;
	unsigned long shared = 0;

	while (sent < commands) {
		sent += random_mount(5000, &shared);
		mounts++;
	}
	printf("%u random commands on %u mounts, %lu requests shared\n", sent, mounts, shared);
	CHECK(shared);
}

#define RUN(test)                      \
	do {                           \
		printf("%s\n", #test); \
		test;                  \
	} while (0)

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	CHECK(mkdtemp(mountpoint) && mkdtemp(arena));
	CHECK(!mount("arena", arena, "tmpfs", 0, "nr_inodes=100000,size=512m"));
	files_at_rest = arena_files();
	snprintf(data_path, sizeof(data_path), "%s/data", mountpoint);
	RUN(test_race());
	stay_on_cpu_0();
	RUN(test_descriptors());
	RUN(test_commands());
	RUN(test_other_ways());
	RUN(test_limits());
	RUN(test_all_ids());
	RUN(test_busy(&own));
	RUN(test_busy(&one_buffer));
	RUN(test_busy(&zero_copy));
	RUN(test_replies());
	RUN(test_no_buffer());
	RUN(test_vanishing(punch));
	RUN(test_vanishing(cut));
	RUN(test_unmapped());
	RUN(test_killed_clients());
	RUN(test_abort(false));
	RUN(test_abort(true));
	RUN(test_killed_server());
	RUN(test_random(argc > 1 ? atoi(argv[1]) : 20000));
	umount2(mountpoint, MNT_DETACH);
	rmdir(mountpoint);
	/* which it would not if it were in use */
	CHECK(!umount(arena));
	rmdir(arena);
	return 0;
}
