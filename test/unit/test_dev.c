// SPDX-License-Identifier: GPL-2.0-only
/*
 * The /dev/fuse transport against a kernel that is a socket: what becomes of a message on
 * its way in, and of a reply on its way out, in memory and through pipes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "transport/dev/dev.h"

#define PAGE  ((size_t)getpagesize())
#define MOST  (64 * 1024) /* bytes of data in a message */
#define FIRST (sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in))

static int kernel = -1; /* its end of the socket */
static struct fuse_dev *dev;
static struct fuse_dev_channel *channel;
static unsigned spliced_in, spliced_out;
static int fail_read; /* errno of the next read */
static size_t grow;   /* to this, just before the next read, which the kernel then refuses */

/* What the handler saw. */
static struct fuse_req *taken;
static char seen_data[MOST];
static size_t seen_size;
static bool seen_pipe;
static bool keep; /* do not finish the request */
static bool leave_in_pipe;

/* ---- I/O ---- */

static ssize_t do_read(int fd, void *buf, size_t size, void *userdata)
{
	(void)userdata;
	if (grow) {
		fuse_dev_configure(dev, grow, false, false, false);
		grow = 0;
		fail_read = EINVAL;
	}
	if (fail_read) {
		errno = fail_read;
		fail_read = 0;
		return -1;
	}
	return read(fd, buf, size);
}

static ssize_t do_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	(void)userdata;
	return writev(fd, iov, count);
}

static ssize_t do_splice_receive(int fdin, off_t *offin, int fdout, off_t *offout,
				 size_t len, unsigned int flags, void *userdata)
{
	static char mem[MOST + 4096];
	ssize_t got;

	(void)flags;
	(void)userdata;
	CHECK(!offin && !offout);
	got = read(fdin, mem, len < sizeof(mem) ? len : sizeof(mem));
	if (got < 0)
		return got;
	CHECK_INT(write(fdout, mem, (size_t)got), got);
	spliced_in++;
	return got;
}

static ssize_t do_splice_send(int fdin, off_t *offin, int fdout, off_t *offout,
			      size_t len, unsigned int flags, void *userdata)
{
	static char mem[MOST + 4096];

	(void)flags;
	(void)userdata;
	CHECK(!offin && !offout);
	CHECK(len <= sizeof(mem));
	for (size_t done = 0; done < len;) {
		ssize_t got = read(fdin, mem + done, len - done);

		CHECK(got > 0);
		done += (size_t)got;
	}
	spliced_out++;
	return write(fdout, mem, len);
}

static int do_clone(int fd)
{
	return dup(fd);
}

static const struct fuse_custom_io io = {
	.writev = do_writev,
	.read = do_read,
	.splice_receive = do_splice_receive,
	.splice_send = do_splice_send,
	.clone_fd = do_clone,
};

static void dispatch(struct fuse_req *req)
{
	const struct fuse_view *view = &req->view;
	const char *body = view->arg;

	taken = req;
	req->unique = view->header->unique;
	seen_pipe = view->payload_fd >= 0;
	seen_size = view->arg_size;
	memcpy(seen_data, body, view->arg_size);
	if (seen_pipe && !leave_in_pipe) {
		size_t left = view->payload_size;

		while (left > 0) {
			ssize_t got = read(view->payload_fd, seen_data + seen_size, left);

			CHECK(got > 0);
			seen_size += (size_t)got;
			left -= (size_t)got;
		}
	}
	if (!keep)
		req->transport->finish(req);
}

static void open_dev(bool splice)
{
	struct fuse_dev_config config = {
		.io = &io,
		.bufsize = MOST + FUSE_DEV_HEADER_ROOM,
		.handler.dispatch = dispatch,
	};
	int pair[2];

	CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	kernel = pair[0];
	config.fd = pair[1];
	dev = fuse_dev_new(&config);
	CHECK(dev != NULL);
	channel = fuse_dev_first_channel(dev);
	fuse_dev_configure(dev, config.bufsize, splice, splice, splice);
	spliced_in = spliced_out = 0;
	keep = leave_in_pipe = false;
}

