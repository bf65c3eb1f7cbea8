// SPDX-License-Identifier: GPL-2.0-only
/*
 * The io_uring transport without the library above it: mounts by hand, answers INIT by
 * hand, and serves a few files, each of which is slow, asynchronous or awkward in its own way.
 * Clients are processes of their own, all with a time limit.
 *
 * Wants root and a kernel with FUSE over io_uring; exits with 77 (skipped) without.
 *
 *	test_uring_transport				runs all cases
 *	test_uring_transport CASE			runs one
 *	test_uring_transport serve POINT FILE [POLL-US [DEPTH [WORKERS]]]
 *							POINT/f is FILE, until it is unmounted
 */
#include "fuse_config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "transport/uring/uring.h"

#define PAYLOAD	  (1 << 20)
#define FILE_SIZE (8 << 20)
#define SLEEP_MS  100
#define TOO_LONG  90 /* seconds until a client counts as stuck; slow guests need 30 */

/* How much longer things may take under a sanitizer, which slows the start of a client. */
#define PATIENCE (SANITIZED ? 4 : 1)

enum node {
	ROOT = 1,
	DATA,	 /* answered at once */
	SLEEPY,	 /* reads take SLEEP_MS */
	ASYNC,	 /* answered by another thread */
	HELD,	 /* answered when the test says so */
	PIECES,	 /* replies are made of pieces that lie in the reply's room */
	FROM_FD, /* replies come from a descriptor */
	LOCKED,	 /* has a lock */
	BACKED,	 /* `serve` */
	NODES,
};

static const char *const names[NODES] = {
	[DATA] = "data",     [SLEEPY] = "sleepy",   [ASYNC] = "async",	 [HELD] = "held",
	[PIECES] = "pieces", [FROM_FD] = "from_fd", [LOCKED] = "locked", [BACKED] = "f",
};

static char point[] = "/tmp/fuse-uring-XXXXXX";
static struct fuse_uring_config config;
static int backing = -1, pattern_fd = -1; /* of BACKED and FROM_FD */

static char pattern(uint64_t offset)
{
	return (char)(offset * 31 + (offset >> 12) * 7 + 5);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void sleep_ms(unsigned ms)
{
	struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };

	nanosleep(&time, NULL);
}

/* ---- The filesystem ---- */

#define QUEUED_MAX 256

static struct {
	int fd;
	struct fuse_uring *uring;
	pthread_t reader, replier;
	bool connected;
	dev_t dev;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct fuse_req *queued[QUEUED_MAX]; /* for the replier */
	unsigned queued_count;
	struct fuse_req *held[QUEUED_MAX];
	unsigned held_count;
	bool locked;	  /* LOCKED's lock is taken... */
	uint64_t owner;	  /* ...by this one */
	unsigned waiters; /* for it */
	bool interrupted; /* a waiter, by FUSE_INTERRUPT */
	bool ending;
	unsigned disconnects;
	_Atomic unsigned opened;
	_Atomic unsigned from_dev; /* requests that came by /dev/fuse */
} fs;

static void reply(struct fuse_req *req, int error, const void *data, size_t size)
{
	struct iovec iov = { .iov_base = (void *)data, .iov_len = size };

	req->transport->reply(req, error, &iov, 1);
	req->transport->finish(req);
}

static struct fuse_attr attributes(uint64_t node)
{
	struct stat st = { .st_size = FILE_SIZE };

	if (node == BACKED)
		fstat(backing, &st);
	return (struct fuse_attr){
		.ino = node,
		.mode = node == ROOT ? S_IFDIR | 0755 : S_IFREG | 0666,
		.nlink = 1,
		.size = node == ROOT ? 0 : (uint64_t)st.st_size,
		.blksize = 4096,
	};
}

static void look_up(struct fuse_req *req, const char *name)
{
	struct fuse_entry_out out = { .entry_valid = 100, .attr_valid = 100 };

	for (uint64_t node = DATA; node < NODES; node++)
		if (strcmp(names[node], name) == 0)
			out.nodeid = node;
	if (!out.nodeid) {
		reply(req, -ENOENT, NULL, 0);
		return;
	}
	out.attr = attributes(out.nodeid);
	reply(req, 0, &out, sizeof(out));
}

static void fill(char *data, uint64_t offset, size_t size)
{
	for (size_t i = 0; i < size; i++)
		data[i] = pattern(offset + i);
}

static void reply_pattern(struct fuse_req *req, const struct fuse_read_in *in)
{
	char *data = req->reply_room ? req->reply_room : malloc(in->size);

	fill(data, in->offset, in->size);
	req->transport->reply(req, 0, &(struct iovec){ data, in->size }, 1);
	if (!req->reply_room)
		free(data);
	req->transport->finish(req);
}

