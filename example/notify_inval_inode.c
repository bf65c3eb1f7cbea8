// SPDX-License-Identifier: GPL-2.0-only
/*
 * notify_inval_inode: a file that changes by itself, and a kernel that is told so.
 *
 * The kernel caches what it has read, here for ever. That makes reading fast, and is right as
 * long as nobody changes the file but through the mount. This filesystem changes it
 * itself, and so has to say each time that the copy is worth nothing any more.
 *
 *     notify_inval_inode MOUNTPOINT
 *     while sleep 1; do cat MOUNTPOINT/counter; done
 *     fusermount3 -u MOUNTPOINT
 *
 * The file shows how often it has been changed. With --no-notify it seems to stay as it was when
 * it was read first.
 */
#include "ticker.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char file_name[] = "counter";
#define FILE_INO  2
#define TIMEOUT	  86400.0
#define TEXT_SIZE 12

static struct {
	double interval;
	int quiet;
} options = { .interval = 1.0 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned changes;
static int asked_for; /* otherwise the kernel has nothing that could be wrong */

static unsigned current(void)
{
	unsigned value;

	pthread_mutex_lock(&lock);
	value = changes;
	pthread_mutex_unlock(&lock);
	return value;
}

static struct stat attr_of(fuse_ino_t ino)
{
	struct stat attr = { .st_ino = ino, .st_uid = getuid(), .st_gid = getgid() };

	attr.st_mode = ino == FILE_INO ? S_IFREG | 0444 : S_IFDIR | 0555;
	attr.st_nlink = ino == FILE_INO ? 1 : 2;
	if (ino == FILE_INO)
		attr.st_size = TEXT_SIZE;
	return attr;
}

static void counter_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = {
		.ino = FILE_INO,
		.attr = attr_of(FILE_INO),
		.attr_timeout = TIMEOUT,
		.entry_timeout = TIMEOUT,
	};

	if (parent != FUSE_ROOT_ID || strcmp(name, file_name) != 0) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	pthread_mutex_lock(&lock);
	asked_for = 1;
	pthread_mutex_unlock(&lock);
	fuse_reply_entry(req, &e);
}

static void counter_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr = attr_of(ino);

	fuse_reply_attr(req, &attr, TIMEOUT);
}

static void counter_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			    struct fuse_file_info *fi)
{
	struct stat attr = attr_of(FILE_INO);
	char buffer[64];
	size_t used = 0;

	if (off == 0)
		used = fuse_add_direntry(req, buffer, sizeof(buffer), file_name, &attr,
					 1);
	fuse_reply_buf(req, buffer, used < size ? used : 0);
}

/* keep_cache: what was read for an earlier open is good for this one. */
static void counter_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fi->keep_cache = 1;
	fuse_reply_open(req, fi);
}

static void counter_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			 struct fuse_file_info *fi)
{
	char text[TEXT_SIZE + 1];
	size_t start = off < TEXT_SIZE ? (size_t)off : TEXT_SIZE;

	snprintf(text, sizeof(text), "%*u\n", TEXT_SIZE - 1, current());
	fuse_reply_buf(req, text + start,
		       size < TEXT_SIZE - start ? size : TEXT_SIZE - start);
}

static const struct fuse_lowlevel_ops operations = {
	.lookup = counter_lookup,
	.getattr = counter_getattr,
	.readdir = counter_readdir,
	.open = counter_open,
	.read = counter_read,
};

/*
 * The lock is not held while the kernel is told: it may be waiting for an answer to a read,
 * and that for the lock.
 */
static void change(struct fuse_session *session)
{
	int tell, res;

	pthread_mutex_lock(&lock);
	changes++;
	tell = asked_for && !options.quiet;
	pthread_mutex_unlock(&lock);
	if (!tell)
		return;
	/* ENOENT: it has forgotten the file meanwhile, or not taken our answer yet. */
	res = fuse_lowlevel_notify_inval_inode(session, FILE_INO, 0, 0);
	if (res && res != -ENOENT && !fuse_session_exited(session))
		fprintf(stderr, "cannot invalidate the file: %s\n", strerror(-res));
}

static const struct fuse_opt table[] = {
	{ "--interval=%lf", 0, 0 },
	{ "--no-notify", sizeof(double), 1 },
	FUSE_OPT_END,
};

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	const struct program program = {
		.help = "    --interval=SECONDS     between two changes (1)\n"
			"    --no-notify            do not tell the kernel\n",
		.operations = &operations,
	};
	int status = 1;

	if (fuse_opt_parse(&args, &options, table, NULL) == 0)
		status = serve_and_tick(&args, &program, change, options.interval);
	fuse_opt_free_args(&args);
	return status;
}
