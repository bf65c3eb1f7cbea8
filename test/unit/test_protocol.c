// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests, from the bytes of a message to the arguments of an operation: every opcode, as
 * /dev/fuse and as a ring delivers it, whole and cut off at every byte.
 */
#include "fuse_shared_memory.h"
#include "protocol/live.h"
#include "protocol_recorder.h"

/* ---- Every opcode ---- */

struct example {
	uint32_t opcode;
	const void *arg;
	size_t arg_size;
	const char *payload;
	size_t payload_size;
	const char *call;
	int without; /* the answer if the filesystem lacks the operation */
};

#define ARG(...) &(__VA_ARGS__), sizeof(__VA_ARGS__)
#define NO_ARG	 "", 0
#define BYTES(s) (s), sizeof(s) - 1 /* an explicit \0 at the end is the terminator */
#define NONE	 NULL, 0

/* clang-format off */
static const struct example examples[] = {
	{ FUSE_LOOKUP, NO_ARG, BYTES("name\0"), "lookup 5 name", -ENOSYS },
	{ FUSE_FORGET, ARG((struct fuse_forget_in){ 3 }), NONE, "forget 5 3;", 0 },
	{ FUSE_BATCH_FORGET, ARG((struct fuse_batch_forget_in){ .count = 2 }),
	  BYTES("\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0"),
	  "forget_multi 1:2 3:4", 0 },
	{ FUSE_GETATTR, ARG((struct fuse_getattr_in){ .fh = 7 }), NONE,
	  "getattr 5 no-file", -ENOSYS },
	{ FUSE_GETATTR, ARG((struct fuse_getattr_in){ FUSE_GETATTR_FH, 0, 7 }), NONE,
	  "getattr 5 file fh=7", -ENOSYS },
	{ FUSE_SETATTR, ARG((struct fuse_setattr_in){ .valid = ~0u, .fh = 7, .size = 4,
		.lock_owner = 9, .atime = 1, .atimensec = 2, .mtime = 3, .mtimensec = 4,
		.ctime = 5, .ctimensec = 6, .mode = 0100644, .uid = 8, .gid = 9 }), NONE,
	  "setattr 5 0xdbf mode 100644 uid 8 gid 9 size 4 1.2 3.4 5.6 file fh=7 lock_owner=9",
	  -ENOSYS },
	{ FUSE_SETATTR, ARG((struct fuse_setattr_in){ .valid = FATTR_MODE, .mode = 0700,
		.fh = 7 }), NONE,
	  "setattr 5 0x1 mode 700 uid 0 gid 0 size 0 0.0 0.0 0.0 no-file", -ENOSYS },
	{ FUSE_STATX, ARG((struct fuse_statx_in){ FUSE_GETATTR_FH, 0, 7, 1, 2 }), NONE,
	  "statx 5 flags 1 mask 2 file fh=7", -ENOSYS },
	{ FUSE_STATX, ARG((struct fuse_statx_in){ 0, 0, 7, 1, 2 }), NONE,
	  "statx 5 flags 1 mask 2 no-file", -ENOSYS },
	{ FUSE_ACCESS, ARG((struct fuse_access_in){ .mask = 4 }), NONE, "access 5 4", -ENOSYS },
	{ FUSE_READLINK, NO_ARG, NONE, "readlink 5", -ENOSYS },
	{ FUSE_SYMLINK, NO_ARG, BYTES("name\0target\0"), "symlink 5 name -> target", -ENOSYS },
	{ FUSE_MKNOD, ARG((struct fuse_mknod_in){ 010644, 260, 022, 0 }), BYTES("name\0"),
	  "mknod 5 name 10644 260 umask 22", -ENOSYS },
	{ FUSE_MKDIR, ARG((struct fuse_mkdir_in){ 0755, 027 }), BYTES("name\0"),
	  "mkdir 5 name 755 umask 27", -ENOSYS },
	{ FUSE_UNLINK, NO_ARG, BYTES("name\0"), "unlink 5 name", -ENOSYS },
	{ FUSE_RMDIR, NO_ARG, BYTES("name\0"), "rmdir 5 name", -ENOSYS },
	{ FUSE_RENAME, ARG((struct fuse_rename_in){ 6 }), BYTES("old\0new\0"),
	  "rename 5 old 6 new flags 0", -ENOSYS },
	{ FUSE_RENAME2, ARG((struct fuse_rename2_in){ 6, 2, 0 }), BYTES("old\0new\0"),
	  "rename 5 old 6 new flags 2", -ENOSYS },
	{ FUSE_LINK, ARG((struct fuse_link_in){ 8 }), BYTES("name\0"), "link 8 5 name", -ENOSYS },
	{ FUSE_STATFS, NO_ARG, NONE, "statfs 5", 0 },
	{ FUSE_SETXATTR, ARG((struct fuse_setxattr_in){ .size = 3, .flags = 1,
		.setxattr_flags = 1 }), BYTES("user.a\0abc"),
	  "setxattr 5 user.a 'abc' flags 1", -ENOSYS },
	{ FUSE_GETXATTR, ARG((struct fuse_getxattr_in){ 99, 0 }), BYTES("user.a\0"),
	  "getxattr 5 user.a 99", -ENOSYS },
	{ FUSE_LISTXATTR, ARG((struct fuse_getxattr_in){ 99, 0 }), NONE,
	  "listxattr 5 99", -ENOSYS },
	{ FUSE_REMOVEXATTR, NO_ARG, BYTES("user.a\0"), "removexattr 5 user.a", -ENOSYS },

	{ FUSE_OPEN, ARG((struct fuse_open_in){ 2, FUSE_OPEN_KILL_SUIDGID }), NONE,
	  "open 5 file flags=2 kill_suidgid=1", 0 },
	{ FUSE_OPENDIR, ARG((struct fuse_open_in){ 2, 0 }), NONE, "opendir 5 file flags=2", 0 },
	{ FUSE_CREATE, ARG((struct fuse_create_in){ 2, 0100600, 022, FUSE_OPEN_KILL_SUIDGID }),
	  BYTES("name\0"), "create 5 name 100600 umask 22 file flags=2 kill_suidgid=1", -ENOSYS },
	{ FUSE_TMPFILE, ARG((struct fuse_create_in){ 2, 0100600, 022, 0 }), BYTES("/\0"),
	  "tmpfile 5 100600 umask 22 file flags=2", -ENOSYS },
	{ FUSE_READ, ARG((struct fuse_read_in){ 7, 10, 20, FUSE_READ_LOCKOWNER, 9, 2, 0 }), NONE,
	  "read 5 20 at 10 file fh=7 flags=2 lock_owner=9", -ENOSYS },
	{ FUSE_READ, ARG((struct fuse_read_in){ 7, 10, 20, 0, 9, 2, 0 }), NONE,
	  "read 5 20 at 10 file fh=7 flags=2", -ENOSYS },
	{ FUSE_READDIR, ARG((struct fuse_read_in){ 7, 10, 20, 0, 0, 0, 0 }), NONE,
	  "readdir 5 20 at 10 file fh=7", -ENOSYS },
	{ FUSE_READDIRPLUS, ARG((struct fuse_read_in){ 7, 10, 20, 0, 0, 0, 0 }), NONE,
	  "readdirplus 5 20 at 10 file fh=7", -ENOSYS },
	{ FUSE_WRITE, ARG((struct fuse_write_in){ 7, 10, 3, FUSE_WRITE_CACHE |
		FUSE_WRITE_LOCKOWNER | FUSE_WRITE_KILL_SUIDGID, 9, 2, 0 }), BYTES("abc"),
	  "write_buf 5 from memory 'abc' at 10 "
	  "file fh=7 flags=2 lock_owner=9 writepage=1 kill_suidgid=1", -ENOSYS },
	{ FUSE_WRITE, ARG((struct fuse_write_in){ 7, 10, 3, 0, 9, 2, 0 }), BYTES("abc"),
	  "write_buf 5 from memory 'abc' at 10 file fh=7 flags=2", -ENOSYS },
	{ FUSE_FLUSH, ARG((struct fuse_flush_in){ 7, 0, 0, 9 }), NONE,
	  "flush 5 file fh=7 lock_owner=9 flush=1", -ENOSYS },
	{ FUSE_RELEASE, ARG((struct fuse_release_in){ 7, 2, FUSE_RELEASE_FLUSH |
		FUSE_RELEASE_FLOCK_UNLOCK, 9 }), NONE,
	  "release 5 file fh=7 flags=2 lock_owner=9 flush=1 flock_release=1", 0 },
	{ FUSE_RELEASEDIR, ARG((struct fuse_release_in){ 7, 2, 0, 0 }), NONE,
	  "releasedir 5 file fh=7 flags=2", 0 },
	{ FUSE_FSYNC, ARG((struct fuse_fsync_in){ 7, 1, 0 }), NONE, "fsync 5 1 file fh=7",
	  -ENOSYS },
	{ FUSE_FSYNCDIR, ARG((struct fuse_fsync_in){ 7, 0, 0 }), NONE,
	  "fsyncdir 5 0 file fh=7", -ENOSYS },
	{ FUSE_FALLOCATE, ARG((struct fuse_fallocate_in){ 7, 10, 20, 3, 0 }), NONE,
	  "fallocate 5 3 10+20 file fh=7", -ENOSYS },
	{ FUSE_LSEEK, ARG((struct fuse_lseek_in){ 7, 10, 4, 0 }), NONE,
	  "lseek 5 10 4 file fh=7", -ENOSYS },
	{ FUSE_COPY_FILE_RANGE, ARG((struct fuse_copy_file_range_in){ 7, 10, 6, 8, 20, 30, 0 }),
	  NONE, "copy 5 at 10 file fh=7 to 6 at 20 file fh=8 len 30 flags 0", -ENOSYS },
	{ FUSE_COPY_FILE_RANGE, ARG((struct fuse_copy_file_range_in){ 7, 10, 6, 8, 20,
		1ull << 33, 0 }), NONE,
	  "copy 5 at 10 file fh=7 to 6 at 20 file fh=8 len 4294963200 flags 0", -ENOSYS },
	{ FUSE_COPY_FILE_RANGE_64, ARG((struct fuse_copy_file_range_in){ 7, 10, 6, 8, 20,
		1ull << 33, 0 }), NONE,
	  "copy 5 at 10 file fh=7 to 6 at 20 file fh=8 len 8589934592 flags 0", -ENOSYS },
	{ FUSE_BMAP, ARG((struct fuse_bmap_in){ 3, 4096, 0 }), NONE, "bmap 5 4096 3", -ENOSYS },
	{ FUSE_GETLK, ARG((struct fuse_lk_in){ 7, 9, { 10, 19, F_WRLCK, 77 }, 0, 0 }), NONE,
	  "getlk 5 type 1 start 10 len 10 pid 77 file fh=7 lock_owner=9", -ENOSYS },
	{ FUSE_SETLK, ARG((struct fuse_lk_in){ 7, 9, { 10, INT64_MAX, F_RDLCK, 77 }, 0, 0 }),
	  NONE, "setlk 5 sleep 0 type 0 start 10 len 0 pid 77 file fh=7 lock_owner=9", -ENOSYS },
	{ FUSE_SETLKW, ARG((struct fuse_lk_in){ 7, 9, { 0, 0, F_UNLCK, 77 }, 0, 0 }), NONE,
	  "setlk 5 sleep 1 type 2 start 0 len 1 pid 77 file fh=7 lock_owner=9", -ENOSYS },
	{ FUSE_SETLK, ARG((struct fuse_lk_in){ 7, 9, { 0, 0, F_WRLCK, 0 }, FUSE_LK_FLOCK, 0 }),
	  NONE, "flock 5 6 file fh=7 lock_owner=9", -ENOSYS },
	{ FUSE_SETLKW, ARG((struct fuse_lk_in){ 7, 9, { 0, 0, F_RDLCK, 0 }, FUSE_LK_FLOCK, 0 }),
	  NONE, "flock 5 1 file fh=7 lock_owner=9", -ENOSYS },
	{ FUSE_SETLK, ARG((struct fuse_lk_in){ 7, 9, { 0, 0, F_UNLCK, 0 }, FUSE_LK_FLOCK, 0 }),
	  NONE, "flock 5 12 file fh=7 lock_owner=9", -ENOSYS },
	{ FUSE_IOCTL, ARG((struct fuse_ioctl_in){ 7, FUSE_IOCTL_32BIT, 300, 400, 3, 8 }),
	  BYTES("abc"), "ioctl 5 300 arg 400 flags 8 in 'abc' out 8 file fh=7", -ENOSYS },
	{ FUSE_IOCTL, ARG((struct fuse_ioctl_in){ 7, 0, 300, 400, 0, 0 }), NONE,
	  "ioctl 5 300 arg 400 flags 0 in '' out 0 file fh=7", -ENOSYS },
	{ FUSE_POLL, ARG((struct fuse_poll_in){ 7, 70, FUSE_POLL_SCHEDULE_NOTIFY, 1 }), NONE,
	  "poll 5 waiting file fh=7 poll_events=1", -ENOSYS },
	{ FUSE_POLL, ARG((struct fuse_poll_in){ 7, 70, 0, 1 }), NONE,
	  "poll 5 once file fh=7 poll_events=1", -ENOSYS },
};
/* clang-format on */