/* The read's parts lie in the room in another order; `offset` says in which. */
static void reply_pieces(struct fuse_req *req, const struct fuse_read_in *in)
{
	static const int places[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
					  { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	const int *place = places[in->offset / 4096 % 6];
	size_t third = in->size / 3, at = in->offset / 4096 / 6 % 2 ? 100 : 0;
	size_t sizes[3] = { third, third, in->size - 2 * third };
	char *room = req->reply_room;
	struct iovec iov[4];
	uint64_t offset = in->offset;

	for (int i = 0; i < 3; i++) {
		iov[i].iov_base = room + at + (size_t)place[i] * (sizes[2] + 1);
		iov[i].iov_len = sizes[i];
		fill(iov[i].iov_base, offset, sizes[i]);
		offset += sizes[i];
	}
	iov[3] = (struct iovec){ NULL, 0 };
	CHECK_INT(req->transport->reply(req, 0, iov, 4), 0);
	req->transport->finish(req);
}

/* From a descriptor; at the end of the file a short read; a write-only one cannot be read. */
static void reply_from_fd(struct fuse_req *req, const struct fuse_read_in *in)
{
	struct fuse_bufvec data = FUSE_BUFVEC_INIT(in->size);
	size_t sent;

	data.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	data.buf[0].fd = in->offset == 4096 ? -1 : pattern_fd;
	data.buf[0].pos = (off_t)in->offset;
	CHECK_INT(req->transport->reply_data(req, &data, 0, &sent), 0);
	req->transport->finish(req);
}

static void reply_backed(struct fuse_req *req, const struct fuse_read_in *in)
{
	ssize_t got = pread(backing, req->reply_room, in->size, (off_t)in->offset);

	reply(req, got < 0 ? -errno : 0, req->reply_room, got < 0 ? 0 : (size_t)got);
}

static void put_aside(struct fuse_req **list, unsigned *count, struct fuse_req *req)
{
	pthread_mutex_lock(&fs.lock);
	CHECK(*count < QUEUED_MAX);
	list[(*count)++] = req;
	pthread_cond_broadcast(&fs.changed);
	pthread_mutex_unlock(&fs.lock);
}

static void read_file(struct fuse_req *req, uint64_t node, const struct fuse_read_in *in)
{
	switch (req->reply_room ? node : DATA) {
	case SLEEPY:
		sleep_ms(SLEEP_MS);
		reply_pattern(req, in);
		break;
	case ASYNC:
		put_aside(fs.queued, &fs.queued_count, req);
		break;
	case HELD:
		put_aside(fs.held, &fs.held_count, req);
		break;
	case PIECES:
		reply_pieces(req, in);
		break;
	case FROM_FD:
		reply_from_fd(req, in);
		break;
	case BACKED:
		reply_backed(req, in);
		break;
	default:
		reply_pattern(req, in);
	}
}

static void write_file(struct fuse_req *req, uint64_t node,
		       const struct fuse_write_in *in, const char *data, size_t size)
{
	struct fuse_write_out out = { .size = in->size };
	int error = size == in->size ? 0 : -EIO;

	if (node == BACKED && pwrite(backing, data, size, (off_t)in->offset) < 0)
		error = -errno;
	for (size_t i = 0; node != BACKED && i < size; i++)
		if (data[i] != pattern(in->offset + i))
			error = -EILSEQ;
	reply(req, error, &out, sizeof(out));
}

static void set_lock(struct fuse_req *req, bool wait, const struct fuse_lk_in *in)
{
	int error = 0;

	pthread_mutex_lock(&fs.lock);
	if (in->lk.type == F_UNLCK) {
		fs.locked = false;
	} else {
		fs.waiters++;
		while (wait && fs.locked && !fs.ending && !fs.interrupted)
			pthread_cond_wait(&fs.changed, &fs.lock);
		fs.waiters--;
		error = fs.locked ? -EAGAIN : 0;
		if (!fs.locked)
			fs.owner = in->owner;
		fs.locked = true;
	}
	pthread_cond_broadcast(&fs.changed);
	pthread_mutex_unlock(&fs.lock);
	reply(req, error, NULL, 0);
}

/* Somebody closes the file, which takes back his lock. */
static void flush(struct fuse_req *req, const struct fuse_flush_in *in)
{
	pthread_mutex_lock(&fs.lock);
	if (fs.owner == in->lock_owner)
		fs.locked = false;
	pthread_cond_broadcast(&fs.changed);
	pthread_mutex_unlock(&fs.lock);
	reply(req, 0, NULL, 0);
}

static void dispatch(struct fuse_req *req)
{
	struct fuse_in_header in = *req->view.header;
	union {
		struct fuse_read_in read;
		struct fuse_write_in write;
		struct fuse_lk_in lock;
		struct fuse_flush_in flush;
		char bytes[128];
	} arg = { .bytes = "" };
	size_t arg_size = req->view.arg_size < 128 ? req->view.arg_size : 128;
	const char *payload = req->view.payload;
	size_t payload_size = req->view.payload_size;
	struct fuse_attr_out attr = { .attr_valid = 100, .attr = attributes(in.nodeid) };
	struct fuse_open_out open = { .open_flags = FOPEN_DIRECT_IO |
						    FOPEN_PARALLEL_DIRECT_WRITES };

	memcpy(&arg, req->view.arg, arg_size);
	if (req->view.contiguous && in.opcode == FUSE_WRITE) {
		payload = (const char *)req->view.arg + sizeof(arg.write);
		payload_size = req->view.arg_size - sizeof(arg.write);
	}
	if (req->view.contiguous && in.opcode == FUSE_LOOKUP)
		payload = req->view.arg;

	switch (in.opcode) {
	case FUSE_LOOKUP:
		look_up(req, payload);
		break;
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		reply(req, 0, &attr, sizeof(attr));
		break;
	case FUSE_OPEN:
		fs.opened++;
		reply(req, 0, &open, sizeof(open));
		break;
	case FUSE_OPENDIR:
		reply(req, 0, &open, sizeof(open));
		break;
	case FUSE_READ:
		read_file(req, in.nodeid, &arg.read);
		break;
	case FUSE_WRITE:
		write_file(req, in.nodeid, &arg.write, payload, payload_size);
		break;
	case FUSE_SETLK:
	case FUSE_SETLKW:
		set_lock(req, in.opcode == FUSE_SETLKW, &arg.lock);
		break;
	case FUSE_FLUSH:
		flush(req, &arg.flush);
		break;
	case FUSE_RELEASE:
	case FUSE_FSYNC:
		reply(req, 0, NULL, 0);
		break;
	case FUSE_ACCESS: /* a request that nobody answers must not be lost */
		req->transport->finish(req);
		break;
	default:
		reply(req, -ENOSYS, NULL, 0);
	}
}

static bool may_wait(const struct fuse_req *req)
{
	return req->view.header->opcode == FUSE_SETLKW;
}

static void disconnected(struct fuse_protocol *protocol)
{
	CHECK(protocol == (void *)&fs);
	pthread_mutex_lock(&fs.lock);
	fs.disconnects++;
	pthread_cond_broadcast(&fs.changed);
	pthread_mutex_unlock(&fs.lock);
}

static void *replier(void *unused)
{
	pthread_mutex_lock(&fs.lock);
	while (!fs.ending || fs.queued_count) {
		struct fuse_req *req;

		if (!fs.queued_count) {
			pthread_cond_wait(&fs.changed, &fs.lock);
			continue;
		}
		req = fs.queued[--fs.queued_count];
		pthread_mutex_unlock(&fs.lock);
		reply_pattern(req, req->view.arg);
		pthread_mutex_lock(&fs.lock);
	}
	pthread_mutex_unlock(&fs.lock);
	return NULL;
}

/* ---- /dev/fuse, in its simplest form ---- */

static int dev_reply(struct fuse_req *req, int error, const struct iovec *iov, int count)
{
	struct fuse_out_header out = { .len = sizeof(out),
				       .error = error,
				       .unique = req->unique };
	struct iovec all[8] = { { &out, sizeof(out) } };

	for (int i = 0; !error && i < count; i++) {
		all[i + 1] = iov[i];
		out.len += (uint32_t)iov[i].iov_len;
	}
	return writev(fs.fd, all, error ? 1 : count + 1) < 0 ? -errno : 0;
}

static void dev_finish(struct fuse_req *req)
{
	free(req);
}

static const struct fuse_transport_ops dev_ops = { .reply = dev_reply,
						   .finish = dev_finish };

static void take_message(const char *buffer, size_t size)
{
	const struct fuse_in_header *header = (const void *)buffer;
	struct fuse_req *req;

	switch (header->opcode) {
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
		return;
	case FUSE_INTERRUPT:
		pthread_mutex_lock(&fs.lock);
		/* Others come, too: what the kernel has to do for a ring interrupts its maker. */
		fs.interrupted |= fs.waiters;
		pthread_cond_broadcast(&fs.changed);
		pthread_mutex_unlock(&fs.lock);
		return;
	}
	fs.from_dev++;
	req = calloc(1, sizeof(*req));
	req->transport = &dev_ops;
	req->unique = header->unique;
	req->view.header = header;
	req->view.arg = header + 1;
	req->view.arg_size = size - sizeof(*header);
	req->view.contiguous = true;
	dispatch(req);
}

static void *reader(void *unused)
{
	static char buffer[PAYLOAD + 8192];

	for (;;) {
		ssize_t size = read(fs.fd, buffer, sizeof(buffer));

		if (size >= (ssize_t)sizeof(struct fuse_in_header))
			take_message(buffer, (size_t)size);
		else if (size < 0 && errno != EINTR && errno != EAGAIN && errno != ENOENT)
			return NULL;
	}
}

/* ---- Mounting ---- */

static void answer_init(const struct fuse_in_header *header,
			const struct fuse_init_in *in)
{
	struct {
		struct fuse_out_header header;
		struct fuse_init_out init;
	} out = { .header = { .len = sizeof(out), .unique = header->unique } };
	uint64_t flags = FUSE_INIT_EXT | FUSE_BIG_WRITES | FUSE_MAX_PAGES |
			 FUSE_ASYNC_READ | FUSE_POSIX_LOCKS | FUSE_ASYNC_DIO;

	if (fs.uring)
		flags |= fuse_uring_init_flags(fs.uring);
	out.init.major = FUSE_KERNEL_VERSION;
	out.init.minor = in->minor < FUSE_KERNEL_MINOR_VERSION
				 ? in->minor
				 : FUSE_KERNEL_MINOR_VERSION;
	out.init.max_readahead = in->max_readahead;
	out.init.flags = (uint32_t)flags;
	out.init.flags2 = (uint32_t)(flags >> 32);
	out.init.max_write = PAYLOAD;
	out.init.max_pages = PAYLOAD / 4096;
	out.init.max_background = 64;
	out.init.congestion_threshold = 48;
	CHECK_INT(write(fs.fd, &out, sizeof(out)), (int)sizeof(out));
}

/* Returns true if requests travel over rings; else *why has the reason. */
static bool mount_it(const char *where, struct fuse_uring_reason *why)
{
	static char buffer[PAYLOAD + 8192];
	const struct fuse_in_header *header = (const void *)buffer;
	const struct fuse_init_in *in = (const void *)(header + 1);
	char options[100];
	bool rings = false;

	memset(&fs, 0, sizeof(fs));
	pthread_mutex_init(&fs.lock, NULL);
	pthread_cond_init(&fs.changed, NULL);
	fs.fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	CHECK(fs.fd >= 0);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0",
		 fs.fd);
	CHECK_INT(mount("uring-test", where, "fuse", MS_NOSUID | MS_NODEV, options), 0);
	CHECK(read(fs.fd, buffer, sizeof(buffer)) > 0);
	CHECK_INT(header->opcode, FUSE_INIT);

	config.fd = fs.fd;
	config.kernel_flags = in->flags | (uint64_t)in->flags2 << 32;
	config.payload_max = PAYLOAD;
	config.handler =
		(struct fuse_transport_handler){ (void *)&fs, dispatch, may_wait };
	config.disconnected = disconnected;
	why->text[0] = '\0';
	fs.uring = fuse_uring_new(&config, why);
	answer_init(header, in);
	if (fs.uring)
		rings = fuse_uring_start(fs.uring, why) == 0;
	CHECK_INT(pthread_create(&fs.reader, NULL, reader, NULL), 0);
	CHECK_INT(pthread_create(&fs.replier, NULL, replier, NULL), 0);
	return rings;
}

static void set_defaults(void)
{
	memset(&config, 0, sizeof(config));
	config.queue_depth = 8;
	config.poll_us = 50;
	config.max_workers = 10;
	/* Pinned memory is there from the start, and there is none of it for spare entries. */
	config.pin = FUSE_URING_PIN_NONE;
}

static void mount_here(void)
{
	struct fuse_uring_reason why;
	struct stat st;
	bool rings = mount_it(point, &why);

	if (!rings)
		fprintf(stderr, "%s\n", why.text);
	CHECK(rings);
	CHECK_INT(stat(point, &st), 0);
	fs.dev = st.st_dev;
}

static void stop_rings(void)
{
	if (fs.uring)
		fuse_uring_stop(fs.uring);
}

static void end_threads(void)
{
	pthread_mutex_lock(&fs.lock);
	fs.ending = true;
	pthread_cond_broadcast(&fs.changed);
	pthread_mutex_unlock(&fs.lock);
	pthread_join(fs.replier, NULL);
	pthread_join(fs.reader, NULL);
}

static bool connection_exists(void)
{
	char path[100];

	snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%u", minor(fs.dev));
	return access(path, F_OK) == 0;
}

/* After the connection has ended. */
static void clean_up(void)
{
	stop_rings();
	if (fs.uring)
		fuse_uring_free(fs.uring);
	end_threads();
	close(fs.fd);
	for (int i = 0; connection_exists() && i < 100; i++)
		sleep_ms(20);
	CHECK(!connection_exists());
}

/* The kernel takes the connection down behind umount(), and tells the owners then. */
static void await_disconnect(void)
{
	pthread_mutex_lock(&fs.lock);
	for (int i = 0; !fs.disconnects && i < TOO_LONG * 100; i++) {
		pthread_mutex_unlock(&fs.lock);
		sleep_ms(10);
		pthread_mutex_lock(&fs.lock);
	}
	CHECK_INT(fs.disconnects, 1);
	pthread_mutex_unlock(&fs.lock);
}

static void unmount_it(void)
{
	CHECK_INT(umount2(point, MNT_DETACH), 0);
	clean_up();
}

static uint64_t total(size_t member)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < fuse_uring_queues(fs.uring); i++) {
		const char *counters = (const void *)fuse_uring_counters(fs.uring, i);

		sum += atomic_load((const _Atomic uint64_t *)(counters + member));
	}
	return sum;
}

