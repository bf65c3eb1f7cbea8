// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One thread looks after the listening socket and all clients, by turns: in each round at most one
 * message of each. It waits for nobody. A client whose socket is full, or who sends what is no
 * message, is sent away; that and his death are the same, and he loses what he gave.
 *
 * A descriptor from outside may be of any file, and asking it, or closing it, may have to
 * wait for somebody else's server. Only what is known to be memory is handled here;
 * everything else goes to a closer, and its sender's user is not listened to meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "channel/closer.h"
#include "channel/message.h"
#include "channel/place.h"
#include "channel/server.h"
#include "memory/memory.h"
#include "support/clock.h"

/* When a client cannot be accepted, because there are no descriptors left. */
#define PAUSE_MS 100

/* Begins with 2 if memory is promised only as far as there is some. */
#define OVERCOMMIT "/proc/sys/vm/overcommit_memory"

/* A piece of memory that a client has given. */
struct gift {
	struct gift *next;
	uint64_t id;
};

struct client {
	int socket;
	uid_t uid;
	unsigned count; /* of gifts */
	struct gift *gifts;
};

/* Their places in the array that poll() gets; clients follow. */
enum {
	WAKE,
	LISTENER,
	FIRST_CLIENT
};

struct fuse_channel_server {
	struct fuse_channel_config config;
	struct fuse_channel_place place;
	struct fuse_closer *closer;
	int wake; /* an eventfd */
	_Atomic bool stop;
	bool runs;
	pthread_t thread;

	/* The thread's own. */
	unsigned count; /* of clients */
	struct client *clients;
	struct pollfd *polled;
	int64_t deaf_until; /* of fuse_clock() */
};

/* ---- What clients give ---- */

/* Such a question is answered by the kernel at once, whatever the file is. */
static int check_kind(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0)
		return errno == EBADF ? -EBADF : -EOPNOTSUPP;
	return seals;
}

/*
 * Whether no page is had beyond a limit, which root may set at any time. Only a kernel that has no
 * such limit is known not to have set it: clients can use up the descriptors that it takes to look.
 */
static bool memory_is_rationed(const struct fuse_channel_config *config)
{
	const char *path = config->overcommit ? config->overcommit : OVERCOMMIT;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char mode = 0;
	bool rationed;

	if (fd < 0)
		return errno != ENOENT;
	rationed = read(fd, &mode, 1) != 1 || mode == '2';
	close(fd);
	return rationed;
}

/* Of shmem or hugetlbfs, and sealed. */
static int check_memory(const struct fuse_channel_config *config, int fd)
{
	struct statfs kind;
	struct stat status;
	bool huge;

	if (fstatfs(fd, &kind) != 0 || fstat(fd, &status) != 0)
		return -errno;
	huge = (unsigned)kind.f_type == HUGETLBFS_MAGIC;
	/*
	 * Its owner can make holes in it whatever the seals. Where there is no page left to fill
	 * one, a look at it is the end of the server: SIGBUS.
	 */
	if (huge ? !config->hugetlb : memory_is_rationed(config))
		return -EOPNOTSUPP;
	if ((uint64_t)status.st_size > config->max_bytes)
		return -E2BIG;
	return 0;
}

static int add(struct fuse_channel_server *server, struct client *client, int fd,
	       uint64_t *id)
{
	const struct fuse_channel_config *config = &server->config;
	struct gift *gift;
	int error = check_memory(config, fd);

	if (error)
		return error;
	if (client->count == config->max_regions)
		return -EMFILE;
	gift = malloc(sizeof(*gift));
	if (!gift)
		return -ENOMEM;
	error = config->add(config->owner, fd, id);
	if (error) {
		free(gift);
		return error;
	}
	*gift = (struct gift){ .next = client->gifts, .id = *id };
	client->gifts = gift;
	client->count++;
	return 0;
}

/* Takes the descriptor. */
static int take(struct fuse_channel_server *server, struct client *client, int fd,
		uint64_t *id)
{
	int seals = check_kind(fd);
	int error;

	if (seals < 0) {
		fuse_closer_close(server->closer, fd, client->uid);
		return seals;
	}
	error = (seals & FUSE_MEMORY_SEALS) == FUSE_MEMORY_SEALS
			? add(server, client, fd, id)
			: -EPERM;
	close(fd);
	return error;
}

