// SPDX-License-Identifier: GPL-2.0-only
/*
 * Buffer vectors: walking along them, and copying between every mix of memory, files and
 * pipes, compared with a model that knows nothing but memory.
 */
#include "fuse_lowlevel.h"
#include "support/buf.h"

#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	MAX_PIECES = 6,
	PIPE_SIZE = 1 << 20
};

/* What a piece lies in. */
enum kind {
	MEMORY,
	FILE_SEEK,
	FILE_HERE,
	PIPE,
	CLIENT,
	KINDS
};

static const char *const kind_names[KINDS] = { "memory", "file at pos", "file", "pipe",
					       "client" };

/* Data of a client, of which only fuse_buf_copy() knows how to get at them. */
struct client {
	struct fuse_client_data data;
	char *bytes;
	bool needs_memory; /* no file suits it */
	size_t at_once;	   /* bytes that one call moves at most */
	int error;	   /* of all calls from the second one on */
	unsigned calls, loads;
};

static int client_load(struct fuse_client_data *data, void **memory)
{
	struct client *client = (struct client *)data;

	client->loads++;
	*memory = client->bytes;
	return 0;
}

/* What a call may move; negative: an error. */
static ssize_t client_begins(struct client *client, size_t off, size_t len)
{
	CHECK(len > 0);
	CHECK(off <= client->data.size && len <= client->data.size - off);
	if (client->calls++ && client->error)
		return client->error;
	return (ssize_t)(len < client->at_once ? len : client->at_once);
}

static ssize_t client_moves(struct fuse_client_data *data, size_t off, size_t len, int fd,
			    off_t pos, bool sends)
{
	struct client *client = (struct client *)data;
	ssize_t res = client_begins(client, off, len);
	char *bytes = client->bytes + off;

	if (client->needs_memory)
		return -EOPNOTSUPP;
	if (res <= 0)
		return res;
	if (sends)
		res = pos < 0 ? write(fd, bytes, (size_t)res)
			      : pwrite(fd, bytes, (size_t)res, pos);
	else
		res = pos < 0 ? read(fd, bytes, (size_t)res)
			      : pread(fd, bytes, (size_t)res, pos);
	return res < 0 ? -errno : res;
}

static ssize_t client_send(struct fuse_client_data *data, size_t off, size_t len, int fd,
			   off_t pos)
{
	return client_moves(data, off, len, fd, pos, true);
}

static ssize_t client_receive(struct fuse_client_data *data, size_t off, size_t len,
			      int fd, off_t pos)
{
	return client_moves(data, off, len, fd, pos, false);
}

static ssize_t client_fill(struct fuse_client_data *data, size_t off, const void *memory,
			   size_t len)
{
	struct client *client = (struct client *)data;

	CHECK(off <= client->data.size && len <= client->data.size - off);
	memcpy(client->bytes + off, memory, len);
	return (ssize_t)len;
}

static const struct fuse_client_data_ops client_writes = {
	.load = client_load,
	.send = client_send,
};

static const struct fuse_client_data_ops client_reads = {
	.receive = client_receive,
	.fill = client_fill,
};

static void open_client(struct client *client, struct fuse_buf *buf, bool source,
			char *bytes, size_t size)
{
	*client = (struct client){
		.data = {
			.ops = source ? &client_writes : &client_reads,
			.origin = 1000,
			.size = size,
		},
		.bytes = bytes,
		.at_once = SIZE_MAX,
	};
	buf->flags = (enum fuse_buf_flags)(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK |
					   FUSE_BUF_WITH_CLIENT);
	buf->mem = client;
	buf->fd = -1;
	buf->pos = 1000;
}

struct vector {
	struct fuse_bufvec v;
	struct fuse_buf more[MAX_PIECES - 1];
};

static unsigned seed = 1;

static unsigned pick(unsigned below)
{
	return (unsigned)rand_r(&seed) % below;
}

static struct fuse_bufvec *init(struct vector *vector, size_t count)
{
	memset(vector, 0, sizeof(*vector));
	vector->v.count = count;
	return &vector->v;
}

static int new_file(const void *data, size_t size)
{
	int fd = memfd_create("test_buf", MFD_CLOEXEC);

	CHECK(fd >= 0);
	CHECK_INT(pwrite(fd, data, size, 0), (long long)size);
	return fd;
}

static void new_pipe(int ends[2])
{
	CHECK_INT(pipe(ends), 0);
	CHECK(fcntl(ends[1], F_SETPIPE_SZ, PIPE_SIZE) >= PIPE_SIZE);
}

/* The buffer number idx of a vector; gcc takes buf[1] at its word. */
static struct fuse_buf *at(struct fuse_bufvec *v, size_t idx)
{
	struct fuse_buf *first = v->buf;

	return first + idx;
}

