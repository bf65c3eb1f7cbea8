// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device's session with this program as its kernel: what it answers to CUSE_INIT, and what
 * becomes of the requests that follow.
 */
#include "fuse_config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include "check.h"
#include "cuse_lowlevel.h"
#include "fuse_kernel.h"

#define PAGE	((uint32_t)getpagesize())
#define FH	42u
#define NO_MORE "nothing was called"

static struct fuse_session *session;
static struct fuse_pollhandle *poll_handle;
static const char *called = NO_MORE;
static char logged[1000];
static int user;

/* ---- What the session sends ---- */

static struct {
	union {
		struct fuse_out_header header;
		char bytes[1 << 20];
	};
	size_t size;
	int count;
} sent;

static ssize_t record(int fd, struct iovec *iov, int count, void *userdata)
{
	sent.size = 0;
	sent.count++;
	for (int i = 0; i < count; i++) {
		CHECK(sent.size + iov[i].iov_len <= sizeof(sent.bytes));
		if (iov[i].iov_len)
			memcpy(sent.bytes + sent.size, iov[i].iov_base, iov[i].iov_len);
		sent.size += iov[i].iov_len;
	}
	CHECK_INT(sent.header.len, sent.size);
	return (ssize_t)sent.size;
}

static ssize_t read_nothing(int fd, void *buffer, size_t size, void *userdata)
{
	errno = EAGAIN;
	return -1;
}

static const void *payload(void)
{
	return sent.bytes + sizeof(sent.header);
}

static void record_log(enum fuse_log_level level, const char *format, va_list arguments)
{
	vsnprintf(logged, sizeof(logged), format, arguments);
}

/* ---- The device ---- */

static void note(const char *name)
{
	called = name;
}

static void dev_init(void *userdata, struct fuse_conn_info *conn)
{
	CHECK(userdata == &user);
	CHECK_INT(conn->proto_minor, 46);
	CHECK_INT(conn->max_read, 32 * PAGE);
	CHECK_INT(conn->max_write, 32 * PAGE);
	CHECK_INT(sent.count, 0);
	conn->max_write = 8192;
	conn->max_read = 1 << 30; /* more than there can be */
	note("init");
}

static void dev_init_done(void *userdata)
{
	CHECK(userdata == &user);
	CHECK_TEXT(called, "init");
	CHECK_INT(sent.count, 1);
	note("init_done");
}

static void dev_destroy(void *userdata)
{
	CHECK(userdata == &user);
	note("destroy");
}

static void dev_open(fuse_req_t req, struct fuse_file_info *fi)
{
	CHECK(fuse_req_userdata(req) == &user);
	CHECK_INT(fi->flags, O_RDWR | O_NONBLOCK);
	CHECK_INT(fuse_req_ctx(req)->uid, 1000);
	fi->fh = FH;
	note("open");
	fuse_reply_open(req, fi);
}

static void dev_read(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi)
{
	CHECK_INT(size, 100);
	CHECK_INT(off, 7);
	CHECK_INT(fi->fh, FH);
	note("read");
	fuse_reply_buf(req, "data", 4);
}

static void dev_write(fuse_req_t req, const char *buf, size_t size, off_t off,
		      struct fuse_file_info *fi)
{
	CHECK_INT(size, 5);
	CHECK(memcmp(buf, "bytes", 5) == 0);
	CHECK_INT(off, 0);
	CHECK_INT(fi->fh, FH);
	note("write");
	fuse_reply_write(req, size);
}

static void dev_release(fuse_req_t req, struct fuse_file_info *fi)
{
	CHECK_INT(fi->fh, FH);
	note("release");
	fuse_reply_err(req, 0);
}

static void dev_flush(fuse_req_t req, struct fuse_file_info *fi)
{
	CHECK_INT(fi->lock_owner, 9);
	note("flush");
	fuse_reply_err(req, 0);
}

static void dev_fsync(fuse_req_t req, int datasync, struct fuse_file_info *fi)
{
	CHECK_INT(datasync, 1);
	note("fsync");
	fuse_reply_err(req, EROFS);
}

