// SPDX-License-Identifier: GPL-2.0-only
/*
 * notify_store_retrieve: data that are in the kernel's cache before anybody asks for them.
 *
 * A filesystem that knows which data will be wanted next, or has just got new ones, can put them
 * into the cache itself. It can also look what the cache has, which this one does to check that
 * its data have arrived.
 *
 *     notify_store_retrieve MOUNTPOINT
 *     while sleep 1; do cat MOUNTPOINT/counter MOUNTPOINT/report; done
 *     fusermount3 -u MOUNTPOINT
 *
 * The file "counter" changes every second. "report" says how often it was stored, how many of
 * these were found again by retrieving, and how often the filesystem was asked for the data all the
 * same: hardly ever.
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

enum {
	COUNTER = 2,
	REPORT
};
#define TIMEOUT	     86400.0
#define COUNTER_SIZE 12
#define REPORT_MOST  200

static struct {
	double interval;
} options = { .interval = 1.0 };

/* All of it under the lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned changes;
static unsigned long known; /* how often the kernel has looked the counter up */
static unsigned stored, matched, differed, reads;

static size_t counter_text(char text[COUNTER_SIZE + 1], unsigned value)
{
	return (size_t)snprintf(text, COUNTER_SIZE + 1, "%*u\n", COUNTER_SIZE - 1, value);
}

static size_t report_text(char text[REPORT_MOST])
{
	return (size_t)snprintf(text, REPORT_MOST,
				"stored %u\nmatched %u\ndiffered %u\nreads %u\n", stored,
				matched, differed, reads);
}

static struct stat attr_of(fuse_ino_t ino)
{
	struct stat attr = { .st_ino = ino, .st_uid = getuid(), .st_gid = getgid() };

	attr.st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0555 : S_IFREG | 0444;
	attr.st_nlink = ino == FUSE_ROOT_ID ? 2 : 1;
	if (ino == COUNTER)
		attr.st_size = COUNTER_SIZE;
	return attr;
}

static void store_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = { .attr_timeout = TIMEOUT, .entry_timeout = TIMEOUT };

	if (parent == FUSE_ROOT_ID && strcmp(name, "counter") == 0)
		e.ino = COUNTER;
	else if (parent == FUSE_ROOT_ID && strcmp(name, "report") == 0)
		e.ino = REPORT;
	if (e.ino == COUNTER) {
		pthread_mutex_lock(&lock);
		known++;
		pthread_mutex_unlock(&lock);
	}
	e.attr = attr_of(e.ino);
	fuse_reply_entry(req, &e);
}

static void store_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	if (ino == COUNTER) {
		pthread_mutex_lock(&lock);
		known -= count;
		pthread_mutex_unlock(&lock);
	}
	fuse_reply_none(req);
}

static void store_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr = attr_of(ino);

	fuse_reply_attr(req, &attr, TIMEOUT);
}

static void store_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			  struct fuse_file_info *fi)
{
	const struct stat counter = attr_of(COUNTER), report = attr_of(REPORT);
	char buffer[128];
	size_t used = 0;

	if (off == 0) {
		used += fuse_add_direntry(req, buffer, sizeof(buffer), "counter",
					  &counter, 1);
		used += fuse_add_direntry(req, buffer + used, sizeof(buffer) - used,
					  "report", &report, 2);
	}
	fuse_reply_buf(req, buffer, used < size ? used : 0);
}

/* The report is for reading, not for caching. */
static void store_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fi->keep_cache = ino == COUNTER;
	fi->direct_io = ino == REPORT;
	fuse_reply_open(req, fi);
}

static void store_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	char text[REPORT_MOST];
	size_t length, start;

	pthread_mutex_lock(&lock);
	if (ino == COUNTER) {
		reads++;
		length = counter_text(text, changes);
	} else {
		length = report_text(text);
	}
	pthread_mutex_unlock(&lock);
	start = (size_t)off < length ? (size_t)off : length;
	fuse_reply_buf(req, text + start, size < length - start ? size : length - start);
}

/* With the lock held. Is it what was stored then, or something newer? */
static int is_expected(const char *found, unsigned stored_then)
{
	unsigned value = (unsigned)strtoul(found, NULL, 10);
	char text[COUNTER_SIZE + 1];

	counter_text(text, value);
	return strcmp(found, text) == 0 && value >= stored_then && value <= changes;
}

/*
 * What the kernel has in its cache. It copies the data when they are sent, not when they
 * are asked for, so there may be newer ones by now. The cookie says which were stored.
 */
static void store_retrieve_reply(fuse_req_t req, void *cookie, fuse_ino_t ino, off_t off,
				 struct fuse_bufvec *data)
{
	struct fuse_bufvec to = FUSE_BUFVEC_INIT(COUNTER_SIZE);
	char found[COUNTER_SIZE + 1] = "";

	to.buf[0].mem = found;
	if (fuse_buf_copy(&to, data, 0) > 0) { /* 0: the cache was emptied meanwhile */
		pthread_mutex_lock(&lock);
		if (is_expected(found, (unsigned)(uintptr_t)cookie))
			matched++;
		else
			differed++;
		pthread_mutex_unlock(&lock);
	}
	fuse_reply_none(req);
}

static const struct fuse_lowlevel_ops operations = {
	.lookup = store_lookup,
	.forget = store_forget,
	.getattr = store_getattr,
	.readdir = store_readdir,
	.open = store_open,
	.read = store_read,
	.retrieve_reply = store_retrieve_reply,
};

static void complain(struct fuse_session *session, const char *what, int res)
{
	/* ENOENT: the kernel has just forgotten the file. */
	if (res && res != -ENOENT && !fuse_session_exited(session))
		fprintf(stderr, "cannot %s: %s\n", what, strerror(-res));
}

/* With no lock held, since each of these may wait for an operation to be answered. */
static void change(struct fuse_session *session)
{
	struct fuse_bufvec data = FUSE_BUFVEC_INIT(0);
	char text[COUNTER_SIZE + 1];
	unsigned value;
	int res, is_known;

	pthread_mutex_lock(&lock);
	value = ++changes;
	is_known = known > 0;
	pthread_mutex_unlock(&lock);
	if (!is_known)
		return; /* there is no inode whose cache this could be put in */
	data.buf[0].size = counter_text(text, value);
	data.buf[0].mem = text;
	res = fuse_lowlevel_notify_store(session, COUNTER, 0, &data, 0);
	complain(session, "store", res);
	if (res)
		return;
	pthread_mutex_lock(&lock);
	stored++;
	pthread_mutex_unlock(&lock);
	res = fuse_lowlevel_notify_retrieve(session, COUNTER, COUNTER_SIZE, 0,
					    (void *)(uintptr_t)value);
	complain(session, "retrieve", res);
}

static const struct fuse_opt table[] = {
	{ "--interval=%lf", offsetof(__typeof__(options), interval), 0 },
	FUSE_OPT_END,
};

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	const struct program program = {
		.help = "    --interval=SECONDS     between two changes (1)\n",
		.operations = &operations,
	};
	int status = 1;

	if (fuse_opt_parse(&args, &options, table, NULL) == 0)
		status = serve_and_tick(&args, &program, change, options.interval);
	fuse_opt_free_args(&args);
	return status;
}
