// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that server and clients share: a small server, and clients that read into such memory and
 * write from it, and from memory of other kinds. The contents are compared, and it fails unless
 * those requests, and only those, were shared that should be.
 *
 *	shared [--pool | --registered | --zero-copy] [--depth N] [--bufs N] [--unprivileged]
 *
 * Needs root, a kernel with the patches for 7.3, and enable_uring=Y.
 */
#define _GNU_SOURCE
#include "pools.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_SIZE (16UL << 20)
#define MEMORY_SIZE (8UL << 20)

enum {
	ROOT = 1,
	CACHED, /* direct I/O is what O_DIRECT asks for */
	DIRECT	/* FOPEN_DIRECT_IO */
};

static const char *const names[] = { [CACHED] = "cached", [DIRECT] = "direct" };

/* Memory, and whether and for what the server has it */
struct memory {
	const char *name;
	int fd;
	uint64_t access;
	char *server, *client; /* where they have mapped it */
	uint32_t id;
};

enum {
	A,
	B,
	READ_ONLY,
	WRITE_ONLY,
	TMPFS,
	UNKNOWN,
	HUGE,
	LARGE,
	NR_MEMORIES
};

static struct memory memories[NR_MEMORIES] = {
	[A] = { "memfd", -1, MEMORY_BOTH },
	[B] = { "another memfd", -1, MEMORY_BOTH },
	[READ_ONLY] = { "memfd that may be read", -1, FUSE_URING_MEMORY_READ },
	[WRITE_ONLY] = { "memfd that may be written", -1, FUSE_URING_MEMORY_WRITE },
	[TMPFS] = { "file in tmpfs", -1, MEMORY_BOTH },
	[UNKNOWN] = { "memfd that was not registered", -1, 0 },
	[HUGE] = { "huge pages", -1, MEMORY_BOTH },
	[LARGE] = { "transparent huge pages", -1, MEMORY_BOTH },
};

struct counts {
	unsigned long reads, writes, shared_reads, shared_writes, zero_copied;
};

/* What server and clients share besides */
struct control {
	struct counts counts;
	unsigned int cut; /* READs come out so many bytes short */
	/* the parent removes this memory, or adds it again */
	int remove, add;
};

static struct control *control;
static char *backing; /* what is in the files; they are one */
static int backing_fd;
static struct memory *by_id[65536];
static struct setup setup = { .payload = OWN, .depth = 8, .nr_bufs = 8 };
static char mountpoint[] = "/tmp/shared-XXXXXX";
static struct commander commander;

/* The server */

struct server_queue {
	struct queue queue;
	pthread_t thread;
	unsigned int live;
	/* completions that came while another one was waited for */
	struct io_uring_cqe backlog[64];
	unsigned int nr_backlog;
};

#define MOVE (1ULL << 32)

/* Moves between the request's pages, which the ring has, and the backing file. */
static int move(struct server_queue *sq, unsigned int slot, uint8_t opcode, uint32_t size,
		uint64_t offset)
{
	struct io_uring_sqe *sqe = queue_sqe(&sq->queue);
	struct io_uring_cqe *cqe;

	io_uring_prep_rw(opcode, sqe, backing_fd, NULL, size, offset);
	sqe->buf_index = slot;
	sqe->user_data = MOVE | slot;
	io_uring_submit(&sq->queue.ring);
	for (;;) {
		int error = io_uring_wait_cqe(&sq->queue.ring, &cqe), result;

		if (error == -EINTR)
			continue;
		CHECK(!error);
		result = cqe->res;
		if (cqe->user_data == (MOVE | slot)) {
			io_uring_cqe_seen(&sq->queue.ring, cqe);
			return result;
		}
		CHECK(sq->nr_backlog < sizeof(sq->backlog) / sizeof(*sq->backlog));
		sq->backlog[sq->nr_backlog++] = *cqe;
		io_uring_cqe_seen(&sq->queue.ring, cqe);
	}
}