static void close_dev(void)
{
	close(fuse_dev_channel_fd(channel));
	fuse_dev_free(dev);
	close(kernel);
}

static char pattern(size_t at)
{
	return (char)(at * 31 + at / 251);
}

/* The kernel sends a request whose body is the pattern. */
static void send_request(uint64_t unique, size_t body)
{
	static char mem[MOST + 4096] __attribute__((aligned(8)));
	struct fuse_in_header *header = (void *)mem;

	memset(header, 0, sizeof(*header));
	header->len = (uint32_t)(sizeof(*header) + body);
	header->opcode = FUSE_WRITE;
	header->unique = unique;
	for (size_t i = 0; i < body; i++)
		mem[sizeof(*header) + i] = pattern(i);
	CHECK_INT(write(kernel, mem, header->len), header->len);
}

static void check_body(size_t body)
{
	CHECK_INT(seen_size, body);
	for (size_t i = 0; i < body; i++)
		CHECK(seen_data[i] == pattern(i));
}

static struct {
	struct fuse_out_header header;
	char data[MOST];
} answer;

/* Returns the size of the data of what the kernel was sent. */
static size_t get_answer(void)
{
	ssize_t got = recv(kernel, &answer, sizeof(answer), MSG_DONTWAIT);

	CHECK(got >= (ssize_t)sizeof(answer.header));
	CHECK_INT(answer.header.len, got);
	return (size_t)got - sizeof(answer.header);
}

static bool has_answer(void)
{
	return recv(kernel, &answer, sizeof(answer), MSG_DONTWAIT | MSG_PEEK) >= 0;
}

/* ---- In ---- */

static void test_receive(void)
{
	struct fuse_buf foreign = { .fd = -1 };
	struct fuse_buf buf = { .fd = -1 };
	void *mem;

	CASE("a message in memory");
	open_dev(false);
	send_request(7, 1000);
	CHECK_INT(fuse_dev_receive(channel, &buf), sizeof(struct fuse_in_header) + 1000);
	CHECK_INT(((uintptr_t)buf.mem + FIRST) % PAGE, 0);
	fuse_dev_process(channel, &buf);
	CHECK(!seen_pipe);
	CHECK_INT(taken->unique, 7);
	check_body(1000);
	CHECK_INT(fuse_dev_counters(dev)->requests, 1);

	CASE("errors of a read");
	fail_read = EINTR;
	CHECK_INT(fuse_dev_receive(channel, &buf), -EINTR);
	fail_read = EAGAIN;
	CHECK_INT(fuse_dev_receive(channel, &buf), -EAGAIN);
	fail_read = EIO;
	CHECK_INT(fuse_dev_receive(channel, &buf), -EIO);
	fail_read = ENODEV;
	CHECK_INT(fuse_dev_receive(channel, &buf), 0);
	fail_read = ECONNABORTED;
	CHECK_INT(fuse_dev_receive(channel, &buf), 0);
	send_request(8, 0);
	fail_read = ENOENT;
	CHECK_INT(fuse_dev_receive(channel, &buf), sizeof(struct fuse_in_header));
	CHECK_INT(write(kernel, "short", 5), 5);
	CHECK_INT(fuse_dev_receive(channel, &buf), -EIO);

	CASE("a buffer of the caller's stays, even if a larger one is called for meanwhile");
	mem = malloc(MOST);
	CHECK(mem);
	foreign.mem = mem;
	foreign.mem_size = MOST;
	fuse_dev_configure(dev, 2 * MOST, false, false, false);
	send_request(9, 100);
	CHECK_INT(fuse_dev_receive_into(channel, &foreign),
		  sizeof(struct fuse_in_header) + 100);
	CHECK(foreign.mem == mem);
	CHECK_INT(foreign.mem_size, MOST);
	fuse_dev_process(channel, &foreign);
	check_body(100);

	CASE("messages grow when memory has been made and before the read");
	foreign.mem_size = MOST;
	grow = 3 * MOST;
	CHECK_INT(fuse_dev_receive_into(channel, &foreign), -EMSGSIZE);
	free(mem);
	fuse_dev_configure(dev, MOST, false, false, false);
	send_request(9, 10);
	grow = 3 * MOST;
	CHECK_INT(fuse_dev_receive(channel, &buf), sizeof(struct fuse_in_header) + 10);
	CHECK_INT(buf.mem_size, 3 * MOST);
	fuse_dev_buf_free(&buf);
	fail_read = EINVAL;
	CHECK_INT(fuse_dev_receive(channel, &buf), -EINVAL);
	fuse_dev_buf_free(&buf);

	CASE("a larger buffer is made when it is called for");
	fuse_dev_configure(dev, 2 * MOST, false, false, false);
	send_request(9, 10);
	CHECK_INT(fuse_dev_receive(channel, &buf), sizeof(struct fuse_in_header) + 10);
	CHECK_INT(buf.mem_size, 2 * MOST);
	fuse_dev_buf_free(&buf);
	close_dev();
}

