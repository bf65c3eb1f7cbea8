// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer target: arbitrary messages into fuse_session_process_buf().
 *
 * An input is two bytes, mode and seed, and then messages: a length in two bytes, low byte
 * first, and that many bytes. make_corpus.py writes such files. The file system behind the
 * session reads all that it is given and answers by turns, which the seed decides, with
 * what suits the operation or with any other kind of reply, at once or later.
 *
 * Besides what the sanitizers see, it is a finding when a reply is not framed as the kernel
 * demands, or answers a message that was not sent or has its answer already.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuse_kernel.h"
#include "fuzz.h"

/* Keep in step with make_corpus.py. */
enum mode {
	NO_INIT = 1 << 0,     /* the messages come before any INIT */
	OLD_INIT = 1 << 1,    /* the INIT of a 7.26 kernel */
	KEEP_LENGTH = 1 << 2, /* do not put the true length in the message's header */
	DEBUG = 1 << 3,	      /* -o debug */
	IN_PIPE = 1 << 4,     /* the message arrives in a pipe, as a splice leaves it */
	NO_OPERATIONS = 1 << 5,
	SEND_FAILS = 1 << 6,   /* now and then, as for an interrupted caller */
	SIMPLE_CALLS = 1 << 7, /* no write_buf() and no forget_multi() */
};

enum {
	MAX_MESSAGES = 64,
	PIPE_ROOM = 1 << 20,
};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuse_session *session;
char scratch[SCRATCH];
int data_file;

static struct {
	unsigned int mode;
	uint32_t random;

	/* unique of every message that has no reply yet */
	uint64_t unanswered[MAX_MESSAGES + 1];
	size_t unanswered_count;
} state;

static int pipe_end[2]; /* [0] to read, [1] to write; neither blocks */
static volatile unsigned int sink;

void finding(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "fuzz_process_buf: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	abort();
}

unsigned int turn(unsigned int count)
{
	state.random = state.random * 1664525u + 1013904223u;
	return (state.random >> 16) % count;
}

void use(const void *memory, size_t size)
{
	const unsigned char *bytes = memory;

	for (size_t i = 0; i < size; i++)
		sink += bytes[i];
}

/* ---- The other end ---- */

static void check_reply(const struct fuse_out_header *out, size_t size)
{
	if (out->len != size)
		finding("reply says %u bytes and has %zu", out->len, size);
	if (out->unique == 0 && out->error > 0) {
		if (out->error > FUSE_NOTIFY_PRUNE)
			finding("notification %d", out->error);
		return;
	}
	for (size_t i = 0; i < state.unanswered_count; i++) {
		if (state.unanswered[i] != out->unique)
			continue;
		state.unanswered[i] = state.unanswered[--state.unanswered_count];
		if (out->error > 0 || out->error <= -4096)
			finding("reply with error %d", out->error);
		if (out->error && size != sizeof(*out))
			finding("reply with error %d and %zu bytes", out->error, size);
		return;
	}
	finding("reply to %#llx, which waits for none", (unsigned long long)out->unique);
}

static ssize_t swallow(int fd, struct iovec *iov, int count, void *userdata)
{
	struct fuse_out_header out = { 0 };
	size_t size = 0;

	for (int i = 0; i < count; i++) {
		use(iov[i].iov_base, iov[i].iov_len);
		size += iov[i].iov_len;
	}
	if (count < 1 || iov[0].iov_len < sizeof(out))
		finding("reply of %d pieces without a header", count);
	memcpy(&out, iov[0].iov_base, sizeof(out));
	check_reply(&out, size);
	if ((state.mode & SEND_FAILS) && turn(4) == 0) {
		errno = turn(2) ? ENOENT : ENODEV;
		return -1;
	}
	return (ssize_t)size;
}

static ssize_t read_nothing(int fd, void *buf, size_t size, void *userdata)
{
	errno = ENODEV;
	return -1;
}

/* ---- Notifications ---- */

static void notify(void)
{
	struct fuse_session *se = session;
	struct fuse_bufvec data = FUSE_BUFVEC_INIT(turn(4096));

	data.buf[0].mem = scratch;
	switch (turn(8)) {
	case 0:
		fuse_lowlevel_notify_inval_inode(se, 1, -1, 0);
		break;
	case 1:
		fuse_lowlevel_notify_inval_entry(se, 1, "name", 4);
		break;
	case 2:
		fuse_lowlevel_notify_expire_entry(se, 1, "name", 4);
		break;
	case 3:
		fuse_lowlevel_notify_delete(se, 1, 2, "name", 4);
		break;
	case 4:
		fuse_lowlevel_notify_store(se, 1, 0, &data, 0);
		break;
	case 5:
	case 6:
		/* For a FUSE_NOTIFY_REPLY among the messages to find. */
		fuse_lowlevel_notify_retrieve(se, 1, 4096, 0, &session);
		break;
	case 7:
		fuse_lowlevel_notify_increment_epoch(se);
		break;
	}
}