#define EXAMPLES (sizeof(examples) / sizeof(examples[0]))

static bool is_unanswered(uint32_t opcode)
{
	return opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET ||
	       opcode == FUSE_NOTIFY_REPLY || opcode == FUSE_INTERRUPT;
}

static void expect(struct rig_req *r, const struct example *example, const char *text,
		   int error)
{
	CHECK_TEXT(call, text);
	CHECK_INT(r->replies, is_unanswered(example->opcode) ? 0 : 1);
	if (!is_unanswered(example->opcode))
		CHECK_INT(r->error, error);
	rig_free(r);
	call[0] = '\0';
}

typedef struct rig_req *(*make_request)(struct fuse_in_header header, const void *arg,
					size_t arg_size, const void *payload,
					size_t payload_size);

static struct rig_req *dispatch(make_request make, struct fuse_in_header header,
				const struct example *e, size_t arg_size,
				size_t payload_size)
{
	struct rig_req *r = make(header, e->arg, arg_size, e->payload, payload_size);

	fuse_protocol_dispatch(&r->req);
	return r;
}

static void whole(const struct example *e)
{
	struct fuse_in_header header =
		rig_header(e->opcode, e->arg_size + e->payload_size);

	expect(dispatch(rig_joined, header, e, e->arg_size, e->payload_size), e, e->call,
	       0);
	expect(dispatch(rig_split, header, e, e->arg_size, e->payload_size), e, e->call,
	       0);
}

