// SPDX-License-Identifier: GPL-2.0-only
/*
 * Replies, byte for byte, encoded in a transport's own memory and elsewhere; what is
 * refused; and what a filesystem may ask of a request.
 */
#include "protocol_rig.h"

#include <grp.h>
#include <limits.h>
#include <math.h>
#include <sys/wait.h>

static fuse_req_t held;

static void hold(fuse_req_t req, fuse_ino_t ino)
{
	held = req;
}

static void hold_name(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	held = req;
}

static void hold_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		      struct fuse_file_info *fi)
{
	held = req;
}

static void hold_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size,
		       off_t off, struct fuse_file_info *fi)
{
	held = req;
}

static void hold_copy(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
		      struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
		      struct fuse_file_info *fi_out, size_t len, int flags)
{
	held = req;
}

static void hold_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	held = req;
}

static const struct fuse_lowlevel_ops holding = {
	.readlink = hold,
	.lookup = hold_name,
	.read = hold_read,
	.write = hold_write,
	.copy_file_range = hold_copy,
	.forget = hold_forget,
};

static struct rig_req *on_dev(uint32_t opcode, size_t arg_size)
{
	static const char zeros[128];
	struct rig_req *r =
		rig_joined(rig_header(opcode, arg_size), zeros, arg_size, NULL, 0);

	fuse_protocol_dispatch(&r->req);
	CHECK(held == &r->req);
	return r;
}

static struct rig_req *on_ring(uint32_t opcode, size_t arg_size)
{
	static const char zeros[128];
	struct rig_req *r =
		rig_split(rig_header(opcode, arg_size), zeros, arg_size, NULL, 0);

	memset(r->room, 0xff, sizeof(r->room));
	fuse_protocol_dispatch(&r->req);
	CHECK(held == &r->req);
	return r;
}

static void expect_bytes(struct rig_req *r, const void *bytes, size_t size)
{
	CHECK_INT(r->replies, 1);
	CHECK_INT(r->error, 0);
	CHECK_INT(r->sent_size, size);
	CHECK(!memcmp(r->sent, bytes, size));
	rig_free(r);
}

/* Sends the same reply by both ways and compares it with the struct `expected`. */
#define EXPECT_REPLY(expected, reply)                                          \
	do {                                                                   \
		for (int ring_ = 0; ring_ < 2; ring_++) {                      \
			struct rig_req *r_ = ring_ ? on_ring(FUSE_READLINK, 0) \
						   : on_dev(FUSE_READLINK, 0); \
			CHECK_INT(reply, 0);                                   \
			expect_bytes(r_, &(expected), sizeof(expected));       \
		}                                                              \
	} while (0)

static const struct stat stat_of_all = {
	.st_dev = 99,
	.st_ino = 1,
	.st_mode = S_IFREG | 0644,
	.st_nlink = 2,
	.st_uid = 3,
	.st_gid = 4,
	.st_rdev = 0x12345,
	.st_size = 1ll << 40,
	.st_blksize = 4096,
	.st_blocks = 7,
	.st_atim = { 10, 11 },
	.st_mtim = { -12, 13 },
	.st_ctim = { 14, 15 },
};

static const struct fuse_attr attr_of_all = {
	.ino = 1,
	.size = 1ll << 40,
	.blocks = 7,
	.atime = 10,
	.mtime = (uint64_t)-12,
	.ctime = 14,
	.atimensec = 11,
	.mtimensec = 13,
	.ctimensec = 15,
	.mode = S_IFREG | 0644,
	.nlink = 2,
	.uid = 3,
	.gid = 4,
	.rdev = 0x12345,
	.blksize = 4096,
};

static const struct fuse_file_info open_file = {
	.fh = 77,
	.direct_io = 1,
	.keep_cache = 1,
	.nonseekable = 1,
	.cache_readdir = 1,
	.noflush = 1,
	.parallel_direct_writes = 1,
	.backing_id = 6,
};

static const struct fuse_open_out opened = {
	.fh = 77,
	.open_flags = FOPEN_DIRECT_IO | FOPEN_KEEP_CACHE | FOPEN_NONSEEKABLE |
		      FOPEN_CACHE_DIR | FOPEN_NOFLUSH | FOPEN_PARALLEL_DIRECT_WRITES |
		      FOPEN_PASSTHROUGH,
	.backing_id = 6,
};