#define TOTAL(member) total(offsetof(struct fuse_counters, member))

/* ---- Clients: this program again ---- */

static char buffer[FILE_SIZE];

static int client_fail(const char *what)
{
	fprintf(stderr, "client: %s: %m\n", what);
	return 1;
}

/* Reads [offset, offset + size) `times` times, moving on each time. */
static int client_read(int fd, size_t size, off_t offset, int times)
{
	char *data = buffer;

	for (int n = 0; n < times; n++, offset += (off_t)size) {
		ssize_t got;

		if (offset + (off_t)size > FILE_SIZE)
			offset = 0;
		got = pread(fd, data, size, offset);
		if (got != (ssize_t)size)
			return client_fail("read");
		for (size_t i = 0; i < size; i++)
			if (data[i] != pattern((uint64_t)offset + i)) {
				fprintf(stderr, "client: wrong byte at %lld + %zu\n",
					(long long)offset, i);
				return 1;
			}
	}
	return 0;
}

static int client_write(int fd, size_t size, off_t offset, int times)
{
	char *data = buffer;

	for (int n = 0; n < times; n++, offset += (off_t)size) {
		if (offset + (off_t)size > FILE_SIZE)
			offset = 0;
		fill(data, (uint64_t)offset, size);
		if (pwrite(fd, data, size, offset) != (ssize_t)size)
			return client_fail("write");
	}
	return 0;
}

