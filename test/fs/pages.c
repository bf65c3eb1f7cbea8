// SPDX-License-Identifier: GPL-2.0-only
/*
 * pages: a filesystem of what has pages beside reads and writes: directories, links and
 * ioctls, answered rightly, wrongly, late and never. In its root, which lists nothing:
 *
 *   dir-N        lists N names of 255 bytes
 *   dir-slow     the same with 3 names, one in each answer, by another thread
 *   dir-error    a listing fails with EIO
 *   dir-long     answers with more than it was asked for
 *   dir-waits    does not answer before it is interrupted
 *   link-N       a symlink of N bytes
 *   link-slow, link-error, link-waits
 *   file         for ioctls, see `enum command`
 *   report       read: how often each handler was called
 *   waiting      read: how many requests wait
 *
 * The kernel may remember none of it.
 */
#include "../../example/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define NAME_SIZE 255
#define LATE_MS	  20

/* Of type 'P', with any size; the answer's data are of that size but for SHORT and LONG. */
enum command {
	ADD_ONE,     /* to each byte; 3 for a result */
	SHORT,	     /* the first half of the bytes that came */
	NOTHING,     /* 5 for a result */
	LONG,	     /* 8 bytes more than there is room for */
	FAIL,	     /* EOVERFLOW */
	RETRY,	     /* asks for memory that is not granted */
	WAIT,	     /* until it is interrupted */
	SLOW,	     /* ADD_ONE in another thread */
	SUM,	     /* of the bytes, as the result */
	COUNT_BYTES, /* 0, 1, ..., 255, 0, ... */
};

/* A node's number says of which kind it is and how it behaves. */
enum kind {
	ROOT,
	DIRECTORY,
	LINK,
	IN_DIRECTORY,
	FILE_OF_IOCTLS,
	REPORT,
	WAITING
};

#define BEHAVIOUR_BITS 32
#define ERROR	       0xfffffff0U
#define OVERLONG       0xfffffff1U
#define WAITS	       0xfffffff2U
#define IN_PIECES      0xfffffff3U

static struct {
	char *reply;
	int plus;
} options;

static const struct fuse_opt option_specs[] = {
	{ "reply=%s", offsetof(__typeof__(options), reply), 0 },
	{ "plus", offsetof(__typeof__(options), plus), 1 },
	FUSE_OPT_END,
};

static const char help[] =
	"    -o reply=HOW           listings as: buf, iov, data, payload (buf)\n"
	"    -o plus                readdirplus() instead of readdir()\n";

/* What handlers have seen. An ioctl has a page even if it has no data. */
static struct {
	_Atomic unsigned readdir, readdirplus, readlink, ioctl;
} seen;

/* ---- Nodes ---- */

static fuse_ino_t number_of(enum kind kind, unsigned behaviour)
{
	if (kind == ROOT)
		return FUSE_ROOT_ID;
	return (fuse_ino_t)kind << BEHAVIOUR_BITS | behaviour;
}

static enum kind kind_of(fuse_ino_t ino)
{
	return (enum kind)(ino >> BEHAVIOUR_BITS);
}

static unsigned behaviour_of(fuse_ino_t ino)
{
	return (unsigned)ino;
}

static struct stat attr_of(fuse_ino_t ino)
{
	struct stat attr = { .st_ino = ino, .st_nlink = 1 };

	switch (kind_of(ino)) {
	case ROOT:
	case DIRECTORY:
		attr.st_mode = S_IFDIR | 0755;
		break;
	case LINK:
		attr.st_mode = S_IFLNK | 0777;
		break;
	default:
		attr.st_mode = S_IFREG | 0666;
	}
	return attr;
}

static bool behaviour_named(const char *text, unsigned *behaviour)
{
	char *end;

	if (strcmp(text, "error") == 0)
		*behaviour = ERROR;
	else if (strcmp(text, "long") == 0)
		*behaviour = OVERLONG;
	else if (strcmp(text, "waits") == 0)
		*behaviour = WAITS;
	else if (strcmp(text, "slow") == 0)
		*behaviour = IN_PIECES;
	else
		*behaviour = (unsigned)strtoul(text, &end, 10);
	return *behaviour >= ERROR || *end == '\0';
}