static void test_entries(void)
{
	struct fuse_entry_param param = { .ino = 8,
					  .generation = 9,
					  .attr = stat_of_all,
					  .attr_timeout = 1.5,
					  .entry_timeout = 2.25 };
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} created = { { 8, 9, 2, 1, 250000000, 500000000, attr_of_all }, opened };
	const struct fuse_entry_param negative = { .entry_timeout = 3 };
	const struct fuse_entry_out cached_absence = { .entry_valid = 3 };
	const struct fuse_file_info plain = { .fh = 5, .backing_id = -1 };
	const struct fuse_open_out plain_out = { .fh = 5 };

	CASE("entries and open files");
	EXPECT_REPLY(created.entry, fuse_reply_entry(held, &param));
	EXPECT_REPLY(created, fuse_reply_create(held, &param, &open_file));
	EXPECT_REPLY(opened, fuse_reply_open(held, &open_file));
	EXPECT_REPLY(plain_out, fuse_reply_open(held, &plain));
	EXPECT_REPLY(cached_absence, fuse_reply_entry(held, &negative));
}

static void test_attributes(void)
{
	const struct fuse_attr_out attr = { 1, 500000000, 0, attr_of_all };
	const struct statvfs figures = { .f_bsize = 1,
					 .f_frsize = 2,
					 .f_blocks = 3,
					 .f_bfree = 4,
					 .f_bavail = 5,
					 .f_files = 6,
					 .f_ffree = 7,
					 .f_favail = 8,
					 .f_namemax = 9 };
	const struct fuse_statfs_out statfs = { { 3, 4, 5, 6, 7, 1, 9, 2, 0, { 0 } } };
	struct fuse_statx_out sx = { .attr_valid = 1, .attr_valid_nsec = 500000000 };
	struct statx all;

	CASE("attributes and figures");
	EXPECT_REPLY(attr, fuse_reply_attr(held, &stat_of_all, 1.5));
	EXPECT_REPLY(statfs, fuse_reply_statfs(held, &figures));

	/* the kernel made both the same, but for what is newer than the protocol's */
	memset(&all, 0, sizeof(all));
	CHECK_INT(statx(AT_FDCWD, "/dev/null", 0, STATX_BASIC_STATS | STATX_BTIME, &all),
		  0);
	memcpy(&sx.stat, &all, sizeof(sx.stat));
	memset(sx.stat.__spare2, 0, sizeof(sx.stat.__spare2));
	EXPECT_REPLY(sx, fuse_reply_statx(held, 0, &all, 1.5));
}

static void test_small_replies(void)
{
	const struct fuse_write_out three = { .size = 3 };
	const struct fuse_getxattr_out four = { .size = 4 };
	const struct flock range = {
		.l_type = F_WRLCK, .l_start = 5, .l_len = 10, .l_pid = 6
	};
	const struct flock to_end = { .l_type = F_RDLCK, .l_start = 5, .l_pid = 6 };
	const struct flock none = {
		.l_type = F_UNLCK, .l_start = 5, .l_len = 10, .l_pid = 6
	};
	const struct fuse_lk_out range_out = { { 5, 14, F_WRLCK, 6 } };
	const struct fuse_lk_out to_end_out = { { 5, INT64_MAX, F_RDLCK, 6 } };
	const struct fuse_lk_out none_out = { { 0, 0, F_UNLCK, 6 } };
	const struct fuse_bmap_out block = { 1ull << 40 };
	const struct fuse_poll_out events = { .revents = 5 };
	const struct fuse_lseek_out offset = { 1ull << 41 };
	const char link[4] = { 'l', 'i', 'n', 'k' };

	CASE("replies of one number, locks, links");
	EXPECT_REPLY(three, fuse_reply_write(held, 3));
	EXPECT_REPLY(four, fuse_reply_xattr(held, 4));
	EXPECT_REPLY(range_out, fuse_reply_lock(held, &range));
	EXPECT_REPLY(to_end_out, fuse_reply_lock(held, &to_end));
	EXPECT_REPLY(none_out, fuse_reply_lock(held, &none));
	EXPECT_REPLY(block, fuse_reply_bmap(held, 1ull << 40));
	EXPECT_REPLY(events, fuse_reply_poll(held, 5));
	EXPECT_REPLY(offset, fuse_reply_lseek(held, 1ll << 41));
	EXPECT_REPLY(link, fuse_reply_readlink(held, "link"));
	EXPECT_REPLY(link, fuse_reply_buf(held, "link", 4));
}