static void test_walk(void)
{
	struct vector vector;
	struct fuse_bufvec *v = init(&vector, 4);
	size_t left = 0;

	at(v, 0)->size = 3;
	at(v, 2)->size = 5;
	at(v, 2)->flags = FUSE_BUF_IS_FD;

	CASE("sizes");
	CHECK_INT(fuse_buf_size(v), 8);
	CHECK_INT(fuse_bufvec_left(v), 8);
	CHECK(!fuse_bufvec_in_memory(v));

	CASE("the current buffer, over empty ones");
	CHECK(fuse_bufvec_current(v, &left) == at(v, 0));
	CHECK_INT(left, 3);
	fuse_bufvec_advance(v, 2);
	CHECK(fuse_bufvec_current(v, &left) == at(v, 0));
	CHECK_INT(left, 1);
	CHECK_INT(fuse_bufvec_left(v), 6);
	fuse_bufvec_advance(v, 3);
	CHECK(fuse_bufvec_current(v, &left) == at(v, 2));
	CHECK_INT(left, 3);
	CHECK_INT(v->off, 2);

	CASE("whether all that is left is in memory");
	CHECK(!fuse_bufvec_in_memory(v));
	v->off = 5;
	CHECK(fuse_bufvec_in_memory(v));
	v->count = 2;
	v->idx = v->off = 0;
	CHECK(fuse_bufvec_in_memory(v));
	v->count = 4;
	CHECK(!fuse_bufvec_in_memory(v));

	CASE("the end, and beyond");
	fuse_bufvec_advance(v, SIZE_MAX);
	CHECK(!fuse_bufvec_current(v, &left));
	CHECK_INT(fuse_bufvec_left(v), 0);
	CHECK_INT(fuse_buf_size(v), 8);
	CHECK(fuse_bufvec_in_memory(v));
	v->idx = 100;
	CHECK(!fuse_bufvec_current(v, &left));
	CHECK_INT(fuse_bufvec_left(v), 0);

	CASE("an offset behind a buffer's end is the next one's start");
	v->idx = 0;
	v->off = 7;
	CHECK_INT(fuse_bufvec_left(v), 5);
	CHECK(fuse_bufvec_current(v, &left) == at(v, 2));
	CHECK_INT(v->off, 0);

	CASE("sums that do not fit");
	v->idx = 0;
	at(v, 0)->size = SIZE_MAX;
	CHECK(fuse_buf_size(v) == SIZE_MAX);
	CHECK(fuse_bufvec_left(v) == SIZE_MAX);
	v->off = 4;
	CHECK(fuse_bufvec_left(v) == SIZE_MAX);
	v->off = 6;
	CHECK(fuse_bufvec_left(v) == SIZE_MAX - 1);
	v->count = 0;
	CHECK_INT(fuse_buf_size(v), 0);
}

static void test_initializer(void)
{
	struct fuse_bufvec v = FUSE_BUFVEC_INIT(42);

	CASE("the initializer");
	CHECK(v.count == 1 && v.idx == 0 && v.off == 0 && v.buf[0].size == 42);
	CHECK(v.buf[0].flags == 0 && v.buf[0].mem == NULL && v.buf[0].fd == -1);
	CHECK(v.buf[0].pos == 0 && v.buf[0].mem_size == 0);

	CASE("copying a vector to itself");
	CHECK_INT(fuse_buf_copy(&v, &v, (enum fuse_buf_copy_flags)0), 42);
	CHECK_INT(v.off, 0);
}

static void test_overlap(void)
{
	char mem[] = "0123456789";
	struct fuse_bufvec src = FUSE_BUFVEC_INIT(8);
	struct fuse_bufvec dst = FUSE_BUFVEC_INIT(8);

	CASE("memory that overlaps");
	src.buf[0].mem = mem;
	dst.buf[0].mem = mem + 2;
	CHECK_INT(fuse_buf_copy(&dst, &src, (enum fuse_buf_copy_flags)0), 8);
	CHECK_TEXT(mem, "0101234567");
}

/*
 * One buffer to one buffer.
 */

struct end {
	int fd[2]; /* of a file or pipe; fd[0] is the one to read from */
	struct client client;
	struct fuse_bufvec v;
};

static const char pattern[] = "the quick brown fox jumps over the lazy dog";

