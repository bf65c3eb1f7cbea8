// SPDX-License-Identifier: GPL-2.0-only
/*
 * A server that does all that it must not do. What the kernel has to refuse is checked one by one;
 * then come random commands. Whether the kernel took harm is for the kernel's own tools to say
 * (KASAN, lockdep, kmemleak); this looks at what clients get, and at the accounting of memory.
 *
 *	hostile [random commands]
 *
 * Needs root, a kernel with the patches, and enable_uring=Y.
 */
#define _GNU_SOURCE
#include "ring.h"
#include "by_hand.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_SIZE (64 * 1024)

static char mountpoint[] = "/tmp/hostile-XXXXXX";
static char data_path[64];

static const struct setup plain = {
	.flags = FUSE_URING_BUFRING, .depth = 4, .nr_bufs = 4, .buf_size = MAX_PAYLOAD
};
static const struct setup pinned = { .flags = ALL_FLAGS & ~FUSE_URING_ZERO_COPY,
				     .depth = 4,
				     .nr_bufs = 4,
				     .buf_size = MAX_PAYLOAD };
static const struct setup zero_copy = {
	.flags = ALL_FLAGS, .depth = 4, .nr_bufs = 4, .buf_size = MAX_PAYLOAD
};

/* REGISTER with something wrong. The kernel then has done with rings for the connection. */

struct wrong {
	const char *what;
	const struct setup *setup;
	int error;
	void (*spoil)(struct queue *queue, struct io_uring_sqe *sqe);
};

#define SPOIL(name, ...)                                                \
	static void name(struct queue *queue, struct io_uring_sqe *sqe) \
	{                                                               \
		struct fuse_uring_cmd_req *command = sqe_command(sqe);  \
		(void)queue;                                            \
		(void)command;                                          \
		__VA_ARGS__;                                            \
	}

SPOIL(unknown_flag, command->flags |= 1ULL << 40)
SPOIL(pin_alone, command->flags = FUSE_URING_PINNED_HEADERS)
SPOIL(zero_copy_unpinned, command->flags = FUSE_URING_BUFRING | FUSE_URING_ZERO_COPY)
SPOIL(padding, command->padding = 1)
SPOIL(inner_padding, command->init.padding = 1)
SPOIL(no_depth, command->init.max_queue_depth = 0)
SPOIL(deep, command->init.max_queue_depth = UINT16_MAX)
SPOIL(no_size, command->init.buf_size = 0)
SPOIL(small, command->init.buf_size -= 1)
SPOIL(large, command->init.buf_size = UINT32_MAX)
SPOIL(short_headers, queue->iov[0].iov_len -= 1)
SPOIL(short_payload, queue->iov[1].iov_len = command->init.buf_size - 1)
SPOIL(many_buffers, queue->iov[1].iov_len = 65536UL * MAX_PAYLOAD)
SPOIL(odd_headers, queue->iov[0].iov_base = (char *)queue->headers + 64)
SPOIL(odd_payload, queue->iov[1].iov_base = queue->pool + 512;
      queue->iov[1].iov_len -= 512)
SPOIL(kernel_memory, queue->iov[0].iov_base = (void *)(UINTPTR_MAX - 65536))
SPOIL(no_memory, CHECK(!mprotect(queue->pool, queue->pool_size, PROT_NONE)))
SPOIL(read_only, CHECK(!mprotect(queue->headers, queue->headers_size, PROT_READ)))
SPOIL(one_iovec, sqe->len = 1)
SPOIL(no_iovec, sqe->addr = 8)
SPOIL(high_slot, sqe->buf_index = queue->setup.depth)
SPOIL(highest_slot, sqe->buf_index = UINT16_MAX)
SPOIL(high_queue, command->qid = queue->mount->nr_queues)
SPOIL(no_table, io_uring_unregister_buffers(&queue->ring))
SPOIL(small_table, io_uring_unregister_buffers(&queue->ring);
      io_uring_register_buffers_sparse(&queue->ring, queue->setup.depth - 1))

static const struct wrong wrongs[] = {
	{ "unknown flag", &plain, -EINVAL, unknown_flag },
	{ "pinning without buffer ring", &plain, -EINVAL, pin_alone },
	{ "zero-copy without pinning", &zero_copy, -EINVAL, zero_copy_unpinned },
	{ "a padding", &plain, -EINVAL, padding },
	{ "the other padding", &plain, -EINVAL, inner_padding },
	{ "depth 0", &plain, -EINVAL, no_depth },
	{ "depth beyond the headers", &plain, -EINVAL, deep },
	{ "buffers of size 0", &plain, -EINVAL, no_size },
	{ "buffers too small", &plain, -EINVAL, small },
	{ "buffers too small with zero-copy", &zero_copy, -EINVAL, small },
	{ "buffers larger than the region", &plain, -EINVAL, large },
	{ "headers too short", &plain, -EINVAL, short_headers },
	{ "no buffer", &plain, -EINVAL, short_payload },
	{ "too many buffers", &plain, -EINVAL, many_buffers },
	{ "unaligned headers", &pinned, -EINVAL, odd_headers },
	{ "unaligned buffers", &pinned, -EINVAL, odd_payload },
	{ "kernel memory", &plain, -EFAULT, kernel_memory },
	{ "pinned kernel memory", &pinned, -EFAULT, kernel_memory },
	{ "memory that cannot be accessed", &pinned, -EFAULT, no_memory },
	{ "memory that cannot be written", &pinned, -EFAULT, read_only },
	{ "one iovec", &plain, -EINVAL, one_iovec },
	{ "iovecs at 8", &plain, -EFAULT, no_iovec },
	{ "slot = depth", &plain, -EINVAL, high_slot },
	{ "slot 65535", &zero_copy, -EINVAL, highest_slot },
	{ "queue too high", &plain, -EINVAL, high_queue },
	{ "no table", &zero_copy, -EINVAL, no_table },
	{ "table too small", &zero_copy, -EINVAL, small_table },
};

static void refuse_one(const struct wrong *wrong)
{
	struct io_uring_sqe *sqe;
	struct mounted mounted;
	struct queue queue;
	int error;

	mount_begin(&mounted, mountpoint);
	queue_init(&queue, &mounted, 0, wrong->setup);
	sqe = queue_register(&queue, 0);
	wrong->spoil(&queue, sqe);
	error = queue_try_register(&queue, sqe);
	if (error != wrong->error)
		die("%s: %d, not %d", wrong->what, error, wrong->error);
	queue_free(&queue);
	mount_end(&mounted);
}

