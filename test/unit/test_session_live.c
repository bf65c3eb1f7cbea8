// SPDX-License-Identifier: GPL-2.0-only
/*
 * A session that is mounted, over each transport, with this program as its only client: what
 * fuse_session_get_stats() tells, what a client hears of a session that ends from within
 * a handler, what comes of a second loop, and that no handler runs any more when one has
 * returned.
 */
#include "fuse_config.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "check.h"
#include "fuse_lowlevel.h"

#define READS	 50
#define WRITES	 20
#define BLOCK	 4096
#define ENDINGS	 30
#define FILE_ID	 2
#define TOO_LONG 20 /* seconds after which a client counts as stuck */
#define SLOW_MS	 600

static char point[] = "/tmp/fuse-session-XXXXXX";
static char path[sizeof(point) + 2];
static struct fuse_session *session;
static const char *transport;
static _Atomic bool slow_begun, slow_ended;

static void sleep_ms(unsigned ms)
{
	usleep(ms * 1000);
}

/* ---- The file system: one file, with attributes that end it, or take their time ---- */

static void fill(fuse_ino_t ino, struct stat *attr)
{
	memset(attr, 0, sizeof(*attr));
	attr->st_ino = ino;
	attr->st_mode = ino == FILE_ID ? S_IFREG | 0600 : S_IFDIR | 0700;
	attr->st_nlink = 1;
	attr->st_size = ino == FILE_ID ? READS * BLOCK : 0;
}

static void lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry = { .ino = FILE_ID, .attr_timeout = 100 };

	(void)parent;
	if (strcmp(name, "f") != 0) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	entry.entry_timeout = 100;
	fill(FILE_ID, &entry.attr);
	fuse_reply_entry(req, &entry);
}

static void getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr;

	(void)fi;
	fill(ino, &attr);
	fuse_reply_attr(req, &attr, 100);
}

static void open_file(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fi->direct_io = 1;
	fuse_reply_open(req, fi);
}

static void read_file(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		      struct fuse_file_info *fi)
{
	static const char block[BLOCK];

	(void)ino;
	(void)offset;
	(void)fi;
	fuse_reply_buf(req, block, size < BLOCK ? size : BLOCK);
}

static void write_file(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size,
		       off_t offset, struct fuse_file_info *fi)
{
	(void)ino;
	(void)data;
	(void)offset;
	(void)fi;
	fuse_reply_write(req, size);
}

static void get_attribute(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	(void)ino;
	(void)size;
	if (strcmp(name, "user.end") == 0) {
		fuse_session_exit(session);
		fuse_reply_err(req, E2BIG);
	} else if (strcmp(name, "user.unmount") == 0) {
		fuse_session_exit(session);
		fuse_session_unmount(session);
		fuse_reply_err(req, E2BIG);
	} else if (strcmp(name, "user.slow") == 0) {
		slow_begun = true;
		sleep_ms(SLOW_MS);
		slow_ended = true;
		fuse_reply_err(req, E2BIG);
	} else {
		fuse_reply_err(req, ENODATA);
	}
}

static const struct fuse_lowlevel_ops operations = {
	.lookup = lookup,
	.getattr = getattr,
	.open = open_file,
	.read = read_file,
	.write = write_file,
	.getxattr = get_attribute,
};

/* ---- The client: a process of its own, since a stuck thread could not be ended ---- */

static int use_file(void)
{
	static char block[BLOCK];
	int fd = open(path, O_RDWR);

	if (fd < 0)
		return errno;
	for (int i = 0; i < READS; i++) {
		if (pread(fd, block, BLOCK, (off_t)i * BLOCK) != BLOCK)
			return errno ? errno : EIO;
	}
	for (int i = 0; i < WRITES; i++) {
		if (pwrite(fd, block, BLOCK, (off_t)i * BLOCK) != BLOCK)
			return errno ? errno : EIO;
	}
	/* One error: asked for, since listing it is not implemented. */
	return listxattr(path, block, BLOCK) < 0 && errno == EOPNOTSUPP ? 0 : EPROTO;
}

/* Over rings, an opcode has to be known as quick before an owner runs its handler. */
static int ask_for(const char *name)
{
	for (int i = 0; i < 20; i++) {
		if (getxattr(path, "user.other", NULL, 0) >= 0 || errno != ENODATA)
			return EPROTO;
	}
	return getxattr(path, name, NULL, 0) < 0 ? errno : 0;
}

static int end_it(void)
{
	return ask_for("user.end");
}

static int unmount_it(void)
{
	return ask_for("user.unmount");
}

static int be_slow(void)
{
	return ask_for("user.slow");
}

static pid_t start_client(int (*client)(void))
{
	pid_t child = fork();

	CHECK(child >= 0);
	if (child == 0) {
		/* Or this process would itself keep the connection alive that it waits for. */
		close_range(STDERR_FILENO + 1, ~0U, 0);
		alarm(TOO_LONG);
		_exit(client());
	}
	return child;
}

