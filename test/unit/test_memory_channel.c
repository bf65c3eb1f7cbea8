// SPDX-License-Identifier: GPL-2.0-only
/*
 * The server's end of a memory channel, with clients that are polite and clients that are not. What a
 * bad one does has to end its own connection, and nobody else's; and nothing may be left of it.
 */
#include "fuse_config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "channel/client.h"
#include "channel/message.h"
#include "channel/server.h"
#include "fuse_shared_memory.h"

#include "check.h"

#define SIZE	    65536
#define MAX_REGIONS 3
#define MAX_CLIENTS 8
#define STRANGER    4711 /* a user */
#define PATIENCE    60	 /* seconds for what takes no time */

/* ---- The owner: it counts what it has ---- */

static struct fuse_channel_server *server;
static _Atomic int64_t last_id;
static _Atomic int kept; /* pieces of memory that were added and not removed */
static _Atomic int refuse_adding;
static _Atomic int verdict; /* of allow() */
static _Atomic int last_pid, last_uid, last_gid;

static int keep(void *owner, int fd, uint64_t *id)
{
	struct stat status;

	CHECK(owner == &kept);
	CHECK_INT(fstat(fd, &status), 0);
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	if (refuse_adding)
		return refuse_adding;
	kept++;
	*id = (uint64_t)++last_id;
	return 0;
}

static int drop(void *owner, uint64_t id)
{
	CHECK(owner == &kept);
	CHECK(id > 0 && id <= (uint64_t)last_id);
	CHECK(kept > 0);
	kept--;
	return 0;
}

static int allow(void *userdata, pid_t pid, uid_t uid, gid_t gid)
{
	CHECK(userdata == &verdict);
	last_pid = (int)pid;
	last_uid = (int)uid;
	last_gid = (int)gid;
	return verdict;
}

static const struct fuse_channel_config usual = {
	.max_regions = MAX_REGIONS,
	.max_clients = MAX_CLIENTS,
	.max_bytes = SIZE,
	.allow = allow,
	.userdata = &verdict,
	.add = keep,
	.remove = drop,
	.owner = &kept,
};

static void begin(const struct fuse_channel_config *config)
{
	verdict = refuse_adding = 0;
	CHECK_INT(fuse_channel_server_new(&server, config), 0);
	CHECK_INT(fuse_channel_server_start(server), 0);
}

static void end(void)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];

	strcpy(path, fuse_channel_server_path(server));
	fuse_channel_server_free(server);
	CHECK_INT(kept, 0);
	CHECK_INT(access(path, F_OK), -1);
	*strrchr(path, '/') = '\0';
	CHECK_INT(access(path, F_OK), -1);
}

/* ---- What is waited for ---- */

static void pause_a_bit(void)
{
	const struct timespec bit = { .tv_nsec = 1000000 };

	nanosleep(&bit, NULL);
}

static int descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	CHECK(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

#define WAIT_UNTIL(condition)                                                  \
	do {                                                                   \
		time_t until_ = time(NULL) + PATIENCE;                         \
		while (!(condition)) {                                         \
			if (time(NULL) > until_)                               \
				printf("line %d: waited in vain\n", __LINE__); \
			CHECK(time(NULL) <= until_);                           \
			pause_a_bit();                                         \
		}                                                              \
	} while (0)

/* ---- Clients ---- */

static int connect_politely(void)
{
	return fuse_channel_connect(fuse_channel_server_path(server));
}

static int memory(void)
{
	int fd = fuse_memory_create(SIZE, 0);

	CHECK(fd >= 0);
	return fd;
}

static uint64_t give(int channel)
{
	int fd = memory();
	uint64_t id = 0;

	CHECK_INT(fuse_memory_channel_give(channel, fd, &id), 0);
	CHECK(id != 0);
	close(fd);
	return id;
}

/* A socket that has been connected, by a client of whom nothing is known yet. */
static int knock(void)
{
	const struct timeval patience = { .tv_sec = PATIENCE };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int socket_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	CHECK(socket_ >= 0);
	strcpy(address.sun_path, fuse_channel_server_path(server));
	CHECK_INT(setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience,
			     sizeof(patience)),
		  0);
	CHECK_INT(connect(socket_, (void *)&address, sizeof(address)), 0);
	return socket_;
}