/* A second REGISTER that differs from the first */

SPOIL(other_flags, command->flags ^= FUSE_URING_PINNED_BUFFERS)
SPOIL(own_memory, command->flags = 0)
SPOIL(other_size, command->init.buf_size /= 2)
SPOIL(other_depth, command->init.max_queue_depth -= 1)
SPOIL(other_base, queue->iov[1].iov_base = queue->pool + 4096)
SPOIL(other_length, queue->iov[0].iov_len += 4096)
SPOIL(same_slot, sqe->buf_index = 0)

static const struct wrong changes[] = {
	{ "other flags", &pinned, -EINVAL, other_flags },
	{ "memory of its own", &plain, -EINVAL, own_memory },
	{ "other size", &plain, -EINVAL, other_size },
	{ "other depth", &plain, -EINVAL, other_depth },
	{ "other base", &pinned, -EINVAL, other_base },
	{ "other length", &pinned, -EINVAL, other_length },
	{ "the same slot", &plain, -EBUSY, same_slot },
};

static void refuse_change(const struct wrong *wrong)
{
	struct io_uring_sqe *sqe;
	struct mounted mounted;
	struct queue queue;
	int error;

	mount_begin(&mounted, mountpoint);
	queue_init(&queue, &mounted, 0, wrong->setup);
	queue_register(&queue, 0);
	CHECK(io_uring_submit(&queue.ring) == 1);
	sqe = queue_register(&queue, 1);
	wrong->spoil(&queue, sqe);
	error = queue_try_register(&queue, sqe);
	if (error != wrong->error)
		die("%s: %d, not %d", wrong->what, error, wrong->error);
	mount_end(&mounted);
	queue_free(&queue);
}

/* A child that has given up some of root's rights */
static void in_child(void (*test)(void))
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		test();
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	if (status)
		die("child: %#x", status);
}

static void drop_capability(int capability)
{
	struct __user_cap_header_struct header = { .version =
							   _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	CHECK(!syscall(SYS_capget, &header, data));
	data[capability / 32].effective &= ~(1U << capability % 32);
	CHECK(!syscall(SYS_capset, &header, data));
}

static int register_once(const struct setup *setup, int capability)
{
	struct mounted mounted;
	struct queue queue;
	int error;

	mount_begin(&mounted, mountpoint);
	queue_init(&queue, &mounted, 0, setup);
	if (capability)
		drop_capability(capability);
	error = queue_try_register(&queue, queue_register(&queue, 0));
	queue_free(&queue);
	mount_abort(&mounted);
	pthread_join(mounted.reader, NULL);
	close(mounted.fuse);
	return error;
}

static void unprivileged_zero_copy(void)
{
	CHECK(register_once(&zero_copy, CAP_SYS_ADMIN) == -EPERM);
	/* the mount goes with the namespace of the parent's */
}

static void limited_pinning(void)
{
	struct rlimit limit = { 2 << 20, 2 << 20 };

	CHECK(!setrlimit(RLIMIT_MEMLOCK, &limit));
	CHECK(register_once(&pinned, CAP_IPC_LOCK) == -ENOMEM);
}

/* If anything stayed charged, one of these would not fit. */
static void exact_pinning(void)
{
	struct rlimit limit = { (4 << 20) + 4096, (4 << 20) + 4096 };

	CHECK(!setrlimit(RLIMIT_MEMLOCK, &limit));
	drop_capability(CAP_IPC_LOCK);
	for (int i = 0; i < 20; i++) {
		CHECK(register_once(&pinned, 0) == 0);
		umount2(mountpoint, MNT_DETACH);
	}
}

static long pinned_memory(void)
{
	char line[256];
	long size = -1;
	FILE *file = fopen("/proc/self/status", "r");

	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "VmPin: %ld", &size) == 1)
			break;
	fclose(file);
	return size;
}

/* Requests under way: a client in a thread, and a server that is done by hand */

struct client {
	pthread_t thread;
	bool write;
	ssize_t result;
	int error;
	unsigned char *bytes;
};

struct by_hand {
	struct mounted mounted;
	struct queue queues[8];
	struct queue *queue; /* that of the client's CPU */
};

static void *run_client(void *argument)
{
	struct client *client = argument;
	int fd;

	fd = open(data_path, O_RDWR | O_DIRECT);
	if (fd < 0) {
		client->result = -1;
		client->error = errno;
		return NULL;
	}
	if (client->write)
		client->result = pwrite(fd, client->bytes, 16384, 0);
	else
		client->result = pread(fd, client->bytes, 16384, 0);
	client->error = errno;
	close(fd);
	return NULL;
}

static void client_start(struct client *client, bool write)
{
	memset(client, 0, sizeof(*client));
	client->write = write;
	CHECK(!posix_memalign((void **)&client->bytes, 4096, 16384));
	memset(client->bytes, 0x11, 16384);
	CHECK(!pthread_create(&client->thread, NULL, run_client, client));
}

static void client_end(struct client *client)
{
	pthread_join(client->thread, NULL);
	free(client->bytes);
}

/* Queues but the first may differ from it. */
static void by_hand_begin_with(struct by_hand *hand, const struct setup *first,
			       const struct setup *others)
{
	mount_begin(&hand->mounted, mountpoint);
	CHECK(hand->mounted.nr_queues <= 8);
	for (int i = 0; i < hand->mounted.nr_queues; i++) {
		const struct setup *setup = i ? others : first;

		queue_init(&hand->queues[i], &hand->mounted, i, setup);
		for (int slot = 0; slot < setup->depth; slot++)
			queue_register(&hand->queues[i], slot);
		CHECK(io_uring_submit(&hand->queues[i].ring) == setup->depth);
	}
	hand->queue = &hand->queues[0];
}

static void by_hand_begin(struct by_hand *hand, const struct setup *setup)
{
	by_hand_begin_with(hand, setup, setup);
}

static void by_hand_end(struct by_hand *hand)
{
	mount_end(&hand->mounted);
	for (int i = 0; i < hand->mounted.nr_queues; i++)
		if (hand->queues[i].headers)
			queue_free(&hand->queues[i]);
}

