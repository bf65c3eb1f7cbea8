// SPDX-License-Identifier: GPL-2.0-only
/*
 * FUSE_INIT over kernels of many versions, none of which is there: requests are put into a
 * session by hand, and what it writes is looked at.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "check.h"
#include "fuse_kernel.h"
#include "fuse_lowlevel.h"

#define ALL_LOW	   ((uint32_t) ~(FUSE_INIT_EXT | FUSE_INIT_RESERVED))
#define EVERYTHING (~(uint64_t)FUSE_INIT_RESERVED & ~FUSE_OVER_IO_URING)
#define PAGE	   ((uint32_t)getpagesize())

/* The last message that the session wrote. */
static struct {
	struct fuse_out_header header;
	struct fuse_init_out init;
	size_t size; /* of all, header included */
	unsigned messages;
} reply;

static struct fuse_conn_info seen; /* as init() found it */
static void (*change)(struct fuse_conn_info *conn);
static unsigned inits, destroys;
static char log_text[4096];

static void keep_log(enum fuse_log_level level, const char *fmt, va_list ap)
{
	size_t used = strlen(log_text);

	(void)level;
	vsnprintf(log_text + used, sizeof(log_text) - used, fmt, ap);
}

static ssize_t keep_reply(int fd, struct iovec *iov, int count, void *userdata)
{
	char *to = (char *)&reply;
	size_t room = offsetof(__typeof__(reply), size);

	(void)fd;
	(void)userdata;
	memset(&reply, 0, room);
	reply.size = 0;
	for (int i = 0; i < count; i++) {
		size_t part = iov[i].iov_len < room ? iov[i].iov_len : room;

		if (part)
			memcpy(to, iov[i].iov_base, part);
		to += part;
		room -= part;
		reply.size += iov[i].iov_len;
	}
	reply.messages++;
	return (ssize_t)reply.size;
}

static ssize_t read_nothing(int fd, void *buf, size_t size, void *userdata)
{
	(void)fd;
	(void)buf;
	(void)size;
	(void)userdata;
	return 0;
}

static ssize_t splice_nothing(int fdin, off_t *offin, int fdout, off_t *offout,
			      size_t len, unsigned int flags, void *userdata)
{
	(void)fdin;
	(void)offin;
	(void)fdout;
	(void)offout;
	(void)len;
	(void)flags;
	(void)userdata;
	errno = EINVAL;
	return -1;
}

static void on_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	seen = *conn;
	inits++;
	if (change)
		change(conn);
}

static void on_destroy(void *userdata)
{
	(void)userdata;
	destroys++;
}

static void on_any_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fuse_reply_open(req, fi);
}

static const struct fuse_lowlevel_ops few_ops = {
	.init = on_init,
	.destroy = on_destroy,
	.open = on_any_open,
};

/* Never called: only whether they are there counts. */
static struct fuse_lowlevel_ops many_ops(void)
{
	struct fuse_lowlevel_ops ops;

	memset(&ops, 0, sizeof(ops));
	ops.init = on_init;
	ops.destroy = on_destroy;
	ops.getlk = (__typeof__(ops.getlk))(void (*)(void))on_any_open;
	ops.setlk = (__typeof__(ops.setlk))(void (*)(void))on_any_open;
	ops.flock = (__typeof__(ops.flock))(void (*)(void))on_any_open;
	ops.write_buf = (__typeof__(ops.write_buf))(void (*)(void))on_any_open;
	ops.readdir = (__typeof__(ops.readdir))(void (*)(void))on_any_open;
	ops.readdirplus = (__typeof__(ops.readdirplus))(void (*)(void))on_any_open;
	return ops;
}

