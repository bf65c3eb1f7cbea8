// SPDX-License-Identifier: GPL-2.0-only
/*
 * notify_prune: a filesystem that has memory for so many inodes, and no more.
 *
 * As long as the kernel remembers an inode the filesystem has to, and the kernel remembers
 * what it has once seen until it needs the memory itself, or for ever. A filesystem
 * for which each inode is expensive, an open descriptor, say, can ask it to forget some
 * earlier. Those that are open or otherwise in use stay.
 *
 *     notify_prune --keep=100 MOUNTPOINT
 *     stat MOUNTPOINT/{1..1000} >/dev/null
 *     sleep 1; cat MOUNTPOINT/report
 *     fusermount3 -u MOUNTPOINT
 *
 * There are files with the names 1 to 100000. "report" says how many of them the kernel
 * remembers, and how many it has remembered at most. Needs Linux 6.18; on an older kernel the
 * filesystem says so once and goes on.
 */
#include "ticker.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES	    100000
#define REPORT	    2
#define FIRST	    1000 /* the inode number of file 0, which there is not */
#define TIMEOUT	    86400.0
#define REPORT_MOST 100
#define BATCH	    1000 /* in one message */

static struct {
	double interval;
	unsigned keep;
} options = { .interval = 0.2, .keep = 1000 };

/*
 * All of it under the lock. An inode that is known is in a ring, with those that have been looked
 * up least recently at its beginning.
 */
struct node {
	struct node *next, *previous;
	fuse_ino_t ino;
	uint64_t lookups;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct node *nodes[FILES + 1]; /* NULL: the kernel does not know it */
static struct node ring = { .next = &ring, .previous = &ring };
static unsigned known, most;

static void unlink_node(struct node *node)
{
	node->previous->next = node->next;
	node->next->previous = node->previous;
}

static void append_node(struct node *node)
{
	node->next = &ring;
	node->previous = ring.previous;
	ring.previous->next = node;
	ring.previous = node;
}

static int is_file(fuse_ino_t ino)
{
	return ino > FIRST && ino <= FIRST + FILES;
}

/* 0 if there is none */
static fuse_ino_t ino_of(const char *name)
{
	char *end;
	unsigned long number = strtoul(name, &end, 10);

	if (name[0] < '1' || name[0] > '9' || *end || number > FILES)
		return 0;
	return FIRST + number;
}

/* Returns 0 if there is no memory. */
static int remember(fuse_ino_t ino)
{
	struct node **place = &nodes[ino - FIRST];

	if (*place) {
		unlink_node(*place);
	} else {
		*place = calloc(1, sizeof(**place));
		if (!*place)
			return 0;
		(*place)->ino = ino;
		if (++known > most)
			most = known;
	}
	(*place)->lookups++;
	append_node(*place);
	return 1;
}

static struct stat attr_of(fuse_ino_t ino)
{
	struct stat attr = { .st_ino = ino, .st_uid = getuid(), .st_gid = getgid() };

	attr.st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0555 : S_IFREG | 0444;
	attr.st_nlink = ino == FUSE_ROOT_ID ? 2 : 1;
	return attr;
}

static void prune_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = { .attr_timeout = TIMEOUT, .entry_timeout = TIMEOUT };
	int good = 1;

	if (parent == FUSE_ROOT_ID)
		e.ino = strcmp(name, "report") == 0 ? REPORT : ino_of(name);
	e.attr = attr_of(e.ino);
	pthread_mutex_lock(&lock);
	if (is_file(e.ino))
		good = remember(e.ino);
	pthread_mutex_unlock(&lock);
	if (good)
		fuse_reply_entry(req, &e);
	else
		fuse_reply_err(req, ENOMEM);
}

/* What pruning leads to. */
static void prune_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	pthread_mutex_lock(&lock);
	if (is_file(ino)) {
		struct node *node = nodes[ino - FIRST];

		node->lookups -= count;
		if (!node->lookups) {
			unlink_node(node);
			free(node);
			nodes[ino - FIRST] = NULL;
			known--;
		}
	}
	pthread_mutex_unlock(&lock);
	fuse_reply_none(req);
}

static void prune_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr = attr_of(ino);

	fuse_reply_attr(req, &attr, TIMEOUT);
}

static void prune_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fi->direct_io = ino == REPORT;
	fuse_reply_open(req, fi);
}

static void prune_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	char text[REPORT_MOST];
	size_t length = 0, start;

	pthread_mutex_lock(&lock);
	if (ino == REPORT)
		length = (size_t)snprintf(text, sizeof(text), "known %u\nmost %u\n",
					  known, most);
	pthread_mutex_unlock(&lock);
	start = (size_t)off < length ? (size_t)off : length;
	fuse_reply_buf(req, text + start, size < length - start ? size : length - start);
}

static const struct fuse_lowlevel_ops operations = {
	.lookup = prune_lookup,
	.forget = prune_forget,
	.getattr = prune_getattr,
	.open = prune_open,
	.read = prune_read,
};

/*
 * The oldest of those that are too many. They go to the end of the ring: the kernel may be
 * using them, and then it is the turn of others.
 */
static unsigned choose(fuse_ino_t *chosen)
{
	unsigned count = 0;

	pthread_mutex_lock(&lock);
	while (known > options.keep && count < known - options.keep && count < BATCH) {
		struct node *node = ring.next;

		unlink_node(node);
		append_node(node);
		chosen[count++] = node->ino;
	}
	pthread_mutex_unlock(&lock);
	return count;
}

static void prune(struct fuse_session *session)
{
	static int given_up;
	fuse_ino_t chosen[BATCH];
	unsigned count = given_up ? 0 : choose(chosen);
	int res;

	if (!count)
		return;
	res = fuse_lowlevel_notify_prune(session, chosen, count);
	if (!res || fuse_session_exited(session))
		return;
	given_up = 1;
	fprintf(stderr, "cannot prune inodes: %s%s\n", strerror(-res),
		res == -ENOSYS || res == -EINVAL ? " (before Linux 6.18)" : "");
}

static const struct fuse_opt table[] = {
	{ "--interval=%lf", offsetof(__typeof__(options), interval), 0 },
	{ "--keep=%u", offsetof(__typeof__(options), keep), 0 },
	FUSE_OPT_END,
};

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	const struct program program = {
		.help = "    --keep=N               prune when there are more inodes (1000)\n"
			"    --interval=SECONDS     how often to look (0.2)\n",
		.operations = &operations,
	};
	int status = 1;

	if (fuse_opt_parse(&args, &options, table, NULL) == 0)
		status = serve_and_tick(&args, &program, prune, options.interval);
	for (unsigned i = 0; i <= FILES; i++)
		free(nodes[i]);
	fuse_opt_free_args(&args);
	return status;
}