static struct fuse_uring_req_header *header_of(struct queue *queue, unsigned int slot)
{
	return &queue->headers[slot];
}

static void prepare_reply(struct queue *queue, unsigned int slot, int error,
			  uint32_t size)
{
	struct fuse_uring_req_header *header = header_of(queue, slot);
	struct fuse_in_header *in = (void *)header->in_out;
	struct fuse_out_header out = { .unique = in->unique,
				       .error = error,
				       .len = 16 + size };

	memcpy(header->in_out, &out, sizeof(out));
	header->ring_ent_in_out.payload_sz = size;
}

/* A short direct read of a cached file would be followed by a cached one, of the rest */
static bool cached;

/* What is needed until a file is open, and after it was closed */
static void answer(struct queue *queue, unsigned int slot)
{
	struct fuse_uring_req_header *header = header_of(queue, slot);
	struct fuse_in_header *in = (void *)header->in_out;
	uint16_t buf_id = header->ring_ent_in_out.buf_id;
	char *payload = queue->pool + (size_t)buf_id * queue->setup.buf_size;
	struct fuse_attr attr = {
		.ino = 2, .mode = S_IFREG | 0666, .nlink = 1, .size = FILE_SIZE
	};
	struct fuse_attr directory = { .ino = 1, .mode = S_IFDIR | 0755, .nlink = 1 };

	switch (in->opcode) {
	case FUSE_LOOKUP:
		*(struct fuse_entry_out *)payload = (struct fuse_entry_out){
			.nodeid = 2, .attr_valid = 9, .attr = attr
		};
		prepare_reply(queue, slot, 0, sizeof(struct fuse_entry_out));
		break;
	case FUSE_GETATTR:
		*(struct fuse_attr_out *)payload = (struct fuse_attr_out){
			.attr_valid = 9, .attr = in->nodeid == 1 ? directory : attr
		};
		prepare_reply(queue, slot, 0, sizeof(struct fuse_attr_out));
		break;
	case FUSE_OPEN:
		*(struct fuse_open_out *)payload =
			(struct fuse_open_out){ .open_flags =
							cached ? 0 : FOPEN_DIRECT_IO };
		prepare_reply(queue, slot, 0, sizeof(struct fuse_open_out));
		break;
	default:
		prepare_reply(queue, slot, in->opcode == FUSE_FLUSH ? 0 : -ENOSYS, 0);
	}
	queue_commit(queue, header->ring_ent_in_out.commit_id, slot);
}

/* Serves until there is a request of this kind. Returns its slot. */
static unsigned int serve_until(struct queue *queue, uint32_t opcode)
{
	for (;;) {
		struct completion cqe = ring_next(&queue->ring);
		struct fuse_in_header *in;

		if (cqe.res)
			die("waiting for opcode %u: %s", opcode, strerror(-cqe.res));
		in = (void *)header_of(queue, cqe.user_data)->in_out;
		if (in->opcode == opcode)
			return cqe.user_data;
		answer(queue, cqe.user_data);
	}
}

/* Commits a reply to a READ or WRITE, and serves until the file is closed. */
static void finish(struct queue *queue, unsigned int slot, struct client *client)
{
	uint64_t commit_id = header_of(queue, slot)->ring_ent_in_out.commit_id;

	(void)client;
	queue_commit(queue, commit_id, slot);
	answer(queue, serve_until(queue, FUSE_RELEASE));
	io_uring_submit(&queue->ring);
}

static int fixed(struct queue *queue, uint8_t opcode, unsigned int slot, int fd,
		 uint32_t size)
{
	struct io_uring_sqe *sqe = queue_sqe(queue);
	struct completion cqe;

	io_uring_prep_rw(opcode, sqe, fd, NULL, size, 0);
	sqe->buf_index = slot;
	sqe->user_data = 1000;
	cqe = ring_next(&queue->ring);
	CHECK(cqe.user_data == 1000);
	return cqe.res;
}

static int some_file(void)
{
	static int fd = -1;
	static char bytes[FILE_SIZE];

	if (fd < 0) {
		fd = memfd_create("some", MFD_CLOEXEC);
		memset(bytes, 0x22, sizeof(bytes));
		CHECK(write(fd, bytes, sizeof(bytes)) == sizeof(bytes));
	}
	return fd;
}

/* What a server can do with lent pages, and what it cannot */
static void test_pages(void)
{
	struct by_hand hand;
	struct client client;
	unsigned int slot;
	int fd = some_file();

	by_hand_begin(&hand, &zero_copy);
	client_start(&client, false);
	slot = serve_until(hand.queue, FUSE_READ);
	CHECK(header_of(hand.queue, slot)->ring_ent_in_out.flags ==
	      FUSE_URING_ENT_ZERO_COPY);
	CHECK(header_of(hand.queue, slot)->ring_ent_in_out.buf_id == UINT16_MAX);
	/* a read's pages cannot be read, nor can what is behind them be written */
	CHECK(fixed(hand.queue, IORING_OP_WRITE_FIXED, slot, fd, 4096) == -EFAULT);
	CHECK(fixed(hand.queue, IORING_OP_READ_FIXED, slot, fd, 16385) == -EFAULT);
	CHECK(fixed(hand.queue, IORING_OP_READ_FIXED, (slot + 1) % 4, fd, 4096) ==
	      -EFAULT);
	CHECK(fixed(hand.queue, IORING_OP_READ_FIXED, slot, fd, 8192) == 8192);
	prepare_reply(hand.queue, slot, 0, 8192);
	finish(hand.queue, slot, &client);
	/* nor anything when the request has ended */
	CHECK(fixed(hand.queue, IORING_OP_READ_FIXED, slot, fd, 4096) == -EFAULT);
	pthread_join(client.thread, NULL);
	CHECK(client.result == 8192 && client.bytes[8191] == 0x22 &&
	      client.bytes[8192] == 0x11);
	free(client.bytes);

	client_start(&client, true);
	slot = serve_until(hand.queue, FUSE_WRITE);
	CHECK(header_of(hand.queue, slot)->ring_ent_in_out.payload_sz == 16384);
	CHECK(fixed(hand.queue, IORING_OP_READ_FIXED, slot, fd, 4096) == -EFAULT);
	prepare_reply(hand.queue, slot, -ENOSPC, 0);
	finish(hand.queue, slot, &client);
	client_end(&client);
	CHECK(client.result == -1 && client.error == ENOSPC);
	by_hand_end(&hand);
}