static void remove_gift(struct fuse_channel_server *server, struct client *client,
			struct gift **link)
{
	struct gift *gift = *link;

	*link = gift->next;
	client->count--;
	server->config.remove(server->config.owner, gift->id);
	free(gift);
}

static int give_back(struct fuse_channel_server *server, struct client *client,
		     uint64_t id)
{
	for (struct gift **link = &client->gifts; *link; link = &(*link)->next) {
		if ((*link)->id == id) {
			remove_gift(server, client, link);
			return 0;
		}
	}
	return -ENOENT;
}

/* ---- Clients ---- */

/* The last one takes its place. */
static void send_away(struct fuse_channel_server *server, struct client *client)
{
	while (client->gifts)
		remove_gift(server, client, &client->gifts);
	close(client->socket);
	*client = server->clients[--server->count];
}

/* Returns what to answer, or EPROTO if the message makes no sense. Takes the descriptor. */
static int carry_out(struct fuse_channel_server *server, struct client *client,
		     const struct fuse_channel_message *message, int fd, uint64_t *id)
{
	if (message->kind == FUSE_CHANNEL_GIVE && fd >= 0)
		return take(server, client, fd, id);
	if (fd >= 0)
		fuse_closer_close(server->closer, fd, client->uid);
	else if (message->kind == FUSE_CHANNEL_TAKE_BACK)
		return give_back(server, client, *id);
	return EPROTO;
}

/* One message. False if it was the client's last one. */
static bool listen_to(struct fuse_channel_server *server, struct client *client)
{
	struct fuse_channel_message message;
	uint64_t id;
	int fd, res;

	res = fuse_channel_receive(client->socket, &message, &fd, MSG_DONTWAIT);
	if (res == -EAGAIN)
		return true;
	if (res && fd >= 0)
		fuse_closer_close(server->closer, fd, client->uid);
	if (res && res != -EMFILE)
		return false;
	id = message.id;
	if (!res)
		res = carry_out(server, client, &message, fd, &id);
	return res <= 0 && fuse_channel_send(client->socket, FUSE_CHANNEL_DONE, id, res,
					     -1, MSG_DONTWAIT) == 0;
}

/* Other users than the server's own share the room, so that one of them cannot have it all. */
static bool is_full(const struct fuse_channel_server *server, uid_t uid)
{
	const unsigned max = server->config.max_clients;
	unsigned same = 0;

	if (server->count == max)
		return true;
	if (uid == 0 || uid == geteuid())
		return false;
	for (unsigned i = 0; i < server->count; i++)
		same += server->clients[i].uid == uid;
	return same >= (max + 1) / 2;
}

/* 0 or a negative errno. */
static int judge(const struct fuse_channel_server *server, int socket, uid_t *uid)
{
	const struct fuse_channel_config *config = &server->config;
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int res;

	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
		return -EACCES;
	*uid = peer.uid;
	res = config->allow(config->userdata, peer.pid, peer.uid, peer.gid);
	if (res)
		return res < 0 && res > -4096 ? res : -EACCES;
	return is_full(server, peer.uid) ? -EUSERS : 0;
}