/* Until the filesystem goes away; wrong data are an error, errors are not. */
static int client_hammer(int fd, size_t size)
{
	char *data = buffer;

	for (uint64_t offset = 0;; offset = (offset + size) % (FILE_SIZE - PAYLOAD)) {
		if (pread(fd, data, size, (off_t)offset) != (ssize_t)size)
			return 0;
		for (size_t i = 0; i < size; i += 37)
			if (data[i] != pattern(offset + i))
				return 1;
		if (pwrite(fd, data, size, (off_t)offset) != (ssize_t)size)
			return 0;
	}
}

static int client_lock(int fd, short type, int command)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_len = 1 };

	return fcntl(fd, command, &lock) < 0 ? client_fail("fcntl") : 0;
}

#define READERS 16

static struct {
	pthread_barrier_t start;
	int fd, failures;
	size_t size;
} together;

static void *read_with_others(void *data)
{
	pthread_barrier_wait(&together.start);
	if (pread(together.fd, data, together.size, 0) != (ssize_t)together.size)
		__atomic_add_fetch(&together.failures, 1, __ATOMIC_RELAXED);
	return NULL;
}

/* All readers at once; fails if that takes longer than `limit` ms. */
static int client_together(int fd, size_t size, int limit)
{
	pthread_t threads[READERS];
	uint64_t begin;

	together.fd = fd;
	together.size = size;
	pthread_barrier_init(&together.start, NULL, READERS + 1);
	for (int i = 0; i < READERS; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, read_with_others,
					 buffer + (size_t)i * size),
			  0);
	pthread_barrier_wait(&together.start);
	begin = now_ms();
	for (int i = 0; i < READERS; i++)
		pthread_join(threads[i], NULL);
	printf("  %d readers: %d ms\n", READERS, (int)(now_ms() - begin));
	return together.failures || (int)(now_ms() - begin) > limit;
}

static int client(char **argv)
{
	int cpu = atoi(argv[0]);
	const char *what = argv[1];
	size_t size = (size_t)atol(argv[3]);
	off_t offset = atol(argv[4]);
	int times = atoi(argv[5]);
	struct stat st;
	cpu_set_t set;
	int fd;

	if (cpu >= 0) {
		CPU_ZERO(&set);
		CPU_SET((unsigned)(cpu % sysconf(_SC_NPROCESSORS_ONLN)), &set);
		if (sched_setaffinity(0, sizeof(set), &set) < 0)
			return client_fail("sched_setaffinity");
	}
	if (strcmp(what, "stat") == 0)
		return stat(argv[2], &st) < 0 ? client_fail("stat") : 0;
	if (strcmp(what, "access") == 0)
		return access(argv[2], R_OK) < 0 && errno == EIO ? 0
								 : client_fail("access");
	fd = open(argv[2], O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return client_fail(argv[2]);
	if (strcmp(what, "read") == 0)
		return client_read(fd, size, offset, times);
	if (strcmp(what, "write") == 0)
		return client_write(fd, size, offset, times);
	if (strcmp(what, "together") == 0)
		return client_together(fd, size, times);
	if (strcmp(what, "hammer") == 0)
		return client_hammer(fd, size);
	if (strcmp(what, "lock") == 0)
		return client_lock(fd, F_WRLCK, F_SETLKW);
	if (strcmp(what, "unlock") == 0)
		return client_lock(fd, F_UNLCK, F_SETLK);
	return 2;
}

static pid_t start(int cpu, const char *what, enum node node, size_t size, off_t offset,
		   int times)
{
	char text[5][100];
	pid_t pid;

	snprintf(text[0], 100, "%d", cpu);
	snprintf(text[1], 100, "%s/%s", point, names[node]);
	snprintf(text[2], 100, "%zu", size);
	snprintf(text[3], 100, "%lld", (long long)offset);
	snprintf(text[4], 100, "%d", times);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		execl("/proc/self/exe", "client", "client", text[0], what, text[1],
		      text[2], text[3], text[4], (char *)NULL);
		_exit(127);
	}
	return pid;
}