/* The slot belongs to the server: it may have emptied it, or filled it with something else. */
static void test_slot(void)
{
	static char page[4096] __attribute__((aligned(4096)));
	struct iovec nothing = { 0 }, something = { page, sizeof(page) };
	struct by_hand hand;
	struct client client;
	unsigned int slot;

	by_hand_begin(&hand, &zero_copy);
	client_start(&client, false);
	slot = serve_until(hand.queue, FUSE_READ);
	CHECK(io_uring_register_buffers_update_tag(&hand.queue->ring, slot, &nothing,
						   NULL, 1) == 1);
	CHECK(fixed(hand.queue, IORING_OP_READ_FIXED, slot, some_file(), 4096) ==
	      -EFAULT);
	CHECK(io_uring_register_buffers_update_tag(&hand.queue->ring, slot, &something,
						   NULL, 1) == 1);
	prepare_reply(hand.queue, slot, 0, 100);
	finish(hand.queue, slot, &client);
	client_end(&client);
	CHECK(client.result == 100);

	/* the kernel leaves alone what is there, so the next request cannot be sent */
	memset(page, 7, sizeof(page));
	for (int i = 0; i < 4; i++)
		io_uring_register_buffers_update_tag(&hand.queue->ring, i, &something,
						     NULL, 1);
	client_start(&client, false);
	answer(hand.queue, serve_until(hand.queue, FUSE_RELEASE));
	io_uring_submit(&hand.queue->ring);
	client_end(&client);
	CHECK(client.result == -1 && client.error == EBUSY);
	by_hand_end(&hand);
}

/* liburing 2.3 does not have it yet */
static int clone_buffers(struct io_uring *to, struct io_uring *from)
{
	enum {
		REGISTER_CLONE_BUFFERS = 30
	};
	uint32_t arguments[8] = { from->ring_fd };

	return syscall(SYS_io_uring_register, to->ring_fd, REGISTER_CLONE_BUFFERS,
		       arguments, 1);
}

/* A copy of the table in another ring does not have what is lent. */
static void test_clone(void)
{
	struct by_hand hand;
	struct client client;
	struct io_uring other;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	unsigned int slot;

	by_hand_begin(&hand, &zero_copy);
	client_start(&client, false);
	slot = serve_until(hand.queue, FUSE_READ);
	CHECK(!io_uring_queue_init(8, &other, 0));
	CHECK(!clone_buffers(&other, &hand.queue->ring));
	sqe = io_uring_get_sqe(&other);
	io_uring_prep_rw(IORING_OP_READ_FIXED, sqe, some_file(), NULL, 4096, 0);
	sqe->buf_index = slot;
	io_uring_submit(&other);
	CHECK(!io_uring_wait_cqe(&other, &cqe) && cqe->res == -EFAULT);
	io_uring_queue_exit(&other);
	prepare_reply(hand.queue, slot, 0, 0);
	finish(hand.queue, slot, &client);
	client_end(&client);
	CHECK(client.result == 0);
	by_hand_end(&hand);
}

static int commit_result(struct queue *queue, uint64_t commit_id)
{
	queue_commit(queue, commit_id, 2000);
	return ring_next(&queue->ring).res;
}

static void test_commits(void)
{
	struct by_hand hand;
	struct client client;
	struct queue other;
	unsigned int slot;
	uint64_t commit_id;

	by_hand_begin(&hand, &zero_copy);
	queue_init(&other, &hand.mounted, 0, &zero_copy);
	client_start(&client, false);
	slot = serve_until(hand.queue, FUSE_READ);
	commit_id = header_of(hand.queue, slot)->ring_ent_in_out.commit_id;
	CHECK(commit_result(hand.queue, commit_id + 2) == -ENOENT);
	CHECK(commit_result(hand.queue, 0) == -ENOENT);
	CHECK(commit_result(&other, commit_id) == -EBUSY);
	other.qid = 500;
	CHECK(commit_result(&other, commit_id) == -EINVAL);
	if (hand.mounted.nr_queues > 1)
		CHECK(commit_result(&hand.queues[1], commit_id) == -ENOENT);
	prepare_reply(hand.queue, slot, 0, 50);
	queue_commit(hand.queue, commit_id, slot);
	io_uring_submit(&hand.queue->ring);
	/* twice */
	queue_commit(&other, commit_id, 0);
	other.qid = 0;
	CHECK(commit_result(&other, commit_id) < 0);
	answer(hand.queue, serve_until(hand.queue, FUSE_RELEASE));
	io_uring_submit(&hand.queue->ring);
	client_end(&client);
	CHECK(client.result == 50);
	by_hand_end(&hand);
	queue_free(&other);
}

/* Replies that cannot be */
/* Rings that are at work are not given up for an entry more that cannot be had. */
static void test_entry_too_many(void)
{
	struct by_hand hand;
	struct client client;
	unsigned int slot;

	by_hand_begin(&hand, &zero_copy);
	CHECK(queue_try_register(hand.queue, queue_register(hand.queue, 0)) == -EBUSY);
	client_start(&client, false);
	slot = serve_until(hand.queue, FUSE_READ);
	prepare_reply(hand.queue, slot, 0, 50);
	finish(hand.queue, slot, &client);
	client_end(&client);
	CHECK(client.result == 50);
	by_hand_end(&hand);
}

static void test_replies(void)
{
	static const struct {
		uint32_t size;
		int32_t error;
		uint64_t unique;
		int expected;
	} replies[] = {
		{ 16385, 0, 0, EINVAL }, { UINT32_MAX, 0, 0, EINVAL },
		{ 0, 1, 0, EINVAL },	 { 0, -1000, 0, EINVAL },
		{ 0, 0, 1, ENOENT },
	};
	const struct setup *const setups[] = { &plain, &pinned, &zero_copy };
	struct by_hand hand;
	struct client client;

	for (int k = 0; k < 3; k++) {
		by_hand_begin(&hand, setups[k]);
		for (size_t i = 0; i < sizeof(replies) / sizeof(*replies); i++) {
			struct fuse_uring_req_header *header;
			struct fuse_out_header *out;
			unsigned int slot;

			client_start(&client, false);
			slot = serve_until(hand.queue, FUSE_READ);
			header = header_of(hand.queue, slot);
			prepare_reply(hand.queue, slot, replies[i].error,
				      replies[i].size);
			out = (void *)header->in_out;
			out->unique += replies[i].unique * 2;
			finish(hand.queue, slot, &client);
			client_end(&client);
			if (client.result != -1 || client.error != replies[i].expected)
				die("reply %zu: %zd, %s", i, client.result,
				    strerror(client.error));
		}
		by_hand_end(&hand);
	}
}