static struct fuse_channel_message receive(int socket_, enum fuse_channel_kind kind)
{
	struct fuse_channel_message message;

	CHECK_INT(recv(socket_, &message, sizeof(message), MSG_TRUNC), sizeof(message));
	CHECK_INT(message.magic, FUSE_CHANNEL_MAGIC);
	CHECK_INT(message.version, FUSE_CHANNEL_VERSION);
	CHECK_INT(message.kind, kind);
	return message;
}

static int connect_rudely(void)
{
	int socket_ = knock();

	CHECK_INT(receive(socket_, FUSE_CHANNEL_WELCOME).error, 0);
	return socket_;
}

/* Any bytes, with any descriptors. */
static void send_anything(int socket_, const void *bytes, size_t size, const int *fds,
			  size_t count)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(16 * sizeof(int))];
	} control = { 0 };
	struct iovec piece = { .iov_base = (void *)bytes, .iov_len = size };
	struct msghdr header = { .msg_iov = &piece, .msg_iovlen = 1 };

	CHECK(count <= 16);
	if (count) {
		header.msg_control = &control;
		header.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
	}
	CHECK_INT(sendmsg(socket_, &header, MSG_NOSIGNAL), size);
}

static struct fuse_channel_message proper(enum fuse_channel_kind kind)
{
	return (struct fuse_channel_message){
		.magic = FUSE_CHANNEL_MAGIC,
		.version = FUSE_CHANNEL_VERSION,
		.kind = (uint16_t)kind,
	};
}

/* The other side has closed: an end, or an error if it has not read all that was sent. */
static void expect_closed(int socket_)
{
	struct fuse_channel_message message;
	ssize_t size = recv(socket_, &message, sizeof(message), 0);

	CHECK(size == 0 || (size < 0 && errno == ECONNRESET));
	close(socket_);
}

/* ---- Cases ---- */

static void test_polite(void)
{
	int one = connect_politely(), other = connect_politely();
	uint64_t first, second, third;

	CASE("giving and taking back");
	CHECK(one >= 0 && other >= 0);
	CHECK(fcntl(one, F_GETFD) & FD_CLOEXEC);
	CHECK_INT(last_pid, getpid());
	CHECK_INT(last_uid, getuid());
	CHECK_INT(last_gid, getgid());
	first = give(one);
	second = give(one);
	third = give(other);
	CHECK(first != second && second != third);
	CHECK_INT(kept, 3);
	CHECK_INT(fuse_memory_channel_take_back(one, first), 0);
	CHECK_INT(fuse_memory_channel_take_back(one, first), -ENOENT);
	CHECK_INT(fuse_memory_channel_take_back(one, third), -ENOENT);
	CHECK_INT(fuse_memory_channel_take_back(one, 0), -ENOENT);
	CHECK_INT(kept, 2);
	close(one);
	WAIT_UNTIL(kept == 1);
	CHECK_INT(fuse_memory_channel_take_back(other, third), 0);
	CHECK_INT(kept, 0);
	close(other);
}

static void test_wrong_calls(void)
{
	int channel = connect_politely();
	uint64_t id = 99;
	int pair[2];
	int fd = memory();

	CASE("calls that make no sense");
	CHECK_INT(fuse_memory_channel_give(channel, fd, NULL), -EINVAL);
	CHECK_INT(fuse_memory_channel_give(channel, -1, &id), -EBADF);
	CHECK_INT(fuse_memory_channel_give(channel, 9999, &id), -EBADF);
	CHECK_INT(fuse_memory_channel_give(-1, fd, &id), -EBADF);
	CHECK_INT(fuse_memory_channel_give(fd, fd, &id), -ENOTSOCK);
	CHECK_INT(fuse_memory_channel_connect(NULL), -EINVAL);
	CHECK_INT(fuse_memory_channel_connect("/nonexistent"), -ENOENT);
	CHECK_INT(fuse_memory_channel_connect("/"), -EOPNOTSUPP);
	CHECK_INT(fuse_channel_connect("relative"), -EPROTO);
	CHECK_INT(fuse_channel_connect("/nonexistent/socket"), -ENOENT);
	CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	CHECK_INT(send(pair[1], "what?", 5, 0), 5);
	CHECK_INT(fuse_memory_channel_give(pair[0], fd, &id), -EPROTO);
	close(pair[1]);
	CHECK_INT(fuse_memory_channel_give(pair[0], fd, &id), -EPIPE);
	CHECK_INT(id, 99);
	close(pair[0]);
	close(fd);
	close(channel);
}