static void count(unsigned long *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

static char *place_of(const struct fuse_uring_ent_in_out *ent, uint32_t size)
{
	struct memory *memory =
		__atomic_load_n(&by_id[FUSE_URING_MEMORY_ID(ent->memory)], __ATOMIC_ACQUIRE);
	uint64_t offset = FUSE_URING_MEMORY_OFFSET(ent->memory);

	if (!memory)
		die("nobody knows memory %lu", FUSE_URING_MEMORY_ID(ent->memory));
	CHECK(!(ent->flags & FUSE_URING_ENT_ZERO_COPY));
	CHECK(offset + size <= MEMORY_SIZE);
	return memory->server + offset;
}

static void do_read(struct server_queue *sq, unsigned int slot)
{
	struct fuse_uring_req_header *header = &sq->queue.headers[slot];
	struct fuse_uring_ent_in_out ent = header->ring_ent_in_out;
	struct fuse_read_in in = *(struct fuse_read_in *)header->op_in;
	unsigned int size = in.size - (control->cut < in.size ? control->cut : in.size);

	count(&control->counts.reads);
	if (ent.flags & FUSE_URING_ENT_SHARED_MEMORY) {
		char *place = place_of(&ent, in.size);

		count(&control->counts.shared_reads);
		memset(place, 0xee, in.size);
		memcpy(place, backing + in.offset, size);
	} else if (ent.flags & FUSE_URING_ENT_ZERO_COPY) {
		count(&control->counts.zero_copied);
		CHECK(move(sq, slot, IORING_OP_READ_FIXED, size, in.offset) == (int)size);
	} else {
		memcpy(queue_payload(&sq->queue, slot), backing + in.offset, size);
	}
	queue_commit(&sq->queue, slot, 0, size);
}

static void do_write(struct server_queue *sq, unsigned int slot)
{
	struct fuse_uring_req_header *header = &sq->queue.headers[slot];
	struct fuse_uring_ent_in_out ent = header->ring_ent_in_out;
	struct fuse_write_in in = *(struct fuse_write_in *)header->op_in;
	struct fuse_write_out *out = (void *)queue_payload(&sq->queue, slot);

	count(&control->counts.writes);
	if (ent.payload_sz != in.size)
		die("WRITE of %u bytes has a payload of %u", in.size, ent.payload_sz);
	if (ent.flags & FUSE_URING_ENT_SHARED_MEMORY) {
		count(&control->counts.shared_writes);
		memcpy(backing + in.offset, place_of(&ent, in.size), in.size);
	} else if (ent.flags & FUSE_URING_ENT_ZERO_COPY) {
		count(&control->counts.zero_copied);
		CHECK(move(sq, slot, IORING_OP_WRITE_FIXED, in.size, in.offset) ==
		      (int)in.size);
	} else {
		memcpy(backing + in.offset, out, in.size);
	}
	*out = (struct fuse_write_out){ .size = in.size };
	queue_commit(&sq->queue, slot, 0, sizeof(*out));
}

static struct fuse_attr attributes(uint64_t node)
{
	return (struct fuse_attr){ .ino = node,
				   .nlink = 1,
				   .mode = node == ROOT ? S_IFDIR | 0755 : S_IFREG | 0666,
				   .size = node == ROOT ? 0 : FILE_SIZE };
}

static void do_lookup(struct server_queue *sq, unsigned int slot)
{
	char *payload = queue_payload(&sq->queue, slot);
	struct fuse_entry_out *entry = (void *)payload;

	for (int node = CACHED; node <= DIRECT; node++) {
		if (strcmp(payload, names[node]))
			continue;
		*entry = (struct fuse_entry_out){ .nodeid = node,
						  .entry_valid = 100,
						  .attr_valid = 100,
						  .attr = attributes(node) };
		queue_commit(&sq->queue, slot, 0, sizeof(*entry));
		return;
	}
	queue_commit(&sq->queue, slot, -ENOENT, 0);
}

static void serve(struct server_queue *sq, unsigned int slot)
{
	struct queue *queue = &sq->queue;
	uint64_t node = queue_in(queue, slot)->nodeid;
	void *payload = queue_payload(queue, slot);
	struct fuse_open_out open = { 0 };

	switch (queue_in(queue, slot)->opcode) {
	case FUSE_LOOKUP:
		do_lookup(sq, slot);
		break;
	case FUSE_GETATTR:
		*(struct fuse_attr_out *)payload = (struct fuse_attr_out){
			.attr_valid = 100, .attr = attributes(node)
		};
		queue_commit(queue, slot, 0, sizeof(struct fuse_attr_out));
		break;
	case FUSE_OPEN:
		if (node == DIRECT)
			open.open_flags |= FOPEN_DIRECT_IO;
		if (setup.zero_copy)
			open.open_flags |= FOPEN_IO_URING_ZERO_COPY;
		*(struct fuse_open_out *)payload = open;
		queue_commit(queue, slot, 0, sizeof(open));
		break;
	case FUSE_READ:
		do_read(sq, slot);
		break;
	case FUSE_WRITE:
		do_write(sq, slot);
		break;
	case FUSE_FLUSH:
	case FUSE_RELEASE:
		queue_commit(queue, slot, 0, 0);
		break;
	default:
		queue_commit(queue, slot, -ENOSYS, 0);
	}
}

static void complete(struct server_queue *sq, const struct io_uring_cqe *cqe)
{
	if (!cqe->res) {
		serve(sq, cqe->user_data);
		return;
	}
	if (cqe->res != -ENOTCONN && cqe->res != -ECONNABORTED && cqe->res != -ECANCELED)
		die("queue %d: %s", sq->queue.qid, strerror(-cqe->res));
	sq->live--;
}

static void *serve_queue(void *argument)
{
	struct server_queue *sq = argument;
	struct io_uring_cqe *cqe, copy;

	for (unsigned int slot = 0; slot < setup.depth; slot++)
		queue_register(&sq->queue, slot);
	sq->live = setup.depth;
	while (sq->live) {
		int error = io_uring_submit_and_wait(&sq->queue.ring, !sq->nr_backlog);

		CHECK(error >= 0 || error == -EINTR);
		while (sq->nr_backlog) {
			copy = sq->backlog[--sq->nr_backlog];
			complete(sq, &copy);
		}
		while (!io_uring_peek_cqe(&sq->queue.ring, &cqe)) {
			copy = *cqe;
			io_uring_cqe_seen(&sq->queue.ring, cqe);
			complete(sq, &copy);
		}
	}
	return NULL;
}

/* Memory */

static void *map_shared(int fd)
{
	void *memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	CHECK(memory != MAP_FAILED);
	return memory;
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return done;
}

static void make_huge(struct memory *memory)
{
	if (access("/proc/sys/vm/nr_hugepages", F_OK)) {
		printf("this kernel has no huge pages\n");
		return;
	}
	/* the file, and as much for copies of a private mapping */
	CHECK(write_file("/proc/sys/vm/nr_hugepages", "8"));
	memory->fd = memfd_create(memory->name, MFD_CLOEXEC | MFD_HUGETLB);
	CHECK(memory->fd >= 0 && !ftruncate(memory->fd, MEMORY_SIZE));
}

static void make_large(struct memory *memory)
{
	const char *path = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

	if (access(path, F_OK)) {
		printf("this kernel has no transparent huge pages\n");
		return;
	}
	CHECK(write_file(path, "force"));
	memory->fd = memfd_create(memory->name, MFD_CLOEXEC);
	CHECK(memory->fd >= 0 && !ftruncate(memory->fd, MEMORY_SIZE));
	CHECK(!fallocate(memory->fd, 0, 0, MEMORY_SIZE));
	CHECK(write_file(path, "never"));
}

static void make_memories(void)
{
	make_huge(&memories[HUGE]);
	make_large(&memories[LARGE]);
	memories[TMPFS].fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	CHECK(memories[TMPFS].fd >= 0 && !ftruncate(memories[TMPFS].fd, MEMORY_SIZE));
	for (int i = 0; i < NR_MEMORIES; i++) {
		struct memory *memory = &memories[i];

		if (memory->fd < 0 && i != HUGE && i != LARGE) {
			memory->fd = memfd_create(memory->name, MFD_CLOEXEC);
			CHECK(memory->fd >= 0 && !ftruncate(memory->fd, MEMORY_SIZE));
		}
		if (memory->fd >= 0)
			memory->server = map_shared(memory->fd);
	}
}

/* With a descriptor that can do no more than is needed */
static void add(struct memory *memory)
{
	int mode = memory->access == FUSE_URING_MEMORY_READ ? O_RDONLY : O_RDWR;
	char path[64];
	int fd, id;

	if (memory->fd < 0 || !memory->access)
		return;
	if (memory->access == FUSE_URING_MEMORY_WRITE)
		mode = O_WRONLY;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", memory->fd);
	fd = open(path, mode | O_CLOEXEC);
	CHECK(fd >= 0);
	id = memory_add(&commander, fd, memory->access);
	if (id <= 0)
		die("%s: %s", memory->name, strerror(-id));
	CHECK(id < 65536 && !by_id[id]);
	memory->id = id;
	__atomic_store_n(&by_id[id], memory, __ATOMIC_RELEASE);
	close(fd);
}

/* Nothing is under way */
static void remove_memory(struct memory *memory)
{
	CHECK(memory_remove(&commander, memory->id) == 0);
	CHECK(memory_remove(&commander, memory->id) == -ENOENT);
	by_id[memory->id] = NULL;
}

static void wait_for_client(pid_t pid)
{
	int status;

	for (;;) {
		int remove = __atomic_load_n(&control->remove, __ATOMIC_ACQUIRE);
		int again = __atomic_load_n(&control->add, __ATOMIC_ACQUIRE);

		if (remove >= 0) {
			remove_memory(&memories[remove]);
			__atomic_store_n(&control->remove, -1, __ATOMIC_RELEASE);
		}
		if (again >= 0) {
			add(&memories[again]);
			__atomic_store_n(&control->add, -1, __ATOMIC_RELEASE);
		}
		if (waitpid(pid, &status, WNOHANG) == pid)
			break;
		usleep(1000);
	}
	if (status)
		die("the client ended with status %#x", status);
}

/* Clients */

enum way {
	SHARED,
	COPIED
};

static int files[DIRECT + 1];

static void ask_server(int *what, int memory)
{
	__atomic_store_n(what, memory, __ATOMIC_RELEASE);
	while (__atomic_load_n(what, __ATOMIC_ACQUIRE) >= 0)
		usleep(1000);
}

static void fill(char *bytes, size_t size, unsigned int seed)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = seed + i * 7 + (i >> 8) * 13 + (i >> 16) * 31;
}