/* Waits for a client; one that is stuck ends the test, and the mount with it. */
static int wait_for(pid_t pid)
{
	uint64_t until = now_ms() + TOO_LONG * 1000;
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (now_ms() > until) {
			fprintf(stderr, "client %d is stuck\n", (int)pid);
			kill(pid, SIGKILL);
			exit(1);
		}
		sleep_ms(1);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void run(int cpu, const char *what, enum node node, size_t size, off_t offset,
		int times)
{
	CHECK_INT(wait_for(start(cpu, what, node, size, offset, times)), 0);
}

/* Each request has a reply and a commit; nobody waits for that of the last release. */
static bool all_answered(void)
{
	uint64_t requests = TOTAL(requests);

	return TOTAL(replies) == requests && TOTAL(commits) == requests;
}

static void await_replies(void)
{
	uint64_t until = now_ms() + TOO_LONG * 1000;

	while (!all_answered()) {
		CHECK(now_ms() < until);
		sleep_ms(1);
	}
}

/* ---- Cases ---- */

static void case_data(void)
{
	static const size_t sizes[] = { 1,	100,	 4096,		 5000,
					131072, PAYLOAD, 3 * PAYLOAD + 1 };

	mount_here();
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		run(-1, "read", DATA, sizes[i], 4095, 20);
		run(-1, "write", DATA, sizes[i], 4095, 20);
		run(-1, "read", ASYNC, sizes[i], 1, 20);
	}
	run(-1, "access", DATA, 0, 0, 0);
	await_replies();
	CHECK(TOTAL(errors) > 0);
	CHECK(TOTAL(handed_over) > 0);
	CHECK(TOTAL(enters) > 0);
	CHECK_INT(umount2(point, MNT_DETACH), 0);
	await_disconnect();
	clean_up();
	CHECK_INT(fs.disconnects, 1);
}

static void case_without_polling(void)
{
	config.poll_us = 0;
	mount_here();
	run(-1, "read", DATA, 4096, 0, 1000);
	run(-1, "read", ASYNC, 4096, 0, 1000);
	CHECK_INT(TOTAL(polls_hit) + TOTAL(polls_missed), 0);
	unmount_it();
}

static void case_without_workers(void)
{
	config.max_workers = 0;
	mount_here();
	run(-1, "read", DATA, 4096, 0, 100);
	run(-1, "read", SLEEPY, 4096, 0, 2);
	CHECK_INT(TOTAL(handed_over), 0);
	unmount_it();
}

static void case_pieces(void)
{
	mount_here();
	for (int i = 0; i < 12; i++) {
		run(-1, "read", PIECES, 4000, i * 4096, 1);
		run(-1, "read", PIECES, 50000, i * 4096, 1);
	}
	unmount_it();
}

static void case_from_fd(void)
{
	char *data = malloc(FILE_SIZE);

	pattern_fd = memfd_create("pattern", MFD_CLOEXEC);
	fill(data, 0, FILE_SIZE);
	CHECK_INT(write(pattern_fd, data, FILE_SIZE), FILE_SIZE);
	free(data);
	mount_here();
	run(-1, "read", FROM_FD, PAYLOAD, 0, 8);
	run(-1, "read", FROM_FD, 1000, 5, 8);
	/* A bad descriptor, and the end of the file. */
	CHECK_INT(wait_for(start(-1, "read", FROM_FD, 100, 4096, 1)), 1);
	CHECK_INT(ftruncate(pattern_fd, 1000), 0);
	CHECK_INT(wait_for(start(-1, "read", FROM_FD, 2000, 0, 1)), 1);
	CHECK_INT(TOTAL(errors) >= 1, 1);
	unmount_it();
	close(pattern_fd);
}

static void case_many_threads(void)
{
	pid_t pids[16];

	mount_here();
	for (int i = 0; i < 16; i++)
		pids[i] = start(-1, i % 4 ? "read" : "write", i % 2 ? ASYNC : DATA,
				i % 3 ? 4096 : PAYLOAD, 0, i % 3 ? 2000 : 20);
	for (int i = 0; i < 16; i++)
		CHECK_INT(wait_for(pids[i]), 0);
	await_replies();
	unmount_it();
}

/*
 * 16 reads of 100 ms on one CPU, by 10 workers: two rounds, or 1600 ms if one held up the
 * other. The limit is between the two, since the machine may have other things to do.
 */
static void sleepers(void)
{
	run(0, "together", SLEEPY, 4096, 0, 800 * PATIENCE);
}

static void case_sleepers(void)
{
	uint64_t begin;
	pid_t pid;

	mount_here();
	sleepers();
	sleepers();
	/* READ is quick on average: sleeping ones run inline, until it is slow again. */
	run(0, "read", DATA, 4096, 0, 2000);
	sleepers();
	/* Others of the same CPU go on meanwhile. */
	pid = start(0, "read", SLEEPY, 4096, 0, 20);
	sleep_ms(50);
	begin = now_ms();
	run(0, "write", DATA, 4096, 0, 20);
	printf("  20 writes beside sleeping reads: %d ms\n", (int)(now_ms() - begin));
	CHECK(now_ms() - begin < 500 * PATIENCE);
	CHECK_INT(wait_for(pid), 0);
	unmount_it();
}