static void dev_ioctl(fuse_req_t req, int cmd, void *arg, struct fuse_file_info *fi,
		      unsigned flags, const void *in, size_t in_size, size_t out_size)
{
	const struct iovec range = { .iov_base = arg, .iov_len = 8 };

	CHECK_INT((unsigned)cmd, 0x80045100u);
	CHECK_INT((uintptr_t)arg, 0x7000);
	CHECK_INT(flags, FUSE_IOCTL_UNRESTRICTED);
	note("ioctl");
	if (!in_size) {
		CHECK(!in);
		fuse_reply_ioctl_retry(req, &range, 1, NULL, 0);
		return;
	}
	CHECK_INT(in_size, 8);
	CHECK_INT(out_size, 16);
	CHECK(memcmp(in, "argument", 8) == 0);
	fuse_reply_ioctl(req, 3, "out", 3);
}

static void dev_poll(fuse_req_t req, struct fuse_file_info *fi,
		     struct fuse_pollhandle *ph)
{
	CHECK_INT(fi->poll_events, 5);
	CHECK(ph);
	poll_handle = ph;
	note("poll");
	fuse_reply_poll(req, 4);
}

static const struct cuse_lowlevel_ops all = {
	.init = dev_init,
	.init_done = dev_init_done,
	.destroy = dev_destroy,
	.open = dev_open,
	.read = dev_read,
	.write = dev_write,
	.flush = dev_flush,
	.release = dev_release,
	.fsync = dev_fsync,
	.ioctl = dev_ioctl,
	.poll = dev_poll,
};
static const struct cuse_lowlevel_ops none;

/* ---- The kernel ---- */

static const char *strings[] = { "SUBSYSTEM=none", "DEVNAME=test" };

static struct fuse_session *make(const struct cuse_lowlevel_ops *ops, unsigned flags,
				 unsigned count)
{
	const struct cuse_info info = {
		.dev_major = 250,
		.dev_minor = 3,
		.dev_info_argc = count,
		.dev_info_argv = strings,
		.flags = flags,
	};
	const struct fuse_custom_io io = { .writev = record, .read = read_nothing };
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_session *made;

	fuse_opt_add_arg(&args, "test");
	made = cuse_lowlevel_new(&args, &info, ops, &user);
	fuse_opt_free_args(&args);
	if (made)
		CHECK_INT(fuse_session_custom_io(made, &io, sizeof(io), dup(0)), 0);
	memset(&sent, 0, sizeof(sent.header));
	sent.count = 0;
	sent.size = 0;
	called = NO_MORE;
	logged[0] = '\0';
	return made;
}

/* Sends a request, and returns the error of its answer. */
static int ask(uint32_t opcode, const void *arg, size_t size, const char *text)
{
	static uint64_t unique;
	union {
		struct fuse_in_header header;
		char bytes[1000];
	} message = { .header = {
			      .opcode = opcode,
			      .unique = unique += 2,
			      .uid = 1000,
		      } };
	struct fuse_buf buf = { .mem = message.bytes, .fd = -1 };
	size_t length = text ? strlen(text) : 0;
	int before = sent.count;

	memcpy(message.bytes + sizeof(message.header), arg, size);
	if (text)
		memcpy(message.bytes + sizeof(message.header) + size, text, length);
	buf.size = sizeof(message.header) + size + length;
	message.header.len = (uint32_t)buf.size;
	called = NO_MORE;
	fuse_session_process_buf(session, &buf);
	CHECK_INT(sent.count, before + 1);
	CHECK_INT(sent.header.unique, unique);
	return sent.header.error;
}

static int ask_init(uint32_t opcode, uint32_t major, uint32_t minor, uint32_t flags)
{
	const struct cuse_init_in in = { .major = major, .minor = minor, .flags = flags };

	return ask(opcode, &in, sizeof(in), NULL);
}

/* ---- Cases ---- */