/* The same message at an address that suits no type. */
static void misaligned(const struct example *e)
{
	size_t size = sizeof(struct fuse_in_header) + e->arg_size + e->payload_size;
	struct rig_req *r =
		rig_joined(rig_header(e->opcode, e->arg_size + e->payload_size), e->arg,
			   e->arg_size, e->payload, e->payload_size);
	char *odd = malloc(size + 1);

	CHECK(odd);
	memcpy(odd + 1, r->message, size);
	free(r->message);
	r->message = odd;
	r->req.view.header = (const void *)(odd + 1);
	r->req.view.arg = odd + 1 + sizeof(struct fuse_in_header);
	fuse_protocol_dispatch(&r->req);
	expect(r, e, e->call, 0);
}

/* A security label and a group behind the payload are not taken for a part of it. */
static void extended(const struct example *e)
{
	struct fuse_in_header header =
		rig_header(e->opcode, e->arg_size + e->payload_size);
	struct example longer = *e;
	char payload[256];

	if (e->payload_size + 16 > sizeof(payload))
		return;
	if (e->payload_size)
		memcpy(payload, e->payload, e->payload_size);
	memcpy(payload + e->payload_size, "\20\0\0\0\40\0\0\0\1\0\0\0\1\0\0\0", 16);
	header.len += 16;
	header.total_extlen = 2;
	longer.payload = payload;
	longer.payload_size += 16;
	expect(dispatch(rig_joined, header, &longer, e->arg_size, longer.payload_size), e,
	       e->call, 0);
	expect(dispatch(rig_split, header, &longer, e->arg_size, longer.payload_size), e,
	       e->call, 0);

	header.total_extlen = (uint16_t)(longer.payload_size / 8 + e->arg_size / 8 + 1);
	expect(dispatch(rig_joined, header, &longer, e->arg_size, longer.payload_size), e,
	       "", -EIO);
	header.total_extlen = UINT16_MAX;
	expect(dispatch(rig_split, header, &longer, e->arg_size, longer.payload_size), e,
	       "", -EIO);
}