static void open_end(struct end *end, enum kind kind, bool source, char *mem, size_t size,
		     int flags)
{
	end->fd[0] = end->fd[1] = -1;
	end->v = FUSE_BUFVEC_INIT(size);
	end->v.buf[0].mem = mem;
	if (kind == CLIENT)
		open_client(&end->client, &end->v.buf[0], source, mem, size);
	if (kind == MEMORY || kind == CLIENT)
		return;
	if (kind == PIPE) {
		new_pipe(end->fd);
		if (source) {
			CHECK_INT(write(end->fd[1], mem, size), (long long)size);
			close(end->fd[1]);
			end->fd[1] = -1;
		}
	} else {
		char room[256] = "";

		end->fd[0] = end->fd[1] = new_file(room, 10);
		CHECK_INT(pwrite(end->fd[0], mem, size, 10), (long long)size);
		CHECK_INT(lseek(end->fd[0], kind == FILE_HERE ? 10 : 3, SEEK_SET),
			  kind == FILE_HERE ? 10 : 3);
	}
	end->v.buf[0].flags = (enum fuse_buf_flags)(
		FUSE_BUF_IS_FD | flags | (kind == FILE_SEEK ? FUSE_BUF_FD_SEEK : 0));
	end->v.buf[0].fd = end->fd[source ? 0 : 1];
	end->v.buf[0].pos = 10;
}

static void close_end(struct end *end)
{
	if (end->fd[1] != end->fd[0] && end->fd[1] >= 0)
		close(end->fd[1]);
	if (end->fd[0] >= 0)
		close(end->fd[0]);
}

static void read_end(struct end *end, enum kind kind, char *mem, size_t size)
{
	if (kind == PIPE)
		CHECK_INT(read(end->fd[0], mem, size), (long long)size);
	else if (kind != MEMORY && kind != CLIENT)
		CHECK_INT(pread(end->fd[0], mem, size, 10), (long long)size);
}

static bool is_file(enum kind kind)
{
	return kind == FILE_SEEK || kind == FILE_HERE;
}

static void check_pair(enum kind from, enum kind to, int buf_flags, int flags)
{
	char source[64], target[64] = "";
	size_t size = sizeof(pattern);
	bool no_pipe = from != PIPE && to != PIPE;
	struct end src, dst;
	ssize_t copied;

	memcpy(source, pattern, size);
	open_end(&src, from, true, source, size, buf_flags);
	open_end(&dst, to, false, target, size, buf_flags);
	src.v.off = dst.v.off = 0;
	copied = fuse_buf_copy(&dst.v, &src.v, (enum fuse_buf_copy_flags)flags);

	if ((flags & FUSE_BUF_FORCE_SPLICE) && no_pipe && is_file(from) && is_file(to)) {
		CHECK_INT(copied, -EINVAL);
		CHECK_INT(src.v.off, 0);
	} else {
		CHECK_INT(copied, (long long)size);
		CHECK_INT(fuse_bufvec_left(&src.v), 0);
		CHECK_INT(fuse_bufvec_left(&dst.v), 0);
		read_end(&dst, to, target, size);
		CHECK(memcmp(target, pattern, size) == 0);
		if (from == FILE_HERE)
			CHECK_INT(lseek(src.fd[0], 0, SEEK_CUR), 10 + (long long)size);
		if (from == FILE_SEEK)
			CHECK_INT(lseek(src.fd[0], 0, SEEK_CUR), 3);
		if (to == FILE_HERE)
			CHECK_INT(lseek(dst.fd[0], 0, SEEK_CUR), 10 + (long long)size);
		if (to == FILE_SEEK)
			CHECK_INT(lseek(dst.fd[0], 0, SEEK_CUR), 3);
	}
	close_end(&src);
	close_end(&dst);
}

static void test_pairs(void)
{
	static const int flags[] = {
		0,
		FUSE_BUF_NO_SPLICE,
		FUSE_BUF_FORCE_SPLICE,
		FUSE_BUF_SPLICE_MOVE,
		FUSE_BUF_SPLICE_NONBLOCK,
		FUSE_BUF_SPLICE_MOVE | FUSE_BUF_SPLICE_NONBLOCK,
	};

	for (int from = 0; from < KINDS; from++) {
		for (int to = 0; to < KINDS; to++) {
			CASE("%s to %s, all flags", kind_names[from], kind_names[to]);
			for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
				check_pair((enum kind)from, (enum kind)to, 0, flags[i]);
				check_pair((enum kind)from, (enum kind)to,
					   FUSE_BUF_FD_RETRY, flags[i]);
			}
		}
	}
}

/*
 * Errors and short copies.
 */