static void test_init(void)
{
	static const char info[] = "SUBSYSTEM=none\0DEVNAME=test";
	const struct cuse_init_out *out = payload();

	CASE("init");
	session = make(&all, CUSE_UNRESTRICTED_IOCTL, 2);
	CHECK(session);
	CHECK_INT(ask_init(CUSE_INIT, 7, 46, CUSE_UNRESTRICTED_IOCTL), 0);
	CHECK_TEXT(called, "init_done");
	CHECK_INT(out->major, 7);
	CHECK_INT(out->minor, 46);
	CHECK_INT(out->flags, CUSE_UNRESTRICTED_IOCTL);
	CHECK_INT(out->max_read, 32 * PAGE);
	CHECK_INT(out->max_write, 8192);
	CHECK_INT(out->dev_major, 250);
	CHECK_INT(out->dev_minor, 3);
	for (size_t i = 0; i < sizeof(out->spare) / sizeof(out->spare[0]); i++)
		CHECK_INT(out->spare[i], 0);
	CHECK_INT(sent.size, sizeof(sent.header) + sizeof(*out) + sizeof(info));
	CHECK(memcmp(out + 1, info, sizeof(info)) == 0);
	CHECK_TEXT(logged, "");
}

static void test_requests(void)
{
	const struct fuse_open_in open_in = { .flags = O_RDWR | O_NONBLOCK };
	const struct fuse_read_in read_in = { .fh = FH, .offset = 7, .size = 100 };
	const struct fuse_write_in write_in = { .fh = FH, .size = 5 };
	const struct fuse_flush_in flush_in = { .lock_owner = 9 };
	const struct fuse_fsync_in fsync_in = { .fsync_flags = FUSE_FSYNC_FDATASYNC };
	const struct fuse_release_in release_in = { .fh = FH };

	CASE("requests");
	CHECK_INT(ask(FUSE_OPEN, &open_in, sizeof(open_in), NULL), 0);
	CHECK_TEXT(called, "open");
	CHECK_INT(((const struct fuse_open_out *)payload())->fh, FH);
	CHECK_INT(ask(FUSE_READ, &read_in, sizeof(read_in), NULL), 0);
	CHECK_TEXT(called, "read");
	CHECK_INT(sent.size, sizeof(sent.header) + 4);
	CHECK(memcmp(payload(), "data", 4) == 0);
	CHECK_INT(ask(FUSE_WRITE, &write_in, sizeof(write_in), "bytes"), 0);
	CHECK_TEXT(called, "write");
	CHECK_INT(((const struct fuse_write_out *)payload())->size, 5);
	CHECK_INT(ask(FUSE_FLUSH, &flush_in, sizeof(flush_in), NULL), 0);
	CHECK_TEXT(called, "flush");
	CHECK_INT(ask(FUSE_FSYNC, &fsync_in, sizeof(fsync_in), NULL), -EROFS);
	CHECK_TEXT(called, "fsync");
	CHECK_INT(ask(FUSE_RELEASE, &release_in, sizeof(release_in), NULL), 0);
	CHECK_TEXT(called, "release");
}

static void test_ioctl(void)
{
	struct fuse_ioctl_in in = {
		.flags = FUSE_IOCTL_UNRESTRICTED,
		.cmd = 0x80045100u,
		.arg = 0x7000,
	};
	const struct fuse_ioctl_out *out = payload();
	const struct fuse_ioctl_iovec *range = (const void *)(out + 1);

	CASE("ioctl");
	CHECK_INT(ask(FUSE_IOCTL, &in, sizeof(in), NULL), 0);
	CHECK_INT(out->flags, FUSE_IOCTL_RETRY);
	CHECK_INT(out->in_iovs, 1);
	CHECK_INT(out->out_iovs, 0);
	CHECK_INT(range->base, 0x7000);
	CHECK_INT(range->len, 8);
	in.in_size = 8;
	in.out_size = 16;
	CHECK_INT(ask(FUSE_IOCTL, &in, sizeof(in), "argument"), 0);
	CHECK_TEXT(called, "ioctl");
	CHECK_INT(out->flags, 0);
	CHECK_INT(out->result, 3);
	CHECK(memcmp(out + 1, "out", 3) == 0);
}