/* ---- The session and its messages ---- */

static struct fuse_session *make_session(void)
{
	static const struct fuse_custom_io io = { .writev = swallow,
						  .read = read_nothing };
	struct fuse_lowlevel_ops op = operations;
	char name[] = "fuzz", debug[] = "-odebug";
	char *arguments[] = { name, debug, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(state.mode & DEBUG ? 2 : 1, arguments);
	struct fuse_session *se;
	int fd;

	if (state.mode & SIMPLE_CALLS) {
		op.write_buf = NULL;
		op.forget_multi = NULL;
	}
	if (state.mode & NO_OPERATIONS)
		memset(&op, 0, sizeof(op));
	se = fuse_session_new(&args, &op, sizeof(op), &session);
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (!se || fd < 0 || fuse_session_custom_io(se, &io, sizeof(io), fd) != 0)
		finding("no session");
	fuse_opt_free_args(&args);
	return se;
}

/* The message lies in memory of exactly its size, so that a byte read too far is seen. */
static void process(void *message, size_t size)
{
	struct fuse_buf buf = { .size = size, .mem = message, .fd = -1 };

	if (size >= sizeof(struct fuse_in_header)) {
		const struct fuse_in_header *in = message;

		state.unanswered[state.unanswered_count++] = in->unique;
	}
	if (state.mode & IN_PIPE) {
		if (write(pipe_end[1], message, size) != (ssize_t)size)
			finding("the pipe is full");
		buf.mem = NULL;
		buf.flags = FUSE_BUF_IS_FD;
		buf.fd = pipe_end[0];
	}
	fuse_session_process_buf(session, &buf);
	while ((state.mode & IN_PIPE) && read(pipe_end[0], scratch, SCRATCH) > 0)
		;
}

static void send_init(void)
{
	struct {
		struct fuse_in_header header;
		struct fuse_init_in init;
	} *message = calloc(1, sizeof(*message));
	size_t size = sizeof(*message);

	if (!message)
		finding("out of memory");
	message->init.major = FUSE_KERNEL_VERSION;
	message->init.minor = FUSE_KERNEL_MINOR_VERSION;
	message->init.max_readahead = 128 * 1024;
	message->init.flags = UINT32_MAX;
	message->init.flags2 = UINT32_MAX;
	if (state.mode & OLD_INIT) {
		size = sizeof(message->header) + FUSE_COMPAT_INIT_IN_SIZE;
		message->init.minor = 26;
		message->init.flags = (1u << 21) - 1;
	}
	message->header.len = (uint32_t)size;
	message->header.opcode = FUSE_INIT;
	message->header.unique = 1;
	message = realloc(message, size);
	process(message, size);
	free(message);
}

/* Takes one message off the input; returns what is left of it. */
static size_t send_next(const uint8_t *data, size_t left)
{
	size_t size = data[0] | (size_t)data[1] << 8;
	uint8_t *message;

	left -= 2;
	if (size > left)
		size = left;
	message = malloc(size ? size : 1);
	if (!message)
		finding("out of memory");
	memcpy(message, data + 2, size);
	if (size >= sizeof(uint32_t) && !(state.mode & KEEP_LENGTH)) {
		uint32_t length = (uint32_t)size;

		memcpy(message, &length, sizeof(length));
	}
	process(message, size);
	free(message);
	return left - size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t left;

	if (size < 2)
		return 0;
	memset(&state, 0, sizeof(state));
	state.mode = data[0];
	state.random = data[1];
	session = make_session();
	if (!(state.mode & NO_INIT))
		send_init();

	left = size - 2;
	for (int i = 1; i < MAX_MESSAGES && left >= 2; i++) {
		if (turn(8) == 0)
			notify();
		if (turn(8) == 0)
			answer_held();
		left = send_next(data + size - left, left);
	}
	answer_held();
	fuse_session_destroy(session);
	return 0;
}

/* Formats the text, for the sanitizers to see the arguments, and drops it. */
static void log_nowhere(enum fuse_log_level level, const char *format, va_list args)
{
	char line[512];

	vsnprintf(line, sizeof(line), format, args);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fuse_set_log_func(log_nowhere);
	data_file = memfd_create("fuzz", MFD_CLOEXEC);
	if (data_file < 0 || ftruncate(data_file, SCRATCH) < 0 ||
	    pipe2(pipe_end, O_CLOEXEC | O_NONBLOCK) < 0 ||
	    fcntl(pipe_end[1], F_SETPIPE_SZ, PIPE_ROOM) < 0)
		finding("setting up: %s", strerror(errno));
	return 0;
}
