// SPDX-License-Identifier: GPL-2.0-only
/*
 * cuse: a character device whose driver is an ordinary program.
 *
 * The device is a queue of bytes: what is written to it is read from it, once, by whoever
 * comes first. Shows reads that wait, and are interrupted; poll(); ioctls whose sizes the
 * kernel can tell, and others for which we say ourselves which memory of the caller they
 * are about.
 *
 * As root, with a kernel that has CONFIG_CUSE:
 *
 *     modprobe cuse
 *     cuse --name=queue
 *     echo hello >/dev/queue
 *     head -n 1 /dev/queue
 *     cuse_client /dev/queue capacity
 *     pkill -f 'cuse --name=queue'
 *
 * --maj=N and --min=N choose the device's number. With --restricted only ioctls work whose
 * number tells what they read and write. -f keeps it in the foreground, -d shows each request
 * and reply, -h lists all options.
 */
#define FUSE_USE_VERSION 318
#include <cuse_lowlevel.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuse.h"

#define DEFAULT_CAPACITY 65536
#define MAX_CAPACITY	 (64u << 20)

/* Somebody has the device open: fi->fh points to it. */
struct client {
	struct client *next;
	struct fuse_pollhandle *poll; /* NULL: it does not wait by poll() */
};

/* A read() that waits. */
struct reader {
	struct reader *next;
	fuse_req_t req;
	size_t size;
	int queued; /* otherwise somebody is about to answer it */
};

/* All of it under the lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *bytes;
static size_t used, capacity = DEFAULT_CAPACITY;
static struct client *clients;
static struct reader *readers; /* the oldest first; none as long as there are bytes */

static struct client *client_of(const struct fuse_file_info *fi)
{
	return (struct client *)(uintptr_t)fi->fh;
}

/* ---- Opening and closing ---- */

static void queue_open(fuse_req_t req, struct fuse_file_info *fi)
{
	struct client *client = calloc(1, sizeof(*client));

	if (!client) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	pthread_mutex_lock(&lock);
	client->next = clients;
	clients = client;
	pthread_mutex_unlock(&lock);
	fi->fh = (uintptr_t)client;
	fuse_reply_open(req, fi);
}

static void queue_release(fuse_req_t req, struct fuse_file_info *fi)
{
	struct client *client = client_of(fi), **link = &clients;

	pthread_mutex_lock(&lock);
	while (*link != client)
		link = &(*link)->next;
	*link = client->next;
	pthread_mutex_unlock(&lock);
	if (client->poll)
		fuse_pollhandle_destroy(client->poll);
	free(client);
	fuse_reply_err(req, 0);
}

/* ---- Waiting ---- */

/* With the lock held. Everybody who waits by poll() looks again. */
static void wake_pollers(void)
{
	for (struct client *client = clients; client; client = client->next) {
		if (!client->poll)
			continue;
		fuse_lowlevel_notify_poll(client->poll);
		fuse_pollhandle_destroy(client->poll);
		client->poll = NULL;
	}
}

static void queue_poll(fuse_req_t req, struct fuse_file_info *fi,
		       struct fuse_pollhandle *ph)
{
	struct client *client = client_of(fi);
	unsigned events = 0;

	pthread_mutex_lock(&lock);
	if (ph && client->poll)
		fuse_pollhandle_destroy(client->poll);
	if (ph)
		client->poll = ph;
	if (used)
		events |= POLLIN | POLLRDNORM;
	if (used < capacity)
		events |= POLLOUT | POLLWRNORM;
	pthread_mutex_unlock(&lock);
	fuse_reply_poll(req, events);
}

/* With the lock held. True if it was there: then it is the caller's to answer. */
static int unqueue(struct reader *reader)
{
	struct reader **link = &readers;

	if (!reader->queued)
		return 0;
	while (*link != reader)
		link = &(*link)->next;
	*link = reader->next;
	reader->queued = 0;
	return 1;
}

/* The reader has got a signal. */
static void interrupt_reader(fuse_req_t req, void *data)
{
	struct reader *reader = data;
	int ours;

	pthread_mutex_lock(&lock);
	ours = unqueue(reader);
	pthread_mutex_unlock(&lock);
	if (!ours)
		return;
	fuse_reply_err(req, EINTR);
	free(reader);
}

/* ---- Reading and writing ---- */

/* With the lock held. Takes up to `size` bytes out, into memory of its own. */
static char *take(size_t size, size_t *taken)
{
	char *data;

	*taken = size < used ? size : used;
	data = malloc(*taken + 1);
	if (!data)
		return NULL;
	memcpy(data, bytes, *taken);
	used -= *taken;
	memmove(bytes, bytes + *taken, used);
	wake_pollers();
	return data;
}