static void test_create(void)
{
	struct stat status;
	int fd;

	CASE("making memory");
	CHECK_INT(fuse_memory_create(0, 0), -EINVAL);
	CHECK_INT(fuse_memory_create(SIZE, 2), -EINVAL);
	CHECK_INT(fuse_memory_create(SIZE_MAX, 0), -EINVAL);
	fd = fuse_memory_create(5000, 0);
	CHECK(fd >= 0);
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	CHECK_INT(fstat(fd, &status), 0);
	CHECK_INT(status.st_size, 5000);
	CHECK_INT(ftruncate(fd, 4999), -1);
	CHECK_INT(ftruncate(fd, 5001), -1);
	close(fd);
}

static void expect_refused(int fd, int error)
{
	int channel = connect_politely();
	uint64_t id;

	CHECK(fd >= 0);
	CHECK_INT(fuse_memory_channel_give(channel, fd, &id), error);
	CHECK_INT(kept, 0);
	give(channel); /* it is as good as before */
	CHECK_INT(kept, 1);
	close(channel);
	WAIT_UNTIL(kept == 0);
	close(fd);
}

static int unsealed(int seals)
{
	int fd = memfd_create("test", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	CHECK_INT(ftruncate(fd, SIZE), 0);
	if (seals)
		CHECK_INT(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void test_wrong_descriptors(void)
{
	char name[] = "test-memory-channel-XXXXXX";
	int before = descriptors();
	int pair[2];
	int fd;

	CASE("descriptors of other things");
	expect_refused(unsealed(0), -EPERM);
	expect_refused(unsealed(F_SEAL_SHRINK), -EPERM);
	expect_refused(unsealed(F_SEAL_GROW | F_SEAL_WRITE), -EPERM);
	expect_refused(memfd_create("test", MFD_CLOEXEC), -EPERM);
	expect_refused(fuse_memory_create(SIZE + 1, 0), -E2BIG);
	expect_refused(open("/", O_RDONLY | O_DIRECTORY), -EOPNOTSUPP);
	expect_refused(open("/dev/zero", O_RDWR), -EOPNOTSUPP);
	expect_refused(open("/proc/self/exe", O_RDONLY), -EOPNOTSUPP);
	expect_refused(open("/proc/self/exe", O_PATH), -EBADF);
	expect_refused(eventfd(0, 0), -EOPNOTSUPP);
	fd = mkstemp(name);
	unlink(name);
	/* A file of tmpfs is memory, too, but one that nobody can seal. */
	expect_refused(fd, fcntl(fd, F_GET_SEALS) < 0 ? -EOPNOTSUPP : -EPERM);
	CHECK_INT(pipe(pair), 0);
	expect_refused(pair[0], -EOPNOTSUPP);
	expect_refused(pair[1], -EOPNOTSUPP);
	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	expect_refused(pair[0], -EOPNOTSUPP);
	close(pair[1]);
	expect_refused(connect_politely(), -EOPNOTSUPP); /* one of its own */
	fd = fuse_memory_create(32 << 20, FUSE_MEMORY_HUGETLB);
	if (fd >= 0)
		expect_refused(fd, -EOPNOTSUPP);
	else
		printf("no huge pages here: %s\n", strerror(-fd));
	refuse_adding = -ENOSPC;
	fd = memory();
	pair[0] = connect_politely();
	CHECK_INT(fuse_memory_channel_give(pair[0], fd, &(uint64_t){ 0 }), -ENOSPC);
	refuse_adding = 0;
	close(pair[0]);
	close(fd);
	WAIT_UNTIL(descriptors() == before);
}

static void test_limits(void)
{
	int clients[MAX_CLIENTS];
	uint64_t ids[MAX_REGIONS];
	uint64_t id;
	int fd = memory();

	CASE("as many pieces as one may give");
	clients[0] = connect_politely();
	for (int i = 0; i < MAX_REGIONS; i++)
		CHECK_INT(fuse_memory_channel_give(clients[0], fd, &ids[i]), 0);
	CHECK_INT(fuse_memory_channel_give(clients[0], fd, &id), -EMFILE);
	CHECK_INT(fuse_memory_channel_take_back(clients[0], ids[1]), 0);
	CHECK_INT(fuse_memory_channel_give(clients[0], fd, &id), 0);
	CHECK_INT(fuse_memory_channel_give(clients[0], fd, &id), -EMFILE);

	CASE("as many clients as there may be");
	for (int i = 1; i < MAX_CLIENTS; i++) {
		clients[i] = connect_politely();
		CHECK(clients[i] >= 0);
	}
	CHECK_INT(connect_politely(), -EUSERS);
	CHECK_INT(connect_politely(), -EUSERS);
	give(clients[MAX_CLIENTS - 1]);
	close(clients[3]);
	clients[3] = -EUSERS;
	WAIT_UNTIL((clients[3] = connect_politely()) != -EUSERS);
	give(clients[3]);
	for (int i = 0; i < MAX_CLIENTS; i++)
		close(clients[i]);
	WAIT_UNTIL(kept == 0);
	close(fd);
}

/* What is sent to a client that has given one piece of memory: it must lose it. */
struct nonsense {
	const char *what;
	struct fuse_channel_message message;
	size_t size;
	size_t fds;
};

static void send_nonsense(const struct nonsense *nonsense, int polite)
{
	char bytes[4 * sizeof(nonsense->message)] = { 0 };
	int before = descriptors();
	int client = connect_rudely();
	int fds[16];

	CASE("nonsense: %s", nonsense->what);
	for (size_t i = 0; i < nonsense->fds; i++)
		fds[i] = memory();
	give(client);
	memcpy(bytes, &nonsense->message, sizeof(nonsense->message));
	send_anything(client, bytes, nonsense->size, fds, nonsense->fds);
	expect_closed(client);
	WAIT_UNTIL(kept == 1); /* the polite one's */
	for (size_t i = 0; i < nonsense->fds; i++)
		close(fds[i]);
	WAIT_UNTIL(descriptors() == before);
	CHECK_INT(fuse_memory_channel_take_back(polite, give(polite)), 0);
}

static void test_nonsense(void)
{
	const size_t size = sizeof(struct fuse_channel_message);
	struct nonsense list[] = {
		{ "magic", proper(FUSE_CHANNEL_GIVE), size, 1 },
		{ "version", proper(FUSE_CHANNEL_TAKE_BACK), size, 0 },
		{ "unused part", proper(FUSE_CHANNEL_TAKE_BACK), size, 0 },
		{ "empty", proper(FUSE_CHANNEL_GIVE), 0, 0 },
		{ "empty but for a descriptor", proper(FUSE_CHANNEL_GIVE), 0, 1 },
		{ "one byte", proper(FUSE_CHANNEL_GIVE), 1, 1 },
		{ "too short", proper(FUSE_CHANNEL_GIVE), size - 1, 1 },
		{ "too long", proper(FUSE_CHANNEL_GIVE), size + 1, 1 },
		{ "far too long", proper(FUSE_CHANNEL_GIVE), 4 * size, 1 },
		{ "no descriptor", proper(FUSE_CHANNEL_GIVE), size, 0 },
		{ "two descriptors", proper(FUSE_CHANNEL_GIVE), size, 2 },
		{ "sixteen descriptors", proper(FUSE_CHANNEL_GIVE), size, 16 },
		{ "taking back with one", proper(FUSE_CHANNEL_TAKE_BACK), size, 1 },
		{ "a server's words", proper(FUSE_CHANNEL_WELCOME), size, 0 },
		{ "a server's answer", proper(FUSE_CHANNEL_DONE), size, 1 },
		{ "no kind", proper(0), size, 0 },
		{ "unknown kind", proper(77), size, 1 },
	};
	int polite = connect_politely();

	give(polite);
	list[0].message.magic++;
	list[1].message.version++;
	list[2].message.unused = 1;
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		send_nonsense(&list[i], polite);
	close(polite);
	WAIT_UNTIL(kept == 0);
}

static void test_deaf_client(void)
{
	struct fuse_channel_message message = proper(FUSE_CHANNEL_TAKE_BACK);
	int polite = connect_politely();
	int client = connect_rudely();
	int sent = 0;

	CASE("one who never reads answers");
	give(client);
	give(polite);
	CHECK_INT(kept, 2);
	while (send(client, &message, sizeof(message), MSG_NOSIGNAL) > 0)
		CHECK(++sent < 1000000);
	CHECK(errno == EPIPE || errno == ECONNRESET);
	WAIT_UNTIL(kept == 1);
	give(polite);
	close(client);
	close(polite);
	WAIT_UNTIL(kept == 0);
}

/* Sends and receives as fast as it can, until it is told to stop. */
static _Atomic bool enough;

static void *flood(void *data)
{
	int client = connect_politely();

	CHECK(client >= 0);
	while (!enough)
		CHECK_INT(fuse_memory_channel_take_back(client, 1ull << 60), -ENOENT);
	close(client);
	return NULL;
}

static void test_flood(void)
{
	pthread_t threads[3];
	int polite;

	CASE("those who never cease to ask");
	enough = false;
	for (int i = 0; i < 3; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, flood, NULL), 0);
	polite = connect_politely();
	CHECK(polite >= 0);
	for (int i = 0; i < 200; i++)
		CHECK_INT(fuse_memory_channel_take_back(polite, give(polite)), 0);
	enough = true;
	for (int i = 0; i < 3; i++)
		CHECK_INT(pthread_join(threads[i], NULL), 0);
	close(polite);
}

static void test_going_away(void)
{
	struct fuse_channel_message message = proper(FUSE_CHANNEL_GIVE);
	int before = descriptors();
	int fd = memory();
	int client;

	CASE("gone before the welcome");
	for (int i = 0; i < 100; i++)
		close(knock());

	CASE("gone before the answer");
	for (int i = 0; i < 100; i++) {
		/* The room of one that has left may not have been made free yet. */
		while ((client = connect_politely()) == -EUSERS)
			pause_a_bit();
		send_anything(client, &message, sizeof(message), &fd, 1);
		close(client);
	}
	close(fd);
	WAIT_UNTIL(kept == 0 && descriptors() == before);

	CASE("a thousand connections");
	for (int i = 0; i < 1000; i++) {
		while ((client = connect_politely()) == -EUSERS)
			pause_a_bit();
		CHECK(client >= 0);
		if (i % 4 == 0)
			give(client);
		close(client);
	}
	WAIT_UNTIL(kept == 0 && descriptors() == before);
}

static void test_killed(void)
{
	int ready[2];
	char byte;
	pid_t child;

	CASE("a client is killed");
	CHECK_INT(pipe(ready), 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		int client = connect_politely();

		give(client);
		give(client);
		CHECK_INT(write(ready[1], "", 1), 1);
		pause();
		_exit(1);
	}
	CHECK_INT(read(ready[0], &byte, 1), 1);
	CHECK_INT(kept, 2);
	CHECK_INT(last_pid, child);
	kill(child, SIGKILL);
	CHECK_INT(waitpid(child, NULL, 0), child);
	WAIT_UNTIL(kept == 0);
	close(ready[0]);
	close(ready[1]);
}

static void test_not_allowed(void)
{
	CASE("not allowed");
	verdict = -EACCES;
	CHECK_INT(connect_politely(), -EACCES);
	verdict = -EPERM;
	CHECK_INT(connect_politely(), -EPERM);
	verdict = 5; /* no errno */
	CHECK_INT(connect_politely(), -EACCES);
	verdict = -5000;
	CHECK_INT(connect_politely(), -EACCES);
	verdict = 0;
	close(connect_politely());
}

/* Runs as another user, in a child; returns how many connections that got. */
static int connections_of_stranger(void)
{
	int count = 0;
	int status;
	pid_t child = fork();

	CHECK(child >= 0);
	if (child == 0) {
		CHECK_INT(setresgid(STRANGER + 1, STRANGER + 1, STRANGER + 1), 0);
		CHECK_INT(setresuid(STRANGER, STRANGER, STRANGER), 0);
		while (connect_politely() >= 0)
			count++;
		_exit(count);
	}
	CHECK_INT(waitpid(child, &status, 0), child);
	CHECK(WIFEXITED(status));
	CHECK_INT(last_uid, STRANGER);
	CHECK_INT(last_gid, STRANGER + 1);
	return WEXITSTATUS(status);
}

static void test_strangers(void)
{
	int own[MAX_CLIENTS];

	CASE("another user");
	CHECK_INT(getuid(), 0); /* these tests are root's */
	CHECK_INT(connections_of_stranger(), MAX_CLIENTS / 2);
	verdict = -EACCES;
	CHECK_INT(connections_of_stranger(), 0);
	verdict = 0;
	for (int i = 0; i < MAX_CLIENTS; i++)
		WAIT_UNTIL((own[i] = connect_politely()) >= 0);
	CHECK_INT(connections_of_stranger(), 0);
	for (int i = 0; i < MAX_CLIENTS; i++)
		close(own[i]);
}

static double cpu_seconds(void)
{
	return (double)clock() / CLOCKS_PER_SEC;
}

/* The number that the next descriptor would get becomes the first one that is not allowed. */
static struct rlimit forbid_descriptors(void)
{
	struct rlimit former, none;
	int next = dup(0);

	CHECK(next > 0);
	close(next);
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &former), 0);
	none = (struct rlimit){ .rlim_cur = (rlim_t)next, .rlim_max = former.rlim_max };
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &none), 0);
	return former;
}