static unsigned waiters(void)
{
	unsigned count;

	pthread_mutex_lock(&fs.lock);
	count = fs.waiters;
	pthread_mutex_unlock(&fs.lock);
	return count;
}

/* Waiting locks hold every entry of the queue; the unlock comes from the same CPU. */
static void case_locks(void)
{
	enum {
		WAITING = 8
	};
	pid_t pids[WAITING];
	uint64_t begin;

	config.queue_depth = 2;
	mount_here();
	run(0, "lock", LOCKED, 0, 0, 0);
	pthread_mutex_lock(&fs.lock);
	fs.locked = true; /* the client's end has given it back */
	pthread_mutex_unlock(&fs.lock);
	for (int i = 0; i < WAITING; i++)
		pids[i] = start(0, "lock", LOCKED, 0, 0, 0);
	for (int i = 0; i < TOO_LONG * 1000 && waiters() < WAITING; i++)
		sleep_ms(1);
	CHECK_INT(waiters(), WAITING);

	begin = now_ms();
	run(0, "stat", LOCKED, 0, 0, 0);
	run(0, "read", DATA, 4096, 0, 10);
	printf("  beside %d waiting locks: %d ms\n", WAITING, (int)(now_ms() - begin));
	CHECK(now_ms() - begin < 1000 * PATIENCE);
	run(0, "unlock", LOCKED, 0, 0, 0);
	for (int i = 0; i < WAITING; i++)
		CHECK_INT(wait_for(pids[i]), 0); /* each unlocks when it ends */
	unmount_it();
}

static void await_held(unsigned count)
{
	pthread_mutex_lock(&fs.lock);
	while (fs.held_count < count)
		pthread_cond_wait(&fs.changed, &fs.lock);
	pthread_mutex_unlock(&fs.lock);
}

/* A filesystem that answers none before it has three times as many as there are entries. */
static void case_starvation(void)
{
	enum {
		DEPTH = 4,
		HOLDERS = 3 * DEPTH
	};
	pid_t pids[HOLDERS];

	config.queue_depth = DEPTH;
	mount_here();
	for (int i = 0; i < HOLDERS; i++)
		pids[i] = start(0, "read", HELD, 4096, 0, 1);
	await_held(HOLDERS);
	for (int i = 0; i < HOLDERS; i++)
		reply_pattern(fs.held[i], fs.held[i]->view.arg);
	for (int i = 0; i < HOLDERS; i++)
		CHECK_INT(wait_for(pids[i]), 0);
	unmount_it();
}

/* All of them are at it: one that came to open its file when the mount is gone would fail. */
static void start_hammers(pid_t *pids, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		pids[i] = start(-1, "hammer", i % 2 ? DATA : ASYNC, i % 3 ? 4096 : 200000,
				0, 0);
	for (int i = 0; i < TOO_LONG * 1000 && fs.opened < count; i++)
		sleep_ms(1);
	CHECK_INT(fs.opened, count);
	sleep_ms(300 * PATIENCE);
}

static void await_hammers(pid_t *pids, int count)
{
	uint64_t begin = now_ms();

	for (int i = 0; i < count; i++)
		CHECK_INT(wait_for(pids[i]), 0);
	CHECK(now_ms() - begin < 2000 * PATIENCE);
}

static void case_unmount_under_load(void)
{
	pid_t pids[8];

	mount_here();
	start_hammers(pids, 8);
	CHECK_INT(umount2(point, MNT_FORCE | MNT_DETACH), 0);
	await_hammers(pids, 8);
	await_disconnect();
	clean_up();
	CHECK_INT(fs.disconnects, 1);
}

static void case_abort_under_load(void)
{
	char path[100];
	pid_t pids[8];
	int fd;

	mount_here();
	start_hammers(pids, 8);
	snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%u/abort", minor(fs.dev));
	fd = open(path, O_WRONLY);
	CHECK(fd >= 0);
	CHECK_INT(write(fd, "1", 1), 1);
	close(fd);
	await_hammers(pids, 8);
	pthread_mutex_lock(&fs.lock);
	while (!fs.disconnects)
		pthread_cond_wait(&fs.changed, &fs.lock);
	pthread_mutex_unlock(&fs.lock);
	unmount_it();
	CHECK_INT(fs.disconnects, 1);
}

/* The rings end while the connection lives: as when a session is told to exit. */
static void case_stop_under_load(void)
{
	pid_t pids[8];

	mount_here();
	start_hammers(pids, 8);
	stop_rings();
	CHECK_INT(umount2(point, MNT_FORCE | MNT_DETACH), 0);
	await_hammers(pids, 8);
	clean_up();
	CHECK_INT(fs.disconnects, 0);
}

/* Requests outlive the transport, and are answered when nobody listens any more. */
static void case_late_replies(void)
{
	enum {
		HOLDERS = 6
	};
	pid_t pids[HOLDERS];

	mount_here();
	pids[0] = start(0, "read", HELD, 4096, 0, 1);
	await_held(1);
	reply_pattern(fs.held[0], fs.held[0]->view.arg);
	CHECK_INT(wait_for(pids[0]), 0);
	for (int i = 1; i < HOLDERS; i++)
		pids[i] = start(i % 2, "read", HELD, 4096, 0, 1);
	await_held(HOLDERS);
	stop_rings();
	CHECK_INT(fs.held[1]->transport->reply(fs.held[1], 0, NULL, 0), -ENOENT);
	fs.held[1]->transport->finish(fs.held[1]);
	CHECK_INT(umount2(point, MNT_FORCE | MNT_DETACH), 0);
	for (int i = 1; i < HOLDERS; i++)
		CHECK_INT(wait_for(pids[i]), 1);
	clean_up();
	for (int i = 2; i < HOLDERS; i++)
		reply_pattern(fs.held[i], fs.held[i]->view.arg);
}

static void *stopper(void *unused)
{
	stop_rings();
	return NULL;
}