static void test_wide_copy(void)
{
	/* more than 32 bits, where size_t has them */
	const size_t count = (size_t)(sizeof(size_t) > 4 ? 1ull << 33 : UINT32_MAX);
	const struct fuse_copy_file_range_out wide = { count };
	struct rig_req *r =
		on_dev(FUSE_COPY_FILE_RANGE_64, sizeof(struct fuse_copy_file_range_in));

	CASE("COPY_FILE_RANGE_64 has a count of its own");
	CHECK_INT(fuse_reply_write(held, count), 0);
	CHECK_INT(r->counters.bytes_written, 0);
	expect_bytes(r, &wide, sizeof(wide));
}

static void test_ioctl(void)
{
	struct {
		struct fuse_ioctl_out head;
		char data[8];
	} plain = { { .result = -3 }, "abcdefg" };
	struct {
		struct fuse_ioctl_out head;
		struct fuse_ioctl_iovec iov[3];
	} retry = { { 0, FUSE_IOCTL_RETRY, 1, 2 }, { { 16, 1 }, { 32, 2 }, { 48, 3 } } };
	const struct fuse_ioctl_out bare = { .result = 9 };
	const struct iovec in = { (void *)16, 1 };
	const struct iovec out[2] = { { (void *)32, 2 }, { (void *)48, 3 } };
	struct iovec many[FUSE_IOCTL_MAX_IOV] = { { NULL, 0 } };
	struct iovec pieces[8];
	struct rig_req *r;

	CASE("ioctl");
	for (int i = 0; i < 8; i++)
		pieces[i] = (struct iovec){ plain.data + i, 1 };
	EXPECT_REPLY(plain, fuse_reply_ioctl(held, -3, plain.data, 8));
	EXPECT_REPLY(plain, fuse_reply_ioctl_iov(held, -3, pieces, 8));
	EXPECT_REPLY(bare, fuse_reply_ioctl(held, 9, NULL, 0));
	EXPECT_REPLY(bare, fuse_reply_ioctl_iov(held, 9, NULL, 0));
	EXPECT_REPLY(retry, fuse_reply_ioctl_retry(held, &in, 1, out, 2));

	r = on_dev(FUSE_READLINK, 0);
	CHECK_INT(fuse_reply_ioctl_retry(held, many, FUSE_IOCTL_MAX_IOV, many, 1),
		  -EINVAL);
	CHECK_INT(r->error, -EIO);
	rig_free(r);
	r = on_dev(FUSE_READLINK, 0);
	CHECK_INT(fuse_reply_ioctl_iov(held, 0, many, -1), -E2BIG);
	CHECK_INT(r->error, -EIO);
	rig_free(r);

	/* the filesystem's data in the place where the reply's header will be */
	r = on_ring(FUSE_READLINK, 0);
	memcpy(r->room, plain.data, sizeof(plain.data));
	CHECK_INT(fuse_reply_ioctl(held, -3, r->room, sizeof(plain.data)), 0);
	expect_bytes(r, &plain, sizeof(plain));
}

static void expect_timeout(double timeout, uint64_t sec, uint32_t nsec)
{
	uint64_t s;
	uint32_t ns;

	fuse_timeout_split(timeout, &s, &ns);
	CHECK_INT(s, sec);
	CHECK_INT(ns, nsec);
}

static void test_timeouts(void)
{
	CASE("timeouts that are no times");
	expect_timeout(0, 0, 0);
	expect_timeout(-1, 0, 0);
	expect_timeout(NAN, 0, 0);
	expect_timeout(-INFINITY, 0, 0);
	expect_timeout(INFINITY, UINT64_MAX, 0);
	expect_timeout(1e300, UINT64_MAX, 0);
	expect_timeout(0x1p63, 1ull << 63, 0);
	expect_timeout(0.5, 0, 500000000);
	expect_timeout(0x1.fffffffffffffp0, 1, 999999999);
	expect_timeout(1e-10, 0, 0);
}