static void test_no_descriptors_left(void)
{
	struct fuse_channel_message message = proper(FUSE_CHANNEL_GIVE);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int client = connect_rudely();
	int fd = memory();
	struct rlimit former;
	struct pollfd answer;
	double before;
	int late;

	CASE("no descriptors left");
	former = forbid_descriptors();
	send_anything(client, &message, sizeof(message), &fd, 1);
	CHECK_INT(receive(client, FUSE_CHANNEL_DONE).error, -EMFILE);
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &former), 0);
	give(client);

	strcpy(address.sun_path, fuse_channel_server_path(server));
	late = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	former = forbid_descriptors();
	CHECK_INT(connect(late, (void *)&address, sizeof(address)), 0);
	answer = (struct pollfd){ .fd = late, .events = POLLIN };
	before = cpu_seconds();
	CHECK_INT(poll(&answer, 1, 400), 0);
	CHECK(cpu_seconds() - before < 0.2); /* nobody has tried all the time */
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &former), 0);
	CHECK_INT(receive(late, FUSE_CHANNEL_WELCOME).error, 0);
	close(late);
	close(client);
	close(fd);
	WAIT_UNTIL(kept == 0);
}

static void test_place(void)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct stat status;

	CASE("the folder and the socket");
	strcpy(path, fuse_channel_server_path(server));
	CHECK(path[0] == '/');
	CHECK_INT(stat(path, &status), 0);
	CHECK(S_ISSOCK(status.st_mode));
	CHECK_INT(status.st_mode & 07777, 0666);
	*strrchr(path, '/') = '\0';
	CHECK_INT(stat(path, &status), 0);
	CHECK_INT(status.st_mode & 07777, 0711);
	CHECK_INT(status.st_uid, geteuid());
}