static void accept_client(struct fuse_channel_server *server)
{
	int socket =
		accept4(server->place.socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client client = { .socket = socket };
	int error;

	if (socket < 0) {
		/* He who knocks is heard all the time, but there is no letting him in. */
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			server->deaf_until = fuse_clock() + PAUSE_MS * 1000000;
		return;
	}
	error = judge(server, socket, &client.uid);
	if (fuse_channel_send(socket, FUSE_CHANNEL_WELCOME, 0, error, -1, MSG_DONTWAIT))
		error = -EPIPE;
	if (error)
		close(socket);
	else
		server->clients[server->count++] = client;
}

/* ---- The thread ---- */

static void pause_a_moment(void)
{
	const struct timespec moment = { .tv_nsec = PAUSE_MS * 1000000 };

	nanosleep(&moment, NULL);
}

/* Whoever is not listened to is still noticed when he goes. */
static int prepare(struct fuse_channel_server *server)
{
	struct pollfd *polled = server->polled;
	bool deaf = fuse_clock() < server->deaf_until;

	polled[WAKE] = (struct pollfd){ .fd = server->wake, .events = POLLIN };
	polled[LISTENER] = (struct pollfd){
		.fd = deaf ? -1 : server->place.socket,
		.events = POLLIN,
	};
	for (unsigned i = 0; i < server->count; i++) {
		const struct client *client = &server->clients[i];
		bool waits = fuse_closer_is_busy(server->closer, client->uid);

		polled[FIRST_CLIENT + i] = (struct pollfd){
			.fd = client->socket,
			.events = waits ? 0 : POLLIN,
		};
	}
	return deaf ? PAUSE_MS : -1;
}

/* False if the client has to go. */
static bool serve(struct fuse_channel_server *server, struct client *client, int events)
{
	if (!(events & POLLIN))
		return !events;
	/* Another client of its user has just sent something to be closed. */
	if (fuse_closer_is_busy(server->closer, client->uid))
		return true;
	return listen_to(server, client);
}

/* From the last to the first: who takes the place of one that leaves has had his turn. */
static void serve_clients(struct fuse_channel_server *server)
{
	for (unsigned i = server->count; i-- > 0;) {
		struct client *client = &server->clients[i];

		if (!serve(server, client, server->polled[FIRST_CLIENT + i].revents))
			send_away(server, client);
	}
}

static void *run(void *data)
{
	struct fuse_channel_server *server = data;
	uint64_t count;

	while (!atomic_load(&server->stop)) {
		int timeout = prepare(server);
		int ready = poll(server->polled, FIRST_CLIENT + server->count, timeout);

		if (ready < 0)
			pause_a_moment(); /* no memory, or a new limit */
		if (ready <= 0)
			continue;
		if ((server->polled[WAKE].revents & POLLIN) &&
		    read(server->wake, &count, sizeof(count)) < 0)
			continue; /* somebody has changed its mind */
		serve_clients(server);
		if (server->polled[LISTENER].revents & POLLIN)
			accept_client(server);
	}
	return NULL;
}

int fuse_channel_server_start(struct fuse_channel_server *server)
{
	sigset_t all, former;
	int error;

	/* The program's signal handlers are not to run in this thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &former);
	error = pthread_create(&server->thread, NULL, run, server);
	pthread_sigmask(SIG_SETMASK, &former, NULL);
	server->runs = !error;
	return -error;
}

static void stop(struct fuse_channel_server *server)
{
	const uint64_t one = 1;

	atomic_store(&server->stop, true);
	while (write(server->wake, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	pthread_join(server->thread, NULL);
}

/* ---- New and free ---- */

static void free_server(struct fuse_channel_server *server)
{
	fuse_closer_free(server->closer);
	fuse_channel_place_close(&server->place);
	if (server->wake >= 0)
		close(server->wake);
	free(server->clients);
	free(server->polled);
	free(server);
}

void fuse_channel_server_free(struct fuse_channel_server *server)
{
	if (!server)
		return;
	if (server->runs)
		stop(server);
	while (server->count)
		send_away(server, &server->clients[0]);
	free_server(server);
}

static int set_up(struct fuse_channel_server *server)
{
	const size_t max = server->config.max_clients;

	server->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->wake < 0)
		return -errno;
	server->closer = fuse_closer_new(server->wake);
	server->clients = calloc(max, sizeof(*server->clients));
	server->polled = calloc(FIRST_CLIENT + max, sizeof(*server->polled));
	if (!server->closer || !server->clients || !server->polled)
		return -ENOMEM;
	return fuse_channel_place_open(&server->place, server->config.for_others);
}

int fuse_channel_server_new(struct fuse_channel_server **server,
			    const struct fuse_channel_config *config)
{
	struct fuse_channel_server *made = calloc(1, sizeof(*made));
	int error;

	if (!made)
		return -ENOMEM;
	made->config = *config;
	made->place.socket = -1;
	error = set_up(made);
	if (error)
		free_server(made);
	else
		*server = made;
	return error;
}

const char *fuse_channel_server_path(const struct fuse_channel_server *server)
{
	return server->place.address.sun_path;
}