static void check_filled(const char *bytes, size_t size, char byte)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i] != byte)
			die("byte %zu of %zu is %#x, not %#x", i, size, bytes[i] & 0xff,
			    byte & 0xff);
}

static void check_counts(const char *what, const struct counts *before, enum way way,
			 bool pinned)
{
	struct counts now = control->counts;
	unsigned long requests = now.reads - before->reads + now.writes - before->writes;
	unsigned long shared = now.shared_reads - before->shared_reads +
			       now.shared_writes - before->shared_writes;
	unsigned long zero_copied = now.zero_copied - before->zero_copied;

	if (!requests || shared != (way == SHARED ? requests : 0))
		die("%s: %lu of %lu requests were shared", what, shared, requests);
	if (pinned && zero_copied != (setup.zero_copy ? requests - shared : 0))
		die("%s: %lu of %lu requests were zero-copied", what, zero_copied,
		    requests);
}

static unsigned int seed;

/* A write of these pieces, which have new contents afterwards */
static void check_write(const char *what, enum way way, int file, struct iovec *pieces,
			int nr, off_t pos)
{
	struct counts before = control->counts;
	size_t size = 0;

	for (int i = 0; i < nr; i++)
		size += pieces[i].iov_len;
	memset(backing + pos, 0x77, size + 64);
	if (pwritev(files[file], pieces, nr, pos) != (ssize_t)size)
		die("%s: writing %zu bytes: %s", what, size, strerror(errno));
	check_counts(what, &before, way, true);
	for (int i = 0; i < nr; i++) {
		if (memcmp(backing + pos, pieces[i].iov_base, pieces[i].iov_len))
			die("%s: piece %d of %zu bytes was written wrongly", what, i, size);
		pos += pieces[i].iov_len;
	}
	check_filled(backing + pos, 64, 0x77);
}