static bool is_below(const char *folder, bool for_others)
{
	struct fuse_channel_config config = usual;
	size_t length = strlen(folder);
	bool below;

	config.for_others = for_others;
	CHECK_INT(fuse_channel_server_new(&server, &config), 0);
	below = strncmp(fuse_channel_server_path(server), folder, length) == 0 &&
		fuse_channel_server_path(server)[length] == '/';
	end();
	return below;
}

/* Runs as another user. */
static void look_for_places(char *folder)
{
	char longer[200] = { 0 };

	CHECK_INT(setenv("XDG_RUNTIME_DIR", folder, 1), 0);
	CHECK(is_below(folder, false));
	CHECK(!is_below(folder, true)); /* they would not reach it */
	CHECK(is_below("/tmp", true));
	CHECK_INT(chmod(folder, 0777), 0); /* anybody could put something else there */
	CHECK(!is_below(folder, false));
	CHECK_INT(chmod(folder, 01777), 0);
	CHECK(is_below(folder, false));
	CHECK_INT(chmod(folder, 0500), 0); /* nothing can be made in it */
	CHECK(is_below("/tmp", false));
	memset(longer, '/', sizeof(longer) - 1);
	CHECK_INT(setenv("XDG_RUNTIME_DIR", longer, 1), 0); /* a good one, but too long */
	CHECK(is_below("/tmp", false));
	CHECK_INT(setenv("XDG_RUNTIME_DIR", "tmp", 1), 0);
	CHECK(is_below("/tmp", false));
	CHECK_INT(unsetenv("XDG_RUNTIME_DIR"), 0);
	CHECK(is_below("/tmp", false));
}