static struct fuse_session *new_session(const struct fuse_lowlevel_ops *ops,
					const char *options, bool splice)
{
	char program[] = "test", o[] = "-o";
	char *argv[] = { program, o, (char *)options, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(options ? 3 : 1, argv);
	const struct fuse_custom_io io = {
		.writev = keep_reply,
		.read = read_nothing,
		.splice_receive = splice ? splice_nothing : NULL,
		.splice_send = splice ? splice_nothing : NULL,
	};
	struct fuse_session *se;

	memset(&reply, 0, sizeof(reply));
	memset(&seen, 0, sizeof(seen));
	inits = destroys = 0;
	log_text[0] = '\0';
	se = fuse_session_new(&args, ops, sizeof(*ops), NULL);
	CHECK(se != NULL);
	CHECK_INT(fuse_session_custom_io(se, &io, sizeof(io),
					 open("/dev/null", O_RDWR | O_CLOEXEC)),
		  0);
	fuse_opt_free_args(&args);
	return se;
}

struct kernel {
	uint32_t major;
	uint32_t minor;
	uint64_t flags;
	uint32_t max_readahead;
};

static void send_init(struct fuse_session *se, const struct kernel *kernel)
{
	struct {
		struct fuse_in_header header;
		struct fuse_init_in init;
	} message;
	struct fuse_buf buf = { .mem = &message };

	memset(&message, 0, sizeof(message));
	/* Only a kernel that knows flags2 sends more than four words. */
	buf.size =
		sizeof(message.header) +
		(kernel->flags & FUSE_INIT_EXT ? sizeof(message.init)
					       : offsetof(struct fuse_init_in, flags2));
	message.header.len = (uint32_t)buf.size;
	message.header.opcode = FUSE_INIT;
	message.header.unique = 2;
	message.init.major = kernel->major;
	message.init.minor = kernel->minor;
	message.init.max_readahead = kernel->max_readahead;
	message.init.flags = (uint32_t)kernel->flags;
	message.init.flags2 = (uint32_t)(kernel->flags >> 32);
	fuse_session_process_buf(se, &buf);
	CHECK(reply.messages > 0);
	CHECK_INT(reply.header.len, reply.size);
	CHECK_INT(reply.header.unique, 2);
}

static void meet(struct fuse_session *se, uint32_t minor, uint64_t flags)
{
	struct kernel kernel = {
		.major = FUSE_KERNEL_VERSION,
		.minor = minor,
		.flags = flags,
		.max_readahead = 131072,
	};

	send_init(se, &kernel);
}

static uint64_t answered(void)
{
	return (uint64_t)reply.init.flags2 << 32 | reply.init.flags;
}

/* ---- Versions ---- */

static void test_minors(void)
{
	for (uint32_t minor = 26; minor <= FUSE_KERNEL_MINOR_VERSION + 4; minor++) {
		struct fuse_session *se = new_session(&few_ops, NULL, false);
		uint64_t flags = minor >= 36 ? EVERYTHING : ALL_LOW;
		uint32_t agreed = minor < FUSE_KERNEL_MINOR_VERSION
					  ? minor
					  : FUSE_KERNEL_MINOR_VERSION;

		CASE("kernel 7.%u", minor);
		meet(se, minor, flags);
		CHECK_INT(reply.header.error, 0);
		CHECK_INT(reply.init.major, 7);
		CHECK_INT(reply.init.minor, agreed);
		CHECK_INT(seen.proto_major, 7);
		CHECK_INT(seen.proto_minor, minor);
		CHECK_INT(inits, 1);
		CHECK(!fuse_session_exited(se));
		CHECK_INT(!!(answered() & FUSE_INIT_EXT), minor >= 36);
		CHECK_INT(reply.init.unused[0], 0);
		fuse_session_destroy(se);
		CHECK_INT(destroys, 1);
		CHECK_TEXT(log_text, "");
	}
}

static void test_old(void)
{
	static const struct kernel old[] = {
		{ .major = 7, .minor = 25 },
		{ .major = 7, .minor = 0 },
		{ .major = 6, .minor = 99 },
		{ .major = 0, .minor = 0 },
	};

	for (size_t i = 0; i < sizeof(old) / sizeof(old[0]); i++) {
		struct fuse_session *se = new_session(&few_ops, NULL, false);

		CASE("kernel %u.%u is too old", old[i].major, old[i].minor);
		send_init(se, &old[i]);
		CHECK_INT(reply.header.error, -EPROTO);
		CHECK_INT(inits, 0);
		CHECK(fuse_session_exited(se));
		CHECK(strstr(log_text, "7.26") != NULL);
		CHECK_INT(fuse_session_loop(se), -EPROTO);
		fuse_session_destroy(se);
		CHECK_INT(destroys, 0);
	}
}

static void test_newer_major(void)
{
	struct fuse_session *se = new_session(&few_ops, NULL, false);
	const struct kernel kernel = { .major = 8, .minor = 3, .flags = EVERYTHING };

	CASE("kernel 8.3 comes back with ours");
	send_init(se, &kernel);
	CHECK_INT(reply.header.error, 0);
	CHECK_INT(reply.init.major, FUSE_KERNEL_VERSION);
	CHECK_INT(reply.init.minor, FUSE_KERNEL_MINOR_VERSION);
	CHECK_INT(reply.init.flags, 0);
	CHECK_INT(inits, 0);
	CHECK(!fuse_session_exited(se));
	meet(se, 46, EVERYTHING);
	CHECK_INT(inits, 1);
	CHECK_INT(reply.header.error, 0);
	fuse_session_destroy(se);
}

static void test_twice(void)
{
	struct fuse_session *se = new_session(&few_ops, NULL, false);

	CASE("a second INIT is refused");
	meet(se, 45, EVERYTHING);
	meet(se, 45, EVERYTHING);
	CHECK_INT(reply.header.error, -EIO);
	CHECK_INT(inits, 1);
	fuse_session_destroy(se);
	CHECK_INT(destroys, 1);
}

/* ---- Bits ---- */

static const struct {
	uint64_t kernel;
	uint64_t capability;
	bool suggested; /* to a filesystem with few operations */
	bool told;	/* answered when it is wanted */
} bits[] = {
	{ FUSE_ASYNC_READ, FUSE_CAP_ASYNC_READ, true, true },
	{ FUSE_POSIX_LOCKS, FUSE_CAP_POSIX_LOCKS, false, true },
	{ FUSE_ATOMIC_O_TRUNC, FUSE_CAP_ATOMIC_O_TRUNC, true, true },
	{ FUSE_EXPORT_SUPPORT, FUSE_CAP_EXPORT_SUPPORT, false, true },
	{ FUSE_DONT_MASK, FUSE_CAP_DONT_MASK, false, true },
	{ FUSE_FLOCK_LOCKS, FUSE_CAP_FLOCK_LOCKS, false, true },
	{ FUSE_AUTO_INVAL_DATA, FUSE_CAP_AUTO_INVAL_DATA, true, true },
	{ FUSE_DO_READDIRPLUS, FUSE_CAP_READDIRPLUS, false, true },
	{ FUSE_READDIRPLUS_AUTO, FUSE_CAP_READDIRPLUS_AUTO, false, true },
	{ FUSE_ASYNC_DIO, FUSE_CAP_ASYNC_DIO, true, true },
	{ FUSE_WRITEBACK_CACHE, FUSE_CAP_WRITEBACK_CACHE, false, true },
	{ FUSE_NO_OPEN_SUPPORT, FUSE_CAP_NO_OPEN_SUPPORT, false, false },
	{ FUSE_PARALLEL_DIROPS, FUSE_CAP_PARALLEL_DIROPS, true, true },
	{ FUSE_HANDLE_KILLPRIV, FUSE_CAP_HANDLE_KILLPRIV, true, true },
	{ FUSE_POSIX_ACL, FUSE_CAP_POSIX_ACL, false, true },
	{ FUSE_CACHE_SYMLINKS, FUSE_CAP_CACHE_SYMLINKS, false, true },
	{ FUSE_NO_OPENDIR_SUPPORT, FUSE_CAP_NO_OPENDIR_SUPPORT, false, false },
	{ FUSE_EXPLICIT_INVAL_DATA, FUSE_CAP_EXPLICIT_INVAL_DATA, false, true },
	{ FUSE_HANDLE_KILLPRIV_V2, FUSE_CAP_HANDLE_KILLPRIV_V2, false, true },
	{ FUSE_SETXATTR_EXT, FUSE_CAP_SETXATTR_EXT, false, true },
	{ FUSE_HAS_EXPIRE_ONLY, FUSE_CAP_EXPIRE_ONLY, false, false },
	{ FUSE_DIRECT_IO_ALLOW_MMAP, FUSE_CAP_DIRECT_IO_ALLOW_MMAP, false, true },
	{ FUSE_PASSTHROUGH, FUSE_CAP_PASSTHROUGH, false, true },
	{ FUSE_NO_EXPORT_SUPPORT, FUSE_CAP_NO_EXPORT_SUPPORT, false, true },
};

#define BITS (sizeof(bits) / sizeof(bits[0]))

static uint64_t wish; /* for set_wish() and unset_wish() */

static void set_wish(struct fuse_conn_info *conn)
{
	CHECK(fuse_set_feature_flag(conn, wish));
}

static void unset_wish(struct fuse_conn_info *conn)
{
	fuse_unset_feature_flag(conn, wish);
}

static void test_each_bit(void)
{
	/* Kernels have these by their version. 7.30 is before EXPIRE_ONLY. */
	const uint64_t always = FUSE_CAP_IOCTL_DIR;

	for (size_t i = 0; i < BITS; i++) {
		struct fuse_session *se;

		CASE("capability bit %d", __builtin_ctzll(bits[i].capability));
		wish = bits[i].capability;

		change = NULL;
		se = new_session(&few_ops, NULL, false);
		meet(se, 30, bits[i].kernel | FUSE_INIT_EXT);
		CHECK_INT(seen.capable_ext, bits[i].capability | always);
		CHECK_INT(seen.capable, (uint32_t)(bits[i].capability | always));
		CHECK_INT(seen.want_ext,
			  (bits[i].suggested ? bits[i].capability : 0) | always);
		CHECK_INT(seen.want, (uint32_t)seen.want_ext);
		CHECK_INT(!!(answered() & bits[i].kernel),
			  bits[i].suggested && bits[i].told);
		fuse_session_destroy(se);

		change = set_wish;
		se = new_session(&few_ops, NULL, false);
		meet(se, 30, bits[i].kernel | FUSE_INIT_EXT);
		CHECK_INT(!!(answered() & bits[i].kernel), bits[i].told);
		fuse_session_destroy(se);

		change = unset_wish;
		se = new_session(&few_ops, NULL, false);
		meet(se, 30, bits[i].kernel | FUSE_INIT_EXT);
		CHECK_INT(!!(answered() & bits[i].kernel), 0);
		fuse_session_destroy(se);
	}
	change = NULL;
}

static void test_operations_suggest(void)
{
	const uint64_t by_ops = FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS |
				FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
				FUSE_CAP_SPLICE_READ;
	struct fuse_lowlevel_ops ops = many_ops();
	struct fuse_session *se;

	CASE("operations that are there");
	se = new_session(&ops, NULL, true);
	meet(se, 46, EVERYTHING);
	CHECK_INT(seen.want_ext & by_ops, by_ops);
	fuse_session_destroy(se);

	CASE("operations that are not there");
	se = new_session(&few_ops, NULL, true);
	meet(se, 46, EVERYTHING);
	CHECK_INT(seen.want_ext & by_ops, 0);
	fuse_session_destroy(se);

	CASE("one of two that belong together");
	ops.getlk = NULL;
	ops.readdir = NULL;
	se = new_session(&ops, NULL, true);
	meet(se, 46, EVERYTHING);
	CHECK_INT(seen.want_ext & by_ops,
		  FUSE_CAP_FLOCK_LOCKS | FUSE_CAP_READDIRPLUS | FUSE_CAP_SPLICE_READ);
	fuse_session_destroy(se);
}

static void test_splice(void)
{
	const uint64_t splice =
		FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE;

	for (int can = 0; can < 2; can++) {
		struct fuse_session *se = new_session(&few_ops, NULL, can);

		CASE("custom I/O with%s splice", can ? "" : "out");
		meet(se, 46, EVERYTHING);
		CHECK_INT(seen.capable_ext & splice, can ? splice : 0);
		fuse_session_destroy(se);
	}
}

static void test_no_init_ext(void)
{
	struct fuse_session *se = new_session(&few_ops, NULL, false);

	CASE("without INIT_EXT there are 32 bits");
	meet(se, 45, EVERYTHING & ~(uint64_t)FUSE_INIT_EXT);
	CHECK_INT(seen.capable_ext & FUSE_CAP_PASSTHROUGH, 0);
	CHECK_INT(reply.init.flags2, 0);
	CHECK_INT(reply.init.flags & FUSE_INIT_EXT, 0);
	fuse_session_destroy(se);
}

/* ---- What the filesystem says ---- */

static void want_dont_mask(struct fuse_conn_info *conn)
{
	conn->want |= FUSE_CAP_DONT_MASK;
}

static void want_dont_mask_ext(struct fuse_conn_info *conn)
{
	conn->want_ext |= FUSE_CAP_DONT_MASK;
}

static void want_no_async_read(struct fuse_conn_info *conn)
{
	conn->want &= ~FUSE_CAP_ASYNC_READ;
}

static void want_no_async_read_ext(struct fuse_conn_info *conn)
{
	conn->want_ext &= ~(uint64_t)FUSE_CAP_ASYNC_READ;
}

static void want_both_ways(struct fuse_conn_info *conn)
{
	conn->want |= FUSE_CAP_DONT_MASK;
	conn->want &= ~FUSE_CAP_ASYNC_READ;
	conn->want_ext |= FUSE_CAP_EXPORT_SUPPORT;
	CHECK(fuse_set_feature_flag(conn, FUSE_CAP_PASSTHROUGH));
	fuse_unset_feature_flag(conn, FUSE_CAP_ASYNC_DIO);
}

static void want_on_a_copy(struct fuse_conn_info *conn)
{
	struct fuse_conn_info copy = *conn;

	copy.want |= FUSE_CAP_DONT_MASK;
	CHECK_INT(fuse_convert_to_conn_want_ext(&copy), 0);
	CHECK(copy.want_ext & FUSE_CAP_DONT_MASK);
	*conn = copy;
}

static void test_want(void)
{
	static const struct {
		const char *name;
		void (*change)(struct fuse_conn_info *conn);
		uint64_t more;
		uint64_t less;
	} cases[] = {
		{ "nothing changed", NULL, 0, 0 },
		{ "want, more", want_dont_mask, FUSE_DONT_MASK, 0 },
		{ "want_ext, more", want_dont_mask_ext, FUSE_DONT_MASK, 0 },
		{ "want, less", want_no_async_read, 0, FUSE_ASYNC_READ },
		{ "want_ext, less", want_no_async_read_ext, 0, FUSE_ASYNC_READ },
		{ "both, and functions", want_both_ways,
		  FUSE_DONT_MASK | FUSE_EXPORT_SUPPORT | FUSE_PASSTHROUGH,
		  FUSE_ASYNC_READ | FUSE_ASYNC_DIO },
		{ "a copy", want_on_a_copy, FUSE_DONT_MASK, 0 },
	};
	uint64_t plain = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fuse_session *se = new_session(&few_ops, NULL, false);

		CASE("want: %s", cases[i].name);
		change = cases[i].change;
		meet(se, 46, EVERYTHING);
		CHECK_INT(reply.header.error, 0);
		if (!i)
			plain = answered();
		CHECK_INT(answered(), (plain | cases[i].more) & ~cases[i].less);
		fuse_session_destroy(se);
	}
	change = NULL;
}