static void test_errors(void)
{
	static const int good[] = { 0, 1, ENOSYS, ENOENT, 511 };
	static const int bad[] = { -1, 512, 1000, INT_MAX, INT_MIN, -ENOENT };
	struct rig_req *r;

	CASE("errors");
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		r = on_dev(FUSE_READLINK, 0);
		CHECK_INT(fuse_reply_err(held, good[i]), 0);
		CHECK_INT(r->error, -good[i]);
		CHECK_INT(r->sent_size, 0);
		rig_free(r);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		r = on_dev(FUSE_READLINK, 0);
		fuse_reply_err(held, bad[i]);
		CHECK_INT(r->error, -ERANGE);
		rig_free(r);
	}
	r = on_dev(FUSE_READLINK, 0);
	fuse_reply_none(held);
	CHECK_INT(r->replies, 1);
	CHECK_INT(r->error, -EIO);
	rig_free(r);

	/* whatever a forget is answered with, nothing leaves */
	r = on_dev(FUSE_FORGET, 8);
	CHECK_INT(fuse_reply_err(held, ENOENT), 0);
	CHECK_INT(r->replies, 0);
	rig_free(r);
	r = on_dev(FUSE_FORGET, 8);
	CHECK_INT(fuse_reply_buf(held, "abc", 3), 0);
	CHECK_INT(r->replies, 0);
	rig_free(r);
}

static void test_limits(void)
{
	struct fuse_bufvec data = FUSE_BUFVEC_INIT(ROOM_SIZE + 1);
	static char big[ROOM_SIZE + 1];
	struct iovec overflow[2] = { { big, 16 }, { big, SIZE_MAX } };
	struct iovec many[IOV_MAX];
	struct rig_req *r;

	CASE("replies that are too large");
	r = on_ring(FUSE_READ, sizeof(struct fuse_read_in));
	CHECK_INT(fuse_reply_buf(held, big, ROOM_SIZE), 0);
	CHECK_INT(r->sent_size, ROOM_SIZE);
	CHECK_INT(r->counters.bytes_read, ROOM_SIZE);
	CHECK_INT(r->counters.copied_bytes, ROOM_SIZE);
	CHECK_INT(r->counters.copy_reasons[0], 1);
	rig_free(r);

	r = on_ring(FUSE_READ, sizeof(struct fuse_read_in));
	CHECK_INT(fuse_reply_buf(held, big, ROOM_SIZE + 1), -E2BIG);
	CHECK_INT(r->error, -EIO);
	CHECK_INT(r->counters.bytes_read, 0);
	rig_free(r);

	r = on_ring(FUSE_READ, sizeof(struct fuse_read_in));
	data.buf[0].mem = big;
	CHECK_INT(fuse_reply_data(held, &data, 0), -E2BIG);
	CHECK_INT(r->error, -EIO);
	CHECK_INT(r->replies, 1);
	rig_free(r);

	r = on_dev(FUSE_READLINK, 0);
	CHECK_INT(fuse_reply_iov(held, overflow, 2), -E2BIG);
	CHECK_INT(r->error, -EIO);
	rig_free(r);

	r = on_dev(FUSE_READLINK, 0);
	CHECK_INT(fuse_reply_iov(held, NULL, -1), -E2BIG);
	CHECK_INT(r->error, -EIO);
	rig_free(r);

	for (int i = 0; i < IOV_MAX; i++)
		many[i] = (struct iovec){ big, 1 };
	r = on_dev(FUSE_READLINK, 0);
	CHECK_INT(fuse_reply_iov(held, many, IOV_MAX), -E2BIG);
	rig_free(r);
	r = on_dev(FUSE_READLINK, 0);
	CHECK_INT(fuse_reply_iov(held, many, IOV_MAX - 1), 0);
	CHECK_INT(r->sent_size, IOV_MAX - 1);
	rig_free(r);

	/* a place too small for the reply is not used, and the reply is refused */
	r = rig_split(rig_header(FUSE_READLINK, 0), NULL, 0, NULL, 0);
	r->req.reply_room_size = 8;
	fuse_protocol_dispatch(&r->req);
	CHECK_INT(fuse_reply_attr(held, &stat_of_all, 1), -E2BIG);
	CHECK_INT(r->error, -EIO);
	CHECK_INT(r->room[8], 0);
	rig_free(r);
}