static void test_places(void)
{
	char folder[] = "/tmp/test-memory-channel-XXXXXX";
	int status;
	pid_t child;

	CASE("places for the socket");
	CHECK(mkdtemp(folder));
	CHECK_INT(chown(folder, STRANGER, STRANGER), 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK_INT(setresgid(STRANGER, STRANGER, STRANGER), 0);
		CHECK_INT(setresuid(STRANGER, STRANGER, STRANGER), 0);
		look_for_places(folder);
		_exit(0);
	}
	CHECK_INT(waitpid(child, &status, 0), child);
	CHECK_INT(status, 0);
	CHECK_INT(rmdir(folder), 0);
}

static void test_ends(void)
{
	int before = descriptors();
	uint64_t id;
	int client, fd;

	CASE("an end that finds clients");
	begin(&usual);
	client = connect_politely();
	give(client);
	CHECK_INT(kept, 1);
	end();
	fd = memory();
	CHECK_INT(fuse_memory_channel_give(client, fd, &id), -EPIPE);
	CHECK_INT(fuse_memory_channel_take_back(client, 1), -EPIPE);
	close(fd);
	close(client);
	CHECK_INT(descriptors(), before);

	CASE("an end without a beginning");
	CHECK_INT(fuse_channel_server_new(&server, &usual), 0);
	client = knock();
	end();
	expect_closed(client);
	fuse_channel_server_free(NULL);

	CASE("a late beginning");
	CHECK_INT(fuse_channel_server_new(&server, &usual), 0);
	client = knock();
	CHECK_INT(fuse_channel_server_start(server), 0);
	CHECK_INT(receive(client, FUSE_CHANNEL_WELCOME).error, 0);
	close(client);
	end();
	CHECK_INT(descriptors(), before);
}