static void check_read(const char *what, enum way way, int file, struct iovec *pieces, int nr,
		       off_t pos)
{
	struct counts before = control->counts;
	size_t size = 0;

	for (int i = 0; i < nr; i++)
		size += pieces[i].iov_len;
	fill(backing + pos, size, ++seed);
	if (preadv(files[file], pieces, nr, pos) != (ssize_t)size)
		die("%s: reading %zu bytes: %s", what, size, strerror(errno));
	check_counts(what, &before, way, true);
	for (int i = 0; i < nr; i++) {
		if (memcmp(backing + pos, pieces[i].iov_base, pieces[i].iov_len))
			die("%s: piece %d of %zu bytes was read wrongly", what, i, size);
		pos += pieces[i].iov_len;
	}
}

static void check_both(const char *what, enum way write, enum way read, struct iovec *pieces,
		       int nr)
{
	for (int file = CACHED; file <= DIRECT; file++) {
		check_write(what, write, file, pieces, nr, 4096 * 3);
		check_read(what, read, file, pieces, nr, 4096 * 5);
	}
}

/* What is beside the piece stays as it is. */
static void check_piece(const struct memory *memory, char *base, size_t offset, size_t size,
			enum way write, enum way read)
{
	struct iovec piece = { base + offset, size };
	size_t before = offset < 5000 ? offset : 5000;
	off_t pos = (offset * 3 + size * 5) % (FILE_SIZE - size - 64);