static void test_process_by_hand(void)
{
	static char mem[256] __attribute__((aligned(8)));
	struct fuse_buf buf = { .fd = -1 };
	int pipe_fd[2];

	CASE("messages that lie anywhere");
	open_dev(false);
	for (size_t shift = 0; shift < 8; shift++) {
		memset(mem, 0, sizeof(mem));
		for (size_t i = 0; i < 100; i++)
			mem[shift + sizeof(struct fuse_in_header) + i] = pattern(i);
		buf.mem = mem + shift;
		buf.size = sizeof(struct fuse_in_header) + 100;
		fuse_dev_process(channel, &buf);
		check_body(100);
	}

	CASE("messages that are too short");
	taken = NULL;
	for (size_t size = 0; size < sizeof(struct fuse_in_header); size++) {
		buf.size = size;
		fuse_dev_process(channel, &buf);
	}
	buf.mem = NULL;
	buf.size = 100;
	fuse_dev_process(channel, &buf);
	CHECK(!taken);

	CASE("a pipe of the caller's");
	CHECK_INT(pipe2(pipe_fd, O_CLOEXEC | O_NONBLOCK), 0);
	for (size_t i = 0; i < 100; i++)
		mem[sizeof(struct fuse_in_header) + i] = pattern(i);
	CHECK(write(pipe_fd[1], mem, sizeof(struct fuse_in_header) + 100) > 0);
	buf.flags = FUSE_BUF_IS_FD;
	buf.fd = pipe_fd[0];
	buf.size = sizeof(struct fuse_in_header) + 100;
	fuse_dev_process(channel, &buf);
	CHECK(seen_pipe);
	check_body(100);
	CHECK(fcntl(pipe_fd[0], F_GETFD) >= 0);

	CASE("a pipe with less in it than it should have");
	taken = NULL;
	CHECK(write(pipe_fd[1], mem, 10) > 0);
	fuse_dev_process(channel, &buf);
	CHECK(!taken);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	close_dev();
}

static void receive_and_check(struct fuse_buf *buf, size_t body, bool in_pipe)
{
	send_request(1, body);
	CHECK_INT(fuse_dev_receive(channel, buf), sizeof(struct fuse_in_header) + body);
	CHECK_INT(!!(buf->flags & FUSE_BUF_IS_FD), in_pipe);
	fuse_dev_process(channel, buf);
	CHECK_INT(seen_pipe, in_pipe);
	if (!leave_in_pipe || !in_pipe)
		check_body(body);
}