/* One buffer for four entries: readers get it one after the other, and fsync does not wait. */

static const struct setup one_buffer = {
	.flags = FUSE_URING_BUFRING, .depth = 4, .nr_bufs = 1, .buf_size = MAX_PAYLOAD
};

struct waiter {
	pthread_t thread;
	int fd;
	unsigned int number;
	ssize_t result;
};

static void *wait_for_read(void *argument)
{
	struct waiter *waiter = argument;
	void *bytes;

	CHECK(!posix_memalign(&bytes, 4096, 4096));
	waiter->result = pread(waiter->fd, bytes, 4096, waiter->number * 4096);
	free(bytes);
	return NULL;
}

static void *wait_for_fsync(void *argument)
{
	return (void *)(intptr_t)fsync(*(int *)argument);
}

static void *open_data(void *argument)
{
	int fd = open(data_path, O_RDONLY);

	(void)argument;
	CHECK(fd >= 0);
	close(dup(fd));
	return (void *)(intptr_t)fd;
}

static void commit(struct queue *queue, unsigned int slot, int error, uint32_t size)
{
	prepare_reply(queue, slot, error, size);
	queue_commit(queue, header_of(queue, slot)->ring_ent_in_out.commit_id, slot);
	io_uring_submit(&queue->ring);
}

/* Nobody who has the file waits for a FLUSH when he closes it, or ends. */
static int open_by_hand(struct by_hand *hand)
{
	pthread_t thread;
	void *result;

	CHECK(!pthread_create(&thread, NULL, open_data, NULL));
	commit(hand->queue, serve_until(hand->queue, FUSE_FLUSH), -ENOSYS, 0);
	pthread_join(thread, &result);
	return (intptr_t)result;
}

/* The next READ, which has to be the one for this page, and has the buffer */
static unsigned int serve_page(struct queue *queue, unsigned int number)
{
	unsigned int slot = serve_until(queue, FUSE_READ);
	struct fuse_uring_req_header *header = header_of(queue, slot);

	CHECK(((struct fuse_read_in *)header->op_in)->offset == number * 4096);
	CHECK(header->ring_ent_in_out.buf_id == 0);
	return slot;
}

static void test_waiting(void)
{
	struct waiter waiters[8];
	struct by_hand hand;
	pthread_t thread;
	unsigned int slot, other;
	int fd;

	by_hand_begin(&hand, &one_buffer);
	fd = open_by_hand(&hand);
	for (unsigned int i = 0; i < 8; i++) {
		waiters[i] = (struct waiter){ .fd = fd, .number = i };
		CHECK(!pthread_create(&waiters[i].thread, NULL, wait_for_read,
				      &waiters[i]));
		mount_wait_for(&hand.mounted, i + 1);
	}
	CHECK(!pthread_create(&thread, NULL, wait_for_fsync, &fd));
	slot = serve_page(hand.queue, 0);
	other = serve_until(hand.queue, FUSE_FSYNC);
	CHECK(header_of(hand.queue, other)->ring_ent_in_out.buf_id == UINT16_MAX);
	commit(hand.queue, other, 0, 0);
	pthread_join(thread, NULL);
	commit(hand.queue, slot, 0, 10);
	for (unsigned int i = 1; i < 8; i++)
		commit(hand.queue, serve_page(hand.queue, i), 0, 10 + i);
	for (unsigned int i = 0; i < 8; i++) {
		pthread_join(waiters[i].thread, NULL);
		CHECK(waiters[i].result == 10 + i);
	}
	close(fd);
	by_hand_end(&hand);
}

/* Of those that wait some are killed: they end at once, and the next one has their turn. */
static void test_killed_while_waiting(void)
{
	struct by_hand hand;
	unsigned int slot;
	pid_t pids[6];
	int fd, status;

	by_hand_begin(&hand, &one_buffer);
	fd = open_by_hand(&hand);
	for (unsigned int i = 0; i < 6; i++) {
		struct waiter waiter = { .fd = fd, .number = i };

		pids[i] = fork();
		CHECK(pids[i] >= 0);
		if (!pids[i]) {
			wait_for_read(&waiter);
			_exit(waiter.result);
		}
		mount_wait_for(&hand.mounted, i + 1);
	}
	slot = serve_page(hand.queue, 0);
	for (unsigned int i = 1; i < 6; i++) {
		if (i == 3)
			continue;
		CHECK(!kill(pids[i], SIGKILL));
		CHECK(waitpid(pids[i], &status, 0) == pids[i] && WIFSIGNALED(status));
	}
	mount_wait_for(&hand.mounted, 2);
	commit(hand.queue, slot, 0, 10);
	commit(hand.queue, serve_page(hand.queue, 3), 0, 13);
	CHECK(waitpid(pids[0], &status, 0) == pids[0] && WEXITSTATUS(status) == 10);
	CHECK(waitpid(pids[3], &status, 0) == pids[3] && WEXITSTATUS(status) == 13);
	close(fd);
	by_hand_end(&hand);
}

static volatile bool aborted;

static void *abort_soon(void *argument)
{
	usleep(100000);
	mount_abort(argument);
	aborted = true;
	return NULL;
}