static void test_poll(void)
{
	const struct fuse_poll_in in = {
		.kh = 77,
		.flags = FUSE_POLL_SCHEDULE_NOTIFY,
		.events = 5,
	};

	CASE("poll");
	CHECK_INT(ask(FUSE_POLL, &in, sizeof(in), NULL), 0);
	CHECK_TEXT(called, "poll");
	CHECK_INT(((const struct fuse_poll_out *)payload())->revents, 4);
	CHECK_INT(fuse_lowlevel_notify_poll(poll_handle), 0);
	CHECK_INT(sent.header.unique, 0);
	CHECK_INT(sent.header.error, FUSE_NOTIFY_POLL);
	CHECK_INT(((const struct fuse_notify_poll_wakeup_out *)payload())->kh, 77);
	fuse_pollhandle_destroy(poll_handle);
}

static void test_wrong_turn(void)
{
	CASE("requests out of turn");
	CHECK_INT(ask_init(CUSE_INIT, 7, 46, 0), -EIO);
	CHECK_INT(ask_init(FUSE_INIT, 7, 46, 0), -ENOSYS);
	CHECK_TEXT(called, NO_MORE);
	called = NO_MORE;
	fuse_session_destroy(session);
	CHECK_TEXT(called, "destroy");

	session = make(&all, 0, 2);
	CHECK_INT(ask_init(FUSE_INIT, 7, 46, 0), -EIO);
	CHECK_INT(ask(FUSE_RELEASE, "", 0, NULL), -EIO);
	CHECK_TEXT(called, NO_MORE);
	called = NO_MORE;
	fuse_session_destroy(session);
	CHECK_TEXT(called, NO_MORE); /* it never began */
}

/* A device that can do nothing can still be opened. */
static void test_missing_operations(void)
{
	const struct fuse_open_in open_in = { .flags = O_RDONLY };
	const struct fuse_read_in read_in = { .size = 1 };
	const struct fuse_release_in release_in = { .fh = 0 };
	const struct fuse_ioctl_in ioctl_in = { .cmd = 1 };

	CASE("operations that are missing");
	session = make(&none, CUSE_UNRESTRICTED_IOCTL, 2);
	CHECK_INT(ask_init(CUSE_INIT, 7, 12, 0), 0);
	CHECK_INT(((const struct cuse_init_out *)payload())->minor, 12);
	CHECK_INT(((const struct cuse_init_out *)payload())->flags, 0);
	CHECK(strstr(logged, "no unrestricted ioctls"));
	CHECK_INT(ask(FUSE_OPEN, &open_in, sizeof(open_in), NULL), 0);
	CHECK_INT(ask(FUSE_READ, &read_in, sizeof(read_in), NULL), -ENOSYS);
	CHECK_INT(ask(FUSE_IOCTL, &ioctl_in, sizeof(ioctl_in), NULL), -ENOSYS);
	CHECK_INT(ask(FUSE_RELEASE, &release_in, sizeof(release_in), NULL), 0);
	fuse_session_destroy(session);
}

static void test_old_kernel(void)
{
	CASE("kernels that are too old or too new");
	session = make(&all, 0, 2);
	CHECK_INT(ask_init(CUSE_INIT, 7, 10, 0), -EPROTO);
	CHECK(fuse_session_exited(session));
	CHECK(strstr(logged, "7.10"));
	fuse_session_destroy(session);
	session = make(&all, 0, 2);
	CHECK_INT(ask_init(CUSE_INIT, 8, 0, 0), -EPROTO);
	CHECK_TEXT(called, NO_MORE);
	fuse_session_destroy(session);
}

static void test_description(void)
{
	static char large[CUSE_INIT_INFO_MAX];

	CASE("descriptions that cannot be");
	CHECK(!make(&all, 0, 1));
	CHECK(!make(&all, 0, 0));
	strings[1] = "DEVNAME=";
	CHECK(!make(&all, 0, 2));
	memset(large, 'x', sizeof(large) - 1);
	memcpy(large, "DEVNAME=", 8);
	strings[0] = large;
	session = make(&all, 0, 1);
	CHECK(session);
	fuse_session_destroy(session);
	CHECK(!make(&all, 0, 2));
}

int main(void)
{
	fuse_set_log_func(record_log);
	test_init();
	test_requests();
	test_ioctl();
	test_poll();
	test_wrong_turn();
	test_missing_operations();
	test_old_kernel();
	test_description();
	return 0;
}