static void cut_off(const struct example *e)
{
	size_t size = e->arg_size + e->payload_size;

	for (size_t have = 0; have < size; have++) {
		struct fuse_in_header honest = rig_header(e->opcode, have);
		struct fuse_in_header lying = rig_header(e->opcode, size);
		size_t arg = have < e->arg_size ? have : e->arg_size;
		/* nobody reads the name that TMPFILE has */
		bool enough = e->opcode == FUSE_TMPFILE && have >= e->arg_size;

		expect(dispatch(rig_joined, honest, e, arg, have - arg), e,
		       enough ? e->call : "", enough ? 0 : -EIO);
		expect(dispatch(rig_split, honest, e, arg, have - arg), e,
		       enough ? e->call : "", enough ? 0 : -EIO);
		expect(dispatch(rig_joined, lying, e, arg, have - arg), e, "", -EIO);
		expect(dispatch(rig_split, lying, e, arg, have - arg), e, "", -EIO);
	}
	/* on a ring the argument can be short while the payload is there */
	for (size_t have = 0; have < e->arg_size; have++)
		expect(dispatch(rig_split, rig_header(e->opcode, have + e->payload_size),
				e, have, e->payload_size),
		       e, "", -EIO);
}

static void test_examples(void)
{
	CASE("every opcode, whole, misaligned, with extensions, and cut off at every byte");
	rig_start(&all_ops);
	rig.protocol.conn.want_ext = FUSE_CAP_SETXATTR_EXT;
	for (size_t i = 0; i < EXAMPLES; i++) {
		whole(&examples[i]);
		misaligned(&examples[i]);
		extended(&examples[i]);
		cut_off(&examples[i]);
	}
	rig_stop();
}

static void test_missing_operations(void)
{
	static const struct fuse_lowlevel_ops none;

	CASE("a filesystem without operations");
	rig_start(&none);
	rig.protocol.conn.want_ext = FUSE_CAP_SETXATTR_EXT;
	for (size_t i = 0; i < EXAMPLES; i++) {
		const struct example *e = &examples[i];
		struct rig_req *r = rig_send(e->opcode, e->arg, e->arg_size, e->payload,
					     e->payload_size);

		if (e->opcode == FUSE_STATFS) {
			const struct fuse_statfs_out *out = (const void *)r->sent;

			CHECK_INT(r->sent_size, sizeof(*out));
			CHECK_INT(out->st.bsize, 512);
			CHECK_INT(out->st.namelen, 255);
		}
		if (e->opcode == FUSE_OPEN || e->opcode == FUSE_OPENDIR)
			CHECK_INT(r->sent_size, sizeof(struct fuse_open_out));
		expect(r, e, "", e->without);
	}

	rig.protocol.conn.want_ext =
		FUSE_CAP_NO_OPEN_SUPPORT | FUSE_CAP_NO_OPENDIR_SUPPORT;
	for (size_t i = 0; i < EXAMPLES; i++) {
		const struct example *e = &examples[i];

		if (e->opcode == FUSE_OPEN || e->opcode == FUSE_OPENDIR)
			expect(rig_send(e->opcode, e->arg, e->arg_size, NULL, 0), e, "",
			       -ENOSYS);
	}
	rig_stop();
}

/* ---- What depends on more than the message ---- */

static void test_unknown(void)
{
	static const uint32_t unknown[] = { 0,	7,  19,	     48,	49,
					    50, 54, 1048576, 436207616, UINT32_MAX };
	struct rig_req *other;

	CASE("opcodes that are not known");
	rig_start(&all_ops);
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		struct rig_req *r = rig_send(unknown[i], "12345678", 8, NULL, 0);

		CHECK_INT(r->error, -ENOSYS);
		rig_free(r);
		CHECK_TEXT(fuse_opcode_name(unknown[i]), "???");
	}
	/* known, but not to filesystems */
	other = rig_send(CUSE_INIT, "1234567812345678", 16, NULL, 0);
	CHECK_INT(other->error, -ENOSYS);
	rig_free(other);
	CHECK_TEXT(fuse_opcode_name(FUSE_LOOKUP), "LOOKUP");
	CHECK_TEXT(fuse_opcode_name(FUSE_COPY_FILE_RANGE_64), "COPY_FILE_RANGE_64");
	rig_stop();
}

static int error_of(struct rig_req *r)
{
	int error = r->error;

	CHECK_INT(r->replies, 1);
	rig_free(r);
	call[0] = '\0';
	return error;
}

static void test_life_cycle(void)
{
	struct fuse_init_in in = { .major = 7, .minor = 31, .flags = 99, .flags2 = 1 };
	struct rig_req *r;

	CASE("before INIT, INIT, and after DESTROY");
	rig_start(&all_ops);
	rig.protocol.got_init = false;
	CHECK_INT(error_of(rig_send(FUSE_READLINK, NULL, 0, NULL, 0)), -EIO);
	CHECK_INT(error_of(rig_send(9999, NULL, 0, NULL, 0)), -EIO);
	for (size_t size = 0; size < 8; size++)
		CHECK_INT(error_of(rig_send(FUSE_INIT, &in, size, NULL, 0)), -EIO);

	for (size_t size = 8; size <= sizeof(in); size += 4) {
		r = rig_send(FUSE_INIT, &in, size, NULL, 0);
		CHECK_INT(r->sent_size, sizeof(struct fuse_init_out));
		CHECK_INT(((struct fuse_init_out *)r->sent)->minor, 31);
		CHECK_INT(((struct fuse_init_out *)r->sent)->max_write,
			  size < 16 ? 0 : 99);
		rig_free(r);
	}
	in.minor = 22;
	r = rig_send(FUSE_INIT, &in, sizeof(in), NULL, 0);
	CHECK_INT(r->sent_size, 24);
	rig_free(r);
	in.minor = 4;
	r = rig_send(FUSE_INIT, &in, sizeof(in), NULL, 0);
	CHECK_INT(r->sent_size, 8);
	rig_free(r);

	rig.protocol.got_init = true;
	CHECK_INT(error_of(rig_send(FUSE_INIT, &in, sizeof(in), NULL, 0)), -EIO);
	CHECK_INT(error_of(rig_send(FUSE_READLINK, NULL, 0, NULL, 0)), 0);
	rig_destroyed = 0;
	CHECK_INT(error_of(rig_send(FUSE_DESTROY, NULL, 0, NULL, 0)), 0);
	CHECK_INT(rig_destroyed, 1);
	CHECK(rig.protocol.got_destroy);
	CHECK_INT(error_of(rig_send(FUSE_READLINK, NULL, 0, NULL, 0)), -EIO);
	CHECK_INT(error_of(rig_send(FUSE_DESTROY, NULL, 0, NULL, 0)), -EIO);
	CHECK_INT(rig_destroyed, 1);
	rig_stop();
}