	for (int file = CACHED; file <= DIRECT; file++) {
		memset(base + offset - before, 0x33, before);
		memset(base + offset + size, 0x44, 5000);
		fill(base + offset, size, ++seed);
		check_write(memory->name, write, file, &piece, 1, pos);
		check_read(memory->name, read, file, &piece, 1, pos);
		check_filled(base + offset - before, before, 0x33);
		check_filled(base + offset + size, 5000, 0x44);
	}
}

static const size_t offsets[] = { 0, 1, 511, 512, 4095, 4096, 8191, 12345, 2097152 - 100 };
static const size_t sizes[] = { 1,	  2,	   511,	    4096,	  4097,
				12288,	  65539,   1048575, 1048576,	  1048577,
				3150728,  4194304 };

static void test_pieces(struct memory *memory)
{
	bool known = memory->access;
	enum way write = memory->access & FUSE_URING_MEMORY_READ ? SHARED : COPIED;
	enum way read = memory->access & FUSE_URING_MEMORY_WRITE ? SHARED : COPIED;
	size_t step = known && memory->access == MEMORY_BOTH ? 1 : 5;

	if (memory->fd < 0)
		return;
	printf("%s\n", memory->name);
	for (size_t i = 0; i < sizeof(offsets) / sizeof(*offsets); i += step)
		for (size_t k = 0; k < sizeof(sizes) / sizeof(*sizes); k++)
			check_piece(memory, memory->client, offsets[i], sizes[k], write,
				    read);
}

static char *map_private(int fd)
{
	char *memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	CHECK(memory != MAP_FAILED);
	return memory;
}

/* A private mapping is the file's until a page is written, or read into. */
static void test_private(struct memory *memory)
{
	struct iovec piece;
	char *private;

	if (memory->fd < 0)
		return;
	fill(memory->client, MEMORY_SIZE, ++seed);

	private = map_private(memory->fd);
	piece = (struct iovec){ private + 4096, 65536 };
	for (int file = CACHED; file <= DIRECT; file++)
		check_write("untouched private mapping", SHARED, file, &piece, 1, 0);
	/* one page of many, in the second of three requests */
	if (memory == &memories[A]) {
		struct counts before = control->counts, now;

		private[MAX_PAYLOAD + MAX_PAYLOAD / 2] ^= 1;
		CHECK(pwrite(files[DIRECT], private, 3 * MAX_PAYLOAD, 0) ==
		      3 * MAX_PAYLOAD);
		now = control->counts;
		CHECK(now.writes - before.writes == 3);
		CHECK(now.shared_writes - before.shared_writes == 2);
		CHECK(!memcmp(backing, private, 3 * MAX_PAYLOAD));
	}
	for (int file = CACHED; file <= DIRECT; file++)
		check_read("private mapping", COPIED, file, &piece, 1, 0);
	check_both("private copies", COPIED, COPIED, &piece, 1);
	munmap(private, MEMORY_SIZE);
}