/* The ring goes, with pages lent to it; the client waits until the connection goes too. */
static void test_closed_ring(void)
{
	struct by_hand hand;
	struct client client;
	struct queue other;
	pthread_t aborter;
	unsigned int slot;

	for (int commit = 0; commit < 2; commit++) {
		uint64_t commit_id;

		by_hand_begin(&hand, &zero_copy);
		client_start(&client, true);
		slot = serve_until(hand.queue, FUSE_WRITE);
		commit_id = header_of(hand.queue, slot)->ring_ent_in_out.commit_id;
		prepare_reply(hand.queue, slot, -EXDEV, 0);
		io_uring_queue_exit(&hand.queue->ring);
		usleep(200000);
		queue_init(&other, &hand.mounted, 0, &zero_copy);
		if (commit) {
			/* from another ring, now that its own is gone */
			queue_commit(&other, commit_id, slot);
			io_uring_submit(&other.ring);
			usleep(100000);
		}
		CHECK(!pthread_create(&aborter, NULL, abort_soon, &hand.mounted));
		client_end(&client);
		pthread_join(aborter, NULL);
		CHECK(client.result == -1);
		CHECK(client.error == (commit ? EXDEV : ECONNABORTED));
		munmap(hand.queue->headers, hand.queue->headers_size);
		munmap(hand.queue->pool, hand.queue->pool_size);
		hand.queue->headers = NULL;
		by_hand_end(&hand);
		queue_free(&other);
	}
}

/* The connection goes, and the ring stays: it has the pages no longer. */
static void test_abort(bool by_timeout)
{
	struct by_hand hand;
	struct client client;
	unsigned int slot;

	/* the kernel looks every 15 s */
	request_timeout = by_timeout ? 15 : 0;
	by_hand_begin(&hand, &zero_copy);
	request_timeout = 0;
	client_start(&client, false);
	slot = serve_until(hand.queue, FUSE_READ);
	if (!by_timeout)
		mount_abort(&hand.mounted);
	client_end(&client);
	CHECK(client.result == -1 && client.error == ECONNABORTED);
	for (;;) {
		struct io_uring_sqe *sqe = queue_sqe(hand.queue);
		struct completion cqe;

		io_uring_prep_rw(IORING_OP_READ_FIXED, sqe, some_file(), NULL, 4096, 0);
		sqe->buf_index = slot;
		sqe->user_data = 1000;
		do {
			cqe = ring_next(&hand.queue->ring);
		} while (cqe.user_data != 1000);
		if (cqe.res == -EFAULT)
			break;
		/* the client is told first */
		usleep(1000);
	}
	CHECK(pinned_memory() == 0);
	by_hand_end(&hand);
}

/* I/O on the pages is under way, on a pipe, while the connection goes */
static void test_busy_pages(bool close_ring)
{
	struct by_hand hand;
	struct client client;
	struct io_uring_sqe *sqe;
	unsigned int slot;
	int ends[2];

	CHECK(!pipe(ends));
	by_hand_begin(&hand, &zero_copy);
	client_start(&client, false);
	slot = serve_until(hand.queue, FUSE_READ);
	sqe = queue_sqe(hand.queue);
	io_uring_prep_rw(IORING_OP_READ_FIXED, sqe, ends[0], NULL, 4096, -1);
	sqe->buf_index = slot;
	sqe->user_data = 1000;
	io_uring_submit(&hand.queue->ring);
	usleep(20000);
	if (close_ring) {
		io_uring_queue_exit(&hand.queue->ring);
		munmap(hand.queue->headers, hand.queue->headers_size);
		munmap(hand.queue->pool, hand.queue->pool_size);
		hand.queue->headers = NULL;
	}
	mount_abort(&hand.mounted);
	client_end(&client);
	CHECK(client.result == -1 && client.error == ECONNABORTED);
	CHECK(write(ends[1], "late", 4) == 4);
	usleep(20000);
	by_hand_end(&hand);
	close(ends[0]);
	close(ends[1]);
}

/* How many names the mount's directory has */
static void *list_names(void *argument)
{
	DIR *directory = opendir(argument);
	intptr_t names = 0;

	CHECK(directory);
	while (readdir(directory))
		names++;
	closedir(directory);
	return (void *)names;
}

/* Three entries of a directory. Returns their size. */
static uint32_t write_entries(int fd)
{
	char bytes[3 * FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + 1)] = { 0 };
	const size_t size = sizeof(bytes) / 3;

	for (unsigned int i = 0; i < 3; i++) {
		struct fuse_dirent *entry = (void *)(bytes + i * size);

		entry->ino = 10 + i;
		entry->off = 1 + i;
		entry->namelen = 1;
		entry->type = DT_REG;
		bytes[i * size + FUSE_NAME_OFFSET] = "abc"[i];
	}
	CHECK(write(fd, bytes, sizeof(bytes)) == sizeof(bytes));
	return sizeof(bytes);
}

/* A directory is read as it was when the server said that it is there, whatever comes later. */
static void test_busy_directory(void)
{
	struct by_hand hand;
	struct io_uring_sqe *sqe;
	unsigned int slot;
	pthread_t client;
	char late[4096];
	void *names;
	uint32_t size;
	int ends[2], fd = memfd_create("entries", MFD_CLOEXEC);

	CHECK(fd >= 0 && !pipe(ends));
	size = write_entries(fd);
	memset(late, 0xff, sizeof(late));
	by_hand_begin(&hand, &zero_copy);
	CHECK(!pthread_create(&client, NULL, list_names, mountpoint));
	slot = serve_until(hand.queue, FUSE_READDIR);
	CHECK(fixed(hand.queue, IORING_OP_READ_FIXED, slot, fd, size) == (int)size);
	sqe = queue_sqe(hand.queue);
	io_uring_prep_rw(IORING_OP_READ_FIXED, sqe, ends[0], NULL, sizeof(late), -1);
	sqe->buf_index = slot;
	sqe->user_data = 1000;
	io_uring_submit(&hand.queue->ring);
	usleep(20000);
	commit(hand.queue, slot, 0, size);
	slot = serve_until(hand.queue, FUSE_READDIR);
	CHECK(write(ends[1], late, sizeof(late)) == sizeof(late));
	CHECK(ring_next(&hand.queue->ring).user_data == 1000);
	commit(hand.queue, slot, 0, 0);
	pthread_join(client, &names);
	CHECK((intptr_t)names == 3);
	by_hand_end(&hand);
	close(ends[0]);
	close(ends[1]);
	close(fd);
}

/*
 * A server's thread has the lock of the first queue's ring, which it gives memory of its own mount
 * for a buffer, and waits for the request that this makes of the second queue. Whoever aborts the
 * connection must not wait for that lock, be it for pages that were lent to the ring or for commands
 * of idle entries, before that request has been ended; which he cannot do while it is on its way.
 */