static void test_huge(void)
{
	struct fuse_channel_config config = usual;
	uint64_t id;
	int fd = fuse_memory_create(2 << 20, FUSE_MEMORY_HUGETLB);
	int client;

	CASE("huge pages, where they are welcome");
	if (fd < 0) {
		printf("no huge pages here: %s\n", strerror(-fd));
		return;
	}
	config.hugetlb = true;
	config.max_bytes = 2 << 20;
	begin(&config);
	client = connect_politely();
	CHECK_INT(fuse_memory_channel_give(client, fd, &id), 0);
	CHECK_INT(kept, 1);
	close(client);
	close(fd);
	end();
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	CHECK(file);
	CHECK(fputs(text, file) >= 0);
	CHECK_INT(fclose(file), 0);
}

static void test_rationed(void)
{
	struct fuse_channel_config config = usual;
	char path[] = "/tmp/fuse-overcommit-XXXXXX";
	uint64_t id;
	int fd = mkstemp(path);
	int client, given;

	CASE("memory is not taken where there may be no page to fill a hole in it");
	CHECK(fd >= 0);
	close(fd);
	config.overcommit = path;
	begin(&config);
	client = connect_politely();
	given = memory();
	write_file(path, "2\n");
	CHECK_INT(fuse_memory_channel_give(client, given, &id), -EOPNOTSUPP);
	CHECK_INT(kept, 0);

	CASE("it is taken where there is one for sure, or no telling");
	write_file(path, "0\n");
	CHECK_INT(fuse_memory_channel_give(client, given, &id), 0);
	write_file(path, "1\n");
	CHECK_INT(fuse_memory_channel_give(client, given, &id), 0);
	CHECK_INT(unlink(path), 0);
	CHECK_INT(fuse_memory_channel_give(client, given, &id), 0);
	CHECK_INT(kept, 3);
	close(given);
	close(client);
	end();
}

int main(void)
{
	static void (*const tests[])(void) = {
		test_polite,
		test_wrong_calls,
		test_create,
		test_wrong_descriptors,
		test_limits,
		test_nonsense,
		test_deaf_client,
		test_flood,
		test_going_away,
		test_killed,
		test_not_allowed,
		test_strangers,
		test_no_descriptors_left,
		test_place,
	};

	signal(SIGALRM, SIG_DFL);
	alarm(600);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		begin(&usual);
		tests[i]();
		end();
	}
	test_places();
	test_ends();
	test_huge();
	test_rationed();
	return 0;
}