static void test_errors(void)
{
	char mem[16] = "";
	struct fuse_bufvec good = FUSE_BUFVEC_INIT(sizeof(mem));
	struct vector vector;
	struct fuse_bufvec *bad = init(&vector, 1);
	int file = new_file(mem, sizeof(mem));

	good.buf[0].mem = mem;
	at(bad, 0)->size = sizeof(mem);
	at(bad, 0)->flags = FUSE_BUF_IS_FD;
	at(bad, 0)->fd = -1;

	CASE("an error before anything was copied is returned");
	CHECK_INT(fuse_buf_copy(&good, bad, (enum fuse_buf_copy_flags)0), -EBADF);
	CHECK_INT(fuse_buf_copy(bad, &good, (enum fuse_buf_copy_flags)0), -EBADF);
	CHECK_INT(good.off, 0);

	CASE("an error after something was copied ends the copy");
	bad->count = 2;
	*at(bad, 1) = *at(bad, 0);
	*at(bad, 0) = (struct fuse_buf){ .size = 5, .mem = mem + 8 };
	CHECK_INT(fuse_buf_copy(bad, &good, (enum fuse_buf_copy_flags)0), 5);
	CHECK_INT(good.off, 5);
	CHECK_INT(fuse_buf_copy(bad, &good, (enum fuse_buf_copy_flags)0), -EBADF);
	CHECK_INT(good.off, 5);

	CASE("positions that no file reaches");
	good.off = 0;
	bad->idx = bad->off = 0;
	bad->count = 1;
	*at(bad, 0) = (struct fuse_buf){ .size = SIZE_MAX, .fd = file };
	at(bad, 0)->flags = (enum fuse_buf_flags)(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK);
	at(bad, 0)->pos = INT64_MAX;
	bad->off = 1;
	CHECK_INT(fuse_buf_copy(&good, bad, (enum fuse_buf_copy_flags)0), -EOVERFLOW);
	at(bad, 0)->pos = -5;
	CHECK_INT(fuse_buf_copy(&good, bad, (enum fuse_buf_copy_flags)0), -EINVAL);

	CASE("empty vectors");
	good.count = 0;
	CHECK_INT(fuse_buf_copy(&good, bad, (enum fuse_buf_copy_flags)0), 0);
	CHECK_INT(fuse_buf_copy(bad, &good, (enum fuse_buf_copy_flags)0), 0);
	close(file);
}

static void test_short_file(void)
{
	char data[8] = "abcdefg", mem[32] = "";
	int file = new_file(data, sizeof(data));
	struct vector vector;
	struct fuse_bufvec *src = init(&vector, 2);
	struct fuse_bufvec dst = FUSE_BUFVEC_INIT(sizeof(mem));

	CASE("a file that ends early ends the copy");
	dst.buf[0].mem = mem;
	for (int flags = 0; flags <= FUSE_BUF_FD_RETRY; flags += FUSE_BUF_FD_RETRY) {
		src->idx = src->off = dst.idx = dst.off = 0;
		*at(src, 0) = (struct fuse_buf){ .size = 20, .fd = file };
		at(src, 0)->flags =
			(enum fuse_buf_flags)(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK | flags);
		*at(src, 1) = (struct fuse_buf){ .size = 4, .mem = data };
		CHECK_INT(fuse_buf_copy(&dst, src, (enum fuse_buf_copy_flags)0), 8);
		CHECK_TEXT(mem, "abcdefg");
		CHECK_INT(src->idx, 0);
		CHECK_INT(src->off, 8);
		CHECK_INT(dst.off, 8);
	}
	close(file);
}

struct peer {
	int fd;
	pthread_t copier;
};

/* A client's data and a file, in one direction or the other. */
static ssize_t copy_client(struct client *client, bool source, int buf_flags, size_t off)
{
	struct fuse_bufvec one = FUSE_BUFVEC_INIT(client->data.size - off);
	struct fuse_bufvec file = FUSE_BUFVEC_INIT(client->data.size - off);
	ssize_t copied;
	char *bytes = client->bytes;
	struct client fresh;

	open_client(&fresh, &one.buf[0], source, bytes, client->data.size);
	fresh.needs_memory = client->needs_memory;
	fresh.at_once = client->at_once;
	fresh.error = client->error;
	one.buf[0].pos += (off_t)off;
	file.buf[0].flags =
		(enum fuse_buf_flags)(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK | buf_flags);
	file.buf[0].fd = new_file("0123456789abcdefghij", 20);
	copied = source ? fuse_buf_copy(&file, &one, (enum fuse_buf_copy_flags)0)
			: fuse_buf_copy(&one, &file, (enum fuse_buf_copy_flags)0);
	if (source && copied > 0) {
		char back[32] = "";

		CHECK_INT(pread(file.buf[0].fd, back, (size_t)copied, 0), copied);
		CHECK(memcmp(back, bytes + off, (size_t)copied) == 0);
	}
	close(file.buf[0].fd);
	client->calls = fresh.calls;
	client->loads = fresh.loads;
	CHECK(fresh.data.to_file == source);
	return copied;
}