/* Of the same five bytes: from where a reply leaves, from elsewhere, and out of a pipe. */
static void test_where_data_were(void)
{
	struct fuse_bufvec data = FUSE_BUFVEC_INIT(5);
	struct rig_req *r;
	int pipes[2];

	CASE("which data count as copied");
	r = on_ring(FUSE_READ, sizeof(struct fuse_read_in));
	r->req.copy_reason = FUSE_COPIED_TO_RETRY;
	CHECK_INT(fuse_reply_buf(held, r->room + 3, 5), 0);
	CHECK_INT(r->counters.pool_bytes, 5);
	CHECK_INT(r->counters.copied_bytes, 0);
	CHECK_INT(r->counters.copy_reasons[FUSE_COPIED_TO_RETRY], 1);
	rig_free(r);

	r = on_ring(FUSE_READ, sizeof(struct fuse_read_in));
	data.buf[0].mem = (char *)"hello";
	CHECK_INT(fuse_reply_data(held, &data, 0), 0);
	CHECK_INT(r->counters.pool_bytes, 0);
	CHECK_INT(r->counters.copied_bytes, 5);
	rig_free(r);

	CHECK_INT(pipe(pipes), 0);
	CHECK_INT(write(pipes[1], "helloworld", 10), 10);
	for (int uring = 0; uring < 2; uring++) {
		data = (struct fuse_bufvec)FUSE_BUFVEC_INIT(5);
		data.buf[0].flags = FUSE_BUF_IS_FD;
		data.buf[0].fd = pipes[0];
		r = uring ? on_ring(FUSE_READ, sizeof(struct fuse_read_in))
			  : on_dev(FUSE_READ, sizeof(struct fuse_read_in));
		CHECK_INT(fuse_reply_data(held, &data, 0), 0);
		CHECK_INT(r->counters.bytes_read, 5);
		CHECK_INT(r->counters.pool_bytes, uring ? 5 : 0);
		CHECK_INT(r->counters.copied_bytes, uring ? 0 : 5);
		rig_free(r);
	}
	close(pipes[0]);
	close(pipes[1]);

	/* neither an error nor an end of a file has anything to be copied */
	r = on_ring(FUSE_READ, sizeof(struct fuse_read_in));
	CHECK_INT(fuse_reply_buf(held, NULL, 0), 0);
	CHECK_INT(r->counters.copy_reasons[0], 0);
	rig_free(r);
	r = on_ring(FUSE_READ, sizeof(struct fuse_read_in));
	CHECK_INT(fuse_reply_err(held, EIO), 0);
	CHECK_INT(r->counters.copy_reasons[0], 0);
	rig_free(r);
}

static void test_data(void)
{
	struct fuse_bufvec data = FUSE_BUFVEC_INIT(5);
	struct rig_req *r;

	CASE("data by buffer vector");
	data.buf[0].mem = (char *)"hello";
	r = on_dev(FUSE_READ, sizeof(struct fuse_read_in));
	CHECK_INT(fuse_reply_data(held, &data, 0), 0);
	CHECK_INT(r->counters.bytes_read, 5);
	expect_bytes(r, "hello", 5);

	data = (struct fuse_bufvec)FUSE_BUFVEC_INIT(5);
	data.buf[0].mem = (char *)"hello";
	r = on_dev(FUSE_FORGET, 8);
	CHECK_INT(fuse_reply_data(held, &data, 0), 0);
	CHECK_INT(r->replies, 0);
	rig_free(r);
}