static void test_splice_receive(void)
{
	const size_t large = 40000, small = 100;
	struct fuse_buf buf = { .fd = -1 };

	CASE("large messages arrive in pipes, from the second on");
	open_dev(true);
	receive_and_check(&buf, large, false);
	receive_and_check(&buf, large, true);
	receive_and_check(&buf, large, true);
	CHECK_INT(spliced_in, 2);

	CASE("a small one among them is taken out of its pipe");
	receive_and_check(&buf, small, false);
	CHECK_INT(spliced_in, 3);
	receive_and_check(&buf, large, true);

	CASE("what a handler leaves in a pipe does not meet the next message");
	leave_in_pipe = true;
	receive_and_check(&buf, large, true);
	leave_in_pipe = false;
	receive_and_check(&buf, large, true);

	CASE("small ones only: no pipes any more");
	for (int i = 0; i < 50; i++)
		receive_and_check(&buf, small, false);
	spliced_in = 0;
	receive_and_check(&buf, small, false);
	CHECK_INT(spliced_in, 0);

	CASE("large ones while splice is off");
	fuse_dev_configure(dev, MOST + FUSE_DEV_HEADER_ROOM, false, false, false);
	receive_and_check(&buf, large, false);
	receive_and_check(&buf, large, false);
	CHECK_INT(spliced_in, 0);
	fuse_dev_buf_free(&buf);
	close_dev();
}

/* ---- Out ---- */

static struct fuse_req *hold_request(uint64_t unique)
{
	struct fuse_buf buf = { .fd = -1 };

	keep = true;
	send_request(unique, 8);
	CHECK(fuse_dev_receive(channel, &buf) > 0);
	fuse_dev_process(channel, &buf);
	fuse_dev_buf_free(&buf);
	return taken;
}

static void test_reply(void)
{
	struct iovec iov[200];
	struct fuse_req *req;
	char letters[200];

	CASE("an error");
	open_dev(false);
	req = hold_request(42);
	CHECK_INT(req->transport->reply(req, -EPERM, NULL, 0), 0);
	CHECK_INT(get_answer(), 0);
	CHECK_INT(answer.header.error, -EPERM);
	CHECK_INT(answer.header.unique, 42);
	req->transport->finish(req);
	CHECK_INT(fuse_dev_counters(dev)->replies, 1);
	CHECK_INT(fuse_dev_counters(dev)->errors, 1);

	for (int i = 0; i < 200; i++) {
		letters[i] = (char)('a' + i % 26);
		iov[i].iov_base = &letters[i];
		iov[i].iov_len = 1;
	}
	for (int count = 0; count <= 200; count += 8) {
		CASE("%d pieces", count);
		req = hold_request(43);
		CHECK_INT(req->transport->reply(req, 0, iov, count), 0);
		CHECK_INT(get_answer(), count);
		CHECK_INT(answer.header.error, 0);
		CHECK_INT(memcmp(answer.data, letters, (size_t)count), 0);
		req->transport->finish(req);
	}
	CHECK_INT(fuse_dev_counters(dev)->errors, 1);

	CASE("after the end");
	req = hold_request(44);
	fuse_dev_shutdown(dev);
	CHECK_INT(req->transport->reply(req, 0, NULL, 0), -ENOENT);
	CHECK(!has_answer());
	req->transport->finish(req);
	close_dev();
}

/* A file of the pattern. */
static int make_file(size_t size)
{
	FILE *file = tmpfile();
	int fd;

	CHECK(file != NULL);
	for (size_t i = 0; i < size; i++)
		CHECK(fputc(pattern(i), file) != EOF);
	CHECK_INT(fflush(file), 0);
	fd = dup(fileno(file));
	fclose(file);
	CHECK(fd >= 0);
	return fd;
}

static void reply_file(int fd, size_t pos, size_t size, enum fuse_buf_copy_flags flags,
		       size_t there_is)
{
	struct fuse_bufvec data = FUSE_BUFVEC_INIT(size);
	struct fuse_req *req = hold_request(50);
	size_t sent = 999;

	data.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	data.buf[0].fd = fd;
	data.buf[0].pos = (off_t)pos;
	CHECK_INT(req->transport->reply_data(req, &data, flags, &sent), 0);
	CHECK_INT(sent, there_is);
	CHECK_INT(get_answer(), there_is);
	CHECK_INT(answer.header.error, 0);
	for (size_t i = 0; i < there_is; i++)
		CHECK(answer.data[i] == pattern(pos + i));
	req->transport->finish(req);
}