static fuse_ino_t find(const char *name)
{
	unsigned behaviour;

	if (strcmp(name, "file") == 0)
		return number_of(FILE_OF_IOCTLS, 0);
	if (strcmp(name, "report") == 0)
		return number_of(REPORT, 0);
	if (strcmp(name, "waiting") == 0)
		return number_of(WAITING, 0);
	if (strncmp(name, "dir-", 4) == 0 && behaviour_named(name + 4, &behaviour))
		return number_of(DIRECTORY, behaviour);
	if (strncmp(name, "link-", 5) == 0 && behaviour_named(name + 5, &behaviour))
		return number_of(LINK, behaviour);
	return 0;
}

static void pages_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = { .ino = 0 };

	if (parent == FUSE_ROOT_ID)
		e.ino = find(name);
	else if (kind_of(parent) == DIRECTORY)
		e.ino = number_of(IN_DIRECTORY, (unsigned)strtoul(name, NULL, 10));
	e.attr = attr_of(e.ino);
	if (e.ino)
		fuse_reply_entry(req, &e);
	else
		fuse_reply_err(req, ENOENT);
}

static void pages_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr = attr_of(ino);

	fuse_reply_attr(req, &attr, 0);
}

/* ---- Answers ---- */

static void reply_in_pieces(fuse_req_t req, char *data, size_t size)
{
	struct iovec pieces[2] = {
		{ .iov_base = data, .iov_len = size / 3 },
		{ .iov_base = data + size / 3, .iov_len = size - size / 3 },
	};

	fuse_reply_iov(req, pieces, 2);
}

/* Out of a file. */
static void reply_by_descriptor(fuse_req_t req, const char *data, size_t size)
{
	struct fuse_bufvec vector = FUSE_BUFVEC_INIT(size);
	int fd = memfd_create("data", MFD_CLOEXEC);

	vector.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	vector.buf[0].fd = fd;
	vector.buf[0].pos = 100;
	if (fd < 0 || pwrite(fd, data, size, 100) != (ssize_t)size)
		fuse_reply_err(req, EIO);
	else
		fuse_reply_data(req, &vector, 0);
	if (fd >= 0)
		close(fd);
}

/* Where it will leave from, if there is such a place. */
static void reply_in_place(fuse_req_t req, char *data, size_t size)
{
	char *place;
	size_t room;

	if (fuse_req_get_payload(req, &place, &room, NULL) == 0 && size <= room)
		data = memcpy(place, data, size);
	fuse_reply_buf(req, data, size);
}

static void reply_bytes(fuse_req_t req, char *data, size_t size)
{
	if (strcmp(options.reply, "iov") == 0)
		reply_in_pieces(req, data, size);
	else if (strcmp(options.reply, "data") == 0 && size)
		reply_by_descriptor(req, data, size);
	else if (strcmp(options.reply, "payload") == 0)
		reply_in_place(req, data, size);
	else
		fuse_reply_buf(req, data, size);
}

/* ---- Requests that are answered by another thread ---- */

struct held {
	struct held *next;
	fuse_req_t req;
	bool waits; /* to be interrupted; the others are answered soon */
	void (*answer)(struct held *held);
	/* What that needs. */
	fuse_ino_t ino;
	size_t size;
	off_t off;
	char *data;
};

static struct {
	pthread_mutex_t lock;
	struct held *first;
	unsigned waiting;
	bool ending;
	pthread_t thread;
} helds = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void hold(const struct held *what)
{
	struct held *held = malloc(sizeof(*held));

	if (!held) {
		free(what->data);
		fuse_reply_err(what->req, ENOMEM);
		return;
	}
	*held = *what;
	pthread_mutex_lock(&helds.lock);
	held->next = helds.first;
	helds.first = held;
	helds.waiting += held->waits;
	pthread_mutex_unlock(&helds.lock);
}

static void answer_held(struct held *held)
{
	if (held->waits)
		fuse_reply_err(held->req, EINTR);
	else
		held->answer(held);
	free(held->data);
	free(held);
}

/* Those whose time has come; all of them in the end. Returns whether it is the end. */
static bool take_due(struct held **due)
{
	struct held **link = &helds.first;
	bool ending;

	*due = NULL;
	pthread_mutex_lock(&helds.lock);
	ending = helds.ending;
	while (*link) {
		struct held *held = *link;

		if (held->waits && !ending && !fuse_req_interrupted(held->req)) {
			link = &held->next;
			continue;
		}
		*link = held->next;
		helds.waiting -= held->waits;
		held->next = *due;
		*due = held;
	}
	pthread_mutex_unlock(&helds.lock);
	return ending;
}