static void test_twice(void)
{
	const struct fuse_entry_param param = { .ino = 1 };
	struct fuse_bufvec data = FUSE_BUFVEC_INIT(0);
	struct rig_req *r = on_ring(FUSE_READLINK, 0);
	struct flock lock = { .l_type = F_UNLCK };
	struct fuse_file_info fi = { .fh = 1 };
	const struct statvfs figures = { .f_bsize = 1 };
	const struct iovec none = { NULL, 0 };
	struct statx sx = { .stx_mask = 1 };

	CASE("a second reply of any kind does nothing");
	CHECK_INT(fuse_reply_buf(held, "first", 5), 0);
	memset(r->room, 0x55, 256);
	CHECK_INT(fuse_reply_err(held, EIO), -EINVAL);
	CHECK_INT(fuse_reply_buf(held, "second", 6), -EINVAL);
	CHECK_INT(fuse_reply_entry(held, &param), -EINVAL);
	CHECK_INT(fuse_reply_create(held, &param, &fi), -EINVAL);
	CHECK_INT(fuse_reply_attr(held, &stat_of_all, 1), -EINVAL);
	CHECK_INT(fuse_reply_statx(held, 0, &sx, 1), -EINVAL);
	CHECK_INT(fuse_reply_readlink(held, "second"), -EINVAL);
	CHECK_INT(fuse_reply_open(held, &fi), -EINVAL);
	CHECK_INT(fuse_reply_write(held, 1), -EINVAL);
	CHECK_INT(fuse_reply_data(held, &data, 0), -EINVAL);
	CHECK_INT(fuse_reply_iov(held, &none, 1), -EINVAL);
	CHECK_INT(fuse_reply_statfs(held, &figures), -EINVAL);
	CHECK_INT(fuse_reply_xattr(held, 1), -EINVAL);
	CHECK_INT(fuse_reply_lock(held, &lock), -EINVAL);
	CHECK_INT(fuse_reply_bmap(held, 1), -EINVAL);
	CHECK_INT(fuse_reply_poll(held, 1), -EINVAL);
	CHECK_INT(fuse_reply_lseek(held, 1), -EINVAL);
	CHECK_INT(fuse_reply_ioctl(held, 1, NULL, 0), -EINVAL);
	CHECK_INT(fuse_reply_ioctl_iov(held, 1, NULL, 0), -EINVAL);
	CHECK_INT(fuse_reply_ioctl_retry(held, NULL, 0, NULL, 0), -EINVAL);
	fuse_reply_none(held);
	for (int i = 0; i < 256; i++)
		CHECK_INT(r->room[i], 0x55);
	expect_bytes(r, "first", 5);
}

static void test_failures(void)
{
	static const int ends[] = { -ENODEV, -ENOTCONN, -ECONNABORTED, -EBADF };
	struct rig_req *r;

	CASE("a transport that fails");
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		rig_failed = 0;
		r = on_dev(FUSE_READLINK, 0);
		r->fail_with = ends[i];
		CHECK_INT(fuse_reply_err(held, 0), ends[i]);
		CHECK_INT(rig_failed, ends[i]);
		rig_free(r);
	}
	rig_failed = 0;
	rig_log[0] = '\0';
	r = on_dev(FUSE_READLINK, 0);
	r->fail_with = -ENOENT;
	CHECK_INT(fuse_reply_err(held, 0), -ENOENT);
	CHECK_INT(rig_failed, 0);
	CHECK_TEXT(rig_log, "");
	rig_free(r);
}

static void test_directories(void)
{
	struct fuse_entry_param param = { .ino = 8,
					  .generation = 9,
					  .attr = stat_of_all,
					  .attr_timeout = 1,
					  .entry_timeout = 2 };
	struct fuse_direntplus plus;
	struct fuse_dirent dirent;
	char buf[256];

	CASE("directory entries");
	for (size_t length = 1; length <= 16; length++) {
		char name[17] = "abcdefghijklmnop";
		size_t size = (24 + length + 7) / 8 * 8;

		name[length] = '\0';
		CHECK_INT(fuse_add_direntry(NULL, NULL, 0, name, &stat_of_all, 3), size);
		memset(buf, 0xff, sizeof(buf));
		CHECK_INT(fuse_add_direntry(NULL, buf, size - 1, name, &stat_of_all, 3),
			  size);
		CHECK_INT(buf[0], -1);
		CHECK_INT(fuse_add_direntry(NULL, buf + 1, size, name, &stat_of_all, 3),
			  size);
		memcpy(&dirent, buf + 1, sizeof(dirent));
		CHECK_INT(dirent.ino, 1);
		CHECK_INT(dirent.off, 3);
		CHECK_INT(dirent.namelen, length);
		CHECK_INT(dirent.type, 8);
		CHECK(!memcmp(buf + 25, name, length));
		for (size_t i = 24 + length; i < size; i++)
			CHECK_INT(buf[1 + i], 0);
		CHECK_INT(buf[1 + size], -1);
	}

	CHECK_INT(fuse_add_direntry_plus(NULL, NULL, 0, "abc", &param, 3), 160);
	memset(buf, 0xff, sizeof(buf));
	CHECK_INT(fuse_add_direntry_plus(NULL, buf, 159, "abc", &param, 3), 160);
	CHECK_INT(buf[0], -1);
	CHECK_INT(fuse_add_direntry_plus(NULL, buf, 160, "abc", &param, 3), 160);
	memcpy(&plus, buf, sizeof(plus));
	CHECK_INT(plus.entry_out.nodeid, 8);
	CHECK_INT(plus.entry_out.entry_valid, 2);
	CHECK(!memcmp(&plus.entry_out.attr, &attr_of_all, sizeof(attr_of_all)));
	CHECK_INT(plus.dirent.ino, 1);
	CHECK_INT(plus.dirent.namelen, 3);
	CHECK(!memcmp(buf + 152, "abc\0\0\0\0\0", 8));
	CHECK_INT(buf[160], -1);
}

