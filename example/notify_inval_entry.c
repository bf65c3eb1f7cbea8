// SPDX-License-Identifier: GPL-2.0-only
/*
 * notify_inval_entry: a file that is renamed by itself, and a kernel that is told so.
 *
 * The kernel remembers which name stands for what, and which stands for nothing. Here it
 * may do so for a day. When the filesystem gives the file another name, it says
 * that the old one is gone, and that what was not there before may be there now.
 *
 *     notify_inval_entry MOUNTPOINT
 *     while sleep 1; do ls MOUNTPOINT; stat MOUNTPOINT/name-1; done
 *     fusermount3 -u MOUNTPOINT
 *
 * With --no-notify a name that was once used goes on existing, although the directory does
 * not list it. --expire only has names asked for again: what is open or mounted below
 * a name that turns out to be right stays as it is.
 */
#include "ticker.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_INO  2
#define TIMEOUT	  86400.0
#define NAME_SIZE 32

static struct {
	double interval;
	int quiet;
	int expire;
} options = { .interval = 1.0 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned number = 1;
static int asked_for; /* otherwise the kernel has no names that could be wrong */

static void current_name(char name[NAME_SIZE])
{
	pthread_mutex_lock(&lock);
	snprintf(name, NAME_SIZE, "name-%u", number);
	pthread_mutex_unlock(&lock);
}

static struct stat attr_of(fuse_ino_t ino)
{
	struct stat attr = { .st_ino = ino, .st_uid = getuid(), .st_gid = getgid() };

	attr.st_mode = ino == FILE_INO ? S_IFREG | 0444 : S_IFDIR | 0555;
	attr.st_nlink = ino == FILE_INO ? 1 : 2;
	return attr;
}

/* Inode number 0 says: there is no such name, and that may be remembered. */
static void names_lookup(fuse_req_t req, fuse_ino_t parent, const char *wanted)
{
	struct fuse_entry_param e = { .attr_timeout = TIMEOUT, .entry_timeout = TIMEOUT };
	char name[NAME_SIZE];

	pthread_mutex_lock(&lock);
	asked_for = 1;
	pthread_mutex_unlock(&lock);
	current_name(name);
	if (parent == FUSE_ROOT_ID && strcmp(wanted, name) == 0) {
		e.ino = FILE_INO;
		e.attr = attr_of(FILE_INO);
	}
	fuse_reply_entry(req, &e);
}

static void names_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr = attr_of(ino);

	fuse_reply_attr(req, &attr, TIMEOUT);
}

static void names_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			  struct fuse_file_info *fi)
{
	struct stat attr = attr_of(FILE_INO);
	char name[NAME_SIZE], buffer[128];
	size_t used = 0;

	current_name(name);
	if (off == 0)
		used = fuse_add_direntry(req, buffer, sizeof(buffer), name, &attr, 1);
	fuse_reply_buf(req, buffer, used < size ? used : 0);
}

static const struct fuse_lowlevel_ops operations = {
	.lookup = names_lookup,
	.getattr = names_getattr,
	.readdir = names_readdir,
};

static void tell(struct fuse_session *session, const char *name)
{
	size_t length = strlen(name);
	int res = options.expire
			  ? fuse_lowlevel_notify_expire_entry(session, FUSE_ROOT_ID, name,
							      length)
			  : fuse_lowlevel_notify_inval_entry(session, FUSE_ROOT_ID, name,
							     length);

	/* ENOENT: the kernel remembers nothing of that name. */
	if (res && res != -ENOENT && !fuse_session_exited(session))
		fprintf(stderr, "cannot invalidate '%s': %s\n", name, strerror(-res));
}

/*
 * In no operation, and with no lock held: the kernel locks the directory for it, which
 * whoever waits for an operation's answer may have locked as well.
 */
static void rename_file(struct fuse_session *session)
{
	char before[NAME_SIZE], behind[NAME_SIZE];
	int told;

	current_name(before);
	pthread_mutex_lock(&lock);
	number++;
	told = asked_for && !options.quiet;
	pthread_mutex_unlock(&lock);
	current_name(behind);
	if (!told)
		return;
	tell(session, before);
	tell(session, behind);
}

#define OPTION(templ, member, value)                                \
	{                                                           \
		templ, offsetof(__typeof__(options), member), value \
	}
static const struct fuse_opt table[] = {
	OPTION("--interval=%lf", interval, 0),
	OPTION("--no-notify", quiet, 1),
	OPTION("--expire", expire, 1),
	FUSE_OPT_END,
};

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	const struct program program = {
		.help = "    --interval=SECONDS     between two names (1)\n"
			"    --no-notify            do not tell the kernel\n"
			"    --expire               tell it to ask again, not to drop the name\n",
		.operations = &operations,
	};
	int status = 1;

	if (fuse_opt_parse(&args, &options, table, NULL) == 0)
		status = serve_and_tick(&args, &program, rename_file, options.interval);
	fuse_opt_free_args(&args);
	return status;
}