static void *answer_late(void *unused)
{
	const struct timespec pause = { .tv_nsec = LATE_MS * 1000000L };
	struct held *due, *next;
	bool ending;

	do {
		nanosleep(&pause, NULL);
		ending = take_due(&due);
		for (; due; due = next) {
			next = due->next;
			answer_held(due);
		}
	} while (!ending);
	return NULL;
}

/* ---- Directories ---- */

static size_t add_name(fuse_req_t req, char *at, size_t room, unsigned index)
{
	struct fuse_entry_param e = { .ino = number_of(IN_DIRECTORY, index) };
	char name[NAME_SIZE + 1];
	int digits = snprintf(name, sizeof(name), "%u-", index);

	memset(name + digits, 'n', (size_t)(NAME_SIZE - digits));
	name[NAME_SIZE] = '\0';
	e.attr = attr_of(e.ino);
	if (options.plus)
		return fuse_add_direntry_plus(req, at, room, name, &e, (off_t)index + 1);
	return fuse_add_direntry(req, at, room, name, &e.attr, (off_t)index + 1);
}

static void list(fuse_req_t req, unsigned from, unsigned to, size_t size)
{
	char *buffer = malloc(size ? size : 1);
	size_t used = 0;

	if (!buffer) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	for (; from < to; from++) {
		size_t need = add_name(req, buffer + used, size - used, from);

		if (need > size - used)
			break;
		used += need;
	}
	reply_bytes(req, buffer, used);
	free(buffer);
}

static void list_held(struct held *held)
{
	unsigned from = (unsigned)held->off;

	list(held->req, from, from < 3 ? from + 1 : 3, held->size);
}

static void reply_overlong(fuse_req_t req, size_t size)
{
	char *data = calloc(1, size + 8);

	if (data)
		reply_bytes(req, data, size + 8);
	else
		fuse_reply_err(req, ENOMEM);
	free(data);
}

static void answer_listing(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off)
{
	switch (behaviour_of(ino)) {
	case ERROR:
		fuse_reply_err(req, EIO);
		break;
	case OVERLONG:
		reply_overlong(req, size);
		break;
	case WAITS:
		hold(&(struct held){ .req = req, .waits = true });
		break;
	case IN_PIECES:
		hold(&(struct held){
			.req = req, .size = size, .off = off, .answer = list_held });
		break;
	default:
		list(req, (unsigned)off,
		     kind_of(ino) == DIRECTORY ? behaviour_of(ino) : 0, size);
	}
}

static void pages_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			  struct fuse_file_info *fi)
{
	seen.readdir++;
	answer_listing(req, ino, size, off);
}

static void pages_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			      struct fuse_file_info *fi)
{
	seen.readdirplus++;
	answer_listing(req, ino, size, off);
}

/* ---- Links ---- */

static void reply_link(fuse_req_t req, size_t size)
{
	char *text = malloc(size + 1);

	if (!text) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	for (size_t i = 0; i < size; i++)
		text[i] = (char)('a' + i % 26);
	text[size] = '\0';
	fuse_reply_readlink(req, text);
	free(text);
}

static void link_held(struct held *held)
{
	reply_link(held->req, 1000);
}

static void pages_readlink(fuse_req_t req, fuse_ino_t ino)
{
	seen.readlink++;
	switch (behaviour_of(ino)) {
	case ERROR:
		fuse_reply_err(req, EIO);
		break;
	case WAITS:
		hold(&(struct held){ .req = req, .waits = true });
		break;
	case IN_PIECES:
		hold(&(struct held){ .req = req, .answer = link_held });
		break;
	default:
		reply_link(req, behaviour_of(ino));
	}
}

/* ---- Ioctls ---- */

static void add_one(char *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		data[i]++;
}

static void add_one_held(struct held *held)
{
	add_one(held->data, held->size);
	fuse_reply_ioctl(held->req, 3, held->data, held->size);
}

static int sum(const unsigned char *data, size_t size)
{
	int total = 0;

	for (size_t i = 0; i < size; i++)
		total += data[i];
	return total;
}