static void test_accessors(void)
{
	struct rig_req *r = on_ring(FUSE_READLINK, 0);
	char *payload;
	size_t size;
	void *mr;

	CASE("what a request tells");
	rig.protocol.userdata = &size;
	CHECK(fuse_req_userdata(held) == &size);
	CHECK_INT(fuse_req_ctx(held)->uid, 1000);
	CHECK_INT(fuse_req_ctx(held)->gid, 100);
	CHECK_INT(fuse_req_ctx(held)->pid, getpid());
	CHECK_INT(fuse_req_ctx(held)->umask, 0);
	CHECK(fuse_req_is_uring(held));
	CHECK_INT(fuse_req_get_payload(held, &payload, &size, &mr), 0);
	CHECK(payload == r->room && size == ROOM_SIZE && mr == rig_region(held));
	CHECK_INT(fuse_req_get_payload(held, &payload, &size, NULL), 0);
	CHECK_INT(fuse_req_get_payload(held, NULL, &size, NULL), -EINVAL);
	CHECK_INT(fuse_req_get_payload(held, &payload, NULL, NULL), -EINVAL);
	fuse_reply_err(held, 0);
	rig_free(r);

	r = on_dev(FUSE_READLINK, 0);
	CHECK(!fuse_req_is_uring(held));
	CHECK_INT(fuse_req_get_payload(held, &payload, &size, &mr), -EINVAL);
	CHECK_INT(fuse_passthrough_open(held, 0), 0);
	CHECK(fuse_passthrough_close(held, 1) < 0);
	fuse_reply_err(held, 0);
	rig_free(r);
}

static void test_groups(void)
{
	gid_t own[256], list[256];
	int count = getgroups(256, own);
	struct rig_req *r = on_dev(FUSE_READLINK, 0);

	CASE("supplementary groups");
	CHECK_INT(fuse_req_getgroups(held, 0, NULL), count);
	CHECK_INT(fuse_req_getgroups(held, 256, list), count);
	CHECK(!memcmp(own, list, (size_t)count * sizeof(gid_t)));
	list[0] = (gid_t)-1;
	if (count > 1) {
		list[1] = (gid_t)-1;
		CHECK_INT(fuse_req_getgroups(held, 1, list), count);
		CHECK_INT(list[0], own[0]);
		CHECK(list[1] == (gid_t)-1);
	}
	held->ctx.pid = 0;
	CHECK(fuse_req_getgroups(held, 0, NULL) < 0);
	fuse_reply_err(held, 0);
	rig_free(r);
}

/* As above in a process with many groups, which only root may have. */
static void test_many_groups(void)
{
	gid_t many[200];
	int status;
	pid_t pid;

	if (geteuid() != 0)
		return;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 200; i++)
			many[i] = (gid_t)(100000 + i);
		CHECK_INT(setgroups(200, many), 0);
		test_groups();
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void test_debug(void)
{
	struct rig_req *r;

	CASE("debug messages");
	rig.protocol.debug = true;
	r = on_dev(FUSE_READLINK, 0);
	CHECK(strstr(rig_log, "READLINK") && strstr(rig_log, "node 5"));
	fuse_reply_err(held, ENOENT);
	CHECK(strstr(rig_log, "READLINK") && strstr(rig_log, "error -2"));
	rig_free(r);
	rig.protocol.debug = false;
}

int main(void)
{
	rig_start(&holding);
	test_entries();
	test_attributes();
	test_small_replies();
	test_wide_copy();
	test_ioctl();
	test_timeouts();
	test_errors();
	test_limits();
	test_where_data_were();
	test_data();
	test_twice();
	test_failures();
	test_directories();
	test_accessors();
	test_groups();
	test_many_groups();
	test_debug();
	rig_stop();
	return 0;
}