static int error_for(uint32_t uid, const struct example *e)
{
	struct fuse_in_header header =
		rig_header(e->opcode, e->arg_size + e->payload_size);

	header.uid = uid;
	return error_of(dispatch(rig_joined, header, e, e->arg_size, e->payload_size));
}

static void test_allow_root(void)
{
	CASE("allow_root keeps others out, except from what is open");
	rig_start(&all_ops);
	rig.protocol.conn.want_ext = FUSE_CAP_SETXATTR_EXT;
	rig.protocol.only_owner_and_root = true;
	rig.protocol.owner = 1000;
	for (size_t i = 0; i < EXAMPLES; i++) {
		uint32_t opcode = examples[i].opcode;
		bool open = opcode == FUSE_READ || opcode == FUSE_WRITE ||
			    opcode == FUSE_FSYNC || opcode == FUSE_RELEASE ||
			    opcode == FUSE_READDIR || opcode == FUSE_READDIRPLUS ||
			    opcode == FUSE_FSYNCDIR || opcode == FUSE_RELEASEDIR;

		if (is_unanswered(opcode))
			continue;
		CHECK_INT(error_for(0, &examples[i]), 0);
		CHECK_INT(error_for(1000, &examples[i]), 0);
		CHECK_INT(error_for(1001, &examples[i]), open ? 0 : -EACCES);
	}
	rig_stop();
}

static void test_short_setxattr(void)
{
	struct fuse_setxattr_in in = { .size = 3, .flags = 2 };
	struct rig_req *r;

	CASE("setxattr without FUSE_SETXATTR_EXT");
	rig_start(&all_ops);
	r = rig_send(FUSE_SETXATTR, &in, FUSE_COMPAT_SETXATTR_IN_SIZE, "n\0abc", 5);
	CHECK_INT(r->error, 0);
	CHECK_TEXT(call, "setxattr 5 n 'abc' flags 2");
	rig_free(r);
	call[0] = '\0';
	CHECK_INT(error_of(rig_send(FUSE_SETXATTR, &in, FUSE_COMPAT_SETXATTR_IN_SIZE,
				    "n\0ab", 4)),
		  -EIO);
	rig_stop();
}

static void expect_malformed(uint32_t opcode, const void *arg, size_t arg_size,
			     const void *payload, size_t payload_size)
{
	struct rig_req *r = rig_send(opcode, arg, arg_size, payload, payload_size);

	CHECK_TEXT(call, "");
	CHECK_INT(r->replies, is_unanswered(opcode) ? 0 : 1);
	CHECK(is_unanswered(opcode) || r->error == -EIO);
	rig_free(r);
}

static void test_contradictions(void)
{
	struct fuse_batch_forget_in many = { .count = UINT32_MAX };
	struct fuse_write_in write = { .size = UINT32_MAX };
	struct fuse_setxattr_in xattr = { .size = UINT32_MAX };
	struct fuse_ioctl_in ioctl = { .in_size = UINT32_MAX };
	struct fuse_lk_in lock = { .lk = { .start = 5, .end = 4 } };
	char big[256] = { 0 };
	struct rig_req *r;

	CASE("sizes and ranges that cannot be");
	rig_start(&all_ops);
	expect_malformed(FUSE_BATCH_FORGET, &many, sizeof(many), big, sizeof(big));
	many.count = sizeof(big) / 16 + 1;
	expect_malformed(FUSE_BATCH_FORGET, &many, sizeof(many), big, sizeof(big));
	expect_malformed(FUSE_WRITE, &write, sizeof(write), big, sizeof(big));
	expect_malformed(FUSE_SETXATTR, &xattr, 8, big, sizeof(big));
	expect_malformed(FUSE_IOCTL, &ioctl, sizeof(ioctl), big, sizeof(big));
	expect_malformed(FUSE_NOTIFY_REPLY, &write, sizeof(write), big, sizeof(big));
	expect_malformed(FUSE_GETLK, &lock, sizeof(lock), NULL, 0);
	expect_malformed(FUSE_SETLK, &lock, sizeof(lock), NULL, 0);
	lock.lk.end = UINT64_MAX;
	expect_malformed(FUSE_SETLKW, &lock, sizeof(lock), NULL, 0);
	lock.lk_flags = FUSE_LK_FLOCK;
	lock.lk.type = 3;
	expect_malformed(FUSE_SETLK, &lock, sizeof(lock), NULL, 0);

	/* without a unique an answer would be a notification */
	struct fuse_in_header header = rig_header(FUSE_LOOKUP, 2);

	header.unique = 0;
	for (int i = 0; i < 2; i++) {
		r = rig_joined(header, NULL, 0, i ? "a" : "ab", 2);
		fuse_protocol_dispatch(&r->req);
		CHECK_INT(r->replies, 0);
		rig_free(r);
		call[0] = '\0';
	}
	rig_stop();
}