static void reply_taken(fuse_req_t req, char *data, size_t size)
{
	if (data)
		fuse_reply_buf(req, data, size);
	else
		fuse_reply_err(req, ENOMEM);
	free(data);
}

/* There are bytes: they are for those who have waited longest. */
static void serve_readers(void)
{
	pthread_mutex_lock(&lock);
	while (readers && used) {
		struct reader *reader = readers;
		size_t size;
		char *data;

		unqueue(reader);
		data = take(reader->size, &size);
		/*
		 * Nobody calls interrupt_reader() for it after this. It may be waiting
		 * for the lock just now.
		 */
		pthread_mutex_unlock(&lock);
		fuse_req_interrupt_func(reader->req, NULL, NULL);
		reply_taken(reader->req, data, size);
		free(reader);
		pthread_mutex_lock(&lock);
	}
	pthread_mutex_unlock(&lock);
}

static void wait_for_bytes(fuse_req_t req, size_t size)
{
	struct reader *reader = calloc(1, sizeof(*reader)), **end = &readers;

	if (!reader) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	*reader = (struct reader){ .req = req, .size = size };
	/* Before anybody else can see the request, who might answer it. */
	fuse_req_interrupt_func(req, interrupt_reader, reader);
	pthread_mutex_lock(&lock);
	if (fuse_req_interrupted(req)) {
		pthread_mutex_unlock(&lock);
		fuse_req_interrupt_func(req, NULL, NULL);
		fuse_reply_err(req, EINTR);
		free(reader);
		return;
	}
	while (*end)
		end = &(*end)->next;
	*end = reader;
	reader->queued = 1;
	pthread_mutex_unlock(&lock);
	serve_readers(); /* bytes may have come meanwhile */
}

/* The offset counts within one read() of the caller's: devices have no position. */
static void queue_read(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi)
{
	char *data;

	pthread_mutex_lock(&lock);
	if (used || off) {
		data = take(size, &size);
		pthread_mutex_unlock(&lock);
		reply_taken(req, data, size);
		return;
	}
	pthread_mutex_unlock(&lock);
	if (fi->flags & O_NONBLOCK)
		fuse_reply_err(req, EAGAIN);
	else
		wait_for_bytes(req, size);
}

static void queue_write(fuse_req_t req, const char *data, size_t size, off_t off,
			struct fuse_file_info *fi)
{
	size_t taken;

	pthread_mutex_lock(&lock);
	taken = size < capacity - used ? size : capacity - used;
	memcpy(bytes + used, data, taken);
	used += taken;
	if (taken)
		wake_pollers();
	pthread_mutex_unlock(&lock);
	if (taken)
		fuse_reply_write(req, taken);
	else
		fuse_reply_err(req, ENOSPC);
	serve_readers();
}

/* ---- Control ---- */

static int set_capacity(uint32_t wanted)
{
	char *moved;
	int error = 0;

	pthread_mutex_lock(&lock);
	if (wanted == 0 || wanted > MAX_CAPACITY) {
		error = EINVAL;
	} else if (wanted < used) {
		error = EBUSY;
	} else {
		moved = realloc(bytes, wanted);
		if (moved) {
			bytes = moved;
			capacity = wanted;
			wake_pollers();
		} else {
			error = ENOMEM;
		}
	}
	pthread_mutex_unlock(&lock);
	return error;
}

/*
 * How an unrestricted ioctl gets at its argument: the first time we are called there are no
 * buffers, and the answer says what is to be read and to be written where; the second
 * time there are. True if that answer was given.
 */
static int ask_for(fuse_req_t req, void *arg, size_t in, size_t in_has, size_t out,
		   size_t out_has)
{
	const struct iovec in_iov = { .iov_base = arg, .iov_len = in };
	const struct iovec out_iov = { .iov_base = arg, .iov_len = out };

	if (in_has >= in && out_has >= out)
		return 0;
	fuse_reply_ioctl_retry(req, &in_iov, in > 0, &out_iov, out > 0);
	return 1;
}