/* Handlers wait for a lock when the rings are stopped, more than there may be slow ones. */
static void case_stop_while_waiting(void)
{
	pthread_t thread;
	pid_t pids[3];

	config.max_workers = 2;
	mount_here();
	pthread_mutex_lock(&fs.lock);
	fs.locked = true;
	pthread_mutex_unlock(&fs.lock);
	for (int i = 0; i < 3; i++)
		pids[i] = start(0, "lock", LOCKED, 0, 0, 0);
	for (int i = 0; i < 2000 && waiters() < 3; i++)
		sleep_ms(1);
	CHECK_INT(pthread_create(&thread, NULL, stopper, NULL), 0);
	sleep_ms(50);
	CHECK_INT(waiters(), 3);
	pthread_mutex_lock(&fs.lock);
	fs.interrupted = true;
	pthread_cond_broadcast(&fs.changed);
	pthread_mutex_unlock(&fs.lock);
	pthread_join(thread, NULL);
	CHECK_INT(umount2(point, MNT_FORCE | MNT_DETACH), 0);
	for (int i = 0; i < 3; i++)
		CHECK_INT(wait_for(pids[i]), 1);
	clean_up();
}

static void case_never_started(void)
{
	struct fuse_uring_reason why;

	set_defaults();
	config.kernel_flags = FUSE_OVER_IO_URING;
	config.payload_max = PAYLOAD;
	config.fd = open("/dev/null", O_RDWR);
	for (int i = 0; i < 20; i++) {
		struct fuse_uring *uring = fuse_uring_new(&config, &why);

		CHECK_TEXT(fuse_uring_dialect(uring), "per_entry");
		fuse_uring_stop(uring);
		fuse_uring_free(uring);
	}
	close(config.fd);
}

static void refuse(const char *part)
{
	struct fuse_uring_reason why = { .text = "" };

	CHECK(!fuse_uring_new(&config, &why));
	printf("  %s\n", why.text);
	CHECK(strstr(why.text, part));
	CHECK(!strchr(why.text, '\n'));
}

static void case_bad_config(void)
{
	struct fuse_uring_reason why;

	config.kernel_flags = FUSE_OVER_IO_URING;
	config.payload_max = PAYLOAD;
	config.queue_depth = 0;
	refuse("queue depth of 0");
	CHECK(!fuse_uring_available(0, false, &why));
	config.queue_depth = FUSE_URING_MAX_DEPTH + 1;
	refuse("queue depth of 4097");
	CHECK(!fuse_uring_available(UINT32_MAX, false, &why));
	config.queue_depth = 8;
	config.payload_max = 4096;
	refuse("payload of 4096");
	config.payload_max = (size_t)(sizeof(size_t) > 4 ? 1ull << 40 : 1u << 31);
	refuse("payload of");
	config.payload_max = PAYLOAD;
	config.kernel_flags = 0;
	refuse("does not offer");
	CHECK(fuse_uring_available(8, false, &why));
}

static void with_cpus(const char *file, const char *list, unsigned queues)
{
	struct fuse_uring_reason why = { .text = "" };
	int fd = open(file, O_WRONLY | O_TRUNC | O_CREAT, 0600);
	struct fuse_uring *uring;

	CHECK(fd >= 0);
	CHECK_INT(write(fd, list, strlen(list)), (int)strlen(list));
	close(fd);
	uring = fuse_uring_new(&config, &why);
	if (!queues) {
		CHECK(!uring);
		CHECK(strstr(why.text, "cpu-list"));
		return;
	}
	CHECK(uring);
	CHECK_INT(fuse_uring_queues(uring), queues);
	fuse_uring_stop(uring);
	fuse_uring_free(uring);
}

/* Under a list of CPUs of our own; not all of them are there. */
static void see_other_cpus(const char *file)
{
	static const char *const bad[] = {
		"",	 "0",	 "\n",	    " 0\n",	 "0 \n",
		"a\n",	 "-1\n", "0-\n",    "3-1\n",	 "0,\n",
		"0,0\n", ",0\n", "0-1-2\n", "0-70000\n", "99999999999999999999\n"
	};

	with_cpus(file, "", (unsigned)sysconf(_SC_NPROCESSORS_CONF));
	CHECK_INT(unshare(CLONE_NEWNS), 0);
	CHECK_INT(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	CHECK_INT(mount(file, "/sys/devices/system/cpu/possible", NULL, MS_BIND, NULL),
		  0);
	with_cpus(file, "0\n", 1);
	with_cpus(file, "0-3,5\n", 5);
	with_cpus(file, "1,3,70\n", 3);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		with_cpus(file, bad[i], 0);
}

static void case_cpu_lists(void)
{
	char file[100];
	pid_t pid;

	config.kernel_flags = FUSE_OVER_IO_URING;
	config.payload_max = PAYLOAD;
	config.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	snprintf(file, sizeof(file), "%s/possible", point);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		see_other_cpus(file);
		_exit(0);
	}
	CHECK_INT(wait_for(pid), 0);
	CHECK_INT(unlink(file), 0);
	close(config.fd);
}

static void case_largest_depth(void)
{
	config.queue_depth = FUSE_URING_MAX_DEPTH;
	mount_here();
	run(-1, "read", DATA, 4096, 0, 100);
	unmount_it();
	config.queue_depth = 1;
	mount_here();
	run(-1, "read", DATA, 4096, 0, 100);
	run(-1, "read", ASYNC, 4096, 0, 100);
	unmount_it();
}

/* Kilobytes of shared memory that are resident. */
static long resident(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[200];
	long size = -1;

	CHECK(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "RssShmem: %ld", &size) == 1)
			break;
	fclose(file);
	return size;
}