static void test_mixed(void)
{
	char *a = memories[A].client, *b = memories[B].client, *again = map_shared(memories[A].fd);
	char *anonymous = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *swapped, *zeros = memories[READ_ONLY].client;

	CHECK(anonymous != MAP_FAILED);
	fill(a, MEMORY_SIZE, ++seed);
	fill(b, MEMORY_SIZE, ++seed);
	fill(anonymous, MEMORY_SIZE, ++seed);
#define PIECES(...)                        \
	(struct iovec[]){ __VA_ARGS__ },   \
		(sizeof((struct iovec[]){ __VA_ARGS__ }) / sizeof(struct iovec))
	check_both("anonymous", COPIED, COPIED, PIECES({ anonymous + 7, 70000 }));
	check_both("shared and anonymous", COPIED, COPIED,
		   PIECES({ a, 4096 }, { anonymous, 4096 }));
	check_both("anonymous and shared", COPIED, COPIED,
		   PIECES({ anonymous, 4096 }, { a, 4096 }));
	check_both("two regions", COPIED, COPIED, PIECES({ a, 4096 }, { b + 4096, 4096 }));
	check_both("a gap", COPIED, COPIED, PIECES({ a, 4096 }, { a + 8192, 4096 }));
	check_both("a gap of one byte", COPIED, COPIED, PIECES({ a, 100 }, { a + 101, 100 }));
	check_both("reversed", COPIED, COPIED, PIECES({ a + 4096, 4096 }, { a, 4096 }));
	check_both("in order", SHARED, SHARED, PIECES({ a, 4096 }, { a + 4096, 4096 }));
	check_both("bytes in order", SHARED, SHARED,
		   PIECES({ a + 5, 100 }, { a + 105, 9000 }, { a + 9105, 1 }));
	check_both("two mappings in order", SHARED, SHARED,
		   PIECES({ a + 4096, 4096 }, { again + 8192, 8192 }));
	check_write("twice the same", COPIED, DIRECT, PIECES({ a, 4096 }, { a, 4096 }), 0);

	/* in order as addresses, not as places in the file, and the other way round */
	swapped = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, memories[A].fd, 4096);
	CHECK(swapped != MAP_FAILED);
	CHECK(mmap(swapped + 4096, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		   memories[A].fd, 0) == swapped + 4096);
	check_both("swapped pages", COPIED, COPIED, PIECES({ swapped, 8192 }));
	check_both("swapped pages in order", SHARED, SHARED,
		   PIECES({ swapped + 4096, 4096 }, { swapped, 4096 }));

	/* what may only be read by the client */
	CHECK(!mprotect(again, MEMORY_SIZE, PROT_READ));
	check_write("read-only mapping", SHARED, DIRECT, PIECES({ again + 9, 70000 }), 0);
	errno = 0;
	CHECK(pread(files[DIRECT], again, 4096, 0) == -1 && errno == EFAULT);

	/* holes: the file has memory there as soon as it is looked at */
	CHECK(!fallocate(memories[READ_ONLY].fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			 MEMORY_SIZE));
	check_write("a hole", SHARED, DIRECT, PIECES({ zeros + 100, 70000 }), 0);
	check_filled(backing, 70000, 0);
	CHECK(!fallocate(memories[A].fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			 MEMORY_SIZE));
	check_read("into a hole", SHARED, DIRECT, PIECES({ a + 100, 70000 }), 0);
	munmap(swapped, 8192);
	munmap(again, MEMORY_SIZE);
	munmap(anonymous, MEMORY_SIZE);
}

/* The page cache is of no memory but its own. */
static void test_buffered(void)
{
	char *a = memories[A].client, path[64];
	struct counts before;
	int fd;

	snprintf(path, sizeof(path), "%s/cached", mountpoint);
	fd = open(path, O_RDWR);
	CHECK(fd >= 0);
	fill(a, 300000, ++seed);
	before = control->counts;
	CHECK(pwrite(fd, a, 300000, 8000) == 300000);
	check_counts("buffered write", &before, COPIED, false);
	CHECK(!memcmp(backing + 8000, a, 300000));
	fill(backing + (2 << 20), 300000, ++seed);
	before = control->counts;
	CHECK(pread(fd, a, 300000, 2 << 20) == 300000);
	check_counts("buffered read", &before, COPIED, false);
	CHECK(!memcmp(backing + (2 << 20), a, 300000));
	close(fd);
}