struct locker {
	pthread_t thread;
	struct io_uring *ring;
	unsigned int slot; /* of its table, that is free */
	int result;
};

static void *lock_ring(void *argument)
{
	struct locker *locker = argument;
	struct iovec iov = { .iov_len = 4096 };
	__u64 tag = 0;
	cpu_set_t set;
	int fd;

	CPU_ZERO(&set);
	CPU_SET(1, &set);
	CHECK(!sched_setaffinity(0, sizeof(set), &set));
	fd = open(data_path, O_RDWR);
	CHECK(fd >= 0);
	iov.iov_base =
		mmap(NULL, iov.iov_len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CHECK(iov.iov_base != MAP_FAILED);
	locker->result = io_uring_register_buffers_update_tag(locker->ring, locker->slot,
							      &iov, &tag, 1);
	munmap(iov.iov_base, iov.iov_len);
	close(fd);
	return NULL;
}

static void test_locked_ring(bool on_its_way)
{
	struct setup second = zero_copy;
	struct queue *queue;
	struct timespec deadline;
	struct locker locker;
	struct client client;
	struct by_hand hand;
	pthread_t aborter;

	second.lazy = on_its_way;
	by_hand_begin_with(&hand, &zero_copy, &second);
	if (hand.mounted.nr_queues < 2) {
		by_hand_end(&hand);
		return;
	}
	client_start(&client, false);
	locker.ring = &hand.queue->ring;
	locker.slot = (serve_until(hand.queue, FUSE_READ) + 1) % zero_copy.depth;
	CHECK(!pthread_create(&locker.thread, NULL, lock_ring, &locker));
	queue = &hand.queues[1];
	if (on_its_way) {
		answer(queue, serve_until(queue, FUSE_OPEN));
		io_uring_submit(&queue->ring);
		mount_wait_for(&hand.mounted, 2);
	} else {
		serve_until(queue, FUSE_READ);
	}
	CHECK(!pthread_create(&aborter, NULL, abort_soon, &hand.mounted));
	if (on_its_way) {
		usleep(300000);
		serve_until(queue, FUSE_READ);
	}
	CHECK(!clock_gettime(CLOCK_REALTIME, &deadline));
	deadline.tv_sec += 60;
	errno = pthread_timedjoin_np(aborter, NULL, &deadline);
	CHECK(!errno);
	client_end(&client);
	CHECK(client.result == -1 && client.error == ECONNABORTED);
	pthread_join(locker.thread, NULL);
	CHECK(locker.result < 0);
	by_hand_end(&hand);
}

/* Several threads set up the same queue at once, some of them differently. */

struct racer {
	pthread_t thread;
	struct queue queue;
	int slot;
	pthread_barrier_t *barrier;
};

static void *race(void *argument)
{
	struct racer *racer = argument;

	queue_register(&racer->queue, racer->slot);
	pthread_barrier_wait(racer->barrier);
	io_uring_submit(&racer->queue.ring);
	return NULL;
}

static void test_race(void)
{
	for (int round = 0; round < 40; round++) {
		struct racer racers[8];
		pthread_barrier_t barrier;
		struct mounted mounted;

		mount_begin(&mounted, mountpoint);
		pthread_barrier_init(&barrier, NULL, 8);
		for (int i = 0; i < 8; i++) {
			queue_init(&racers[i].queue, &mounted, 0,
				   i & 4 ? &plain : &pinned);
			racers[i].slot = i & 3;
			racers[i].barrier = &barrier;
			if (round % 3 && i) {
				/* the same memory, so that they fit together */
				racers[i].queue.setup.flags = racers[0].queue.setup.flags;
				memcpy(racers[i].queue.iov, racers[0].queue.iov,
				       sizeof(racers[i].queue.iov));
			}
			CHECK(!pthread_create(&racers[i].thread, NULL, race, &racers[i]));
		}
		if (round % 4 == 3)
			mount_abort(&mounted);
		for (int i = 0; i < 8; i++)
			pthread_join(racers[i].thread, NULL);
		mount_end(&mounted);
		for (int i = 0; i < 8; i++)
			queue_free(&racers[i].queue);
		pthread_barrier_destroy(&barrier);
	}
	CHECK(pinned_memory() == 0);
}

/*
 * A server that is killed with requests under way. Its clients must not be threads of its own,
 * which could not end before their requests do, and would keep the connection open.
 */
static void be_killed(int ready)
{
	struct by_hand hand;

	by_hand_begin(&hand, &zero_copy);
	CHECK(write(ready, "", 1) == 1);
	serve_until(hand.queue, FUSE_READ);
	kill(getpid(), SIGKILL);
}

static void test_kill(void)
{
	for (int i = 0; i < 20; i++) {
		struct client clients[3];
		int status, ends[2];
		char byte;
		pid_t pid;

		CHECK(!pipe(ends));
		pid = fork();
		CHECK(pid >= 0);
		if (!pid) {
			be_killed(ends[1]);
			_exit(1);
		}
		CHECK(read(ends[0], &byte, 1) == 1);
		for (int k = 0; k < 3; k++)
			client_start(&clients[k], k & 1);
		CHECK(waitpid(pid, &status, 0) == pid);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		for (int k = 0; k < 3; k++) {
			client_end(&clients[k]);
			CHECK(clients[k].result == -1);
		}
		umount2(mountpoint, MNT_DETACH);
		close(ends[0]);
		close(ends[1]);
	}
}

/* Random commands, on rings with requests under way */

static volatile bool stop_clients;

static void *disturb(void *argument)
{
	unsigned int own_seed = (uintptr_t)argument;
	unsigned char *bytes;

	CHECK(!posix_memalign((void **)&bytes, 4096, 65536));
	while (!stop_clients) {
		int fd = open(data_path, O_RDWR | (rand_r(&own_seed) & 1 ? O_DIRECT : 0));
		struct stat stat;

		if (fd < 0) {
			usleep(1000);
			continue;
		}
		(void)!pread(fd, bytes, 4096 * (1 + rand_r(&own_seed) % 16), 0);
		(void)!pwrite(fd, bytes, 4096 * (1 + rand_r(&own_seed) % 16), 0);
		fstat(fd, &stat);
		close(fd);
	}
	free(bytes);
	return NULL;
}

static void random_reply(struct queue *queue, unsigned int slot)
{
	struct fuse_uring_req_header *header = header_of(queue, slot);

	switch (chance(8)) {
	case 0:
		for (size_t i = 0; i < sizeof(*header); i++)
			((char *)header)[i] = chance(256);
		break;
	case 1:
		prepare_reply(queue, slot, 0,
			      chance(3) ? chance(70000) : chance(UINT32_MAX));
		break;
	case 2:
		prepare_reply(queue, slot, -(int)chance(600), 0);
		break;
	default:
		break;
	}
}

static void random_command(struct by_hand *hand, struct queue *queue,
			   uint64_t *commit_ids)
{
	unsigned int slot = chance(queue->setup.depth + 1);
	struct io_uring_sqe *sqe;
	struct fuse_uring_cmd_req *command;
	static struct iovec iov[2];

	switch (chance(16)) {
	case 0: /* REGISTER; only sometimes can it succeed, for then the mount has rings no more */
		sqe = queue_command(queue, chance(4) ? 7 + chance(1000) : 5, 3000);
		sqe->addr = (uintptr_t)queue->iov;
		sqe->len = chance(4);
		break;
	case 1:
		sqe = queue_command(queue, FUSE_IO_URING_CMD_COMMIT_AND_FETCH, 3000);
		command = sqe_command(sqe);
		command->commit_id = (uint64_t)chance(RAND_MAX) << chance(33);
		command->qid =
			chance(2) ? chance(hand->mounted.nr_queues + 2) : chance(65536);
		break;
	case 2:
		for (size_t i = 0; i < 1 + chance(3); i++) {
			sqe = queue_sqe(queue);
			io_uring_prep_rw(
				chance(2) ? IORING_OP_READ_FIXED : IORING_OP_WRITE_FIXED,
				sqe, some_file(), NULL, chance(20000), chance(20000));
			sqe->buf_index = slot;
			sqe->user_data = 3000;
			if (chance(2))
				sqe->flags = IOSQE_ASYNC;
		}
		break;
	case 3:
		iov[0] = (struct iovec){ 0 };
		io_uring_register_buffers_update_tag(
			&queue->ring, chance(queue->setup.depth), iov, NULL, 1);
		break;
	case 4:
	case 5: /* an id that was good once, or is */
		queue_commit(queue, commit_ids[chance(64)], 3000);
		if (chance(2))
			io_uring_submit(&queue->ring);
		break;
	default:
		queue_commit(queue, commit_ids[chance(64)], 3000)->flags |=
			chance(8) ? 0 : IOSQE_ASYNC;
	}
}

/*
 * One mount until its rings are of no more use: nothing was heard for a while, or enough was
 * sent. Requests are answered by random more often than by plan.
 */
static unsigned int random_mount(unsigned int commands)
{
	static uint64_t commit_ids[64];
	struct by_hand hand;
	pthread_t clients[4];
	unsigned int sent = 0;

	by_hand_begin(&hand, chance(3) ? &zero_copy : &pinned);
	stop_clients = false;
	for (uintptr_t i = 0; i < 4; i++)
		CHECK(!pthread_create(&clients[i], NULL, disturb, another_seed()));
	while (sent < commands) {
		struct queue *queue = &hand.queues[chance(hand.mounted.nr_queues)];
		struct io_uring_cqe *cqe;

		for (unsigned int i = chance(8); i; i--, sent++)
			random_command(&hand, queue, commit_ids);
		io_uring_submit(&queue->ring);
		io_uring_get_events(&queue->ring);
		while (!io_uring_peek_cqe(&queue->ring, &cqe)) {
			uint64_t slot = cqe->user_data;
			int result = cqe->res;

			io_uring_cqe_seen(&queue->ring, cqe);
			if (result || slot >= queue->setup.depth) {
				/* by an id of another time the entry may have come back */
				continue;
			}
			commit_ids[chance(64)] =
				header_of(queue, slot)->ring_ent_in_out.commit_id;
			if (chance(4)) {
				answer(queue, slot);
			} else {
				random_reply(queue, slot);
				queue_commit(
					queue,
					header_of(queue, slot)->ring_ent_in_out.commit_id,
					slot);
			}
			sent++;
		}
		sched_yield();
	}
	stop_clients = true;
	mount_abort(&hand.mounted);
	for (int i = 0; i < 4; i++)
		pthread_join(clients[i], NULL);
	by_hand_end(&hand);
	return sent;
}

static void test_random(unsigned int commands)
{
	unsigned int sent = 0, mounts = 0;

	cached = true;
	while (sent < commands) {
		sent += random_mount(20000);
		mounts++;
	}
	printf("%u random commands on %u mounts\n", sent, mounts);
	CHECK(pinned_memory() == 0);
}

#define RUN(test)                      \
	do {                           \
		printf("%s\n", #test); \
		test;                  \
	} while (0)

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	CHECK(mkdtemp(mountpoint));
	snprintf(data_path, sizeof(data_path), "%s/data", mountpoint);
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(*wrongs); i++)
		refuse_one(&wrongs[i]);
	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++)
		refuse_change(&changes[i]);
	CHECK(pinned_memory() == 0);
	printf("refusals\n");
	RUN(in_child(unprivileged_zero_copy));
	umount2(mountpoint, MNT_DETACH);
	RUN(in_child(limited_pinning));
	umount2(mountpoint, MNT_DETACH);
	RUN(in_child(exact_pinning));
	RUN(test_race());
	stay_on_cpu_0();
	RUN(test_kill());
	RUN(test_pages());
	RUN(test_slot());
	RUN(test_clone());
	RUN(test_commits());
	RUN(test_entry_too_many());
	RUN(test_replies());
	RUN(test_waiting());
	RUN(test_killed_while_waiting());
	RUN(test_closed_ring());
	RUN(test_abort(false));
	RUN(test_abort(true));
	RUN(test_busy_pages(false));
	RUN(test_busy_pages(true));
	RUN(test_busy_directory());
	RUN(test_locked_ring(false));
	RUN(test_locked_ring(true));
	CHECK(pinned_memory() == 0);
	RUN(test_random(argc > 1 ? atoi(argv[1]) : 20000));
	umount2(mountpoint, MNT_DETACH);
	rmdir(mountpoint);
	return 0;
}