static void test_client(void)
{
	char bytes[32] = "the client's own bytes";
	struct client client = { .data = { .size = 20 }, .bytes = bytes };

	CASE("a client's data, all at once and from a position on");
	client.at_once = SIZE_MAX;
	CHECK_INT(copy_client(&client, true, 0, 0), 20);
	CHECK_INT(client.loads, 0);
	CHECK_INT(copy_client(&client, true, 0, 7), 13);
	CHECK_INT(copy_client(&client, false, 0, 4), 16);
	CHECK(memcmp(bytes, "the 0123456789abcdefs", 20) == 0);

	CASE("short moves end the copy, but for FUSE_BUF_FD_RETRY");
	client.at_once = 3;
	CHECK_INT(copy_client(&client, true, 0, 0), 3);
	CHECK_INT(copy_client(&client, true, FUSE_BUF_FD_RETRY, 0), 20);
	CHECK_INT(client.calls, 7);
	CHECK_INT(copy_client(&client, false, 0, 0), 3);
	CHECK_INT(copy_client(&client, false, FUSE_BUF_FD_RETRY, 0), 20);

	CASE("an error half-way leaves what was moved before");
	client.error = -ENOSPC;
	CHECK_INT(copy_client(&client, true, FUSE_BUF_FD_RETRY, 0), 3);
	CHECK_INT(client.calls, 2);

	CASE("files that need memory get it");
	client.error = 0;
	client.needs_memory = true;
	CHECK_INT(copy_client(&client, true, 0, 5), 15);
	CHECK_INT(client.loads, 1);
	CHECK_INT(copy_client(&client, false, 0, 5), 15);
}

/* Buffers that say more than there is, or go the wrong way. */
static void test_client_errors(void)
{
	char bytes[32] = "", mem[64] = "";
	struct fuse_bufvec one = FUSE_BUFVEC_INIT(33), memory = FUSE_BUFVEC_INIT(64);
	struct client client;

	memory.buf[0].mem = mem;
	CASE("beyond a client's data");
	open_client(&client, &one.buf[0], true, bytes, 32);
	CHECK_INT(fuse_buf_copy(&memory, &one, (enum fuse_buf_copy_flags)0), -EINVAL);
	one.buf[0].size = 8;
	one.buf[0].pos -= 1;
	CHECK_INT(fuse_buf_copy(&memory, &one, (enum fuse_buf_copy_flags)0), -EINVAL);
	one.buf[0].pos += 26;
	CHECK_INT(fuse_buf_copy(&memory, &one, (enum fuse_buf_copy_flags)0), -EINVAL);
	CHECK_INT(client.loads, 0);

	CASE("a write's data are not to be written to, nor a read's to be read");
	one.buf[0].pos = 1000;
	CHECK_INT(fuse_buf_copy(&one, &memory, (enum fuse_buf_copy_flags)0), -EINVAL);
	open_client(&client, &one.buf[0], false, bytes, 32);
	CHECK_INT(fuse_buf_copy(&memory, &one, (enum fuse_buf_copy_flags)0), -EINVAL);
	CHECK_INT(memory.off, 0);
}

static void *write_slowly(void *argument)
{
	struct peer *peer = argument;

	for (int i = 0; i < 10; i++) {
		usleep(2000);
		/* The copy's thread is interrupted while it waits. */
		pthread_kill(peer->copier, SIGUSR1);
		usleep(2000);
		CHECK_INT(write(peer->fd, "0123456789", 10), 10);
	}
	close(peer->fd);
	return NULL;
}

static void ignore_signal(int number)
{
	(void)number;
}

/* A pipe that fills slowly, to memory or to a file, by splice or by read and write. */
static ssize_t copy_slow_pipe(bool to_file, int buf_flags, int flags)
{
	char mem[100];
	int ends[2];
	int file = new_file("", 0);
	struct fuse_bufvec src = FUSE_BUFVEC_INIT(sizeof(mem));
	struct fuse_bufvec dst = FUSE_BUFVEC_INIT(sizeof(mem));
	struct peer writer = { .copier = pthread_self() };
	pthread_t thread;
	ssize_t copied;

	new_pipe(ends);
	writer.fd = ends[1];
	src.buf[0].flags = (enum fuse_buf_flags)(FUSE_BUF_IS_FD | buf_flags);
	src.buf[0].fd = ends[0];
	dst.buf[0].mem = mem;
	if (to_file) {
		dst.buf[0].flags = FUSE_BUF_IS_FD;
		dst.buf[0].fd = file;
	}
	CHECK_INT(pthread_create(&thread, NULL, write_slowly, &writer), 0);
	copied = fuse_buf_copy(&dst, &src, (enum fuse_buf_copy_flags)flags);
	pthread_join(thread, NULL);
	if (to_file && copied > 0)
		CHECK_INT(pread(file, mem, sizeof(mem), 0), copied);
	for (ssize_t i = 0; i < copied; i++)
		CHECK_INT(mem[i], '0' + i % 10);
	close(ends[0]);
	close(file);
	return copied;
}