/*
 * The server fills the place with something before it fills in less than was asked for. The rest
 * is cleared, and what is beside it is not touched, be it in the same page.
 */
static void test_short(struct memory *memory)
{
	static const unsigned int lengths[] = { 100, 4096, 10000, 65536, MAX_PAYLOAD - 8192 };
	static const unsigned int cuts[] = { 1, 99, 4095, 5000, UINT32_MAX };
	char *bytes = memory->client;

	if (memory->fd < 0)
		return;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		for (size_t k = 0; k < 3 * sizeof(cuts) / sizeof(*cuts); k++) {
			size_t length = lengths[i], at = 4096 + (k % 3) * 3000;
			unsigned int cut = cuts[k / 3] < length ? cuts[k / 3] : length;
			struct counts before = control->counts;

			control->cut = cut;
			memset(bytes, 0x55, 2 * MAX_PAYLOAD);
			fill(backing, length, ++seed);
			CHECK(pread(files[DIRECT], bytes + at, length, 0) ==
			      (ssize_t)(length - cut));
			check_counts("short read", &before, SHARED, true);
			CHECK(!memcmp(bytes + at, backing, length - cut));
			check_filled(bytes + at + length - cut, cut, 0);
			check_filled(bytes, at, 0x55);
			check_filled(bytes + at + length, 2 * MAX_PAYLOAD - at - length,
				     0x55);
		}
	}
	control->cut = 0;
}

/* Memory goes and comes while the client has it. */
static void test_removal(void)
{
	struct iovec piece = { memories[A].client + 77, 100000 };

	for (int i = 0; i < 10; i++) {
		check_both("registered", SHARED, SHARED, &piece, 1);
		ask_server(&control->remove, A);
		check_both("removed", COPIED, COPIED, &piece, 1);
		ask_server(&control->add, A);
	}
	check_both("registered again", SHARED, SHARED, &piece, 1);
}

struct many {
	pthread_t thread;
	unsigned int number;
	unsigned long shared;
};

/* Each has a part of the files, and of the memory, for itself. */
static void *transfer_at_random(void *argument)
{
	struct many *many = argument;
	unsigned int random = many->number, part = FILE_SIZE / 8;
	char *memory = memories[many->number & 1 ? B : A].client +
		       (many->number & ~1U) * (MEMORY_SIZE / 8);
	char *own = malloc(300000);

	CHECK(own);
	for (unsigned int i = 0; i < 150; i++) {
		size_t size = 1 + rand_r(&random) % 262144;
		bool shared = rand_r(&random) % 4;
		char *bytes = (shared ? memory : own) + rand_r(&random) % 8192;
		off_t pos = many->number * part + rand_r(&random) % (part - size);
		int file = files[CACHED + rand_r(&random) % 2];

		many->shared += shared;
		if (rand_r(&random) & 1) {
			fill(bytes, size, random);
			CHECK(pwrite(file, bytes, size, pos) == (ssize_t)size);
		} else {
			fill(backing + pos, size, random);
			CHECK(pread(file, bytes, size, pos) == (ssize_t)size);
		}
		CHECK(!memcmp(backing + pos, bytes, size));
	}
	free(own);
	return NULL;
}

static void test_many(void)
{
	struct counts before = control->counts, now;
	struct many many[8] = { 0 };
	unsigned long shared = 0;

	for (unsigned int i = 0; i < 8; i++) {
		many[i].number = i;
		CHECK(!pthread_create(&many[i].thread, NULL, transfer_at_random, &many[i]));
	}
	for (unsigned int i = 0; i < 8; i++) {
		pthread_join(many[i].thread, NULL);
		shared += many[i].shared;
	}
	now = control->counts;
	CHECK(now.reads - before.reads + now.writes - before.writes == 8 * 150);
	CHECK(now.shared_reads - before.shared_reads + now.shared_writes -
		      before.shared_writes ==
	      shared);
}