static int end_of_client(pid_t child)
{
	int status;

	CHECK_INT(waitpid(child, &status, 0), child);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int run_client(int (*client)(void))
{
	return end_of_client(start_client(client));
}

/* ---- The server's life ---- */

/* `expected`: what the loop is to return */
static void *loop(void *expected)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();

	CHECK(config);
	CHECK_INT(fuse_session_loop_mt(session, config), (intptr_t)expected);
	fuse_loop_cfg_destroy(config);
	return NULL;
}

static pthread_t begin(void)
{
	char *argv[] = { (char *)"test", (char *)"-o", (char *)transport, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(transport ? 3 : 1, argv);
	pthread_t thread;

	session = fuse_session_new(&args, &operations, sizeof(operations), NULL);
	CHECK(session);
	fuse_opt_free_args(&args);
	CHECK_INT(fuse_session_mount(session, point), 0);
	CHECK_INT(pthread_create(&thread, NULL, loop, NULL), 0);
	return thread;
}

static void end(pthread_t thread)
{
	CHECK_INT(pthread_join(thread, NULL), 0);
	fuse_session_unmount(session);
	fuse_session_destroy(session);
	session = NULL;
}

/* ---- Cases ---- */

static struct fuse_session_stats get(void)
{
	struct fuse_session_stats stats;

	memset(&stats, 0xff, sizeof(stats));
	CHECK_INT(fuse_session_get_stats(session, &stats, sizeof(stats)), 0);
	return stats;
}

/* The client has ended, but its RELEASE may be answered only now: twice the same is at rest. */
static struct fuse_session_stats sum_queues(struct fuse_transport_stats *sum)
{
	struct fuse_session_stats whole, later = get();
	struct fuse_transport_stats queue;

	do {
		whole = later;
		memset(sum, 0, sizeof(*sum));
		for (unsigned i = 0; i < whole.queues; i++) {
			CHECK_INT(fuse_session_get_queue_stats(session, i, &queue,
							       sizeof(queue)),
				  0);
			sum->bytes_read += queue.bytes_read;
			sum->commits += queue.commits;
			sum->requests += queue.requests;
		}
		later = get();
	} while (memcmp(&whole.total, &later.total, sizeof(whole.total)) != 0);
	return whole;
}

static void check_queues(void)
{
	struct fuse_transport_stats sum, queue;
	struct fuse_session_stats whole = sum_queues(&sum);

	CHECK_INT(fuse_session_get_queue_stats(session, whole.queues, &queue,
					       sizeof(queue)),
		  -EINVAL);
	if (!transport)
		return;
	CHECK_INT(sum.bytes_read, whole.total.bytes_read);
	CHECK(sum.commits >= READS + WRITES);
	CHECK_INT(sum.commits, whole.total.commits);
	CHECK(sum.requests >= READS + WRITES);
}

static void check_sizes(void)
{
	struct {
		struct fuse_session_stats stats;
		char beyond[64];
	} longer;
	char shorter[sizeof(struct fuse_session_stats)];
	size_t part = offsetof(struct fuse_session_stats, dialect);

	memset(&longer, 0xff, sizeof(longer));
	CHECK_INT(fuse_session_get_stats(session, &longer.stats, sizeof(longer)), 0);
	CHECK(longer.stats.total.bytes_read == READS * BLOCK);
	for (size_t i = 0; i < sizeof(longer.beyond); i++)
		CHECK_INT(longer.beyond[i], 0);

	memset(shorter, 0x5a, sizeof(shorter));
	CHECK_INT(fuse_session_get_stats(session, (void *)shorter, part), 0);
	CHECK_TEXT(shorter, transport ? "io_uring" : "dev");
	for (size_t i = part; i < sizeof(shorter); i++)
		CHECK_INT(shorter[i], 0x5a);

	CHECK_INT(fuse_session_get_stats(NULL, &longer.stats, sizeof(longer)), -EINVAL);
	CHECK_INT(fuse_session_get_stats(session, NULL, sizeof(longer)), -EINVAL);
	CHECK_INT(fuse_session_get_stats(session, &longer.stats, 0), -EINVAL);
}

/* What the kernel that runs here speaks over a ring, as in the Python tests. */
static const char *expected_dialect(void)
{
	const char *name = getenv("FUSE_TEST_DIALECT");

	if (!transport)
		return "";
	/* That is an addition to the buffer pool, and no dialect of the queues. */
	if (name && strcmp(name, "shared_memory") == 0)
		return "bufpool";
	return name ? name : "per_entry";
}

static void test_stats(void)
{
	struct fuse_session_stats before, after;
	pthread_t thread;

	CASE("statistics over %s", transport ? transport : "dev");
	thread = begin();
	CHECK_INT(run_client(use_file), 0);
	before = get();
	CHECK_TEXT(before.transport, transport ? "io_uring" : "dev");
	CHECK_TEXT(before.dialect, expected_dialect());
	CHECK_INT(before.zero_copy, 0);
	CHECK(transport ? before.queues >= 1 : before.queues == 0);
	CHECK_INT(before.total.bytes_read, READS * BLOCK);
	CHECK_INT(before.total.bytes_written, WRITES * BLOCK);
	CHECK_INT(before.total.zero_copied_requests, 0);
	CHECK(before.total.errors >= 1);
	/* INIT, LOOKUP, OPEN, ... RELEASE: all were answered but the last, perhaps. */
	CHECK(before.total.requests >= READS + WRITES + 4);
	CHECK(before.total.replies + 1 >= before.total.requests);
	check_queues();
	check_sizes();

	CHECK_INT(run_client(end_it), E2BIG);
	after = get();
	CHECK(after.total.requests > before.total.requests);
	CHECK(after.total.errors > before.total.errors);
	end(thread);
}

/* The handler has answered: what comes after is nothing to its client. */
static void test_end_from_a_handler(void)
{
	CASE("a handler ends the session, over %s", transport ? transport : "dev");
	for (int i = 0; i < ENDINGS; i++) {
		pthread_t thread = begin();

		CHECK_INT(run_client(end_it), E2BIG);
		end(thread);
	}
}

/* What is left to do when all handlers have returned, the loop does; nothing waits for itself. */
static void test_unmount_by_a_handler(void)
{
	CASE("a handler unmounts, over %s", transport ? transport : "dev");
	for (int i = 0; i < ENDINGS; i++) {
		pthread_t thread = begin();
		int error = run_client(unmount_it);

		CHECK(error == ENOTCONN || error == ECONNABORTED || error == E2BIG);
		end(thread);
	}
}

/* The kernel keeps the pools of a connection, so that there they have to be done without. */
static void test_second_loop(void)
{
	bool can = !transport || strcmp(expected_dialect(), "per_entry") == 0;
	intptr_t expected = can ? 0 : -EOPNOTSUPP;
	pthread_t thread;

	CASE("a second loop over %s", transport ? transport : "dev");
	thread = begin();
	CHECK_INT(run_client(use_file), 0);
	fuse_session_exit(session);
	CHECK_INT(pthread_join(thread, NULL), 0);
	fuse_session_reset(session);
	CHECK_INT(pthread_create(&thread, NULL, loop, (void *)expected), 0);
	if (can) {
		sleep_ms(1000); /* to new rings nobody hands what was asked before */
		CHECK_INT(run_client(use_file), 0);
		fuse_session_exit(session);
	}
	end(thread);
}

static void *unmount(void *unused)
{
	(void)unused;
	fuse_session_unmount(session);
	return NULL;
}

/* At whatever moment: while rings start, while they run, or when the loop is about to end. */
static void test_unmount_by_several(void)
{
	CASE("several unmount at any time, over %s", transport ? transport : "dev");
	for (int i = 0; i < 3 * ENDINGS; i++) {
		pthread_t thread = begin(), others[2];

		usleep((unsigned)i * 50);
		for (int n = 0; n < 2; n++)
			CHECK_INT(pthread_create(&others[n], NULL, unmount, NULL), 0);
		fuse_session_exit(session);
		fuse_session_unmount(session);
		CHECK_INT(pthread_join(thread, NULL), 0);
		for (int n = 0; n < 2; n++)
			CHECK_INT(pthread_join(others[n], NULL), 0);
		fuse_session_destroy(session);
		session = NULL;
	}
}

/* Else the program would free, when its loop has returned, what the handler goes on to use. */
static void test_loop_waits_for_handlers(void)
{
	pthread_t thread, other;
	pid_t client;

	CASE("unmounted while a handler runs, over %s", transport ? transport : "dev");
	slow_begun = slow_ended = false;
	thread = begin();
	client = start_client(be_slow);
	while (!slow_begun)
		sleep_ms(1);
	CHECK_INT(pthread_create(&other, NULL, unmount, NULL), 0);
	sleep_ms(SLOW_MS / 4);
	fuse_session_exit(session);
	CHECK_INT(pthread_join(thread, NULL), 0);
	CHECK(slow_ended);
	CHECK_INT(pthread_join(other, NULL), 0);
	end_of_client(client);
	fuse_session_destroy(session);
	session = NULL;
}

static bool rings_are_to_be_had(void)
{
#ifdef HAVE_URING
	char answer = 'N';
	int fd = open("/sys/module/fuse/parameters/enable_uring", O_RDONLY);

	if (fd >= 0) {
		if (read(fd, &answer, 1) != 1)
			answer = 'N';
		close(fd);
	}
	return answer == 'Y';
#else
	return false;
#endif
}

/* Whatever happens, no mount is left behind. */
static void leave(void)
{
	umount2(point, MNT_FORCE | MNT_DETACH);
	rmdir(point);
}

static void test_all(void)
{
	test_stats();
	test_end_from_a_handler();
	test_unmount_by_a_handler();
	test_second_loop();
	test_loop_waits_for_handlers();
	test_unmount_by_several();
}

int main(void)
{
	CHECK(mkdtemp(point));
	CHECK_INT(atexit(leave), 0);
	snprintf(path, sizeof(path), "%s/f", point);

	test_all();
	if (rings_are_to_be_had()) {
		transport = "io_uring,io_uring_strict";
		test_all();
	}
	CHECK_INT(rmdir(point), 0);
	return 0;
}