static void test_ioctl_on_directory(void)
{
	struct fuse_ioctl_in in = { .flags = FUSE_IOCTL_DIR };

	CASE("ioctl on a directory");
	rig_start(&all_ops);
	CHECK_INT(error_of(rig_send(FUSE_IOCTL, &in, sizeof(in), NULL, 0)), -ENOTTY);
	rig.protocol.conn.want_ext = FUSE_CAP_IOCTL_DIR;
	CHECK_INT(error_of(rig_send(FUSE_IOCTL, &in, sizeof(in), NULL, 0)), 0);
	rig_stop();
}

/* ---- The live channel ---- */

static void tell(struct fuse_protocol *protocol, struct fuse_session_stats *stats)
{
	CHECK(protocol == &rig.protocol);
	strcpy(stats->transport, "fifteen letters");
	stats->queues = 3;
	stats->total.requests = 77;
	stats->total.copy_reasons[FUSE_COPY_REASONS_ROOM - 1] = 78;
}

/* What would be answered. The caller frees it. */
static struct rig_req *ask_live(uint64_t node, uint32_t uid, struct fuse_ioctl_in in)
{
	struct fuse_in_header header = rig_header(FUSE_IOCTL, sizeof(in));
	struct rig_req *r;

	header.nodeid = node;
	header.uid = uid;
	r = rig_joined(header, &in, sizeof(in), NULL, 0);
	fuse_protocol_dispatch(&r->req);
	return r;
}

static bool is_the_filesystems(uint64_t node, struct fuse_ioctl_in in)
{
	struct rig_req *r = ask_live(node, 0, in);
	bool called = strncmp(call, "ioctl ", 6) == 0;

	rig_free(r);
	call[0] = '\0';
	return called;
}

static void test_live(void)
{
	const struct fuse_ioctl_in in = {
		.cmd = FUSE_LIVE_IOC_STATS,
		.out_size = sizeof(struct fuse_live_stats),
	};
	struct fuse_protocol_hooks hooks;
	struct fuse_ioctl_in other;
	struct fuse_live_stats live;
	struct rig_req *r;

	CASE("the live channel");
	rig_start(&all_ops);
	hooks = *rig.protocol.hooks;
	rig.protocol.hooks = &hooks;
	rig.protocol.init_opcode = FUSE_INIT;
	rig.protocol.owner = 1234;
	CHECK(is_the_filesystems(FUSE_ROOT_ID, in)); /* nobody has anything to tell */
	hooks.get_stats = tell;

	r = ask_live(FUSE_ROOT_ID, 1234, in);
	CHECK_INT(r->error, 0);
	CHECK_INT(r->sent_size, sizeof(struct fuse_ioctl_out) + sizeof(live));
	CHECK_INT(((struct fuse_ioctl_out *)r->sent)->result, 0);
	memcpy(&live, r->sent + sizeof(struct fuse_ioctl_out), sizeof(live));
	CHECK_INT(live.version, FUSE_LIVE_VERSION);
	CHECK_INT(live.size, sizeof(live));
	CHECK_INT(live.counters, 21 + FUSE_COPY_REASONS_ROOM);
	CHECK_TEXT(live.transport, "fifteen letters");
	CHECK_INT(live.queues, 3);
	CHECK_INT(live.counter[0], 77);
	CHECK_INT(live.counter[live.counters - 3], 78);
	CHECK_INT(live.counter[live.counters], 0);
	CHECK_TEXT(call, "");
	rig_free(r);

	CHECK_INT(error_of(ask_live(FUSE_ROOT_ID, 0, in)), 0);
	CHECK_INT(error_of(ask_live(FUSE_ROOT_ID, 1000, in)), -EPERM);
	other = in;
	other.flags = FUSE_IOCTL_DIR;
	CHECK_INT(error_of(ask_live(FUSE_ROOT_ID, 0, other)), 0);
	rig.protocol.ops.ioctl = NULL;
	CHECK_INT(error_of(ask_live(FUSE_ROOT_ID, 0, in)), 0);
	rig.protocol.ops.ioctl = all_ops.ioctl;

	CASE("what is not for the live channel");
	CHECK(is_the_filesystems(FUSE_ROOT_ID + 1, in));
	other = in;
	other.cmd++;
	CHECK(is_the_filesystems(FUSE_ROOT_ID, other));
	other = in;
	other.out_size--;
	CHECK(is_the_filesystems(FUSE_ROOT_ID, other));
	other = in;
	other.flags = FUSE_IOCTL_UNRESTRICTED;
	CHECK(is_the_filesystems(FUSE_ROOT_ID, other));
	rig.protocol.init_opcode = CUSE_INIT;
	CHECK(is_the_filesystems(FUSE_ROOT_ID, in));
	rig_stop();
}

/* ---- The memory channel's attribute ---- */

static const char *channel_path;

static size_t tell_path(struct fuse_protocol *protocol, char *path)
{
	CHECK(protocol == &rig.protocol);
	if (!channel_path)
		return 0;
	strcpy(path, channel_path);
	return strlen(path);
}

/* The caller frees it. */
static struct rig_req *ask_attribute(uint64_t node, const char *name, uint32_t size)
{
	const struct fuse_getxattr_in in = { .size = size };
	struct fuse_in_header header =
		rig_header(FUSE_GETXATTR, sizeof(in) + strlen(name) + 1);
	struct rig_req *r;

	call[0] = '\0';
	header.nodeid = node;
	r = rig_joined(header, &in, sizeof(in), name, strlen(name) + 1);
	fuse_protocol_dispatch(&r->req);
	return r;
}