static void test_slow_pipe(void)
{
	const struct sigaction action = { .sa_handler = ignore_signal };
	struct sigaction before;

	CHECK_INT(sigaction(SIGUSR1, &action, &before), 0);
	CASE("a short read ends the copy, a signal does not");
	CHECK_INT(copy_slow_pipe(false, 0, 0), 10);
	CHECK_INT(copy_slow_pipe(true, 0, FUSE_BUF_NO_SPLICE), 10);
	CHECK_INT(copy_slow_pipe(true, 0, FUSE_BUF_FORCE_SPLICE), 10);
	CASE("with FUSE_BUF_FD_RETRY neither does");
	CHECK_INT(copy_slow_pipe(false, FUSE_BUF_FD_RETRY, 0), 100);
	CHECK_INT(copy_slow_pipe(true, FUSE_BUF_FD_RETRY, FUSE_BUF_NO_SPLICE), 100);
	CHECK_INT(copy_slow_pipe(true, FUSE_BUF_FD_RETRY, 0), 100);
	sigaction(SIGUSR1, &before, NULL);
}

static void *read_slowly(void *argument)
{
	struct peer *peer = argument;
	char room[4096];
	intptr_t all = 0;
	ssize_t got;

	do {
		usleep(2000);
		pthread_kill(peer->copier, SIGUSR1);
		usleep(2000);
		got = read(peer->fd, room, sizeof(room));
		CHECK(got >= 0);
		all += got;
	} while (got > 0);
	return (void *)all;
}

static void test_small_pipe(void)
{
	static char data[64 * 1024];
	const struct sigaction action = { .sa_handler = ignore_signal };
	struct sigaction before;
	struct fuse_bufvec src = FUSE_BUFVEC_INIT(sizeof(data));
	struct fuse_bufvec dst = FUSE_BUFVEC_INIT(sizeof(data));
	struct peer reader = { .copier = pthread_self() };
	pthread_t thread;
	void *all;
	int ends[2];

	CASE("what was read from a file is written whole, in spite of signals");
	CHECK_INT(sigaction(SIGUSR1, &action, &before), 0);
	CHECK_INT(pipe(ends), 0);
	CHECK(fcntl(ends[1], F_SETPIPE_SZ, 4096) >= 0);
	reader.fd = ends[0];
	src.buf[0].flags = FUSE_BUF_IS_FD;
	src.buf[0].fd = new_file(data, sizeof(data));
	dst.buf[0].flags = FUSE_BUF_IS_FD;
	dst.buf[0].fd = ends[1];
	CHECK_INT(lseek(src.buf[0].fd, 0, SEEK_SET), 0);
	CHECK_INT(pthread_create(&thread, NULL, read_slowly, &reader), 0);
	CHECK_INT(fuse_buf_copy(&dst, &src, FUSE_BUF_NO_SPLICE), sizeof(data));
	close(ends[1]);
	pthread_join(thread, &all);
	CHECK_INT((intptr_t)all, sizeof(data));
	close(ends[0]);
	close(src.buf[0].fd);
	sigaction(SIGUSR1, &before, NULL);
}

/* splice(2) puts the file's own pages into the pipe, where later writes to the file show. */
static void test_no_splice(void)
{
	char mem[8] = "";
	struct fuse_bufvec src = FUSE_BUFVEC_INIT(7);
	struct fuse_bufvec dst = FUSE_BUFVEC_INIT(7);
	int ends[2];

	CASE("FUSE_BUF_NO_SPLICE copies");
	new_pipe(ends);
	src.buf[0].flags = (enum fuse_buf_flags)(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK);
	src.buf[0].fd = new_file("before", 7);
	dst.buf[0].flags = FUSE_BUF_IS_FD;
	dst.buf[0].fd = ends[1];
	CHECK_INT(fuse_buf_copy(&dst, &src, FUSE_BUF_NO_SPLICE), 7);
	CHECK_INT(pwrite(src.buf[0].fd, "after", 6, 0), 6);
	CHECK_INT(read(ends[0], mem, 7), 7);
	CHECK_TEXT(mem, "before");
	close(src.buf[0].fd);
	close(ends[0]);
	close(ends[1]);
}