#define RUN(test)                      \
	do {                           \
		printf("%s\n", #test); \
		test;                  \
	} while (0)

static void client(void)
{
	char path[64];

	for (int file = CACHED; file <= DIRECT; file++) {
		snprintf(path, sizeof(path), "%s/%s", mountpoint, names[file]);
		files[file] = open(path, O_RDWR | O_DIRECT);
		CHECK(files[file] >= 0);
	}
	for (int i = 0; i < NR_MEMORIES; i++)
		if (memories[i].fd >= 0)
			memories[i].client = map_shared(memories[i].fd);
	for (int i = 0; i < NR_MEMORIES; i++)
		test_pieces(&memories[i]);
	RUN(test_private(&memories[A]));
	RUN(test_private(&memories[HUGE]));
	RUN(test_mixed());
	RUN(test_buffered());
	RUN(test_short(&memories[A]));
	RUN(test_short(&memories[HUGE]));
	RUN(test_short(&memories[LARGE]));
	RUN(test_removal());
	RUN(test_many());
}

static void options(int argc, char **argv, bool *unprivileged)
{
	static const struct option known[] = {
		{ "pool", no_argument, NULL, 'p' },
		{ "registered", no_argument, NULL, 'r' },
		{ "zero-copy", no_argument, NULL, 'z' },
		{ "depth", required_argument, NULL, 'd' },
		{ "bufs", required_argument, NULL, 'b' },
		{ "unprivileged", no_argument, NULL, 'u' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'p')
			setup.payload = POOL;
		else if (option == 'r')
			setup.payload = REGISTERED_POOL;
		else if (option == 'd')
			setup.depth = atoi(optarg);
		else if (option == 'b')
			setup.nr_bufs = atoi(optarg);
		else if (option == 'u')
			*unprivileged = true;
		else if (option == 'z')
			setup.zero_copy = true;
		else
			die("usage: see the comment at the head of shared.c");
	}
	if (setup.zero_copy && setup.payload == OWN)
		setup.payload = REGISTERED_POOL;
}

static void *map_control(size_t size, int *fd)
{
	*fd = memfd_create("control", MFD_CLOEXEC);
	CHECK(*fd >= 0 && !ftruncate(*fd, size));
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
}

int main(int argc, char **argv)
{
	bool unprivileged = false;
	struct server_queue *queues;
	struct mounted mounted;
	int control_fd;
	pid_t pid;

	setvbuf(stdout, NULL, _IOLBF, 0);
	options(argc, argv, &unprivileged);
	CHECK(mkdtemp(mountpoint));
	control = map_control(sizeof(*control), &control_fd);
	backing = map_control(FILE_SIZE + 4096, &backing_fd);
	CHECK(control != MAP_FAILED && backing != MAP_FAILED);
	control->remove = control->add = -1;
	make_memories();
	mount_begin(&mounted, mountpoint);
	if (!(mounted.kernel_flags & FUSE_HAS_IO_URING_SHARED_MEMORY))
		die("this kernel does not offer shared memory");

	if (unprivileged)
		drop_capabilities();
	commander_init(&commander, &mounted);
	for (int i = 0; i < NR_MEMORIES; i++)
		add(&memories[i]);
	queues = calloc(mounted.nr_queues, sizeof(*queues));
	for (int i = 0; i < mounted.nr_queues; i++) {
		queue_init(&queues[i].queue, &mounted, i, &setup);
		CHECK(!pthread_create(&queues[i].thread, NULL, serve_queue, &queues[i]));
	}

	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		close(mounted.fuse);
		client();
		exit(0);
	}
	wait_for_client(pid);
	regain_capabilities();
	mount_leave(&mounted);
	for (int i = 0; i < mounted.nr_queues; i++) {
		pthread_join(queues[i].thread, NULL);
		queue_free(&queues[i].queue);
	}
	close(mounted.fuse);
	free(queues);
	commander_free(&commander);
	rmdir(mountpoint);
	if (memories[HUGE].fd >= 0)
		write_file("/proc/sys/vm/nr_hugepages", "0");
	printf("reads %lu writes %lu shared %lu and %lu zero-copied %lu\n",
	       control->counts.reads, control->counts.writes, control->counts.shared_reads,
	       control->counts.shared_writes, control->counts.zero_copied);
	return 0;
}