static bool is_the_filesystems_attribute(uint64_t node, const char *name)
{
	struct rig_req *r = ask_attribute(node, name, 200);
	bool called = strncmp(call, "getxattr ", 9) == 0;

	rig_free(r);
	call[0] = '\0';
	return called;
}

static void op_getxattr_enosys(fuse_req_t req, fuse_ino_t ino, const char *name,
			       size_t size)
{
	fuse_reply_err(req, ENOSYS);
}

static void test_channel_attribute(void)
{
	static const char name[] = FUSE_MEMORY_CHANNEL_XATTR;
	struct fuse_protocol_hooks hooks;
	struct rig_req *r;

	CASE("the attribute that says where the memory channel is");
	rig_start(&all_ops);
	hooks = *rig.protocol.hooks;
	rig.protocol.hooks = &hooks;
	CHECK(is_the_filesystems_attribute(FUSE_ROOT_ID, name));
	hooks.channel_path = tell_path;
	channel_path = NULL;
	CHECK(is_the_filesystems_attribute(FUSE_ROOT_ID, name));
	channel_path = "/run/socket";
	r = ask_attribute(FUSE_ROOT_ID, name, 0);
	CHECK_INT(r->error, 0);
	CHECK_INT(r->sent_size, sizeof(struct fuse_getxattr_out));
	CHECK_INT(((struct fuse_getxattr_out *)r->sent)->size, strlen(channel_path));
	rig_free(r);
	for (uint32_t size = 11; size < 200; size += 188) {
		r = ask_attribute(FUSE_ROOT_ID, name, size);
		CHECK_INT(r->error, 0);
		CHECK_INT(r->sent_size, strlen(channel_path));
		CHECK(memcmp(r->sent, channel_path, r->sent_size) == 0);
		CHECK_TEXT(call, "");
		rig_free(r);
	}
	CHECK_INT(error_of(ask_attribute(FUSE_ROOT_ID, name, 10)), -ERANGE);
	CHECK_INT(error_of(ask_attribute(FUSE_ROOT_ID, name, 1)), -ERANGE);

	CASE("other attributes are the filesystem's");
	CHECK(is_the_filesystems_attribute(FUSE_ROOT_ID + 1, name));
	CHECK(is_the_filesystems_attribute(FUSE_ROOT_ID, "system.fuse_memory_channe"));
	CHECK(is_the_filesystems_attribute(FUSE_ROOT_ID, "system.fuse_memory_channel2"));
	CHECK(is_the_filesystems_attribute(FUSE_ROOT_ID, "user.a"));

	CASE("ENOSYS, which would end all questions, is not said beside a channel");
	rig.protocol.ops.getxattr = NULL;
	CHECK_INT(error_of(ask_attribute(FUSE_ROOT_ID, "user.a", 10)), -ENOSYS);
	rig.protocol.keeps_xattrs = true;
	CHECK_INT(error_of(ask_attribute(FUSE_ROOT_ID, "user.a", 10)), -ENODATA);
	CHECK_INT(error_of(ask_attribute(7, name, 10)), -ENODATA);
	rig.protocol.ops.getxattr = op_getxattr_enosys;
	CHECK_INT(error_of(ask_attribute(7, "user.a", 10)), -ENODATA);
	rig.protocol.ops.listxattr = NULL;
	CHECK_INT(error_of(rig_send(FUSE_LISTXATTR, &(struct fuse_getxattr_in){ 0 },
				    sizeof(struct fuse_getxattr_in), NULL, 0)),
		  -ENOSYS);
	rig_stop();
}

static void test_may_wait(void)
{
	CASE("which opcodes may wait");
	rig_start(&all_ops);
	for (size_t i = 0; i < EXAMPLES; i++) {
		struct rig_req *r =
			rig_joined(rig_header(examples[i].opcode, 0), NULL, 0, NULL, 0);

		CHECK_INT(fuse_protocol_may_wait(&r->req),
			  examples[i].opcode == FUSE_SETLKW);
		r->finished = 1;
		rig_free(r);
	}
	rig_stop();
}

static void test_giving_a_lock_back(void)
{
	static const uint32_t types[] = { F_RDLCK, F_WRLCK, F_UNLCK };

	CASE("who gives a lock back does not wait");
	rig_start(&all_ops);
	for (size_t i = 0; i < 3; i++) {
		struct fuse_lk_in in = { .lk.type = types[i] };
		struct rig_req *r = rig_joined(rig_header(FUSE_SETLKW, sizeof(in)), &in,
					       sizeof(in), NULL, 0);

		CHECK_INT(fuse_protocol_may_wait(&r->req), types[i] != F_UNLCK);
		r->finished = 1;
		rig_free(r);
	}
	rig_stop();
}

/* ---- Payloads in a pipe ---- */

/* A message of which `in_pipe` bytes, at the end, are in a pipe. */
static struct rig_req *piped(uint32_t opcode, const void *arg, size_t arg_size,
			     const char *payload, size_t payload_size, size_t in_pipe,
			     int pipes[2])
{
	struct rig_req *r = rig_joined(rig_header(opcode, arg_size + payload_size), arg,
				       arg_size, payload, payload_size - in_pipe);

	CHECK_INT(pipe(pipes), 0);
	CHECK_INT(write(pipes[1], payload + payload_size - in_pipe, in_pipe), in_pipe);
	r->req.view.contiguous = false;
	r->req.view.payload_fd = pipes[0];
	r->req.view.payload_size = in_pipe;
	return r;
}

static void expect_piped(struct rig_req *r, int pipes[2], const char *text)
{
	close(pipes[1]);
	fuse_protocol_dispatch(&r->req);
	CHECK_TEXT(call, text);
	CHECK_INT(r->error, *text ? 0 : -EIO);
	close(pipes[0]);
	rig_free(r);
	call[0] = '\0';
}