/* An argument that points to more memory takes a third call. */
static void peek(fuse_req_t req, void *arg, const struct cuse_peek *in, size_t out_has)
{
	const struct iovec in_iov = { .iov_base = arg, .iov_len = sizeof(*in) };
	struct cuse_peek out = *in;
	struct iovec out_iov[] = {
		{ .iov_base = arg, .iov_len = sizeof(out) },
		{ .iov_base = (void *)(uintptr_t)in->buffer, .iov_len = in->size },
	};

	if (in->size > DEFAULT_CAPACITY) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	if (out_has < sizeof(out) + in->size) {
		fuse_reply_ioctl_retry(req, &in_iov, 1, out_iov, in->size ? 2 : 1);
		return;
	}
	pthread_mutex_lock(&lock);
	if (out.size > used)
		out.size = used;
	out_iov[0].iov_base = &out;
	out_iov[1].iov_base = bytes;
	out_iov[1].iov_len = out.size;
	fuse_reply_ioctl_iov(req, 0, out_iov, 2);
	pthread_mutex_unlock(&lock);
}

static void queue_ioctl(fuse_req_t req, int cmd, void *arg, struct fuse_file_info *fi,
			unsigned flags, const void *in, size_t in_size, size_t out_size)
{
	int free_to_ask = flags & FUSE_IOCTL_UNRESTRICTED;
	struct cuse_peek where;
	uint32_t number;
	int error;

	if (flags & FUSE_IOCTL_COMPAT) {
		fuse_reply_err(req, ENOSYS);
		return;
	}
	switch ((unsigned)cmd) {
	case FIONREAD:
	case CUSE_GET_CAPACITY:
		if (free_to_ask && ask_for(req, arg, 0, 0, sizeof(number), out_size))
			return;
		pthread_mutex_lock(&lock);
		number = (uint32_t)(cmd == FIONREAD ? used : capacity);
		pthread_mutex_unlock(&lock);
		if (out_size <
		    sizeof(number)) /* its number does not tell that there is an argument */
			fuse_reply_err(req, ENOTTY);
		else
			fuse_reply_ioctl(req, 0, &number, sizeof(number));
		return;
	case CUSE_SET_CAPACITY:
		if (free_to_ask && ask_for(req, arg, sizeof(number), in_size, 0, 0))
			return;
		memcpy(&number, in, sizeof(number));
		error = set_capacity(number);
		if (error)
			fuse_reply_err(req, error);
		else
			fuse_reply_ioctl(req, 0, NULL, 0);
		return;
	case CUSE_PEEK:
		if (!free_to_ask)
			break;
		if (ask_for(req, arg, sizeof(where), in_size, 0, 0))
			return;
		memcpy(&where, in, sizeof(where));
		peek(req, arg, &where, out_size);
		return;
	}
	fuse_reply_err(req, ENOTTY);
}

static const struct cuse_lowlevel_ops operations = {
	.open = queue_open,
	.release = queue_release,
	.read = queue_read,
	.write = queue_write,
	.poll = queue_poll,
	.ioctl = queue_ioctl,
};

struct options {
	unsigned major, minor;
	char *name;
	int restricted, help;
};

#define OPTION(templ, member)                              \
	{                                                  \
		templ, offsetof(struct options, member), 1 \
	}
static const struct fuse_opt table[] = {
	OPTION("--maj=%u", major),
	OPTION("--min=%u", minor),
	OPTION("--name=%s", name),
	OPTION("--restricted", restricted),
	OPTION("-h", help),
	OPTION("--help", help),
	FUSE_OPT_KEY("-h", FUSE_OPT_KEY_KEEP), /* the library has something to say, too */
	FUSE_OPT_KEY("--help", FUSE_OPT_KEY_KEEP),
	FUSE_OPT_END,
};

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct options options = { .major = 0 };
	char name[256] = "DEVNAME=queue";
	const char *info[] = { name };
	struct cuse_info device = { .dev_info_argc = 1, .dev_info_argv = info };
	int status = 1;

	if (fuse_opt_parse(&args, &options, table, NULL) != 0)
		return 1;
	if (options.help)
		printf("    --name=NAME            the device is /dev/NAME (queue)\n"
		       "    --maj=N, --min=N       its number (chosen by the kernel)\n"
		       "    --restricted           only ioctls whose number tells their size\n\n");
	if (options.name)
		snprintf(name, sizeof(name), "DEVNAME=%s", options.name);
	device.dev_major = options.major;
	device.dev_minor = options.minor;
	device.flags = options.restricted ? 0 : CUSE_UNRESTRICTED_IOCTL;
	bytes = malloc(capacity);
	if (bytes)
		status = cuse_lowlevel_main(args.argc, args.argv, &device, &operations,
					    NULL);
	free(bytes);
	free(options.name);
	fuse_opt_free_args(&args);
	return status;
}