static void test_reply_file(void)
{
	static const struct {
		const char *name;
		size_t pos, size, there_is;
	} cases[] = {
		{ "a byte", 0, 1, 1 },
		{ "a page", 4096, 4096, 4096 },
		{ "much", 0, 40000, 40000 },
		{ "much, not at a page", 1234, 40001, 40001 },
		{ "the end of the file", 40000, 30000, 10000 },
		{ "its last byte", 49999, 30000, 1 },
		{ "behind the end", 60000, 30000, 0 },
	};
	int fd = make_file(50000);

	for (int splice = 0; splice < 2; splice++) {
		open_dev(splice);
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			bool large = cases[i].there_is == cases[i].size &&
				     cases[i].size >= 2 * PAGE;

			CASE("%s, splice %s", cases[i].name, splice ? "on" : "off");
			spliced_out = 0;
			reply_file(fd, cases[i].pos, cases[i].size, 0, cases[i].there_is);
			CHECK_INT(spliced_out, splice && large);

			spliced_out = 0;
			reply_file(fd, cases[i].pos, cases[i].size, FUSE_BUF_NO_SPLICE,
				   cases[i].there_is);
			CHECK_INT(spliced_out, 0);

			reply_file(fd, cases[i].pos, cases[i].size,
				   FUSE_BUF_FORCE_SPLICE | FUSE_BUF_SPLICE_MOVE,
				   cases[i].there_is);
			CHECK_INT(spliced_out,
				  splice && cases[i].there_is == cases[i].size);
		}
		close_dev();
	}
	close(fd);
}

/* Several buffers, one of them a file that ends early or cannot be read. */
static void test_reply_mixed(void)
{
	static char before[10000], behind[10000];
	int fd = make_file(20000);
	const size_t vec_size = sizeof(struct fuse_bufvec) + 2 * sizeof(struct fuse_buf);
	struct fuse_bufvec *vec = malloc(vec_size);
	size_t sent;

	CHECK(vec != NULL);
	memset(before, 'B', sizeof(before));
	memset(behind, 'E', sizeof(behind));
	for (int splice = 0; splice < 2; splice++) {
		for (int cut = 0; cut < 2; cut++) {
			struct fuse_req *req;
			size_t there = cut ? 10000 + 20000 : 10000 + 15000 + 10000;

			CASE("memory, file, memory; splice %s%s", splice ? "on" : "off",
			     cut ? "; the file ends" : "");
			open_dev(splice);
			memset(vec, 0, vec_size);
			vec->count = 3;
			vec->buf[0].size = sizeof(before);
			vec->buf[0].mem = before;
			vec->buf[1].size = cut ? 25000 : 15000;
			vec->buf[1].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
			vec->buf[1].fd = fd;
			vec->buf[2].size = sizeof(behind);
			vec->buf[2].mem = behind;
			req = hold_request(51);
			CHECK_INT(req->transport->reply_data(req, vec, 0, &sent), 0);
			CHECK_INT(sent, there);
			CHECK_INT(get_answer(), there);
			CHECK(answer.data[0] == 'B' && answer.data[9999] == 'B');
			CHECK(answer.data[10000] == pattern(0));
			CHECK(answer.data[24999] == pattern(14999));
			CHECK(cut || answer.data[25000] == 'E');
			req->transport->finish(req);
			close_dev();
		}
	}
	free(vec);
	close(fd);
}