static void test_pipes(void)
{
	struct fuse_write_in write = { .fh = 7, .offset = 10, .size = 6 };
	struct fuse_setxattr_in xattr = { .size = 3 };
	struct rig_req *r;
	int pipes[2];

	CASE("payloads in a pipe");
	rig_start(&all_ops);
	r = piped(FUSE_WRITE, &write, sizeof(write), "abcdef", 6, 6, pipes);
	expect_piped(r, pipes, "write_buf 5 from pipe 'abcdef' at 10 file fh=7");
	r = piped(FUSE_WRITE, &write, sizeof(write), "abcdef", 6, 4, pipes);
	expect_piped(r, pipes, "write_buf 5 from memory 'abcdef' at 10 file fh=7");
	r = piped(FUSE_WRITE, &write, sizeof(write), "abcde", 5, 5, pipes);
	expect_piped(r, pipes, "");
	r = piped(FUSE_SETXATTR, &xattr, 8, "n\0abc", 5, 5, pipes);
	expect_piped(r, pipes, "setxattr 5 n 'abc' flags 0");
	r = piped(FUSE_SETXATTR, &xattr, 8, "n\0abc", 5, 2, pipes);
	expect_piped(r, pipes, "setxattr 5 n 'abc' flags 0");
	r = piped(FUSE_SETXATTR, &xattr, 8, "n\0abc", 5, 2, pipes);
	r->req.view.payload_size = 3; /* the pipe ends before */
	((struct fuse_in_header *)r->message)->len++;
	expect_piped(r, pipes, "");

	rig.protocol.ops.write_buf = NULL;
	r = piped(FUSE_WRITE, &write, sizeof(write), "abcdef", 6, 6, pipes);
	expect_piped(r, pipes, "write 5 'abcdef' at 10 file fh=7");
	r = rig_send(FUSE_WRITE, &write, sizeof(write), "abcdef", 6);
	CHECK_TEXT(call, "write 5 'abcdef' at 10 file fh=7");
	CHECK_INT(((struct fuse_write_out *)r->sent)->size, 6);
	CHECK_INT(r->counters.bytes_written, 6);
	rig_free(r);
	call[0] = '\0';
	rig_stop();
}

/* ---- Forgetting one by one ---- */

static fuse_req_t kept[2];
static int kept_count;

static void op_forget_later(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	note("forget %d %d;", (int)ino, (int)count);
	CHECK_INT(fuse_req_ctx(req)->uid, 1000);
	CHECK(!fuse_req_interrupted(req));
	kept[kept_count++] = req;
}

static void test_batch_without_forget_multi(void)
{
	const struct fuse_lowlevel_ops ops = { .forget = op_forget_later };
	const struct fuse_batch_forget_in in = { .count = 2 };
	const struct fuse_forget_one items[2] = { { 1, 2 }, { 3, 4 } };
	struct rig_req *r;

	CASE("BATCH_FORGET without forget_multi()");
	rig_start(&ops);
	r = rig_send(FUSE_BATCH_FORGET, &in, sizeof(in), items, sizeof(items));
	CHECK_TEXT(call, "forget 1 2;forget 3 4;");
	CHECK_INT(r->replies, 0);
	rig_free(r);
	CHECK_INT(kept_count, 2);
	fuse_reply_none(kept[1]);
	CHECK_INT(fuse_reply_err(kept[0], 0), 0);
	call[0] = '\0';
	rig_stop();
}

/* ---- Noise ---- */

static uint64_t noise_state = 88172645463325252ull;

static uint32_t noise(void)
{
	noise_state ^= noise_state << 13;
	noise_state ^= noise_state >> 7;
	noise_state ^= noise_state << 17;
	return (uint32_t)(noise_state >> 16);
}

static void test_noise(void)
{
	CASE("examples with a few bytes changed");
	rig_start(&all_ops);
	for (int i = 0; i < 100000; i++) {
		const struct example *e = &examples[noise() % EXAMPLES];
		struct fuse_in_header header =
			rig_header(e->opcode, e->arg_size + e->payload_size);
		make_request make = noise() % 2 ? rig_joined : rig_split;
		char arg[FUSE_URING_OP_IN_OUT_SZ], payload[64];
		struct rig_req *r;

		rig.protocol.conn.want_ext = noise() % 2 ? FUSE_CAP_SETXATTR_EXT : 0;
		memcpy(arg, e->arg, e->arg_size);
		if (e->payload_size)
			memcpy(payload, e->payload, e->payload_size);
		for (uint32_t n = noise() % 4; n > 0; n--) {
			if (e->arg_size && noise() % 2)
				arg[noise() % e->arg_size] = (char)noise();
			else if (e->payload_size)
				payload[noise() % e->payload_size] = (char)noise();
		}
		if (noise() % 8 == 0)
			header.total_extlen = (uint16_t)(noise() % 4);
		r = make(header, arg, e->arg_size, payload, e->payload_size);
		fuse_protocol_dispatch(&r->req);
		CHECK_INT(r->replies, is_unanswered(e->opcode) ? 0 : 1);
		rig_free(r);
		call[0] = '\0';
	}
	rig_stop();
}

int main(void)
{
	test_examples();
	test_missing_operations();
	test_unknown();
	test_life_cycle();
	test_allow_root();
	test_short_setxattr();
	test_contradictions();
	test_ioctl_on_directory();
	test_live();
	test_channel_attribute();
	test_may_wait();
	test_giving_a_lock_back();
	test_pipes();
	test_batch_without_forget_multi();
	test_noise();
	return 0;
}