static void want_the_impossible(struct fuse_conn_info *conn)
{
	conn->want |= FUSE_CAP_CACHE_SYMLINKS;
	CHECK(!fuse_set_feature_flag(conn, FUSE_CAP_CACHE_SYMLINKS));
	CHECK(!fuse_get_feature_flag(conn, FUSE_CAP_CACHE_SYMLINKS));
}

static void test_impossible(void)
{
	struct fuse_session *se = new_session(&few_ops, NULL, false);

	CASE("wanting what the kernel does not have");
	change = want_the_impossible;
	meet(se, 46, EVERYTHING & ~(uint64_t)FUSE_CACHE_SYMLINKS);
	CHECK_INT(reply.header.error, -EPROTO);
	CHECK(fuse_session_exited(se));
	CHECK(strstr(log_text, "0x800000") != NULL);
	CHECK_INT(fuse_session_loop(se), -EPROTO);
	fuse_session_destroy(se);
	CHECK_INT(destroys, 0);
	change = NULL;
}

/* ---- Numbers ---- */

static struct fuse_conn_info numbers;

static void set_numbers(struct fuse_conn_info *conn)
{
	if (numbers.max_write)
		conn->max_write = numbers.max_write;
	if (numbers.max_readahead)
		conn->max_readahead = numbers.max_readahead;
	if (numbers.time_gran)
		conn->time_gran = numbers.time_gran;
	if (numbers.max_read)
		conn->max_read = numbers.max_read;
	conn->max_background = numbers.max_background;
	conn->congestion_threshold = numbers.congestion_threshold;
	conn->request_timeout = numbers.request_timeout;
	conn->max_backing_stack_depth = numbers.max_backing_stack_depth;
	if (numbers.want_ext)
		CHECK(fuse_set_feature_flag(conn, numbers.want_ext));
}