static void test_reply_memory(void)
{
	static char mem[30000];
	struct fuse_bufvec data = FUSE_BUFVEC_INIT(sizeof(mem));
	struct fuse_req *req;
	size_t sent;

	CASE("memory is not spliced");
	open_dev(true);
	memset(mem, 'M', sizeof(mem));
	data.buf[0].mem = mem;
	data.off = 100;
	req = hold_request(52);
	CHECK_INT(req->transport->reply_data(req, &data, 0, &sent), 0);
	CHECK_INT(sent, sizeof(mem) - 100);
	CHECK_INT(get_answer(), sizeof(mem) - 100);
	CHECK_INT(spliced_out, 0);
	req->transport->finish(req);

	CASE("unless it is asked for");
	data.idx = data.off = 0;
	req = hold_request(53);
	CHECK_INT(req->transport->reply_data(req, &data, FUSE_BUF_FORCE_SPLICE, &sent),
		  0);
	CHECK_INT(get_answer(), sizeof(mem));
	CHECK_INT(memcmp(answer.data, mem, sizeof(mem)), 0);
	CHECK_INT(spliced_out, 1);
	req->transport->finish(req);
	close_dev();
}

static void test_reply_unreadable(void)
{
	int write_only = open("/dev/null", O_WRONLY | O_CLOEXEC);

	for (int splice = 0; splice < 2; splice++) {
		struct fuse_bufvec data = FUSE_BUFVEC_INIT(30000);
		struct fuse_req *req;
		size_t sent = 999;

		CASE("a file that cannot be read, splice %s", splice ? "on" : "off");
		open_dev(splice);
		data.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
		data.buf[0].fd = write_only;
		req = hold_request(54);
		CHECK_INT(req->transport->reply_data(req, &data, 0, &sent), 0);
		CHECK_INT(sent, 0);
		CHECK_INT(get_answer(), 0);
		CHECK_INT(answer.header.error, -EBADF);
		CHECK_INT(fuse_dev_counters(dev)->errors, 1);
		req->transport->finish(req);
		close_dev();
	}
	close(write_only);
}

#if SANITIZED
/* A sanitizer takes memory at times of its own, and may end the program if there is none. */
static void test_no_memory(void)
{
}
#else
/* From now on, or as much as there is */
static void allow_memory(bool allow)
{
	struct rlimit limit;

	CHECK_INT(getrlimit(RLIMIT_AS, &limit), 0);
	limit.rlim_cur = allow ? limit.rlim_max : 1;
	CHECK_INT(setrlimit(RLIMIT_AS, &limit), 0);
}

static void check_refused(uint64_t unique)
{
	CHECK(has_answer());
	CHECK_INT(get_answer(), 0);
	CHECK_INT(answer.header.error, -ENOMEM);
	CHECK_INT(answer.header.unique, unique);
	CHECK(!has_answer());
}

static void test_no_memory(void)
{
	static struct {
		char odd;
		struct fuse_in_header header;
	} __attribute__((packed)) message = { .header.unique = 61 };
	static char mem[MOST];
	const int count = 40;
	struct fuse_bufvec *data = calloc(1, sizeof(*data) + count * sizeof(*data->buf));
	struct fuse_buf *pieces = data ? data->buf : NULL;
	struct iovec iov[40];
	struct fuse_buf buf = { .mem = &message.header, .size = (size_t)1 << 30 };
	struct fuse_req *req;
	size_t sent;

	open_dev(false);
	CHECK(data);
	data->count = (size_t)count;
	for (int i = 0; i < count; i++) {
		iov[i] = (struct iovec){ .iov_base = mem, .iov_len = sizeof(mem) };
		pieces[i] = (struct fuse_buf){ .mem = mem, .size = sizeof(mem) };
	}

	CASE("a message that lies anywhere is refused if there is no memory");
	taken = NULL;
	allow_memory(false);
	fuse_dev_process(channel, &buf);
	allow_memory(true);
	CHECK(!taken);
	check_refused(61);

	CASE("a reply in many pieces is an error then");
	req = hold_request(62);
	allow_memory(false);
	CHECK_INT(req->transport->reply(req, 0, iov, count), -ENOMEM);
	allow_memory(true);
	check_refused(62);
	req->transport->finish(req);

	CASE("so is one of many buffers");
	req = hold_request(63);
	allow_memory(false);
	CHECK_INT(req->transport->reply_data(req, data, 0, &sent), 0);
	allow_memory(true);
	CHECK_INT(sent, 0);
	check_refused(63);
	req->transport->finish(req);
	free(data);
	close_dev();
}
#endif