static void test_full_pipe(void)
{
	static char data[PIPE_SIZE * 2];
	int file = new_file(data, sizeof(data));
	struct fuse_bufvec src = FUSE_BUFVEC_INIT(sizeof(data));
	struct fuse_bufvec dst = FUSE_BUFVEC_INIT(sizeof(data));
	int ends[2];

	new_pipe(ends);
	src.buf[0].flags = FUSE_BUF_IS_FD;
	src.buf[0].fd = file;
	dst.buf[0].flags = (enum fuse_buf_flags)(FUSE_BUF_IS_FD | FUSE_BUF_FD_RETRY);
	dst.buf[0].fd = ends[1];

	CASE("a full pipe ends a splice that may not wait");
	CHECK_INT(fuse_buf_copy(&dst, &src, FUSE_BUF_SPLICE_NONBLOCK), PIPE_SIZE);
	CHECK_INT(fuse_buf_copy(&dst, &src, FUSE_BUF_SPLICE_NONBLOCK), -EAGAIN);
	CHECK_INT(src.off, PIPE_SIZE);
	CHECK_INT(lseek(file, 0, SEEK_CUR), PIPE_SIZE);

	CASE("what was read but not written is given back to a file");
	CHECK_INT(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
	CHECK_INT(fuse_buf_copy(&dst, &src, FUSE_BUF_NO_SPLICE), -EAGAIN);
	CHECK_INT(src.off, PIPE_SIZE);
	CHECK_INT(lseek(file, 0, SEEK_CUR), PIPE_SIZE);
	CHECK_INT(read(ends[0], data, 100000), 100000);
	CHECK(fuse_buf_copy(&dst, &src, FUSE_BUF_NO_SPLICE) > 0);
	CHECK(src.off > PIPE_SIZE && src.off <= PIPE_SIZE + 100000);
	CHECK_INT(lseek(file, 0, SEEK_CUR), (long long)src.off);
	close(ends[0]);
	close(ends[1]);
	close(file);
}

static void test_large(void)
{
	enum {
		SIZE = 3 << 20
	};
	char *data = malloc(SIZE), *back = malloc(SIZE);
	int in, out;

	CHECK(data && back);
	for (size_t i = 0; i < SIZE; i++)
		data[i] = (char)pick(256);
	in = new_file(data, SIZE);
	for (int retry = 0; retry <= FUSE_BUF_FD_RETRY; retry += FUSE_BUF_FD_RETRY) {
		struct fuse_bufvec src = FUSE_BUFVEC_INIT(SIZE_MAX);
		struct fuse_bufvec dst = FUSE_BUFVEC_INIT(SIZE_MAX);

		CASE("3 MiB from file to file, flags %d", retry);
		out = new_file("", 0);
		src.buf[0].flags =
			(enum fuse_buf_flags)(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK | retry);
		src.buf[0].fd = in;
		dst.buf[0].flags = (enum fuse_buf_flags)(FUSE_BUF_IS_FD |
							 (retry ? FUSE_BUF_FD_SEEK : 0));
		dst.buf[0].fd = out;
		CHECK_INT(fuse_buf_copy(&dst, &src, (enum fuse_buf_copy_flags)0), SIZE);
		CHECK_INT(pread(out, back, SIZE, 0), SIZE);
		CHECK(memcmp(data, back, SIZE) == 0);
		close(out);
	}
	close(in);
	free(data);
	free(back);
}

/*
 * Random vectors against the model. The model of a vector is one string of bytes: the
 * source's is what its pieces hold; the target's must begin, from its place on, with the
 * bytes copied, and hold nothing but its old bytes behind them.
 */

enum {
	MAX_SIZE = 2000,
	SLACK = 32
};

struct piece {
	enum kind kind;
	struct client client;
	char mem[MAX_SIZE + SLACK];
	int fd[2];
	off_t pos;   /* in the file */
	size_t here; /* bytes that the file really has from there on */
};

struct model {
	struct vector vector;
	struct piece piece[MAX_PIECES];
	char bytes[MAX_PIECES * MAX_SIZE];
	size_t length; /* of bytes: up to the first piece that is short */
	size_t total;  /* sizes of all pieces */
};

static void make_piece(struct piece *piece, struct fuse_buf *buf, bool source,
		       const char *bytes, size_t skip)
{
	size_t have = piece->here;
	char file[MAX_SIZE + SLACK] = "";

	buf->flags = (enum fuse_buf_flags)(pick(2) ? FUSE_BUF_FD_RETRY : 0);
	piece->fd[0] = piece->fd[1] = -1;
	piece->pos = pick(SLACK);
	switch (piece->kind) {
	case MEMORY:
		memcpy(piece->mem, bytes, have);
		buf->mem = piece->mem;
		return;
	case CLIENT:
		memcpy(piece->mem, bytes, have);
		open_client(&piece->client, buf, source, piece->mem, buf->size);
		piece->client.needs_memory = !pick(4);
		return;
	case PIPE:
		/* Bytes before the vector's place are not in a pipe any more. */
		new_pipe(piece->fd);
		if (source) {
			if (have > skip)
				CHECK_INT(write(piece->fd[1], bytes + skip, have - skip),
					  (long long)(have - skip));
			close(piece->fd[1]);
			piece->fd[1] = -1;
		}
		break;
	default:
		memcpy(file + piece->pos, bytes, have);
		piece->fd[0] = piece->fd[1] = new_file(file, (size_t)piece->pos + have);
		if (piece->kind == FILE_HERE)
			lseek(piece->fd[0], piece->pos + (off_t)skip, SEEK_SET);
		else
			buf->flags = (enum fuse_buf_flags)(buf->flags | FUSE_BUF_FD_SEEK);
	}
	buf->flags = (enum fuse_buf_flags)(buf->flags | FUSE_BUF_IS_FD);
	buf->fd = piece->fd[source ? 0 : 1];
	buf->pos = piece->pos;
}

static bool is_short_at_times(enum kind kind)
{
	return kind != MEMORY && kind != CLIENT;
}

static void make(struct model *model, bool source, bool may_be_short)
{
	struct fuse_bufvec *v = init(&model->vector, 1 + pick(MAX_PIECES));
	bool is_short = false;

	model->length = model->total = 0;
	v->idx = pick(4) ? 0 : pick((unsigned)v->count);
	for (size_t i = 0; i < v->count; i++) {
		struct piece *piece = &model->piece[i];
		struct fuse_buf *buf = at(v, i);
		char bytes[MAX_SIZE];
		size_t skip = 0;

		piece->kind = (enum kind)pick(KINDS);
		buf->size = pick(8) ? pick(MAX_SIZE) : pick(3);
		if (i == v->idx)
			skip = v->off = pick(4) ? 0 : pick((unsigned)buf->size + 1);
		piece->here = buf->size;
		if (source && may_be_short && is_short_at_times(piece->kind) && !pick(4))
			piece->here = skip + pick((unsigned)(buf->size - skip) + 1);
		for (size_t k = 0; k < sizeof(bytes); k++)
			bytes[k] = (char)pick(256);
		make_piece(piece, buf, source, bytes, skip);

		if (i < v->idx)
			continue;
		model->total += buf->size - skip;
		if (is_short)
			continue;
		memcpy(model->bytes + model->length, bytes + skip, piece->here - skip);
		model->length += piece->here - skip;
		is_short = piece->here < buf->size;
	}
}

/* Read back what lies from the place (idx, off) on, `length` bytes of it. */
static void read_back(struct model *model, size_t idx, size_t off, char *bytes,
		      size_t length)
{
	for (; length > 0; idx++, off = 0) {
		struct piece *piece = &model->piece[idx];
		size_t size = at(&model->vector.v, idx)->size - off;
		size_t part = size < length ? size : length;

		if (part == 0)
			continue;
		if (piece->kind == MEMORY || piece->kind == CLIENT)
			memcpy(bytes, piece->mem + off, part);
		else if (piece->kind == PIPE)
			CHECK_INT(read(piece->fd[0], bytes, part), (long long)part);
		else
			CHECK_INT(pread(piece->fd[0], bytes, part,
					piece->pos + (off_t)off),
				  (long long)part);
		bytes += part;
		length -= part;
	}
}

static void destroy(struct model *model)
{
	for (size_t i = 0; i < model->vector.v.count; i++) {
		struct piece *piece = &model->piece[i];

		if (piece->fd[1] >= 0 && piece->fd[1] != piece->fd[0])
			close(piece->fd[1]);
		if (piece->fd[0] >= 0)
			close(piece->fd[0]);
	}
}

static void check_random(void)
{
	static const int flags[] = { 0, FUSE_BUF_NO_SPLICE, FUSE_BUF_SPLICE_MOVE };
	static struct model src, dst;
	static char copy[sizeof(src.bytes)];
	size_t idx, off, expected, rest;
	ssize_t copied;

	make(&src, true, pick(2));
	make(&dst, false, false);
	idx = dst.vector.v.idx;
	off = dst.vector.v.off;
	rest = dst.total;
	expected = src.length < dst.total ? src.length : dst.total;

	copied = fuse_buf_copy(&dst.vector.v, &src.vector.v,
			       (enum fuse_buf_copy_flags)flags[pick(3)]);
	CHECK_INT(copied, (long long)expected);
	CHECK_INT(fuse_bufvec_left(&src.vector.v), (long long)(src.total - expected));
	CHECK_INT(fuse_bufvec_left(&dst.vector.v), (long long)(rest - expected));

	read_back(&dst, idx, off, copy, expected);
	CHECK(memcmp(copy, src.bytes, expected) == 0);

	/* Nothing may have changed behind it; pipes were empty. */
	for (size_t i = idx, start = 0; i < dst.vector.v.count; i++, off = 0) {
		size_t size = at(&dst.vector.v, i)->size - off;
		size_t done = start < expected ? expected - start : 0;

		if (done < size && dst.piece[i].kind != PIPE) {
			read_back(&dst, i, off + done, copy, size - done);
			CHECK(memcmp(copy, dst.bytes + start + done, size - done) == 0);
		}
		start += size;
	}
	destroy(&src);
	destroy(&dst);
}

static void test_random(int rounds)
{
	CASE("%d random copies", rounds);
	for (int round = 0; round < rounds; round++) {
		seed = (unsigned)round;
		check_random();
	}
}

/* The argument is the number of random copies. */
int main(int argc, char *argv[])
{
	test_walk();
	test_initializer();
	test_overlap();
	test_pairs();
	test_errors();
	test_short_file();
	test_client();
	test_client_errors();
	test_slow_pipe();
	test_small_pipe();
	test_no_splice();
	test_full_pipe();
	test_large();
	test_random(argc > 1 ? atoi(argv[1]) : 20000);
	return 0;
}