static void meet_with_numbers(uint64_t flags, const char *options)
{
	struct fuse_session *se = new_session(&few_ops, options, false);

	change = set_numbers;
	meet(se, 46, flags);
	change = NULL;
	fuse_session_destroy(se);
}

static void test_max_write(void)
{
	const uint64_t no_pages = EVERYTHING & ~(uint64_t)FUSE_MAX_PAGES;

	memset(&numbers, 0, sizeof(numbers));
	CASE("max_write as suggested");
	meet_with_numbers(EVERYTHING, NULL);
	CHECK_INT(reply.init.max_write, 256 * PAGE);
	CHECK_INT(reply.init.max_pages, 256);
	CHECK(reply.init.flags & FUSE_MAX_PAGES);
	CHECK(reply.init.flags & FUSE_BIG_WRITES);

	CASE("max_write on a kernel with a fixed number of pages");
	meet_with_numbers(no_pages, NULL);
	CHECK_INT(seen.max_write, 32 * PAGE);
	CHECK_INT(reply.init.max_write, 32 * PAGE);
	CHECK_INT(reply.init.max_pages, 0);
	CHECK_INT(reply.init.flags & FUSE_MAX_PAGES, 0);

	CASE("max_write lowered");
	numbers.max_write = 10 * PAGE + 1;
	meet_with_numbers(EVERYTHING, NULL);
	CHECK_INT(reply.init.max_write, 10 * PAGE + 1);
	CHECK_INT(reply.init.max_pages, 11);

	CASE("max_write raised above the limit");
	numbers.max_write = UINT32_MAX;
	meet_with_numbers(no_pages, NULL);
	CHECK_INT(reply.init.max_write, 32 * PAGE);

	CASE("max_write below what the kernel sends");
	numbers.max_write = 1;
	meet_with_numbers(EVERYTHING, NULL);
	CHECK_INT(reply.init.max_write, 4096);
	CHECK_INT(reply.init.max_pages, 1);
}