/* More at once than the depth takes spare memory, until the queue falls idle. */
static void case_memory(void)
{
	config.queue_depth = 2;
	config.max_workers = READERS;
	mount_here();
	CHECK(resident() < 200);
	run(0, "together", SLEEPY, 256 << 10, 0, TOO_LONG * 1000);
	printf("  after %d reads: %ld KiB\n", READERS, resident());
	CHECK(resident() > 10 * 256);
	run(0, "write", DATA, 256 << 10, 0, 100);
	sleep_ms(1500);
	printf("  idle: %ld KiB\n", resident());
	CHECK(resident() < 4 * 256);
	run(0, "read", DATA, 256 << 10, 0, 100);
	unmount_it();
}

static void case_cycles(void)
{
	for (int i = 0; i < 50; i++) {
		mount_here();
		run(i % 2, "read", DATA, 4096, 0, 1);
		unmount_it();
	}
}

static double cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void case_idle(void)
{
	double before;

	mount_here();
	run(0, "read", DATA, 4096, 0, 100);
	run(1, "read", DATA, 4096, 0, 100);
	sleep_ms(100);
	before = cpu_seconds();
	sleep_ms(2000);
	printf("  idle for 2 s: %.6f s of CPU\n", cpu_seconds() - before);
	CHECK(cpu_seconds() - before < 0.005);
	unmount_it();
}

#ifdef FUSE_FAULT_INJECTION
static void fall_back(const char *part)
{
	struct fuse_uring_reason why;
	struct stat st;

	config.pool = FUSE_URING_POOL_NONE; /* one rung, or the next one would do */
	CHECK(!mount_it(point, &why));
	unsetenv("FUSE_FAULT");
	printf("  %s\n", why.text);
	CHECK(strstr(why.text, part));
	CHECK_INT(stat(point, &st), 0);
	fs.dev = st.st_dev;
	run(0, "read", DATA, 4096, 0, 10);
	run(1, "write", DATA, 4096, 0, 10);
	CHECK(fs.from_dev >= 20);
	unmount_it();
}

/* In a process of its own, since passes of a step are counted in the life of one. */
static void with_fault(const char *fault, const char *part)
{
	pid_t pid;

	CASE("fault %s", fault);
	setenv("FUSE_FAULT", fault, 1);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		fall_back(part);
		exit(0);
	}
	unsetenv("FUSE_FAULT");
	CHECK_INT(wait_for(pid), 0);
	CHECK_INT(mkdir(point, 0700), 0); /* the child has tidied up */
}

static void case_faults(void)
{
	static const char *const steps[] = { "thread-create",  "eventfd",
					     "memfd",	       "map-headers",
					     "map-payload",    "ring-create",
					     "register-submit" };
	bool two_queues = sysconf(_SC_NPROCESSORS_CONF) > 1;

	with_fault("cpu-list:2", "cpu-list");
	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		char fault[100];

		snprintf(fault, sizeof(fault), "%s:12", steps[i]);
		with_fault(fault, steps[i]);
		if (!two_queues)
			continue;
		/* The second queue's, when the first one is done. */
		snprintf(fault, sizeof(fault), "%s@2:12", steps[i]);
		with_fault(fault, steps[i]);
	}
	with_fault("register-refused", "register-refused");
	if (two_queues)
		with_fault("register-refused@2", "register-refused");
}
#endif

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{ "bad_config", case_bad_config },
	{ "never_started", case_never_started },
	{ "cpu_lists", case_cpu_lists },
	{ "data", case_data },
	{ "without_polling", case_without_polling },
	{ "without_workers", case_without_workers },
	{ "pieces", case_pieces },
	{ "from_fd", case_from_fd },
	{ "many_threads", case_many_threads },
	{ "sleepers", case_sleepers },
	{ "locks", case_locks },
	{ "starvation", case_starvation },
	{ "unmount_under_load", case_unmount_under_load },
	{ "abort_under_load", case_abort_under_load },
	{ "stop_under_load", case_stop_under_load },
	{ "late_replies", case_late_replies },
	{ "stop_while_waiting", case_stop_while_waiting },
	{ "largest_depth", case_largest_depth },
	{ "memory", case_memory },
	{ "cycles", case_cycles },
	{ "idle", case_idle },
#ifdef FUSE_FAULT_INJECTION
	{ "faults", case_faults },
#endif
};

/* Whatever happens, no mount is left behind. */
static void leave_nothing(void)
{
	umount2(point, MNT_FORCE | MNT_DETACH);
	rmdir(point);
}

static int serve(int argc, char **argv)
{
	struct fuse_uring_reason why;

	backing = open(argv[3], O_RDWR | O_CLOEXEC);
	CHECK(backing >= 0);
	if (argc > 4)
		config.poll_us = (unsigned)atoi(argv[4]);
	if (argc > 5)
		config.queue_depth = (unsigned)atoi(argv[5]);
	if (argc > 6)
		config.max_workers = (unsigned)atoi(argv[6]);
	if (!mount_it(argv[2], &why)) {
		fprintf(stderr, "%s\n", why.text);
		return 1;
	}
	pthread_join(fs.reader, NULL);
	fuse_uring_stop(fs.uring);
	printf("requests %llu handed_over %llu enters %llu commits %llu hit %llu missed %llu\n",
	       (unsigned long long)TOTAL(requests),
	       (unsigned long long)TOTAL(handed_over), (unsigned long long)TOTAL(enters),
	       (unsigned long long)TOTAL(commits), (unsigned long long)TOTAL(polls_hit),
	       (unsigned long long)TOTAL(polls_missed));
	fuse_uring_free(fs.uring);
	return 0;
}

int main(int argc, char **argv)
{
	struct fuse_uring_reason why;

	if (argc > 7 && strcmp(argv[1], "client") == 0)
		return client(argv + 2);
	set_defaults();
	if (geteuid() != 0 || !fuse_uring_available(8, false, &why)) {
		fprintf(stderr, "skipped: %s\n", geteuid() ? "not root" : why.text);
		return 77;
	}
	if (argc > 3 && strcmp(argv[1], "serve") == 0)
		return serve(argc, argv);

	CHECK(mkdtemp(point));
	atexit(leave_nothing);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (argc > 1 && strcmp(argv[1], cases[i].name) != 0)
			continue;
		CASE("%s", cases[i].name);
		set_defaults();
		cases[i].run();
	}
	return 0;
}