static void test_notify(void)
{
	const char head[] = "a header of 24 bytes...";
	struct iovec iov = { .iov_base = (void *)head, .iov_len = sizeof(head) };
	int fd = make_file(20000);

	CASE("a notification");
	open_dev(true);
	CHECK_INT(fuse_dev_notify(dev, 3, &iov, 1), 0);
	CHECK_INT(get_answer(), sizeof(head));
	CHECK_INT(answer.header.unique, 0);
	CHECK_INT(answer.header.error, 3);
	CHECK_INT(fuse_dev_counters(dev)->replies, 0);

	for (int much = 0; much < 2; much++) {
		struct fuse_bufvec data = FUSE_BUFVEC_INIT(much ? 30000 : 20000);

		CASE("a notification with data%s", much ? " that are not there" : "");
		data.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
		data.buf[0].fd = fd;
		CHECK_INT(fuse_dev_notify_data(dev, 4, head, sizeof(head), &data, 0),
			  much ? -EIO : 0);
		if (much) {
			CHECK(!has_answer());
			continue;
		}
		CHECK_INT(get_answer(), sizeof(head) + 20000);
		CHECK_TEXT(answer.data, head);
		CHECK(answer.data[sizeof(head) + 19999] == pattern(19999));
	}
	close(fd);
	close_dev();
}

/* ---- Requests and channels ---- */

static void test_stale_request(void)
{
	struct fuse_req *first;

	CASE("a request is not used again at once");
	open_dev(false);
	first = hold_request(60);
	first->transport->finish(first);
	for (int i = 0; i < 20; i++) {
		struct fuse_req *req = hold_request(61);

		CHECK(req != first);
		req->transport->finish(req);
	}
	CHECK_INT(first->unique, 60);
	close_dev();
}

static void test_many_held(void)
{
	static struct fuse_req *held[500];

	CASE("many requests are held at a time");
	open_dev(false);
	for (size_t i = 0; i < 500; i++) {
		held[i] = hold_request(i);
		for (size_t k = 0; k < i; k++)
			CHECK(held[k] != held[i]);
	}
	for (size_t i = 0; i < 400; i++)
		held[i]->transport->finish(held[i]);
	close_dev(); /* with a hundred of them held */
}

static void test_clone(void)
{
	struct fuse_dev_channel *clone;
	struct fuse_dev_channel *first;
	struct fuse_req *req;
	int fd;

	CASE("a request keeps its channel");
	open_dev(false);
	clone = fuse_dev_clone(dev);
	CHECK(clone != NULL);
	fd = fuse_dev_channel_fd(clone);
	first = channel;
	channel = clone;
	req = hold_request(70);
	channel = first;
	fuse_dev_channel_put(clone);
	CHECK(fcntl(fd, F_GETFD) >= 0);
	CHECK_INT(req->transport->reply(req, 0, NULL, 0), 0);
	CHECK_INT(get_answer(), 0);
	req->transport->finish(req);
	CHECK_INT(fcntl(fd, F_GETFD), -1);

	CASE("after the end, no clone holds the connection");
	clone = fuse_dev_clone(dev);
	channel = clone;
	req = hold_request(71);
	channel = first;
	fuse_dev_shutdown(dev);
	close(fuse_dev_channel_fd(channel));
	CHECK_INT(recv(kernel, &answer, sizeof(answer), MSG_DONTWAIT), 0);
	req->transport->finish(req);
	fuse_dev_channel_put(clone);
	fuse_dev_free(dev);
	close(kernel);
}

static void drop_log(enum fuse_log_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
}

int main(void)
{
	fuse_set_log_func(drop_log);
	test_receive();
	test_process_by_hand();
	test_splice_receive();
	test_reply();
	test_reply_file();
	test_reply_mixed();
	test_reply_memory();
	test_reply_unreadable();
	test_no_memory();
	test_notify();
	test_stale_request();
	test_many_held();
	test_clone();
	return 0;
}