static void count_bytes(fuse_req_t req, char *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		data[i] = (char)i;
	fuse_reply_ioctl(req, 0, data, size);
}

static void retry(fuse_req_t req, void *arg)
{
	struct iovec memory[4] = { { arg, 8 }, { arg, 8 }, { arg, 8 }, { arg, 8 } };

	fuse_reply_ioctl_retry(req, memory, 4, memory, 4);
}

static void pages_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
			struct fuse_file_info *fi, unsigned flags, const void *in,
			size_t in_size, size_t out_size)
{
	size_t larger = in_size > out_size ? in_size : out_size;
	char *data = calloc(1, larger + 8);

	seen.ioctl++;
	if (!data || _IOC_TYPE(cmd) != 'P') {
		free(data);
		fuse_reply_err(req, ENOTTY);
		return;
	}
	if (in_size)
		memcpy(data, in, in_size);
	switch ((enum command)_IOC_NR(cmd)) {
	case ADD_ONE:
		add_one(data, larger);
		fuse_reply_ioctl(req, 3, data, larger);
		break;
	case SHORT:
		fuse_reply_ioctl(req, 0, data, larger / 2);
		break;
	case NOTHING:
		fuse_reply_ioctl(req, 5, NULL, 0);
		break;
	case LONG:
		fuse_reply_ioctl(req, 0, data, out_size + 8);
		break;
	case FAIL:
		fuse_reply_err(req, EOVERFLOW);
		break;
	case RETRY:
		retry(req, arg);
		break;
	case WAIT:
		hold(&(struct held){ .req = req, .waits = true });
		break;
	case SLOW:
		hold(&(struct held){ .req = req,
				     .data = data,
				     .size = larger,
				     .answer = add_one_held });
		return;
	case SUM:
		fuse_reply_ioctl(req, sum((unsigned char *)data, in_size), NULL, 0);
		break;
	case COUNT_BYTES:
		count_bytes(req, data, out_size);
		break;
	default:
		fuse_reply_err(req, ENOTTY);
	}
	free(data);
}

/* ---- What it tells ---- */

static void pages_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fi->direct_io = 1;
	fuse_reply_open(req, fi);
}

static void pages_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	char text[256];
	int length;

	pthread_mutex_lock(&helds.lock);
	if (kind_of(ino) == WAITING)
		length = snprintf(text, sizeof(text), "%u\n", helds.waiting);
	else
		length = snprintf(text, sizeof(text),
				  "readdir %u\nreaddirplus %u\nreadlink %u\nioctl %u\n",
				  seen.readdir, seen.readdirplus, seen.readlink,
				  seen.ioctl);
	pthread_mutex_unlock(&helds.lock);
	if (off >= length)
		length = 0;
	fuse_reply_buf(req, text, (size_t)length);
}

/* ---- Beginning and end ---- */

static void pages_init(void *userdata, struct fuse_conn_info *conn)
{
	fuse_unset_feature_flag(conn, FUSE_CAP_READDIRPLUS_AUTO);
}

static int started(struct fuse_session *se)
{
	return pthread_create(&helds.thread, NULL, answer_late, NULL);
}

static void loop_ended(struct fuse_session *se)
{
	pthread_mutex_lock(&helds.lock);
	helds.ending = true;
	pthread_mutex_unlock(&helds.lock);
	pthread_join(helds.thread, NULL);
}

int main(int argc, char **argv)
{
	struct fuse_lowlevel_ops operations = {
		.init = pages_init,
		.lookup = pages_lookup,
		.getattr = pages_getattr,
		.readdir = pages_readdir,
		.readdirplus = pages_readdirplus,
		.readlink = pages_readlink,
		.open = pages_open,
		.read = pages_read,
		.ioctl = pages_ioctl,
	};
	const struct program program = {
		.help = help,
		.operations = &operations,
		.started = started,
		.loop_ended = loop_ended,
	};
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	int status = 1;

	options.reply = strdup("buf");
	if (options.reply && fuse_opt_parse(&args, &options, option_specs, NULL) == 0) {
		if (!options.plus)
			operations.readdirplus = NULL;
		status = serve(&args, &program);
	}
	free(options.reply);
	fuse_opt_free_args(&args);
	return status;
}