static void test_background(void)
{
	static const struct {
		uint32_t background, threshold;
		uint32_t background_out, threshold_out;
	} cases[] = {
		{ 0, 0, 0, 0 },
		{ 100, 0, 100, 75 },
		{ 100, 50, 100, 50 },
		{ 100, 200, 100, 100 },
		{ 1 << 20, 0, 65535, 49151 },
		{ 0, 9, 0, 9 },
		{ 0, 1 << 20, 0, 65535 },
		{ 65535, 1 << 20, 65535, 65535 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CASE("max_background %u, congestion_threshold %u", cases[i].background,
		     cases[i].threshold);
		memset(&numbers, 0, sizeof(numbers));
		numbers.max_background = cases[i].background;
		numbers.congestion_threshold = cases[i].threshold;
		meet_with_numbers(EVERYTHING, NULL);
		CHECK_INT(reply.init.max_background, cases[i].background_out);
		CHECK_INT(reply.init.congestion_threshold, cases[i].threshold_out);
	}
}

static void test_other_numbers(void)
{
	memset(&numbers, 0, sizeof(numbers));
	CASE("numbers as suggested");
	meet_with_numbers(EVERYTHING, NULL);
	CHECK_INT(seen.max_readahead, 131072);
	CHECK_INT(reply.init.max_readahead, 131072);
	CHECK_INT(reply.init.time_gran, 1);
	CHECK_INT(reply.init.request_timeout, 0);
	CHECK_INT(reply.init.max_stack_depth, 0);
	CHECK_INT(answered() & FUSE_REQUEST_TIMEOUT, 0);

	CASE("readahead raised, granularity, timeout");
	numbers.max_readahead = 1 << 30;
	numbers.time_gran = 1000;
	numbers.request_timeout = 60;
	meet_with_numbers(EVERYTHING, NULL);
	CHECK_INT(reply.init.max_readahead, 131072);
	CHECK_INT(reply.init.time_gran, 1000);
	CHECK_INT(reply.init.request_timeout, 60);
	CHECK(answered() & FUSE_REQUEST_TIMEOUT);

	CASE("readahead lowered, a kernel without timeouts");
	numbers.max_readahead = 4096;
	meet_with_numbers(EVERYTHING & ~FUSE_REQUEST_TIMEOUT, NULL);
	CHECK_INT(reply.init.max_readahead, 4096);
	CHECK_INT(reply.init.request_timeout, 0);
	CHECK_INT(answered() & FUSE_REQUEST_TIMEOUT, 0);

	CASE("stack depth is one more on the wire");
	numbers.want_ext = FUSE_CAP_PASSTHROUGH;
	numbers.max_backing_stack_depth = FUSE_BACKING_STACKED_UNDER;
	meet_with_numbers(EVERYTHING, NULL);
	CHECK_INT(reply.init.max_stack_depth, 1);
	numbers.max_backing_stack_depth = FUSE_BACKING_STACKED_OVER;
	meet_with_numbers(EVERYTHING, NULL);
	CHECK_INT(reply.init.max_stack_depth, 2);
}

static void test_max_read(void)
{
	memset(&numbers, 0, sizeof(numbers));
	CASE("max_read is the mount option's");
	meet_with_numbers(EVERYTHING, "max_read=65536");
	CHECK_INT(seen.max_read, 65536);
	CHECK_INT(reply.header.error, 0);

	CASE("max_read that is not the mount option's");
	numbers.max_read = 32768;
	meet_with_numbers(EVERYTHING, "max_read=65536");
	CHECK_INT(reply.header.error, -EPROTO);
	CHECK(strstr(log_text, "max_read") != NULL);

	CASE("max_read without the mount option");
	meet_with_numbers(EVERYTHING, NULL);
	CHECK_INT(reply.header.error, -EPROTO);
}

/* ---- io_uring, which a session with I/O of its own cannot have ---- */

static unsigned lines(const char *text)
{
	unsigned count = 0;

	for (; *text; text++)
		count += *text == '\n';
	return count;
}

static void test_rings(void)
{
	struct fuse_session *se;

	CASE("io_uring not asked for");
	se = new_session(&few_ops, NULL, false);
	meet(se, 46, EVERYTHING | FUSE_OVER_IO_URING);
	CHECK(seen.capable_ext & FUSE_CAP_OVER_IO_URING);
	CHECK_INT(seen.want_ext & FUSE_CAP_OVER_IO_URING, 0);
	CHECK_INT(answered() & FUSE_OVER_IO_URING, 0);
	CHECK_TEXT(log_text, "");
	fuse_session_destroy(se);

	CASE("io_uring asked for");
	se = new_session(&few_ops, "io_uring", false);
	meet(se, 46, EVERYTHING | FUSE_OVER_IO_URING);
	CHECK(seen.want_ext & FUSE_CAP_OVER_IO_URING);
	CHECK_INT(reply.header.error, 0);
	CHECK_INT(answered() & FUSE_OVER_IO_URING, 0);
	CHECK_INT(lines(log_text), 1);
	CHECK(strstr(log_text, "/dev/fuse") != NULL);
	CHECK(!fuse_session_exited(se));
	fuse_session_destroy(se);

	CASE("io_uring insisted on");
	se = new_session(&few_ops, "io_uring_strict", false);
	meet(se, 46, EVERYTHING | FUSE_OVER_IO_URING);
	CHECK_INT(reply.header.error, -EPROTO);
	CHECK_INT(lines(log_text), 1);
	CHECK(fuse_session_exited(se));
	CHECK_INT(fuse_session_loop(se), -EPROTO);
	fuse_session_destroy(se);

	CASE("io_uring insisted on, and the filesystem does not want it");
	change = unset_wish;
	wish = FUSE_CAP_OVER_IO_URING;
	se = new_session(&few_ops, "io_uring_strict", false);
	meet(se, 46, EVERYTHING | FUSE_OVER_IO_URING);
	CHECK_INT(reply.header.error, -EPROTO);
	CHECK_INT(lines(log_text), 1);
	CHECK(strstr(log_text, "does not want") != NULL);
	fuse_session_destroy(se);
	change = NULL;
}

int main(void)
{
	fuse_set_log_func(keep_log);
	test_minors();
	test_old();
	test_newer_major();
	test_twice();
	test_each_bit();
	test_operations_suggest();
	test_splice();
	test_no_init_ext();
	test_want();
	test_impossible();
	test_max_write();
	test_background();
	test_other_numbers();
	test_max_read();
	test_rings();
	return 0;
}
