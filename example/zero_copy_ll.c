// SPDX-License-Identifier: GPL-2.0-only
/*
 * zero_copy_ll: one file, striped over two stores, and never looked at.
 *
 * Shows how a filesystem moves data that it does not want to see: it says which descriptors
 * they come from or go to. Where the kernel can, and -o io_uring_zero_copy asks for it, the
 * bytes go between stores and client without passing through this process; everywhere else
 * the same calls copy them. doc/zero-copy.md explains the rules that are kept here.
 *
 *     zero_copy_ll STORE0 STORE1 FILE
 *
 * Try it:
 *
 *     touch file
 *     zero_copy_ll store0 store1 file -o io_uring_zero_copy,stats=/tmp/stats.json
 *     cp /usr/bin/perl file; cmp /usr/bin/perl file
 *     ls -l file store0 store1
 *     fusermount3 -u file
 *     grep -E '^  "(bytes|zero_copied|linked|unlinked|copied)' /tmp/stats.json
 *
 * With zero-copy, zero_copied_bytes is what bytes_read and bytes_written are together, and
 * copied is 0. "linked" counts requests that touch one piece, "unlinked" those of several.
 *
 * Pieces of 64 KiB go to the stores by turns: piece n of the file is piece n/2 of store n%2.
 * Nobody else may change the stores meanwhile.
 */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORES 2
#define PIECE  ((off_t)65536)
#define ROW    (STORES * PIECE) /* a piece of each store */

/* As many as one reply takes: 64 MiB, while requests rarely have more than 1 MiB. */
#define RANGES_MAX 1024

#define TIMEOUT	   1.0 /* seconds */

/*
 * Open from beginning to end, so that the rule which says that a descriptor has to stay open
 * until its request is answered takes care of itself.
 */
static int stores[STORES];
static const char *paths[STORES];

/* Which piece is where */

/* How much of a file of this size is in one store. */
static off_t share(off_t size, int store)
{
	off_t rest = size % ROW - store * PIECE;

	if (rest < 0)
		rest = 0;
	return size / ROW * PIECE + (rest < PIECE ? rest : PIECE);
}

/* The opposite: the size of a file that ends where this store does. */
static off_t size_by(off_t size, int store)
{
	off_t last = size - 1;

	return size ? last / PIECE * ROW + store * PIECE + last % PIECE + 1 : 0;
}

/* One range for each piece that is touched, in the file's order; 0 if they are too many. */
static size_t locate(off_t off, size_t size, struct fuse_fd_range *ranges)
{
	size_t count = 0;

	while (size) {
		size_t left = (size_t)(PIECE - off % PIECE);
		size_t length = size < left ? size : left;

		if (count == RANGES_MAX)
			return 0;
		ranges[count++] = (struct fuse_fd_range){
			.fd = stores[off / PIECE % STORES],
			.off = off / ROW * PIECE + off % PIECE,
			.size = length,
		};
		off += (off_t)length;
		size -= length;
	}
	return count;
}

/*
 * Size and attributes. The kernel lets one client at a time change the size of a file, but a
 * single large write past its page cache becomes several requests at once, each of which
 * ends somewhere else: who has looked at the size must be the next to set it.
 */
static pthread_mutex_t size_lock = PTHREAD_MUTEX_INITIALIZER;

static int get_attr(struct stat *attr)
{
	struct stat store;

	*attr = (struct stat){
		.st_ino = FUSE_ROOT_ID,
		.st_mode = S_IFREG | 0644,
		.st_nlink = 1,
		.st_uid = getuid(),
		.st_gid = getgid(),
		.st_blksize = PIECE,
	};
	for (int i = 0; i < STORES; i++) {
		if (fstat(stores[i], &store) < 0)
			return errno;
		if (attr->st_size < size_by(store.st_size, i))
			attr->st_size = size_by(store.st_size, i);
		if (attr->st_mtim.tv_sec <= store.st_mtim.tv_sec)
			attr->st_mtim = attr->st_ctim = attr->st_atim = store.st_mtim;
		attr->st_blocks += store.st_blocks;
	}
	return 0;
}

static int set_size(off_t size)
{
	for (int i = 0; i < STORES; i++)
		if (ftruncate(stores[i], share(size, i)) < 0)
			return errno;
	return 0;
}

/*
 * Before a write: its pieces move side by side, after the handler has returned, and a
 * store that is late, or full, must not look as if the file ended there.
 */
static int make_room(off_t size)
{
	struct stat attr;
	int error;

	pthread_mutex_lock(&size_lock);
	error = get_attr(&attr);
	if (!error && attr.st_size < size)
		error = set_size(size);
	pthread_mutex_unlock(&size_lock);
	return error;
}

static int cut_to(off_t size)
{
	int error;

	pthread_mutex_lock(&size_lock);
	error = set_size(size);
	pthread_mutex_unlock(&size_lock);
	return error;
}

static void striped_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr;
	int error = get_attr(&attr);

	if (error)
		fuse_reply_err(req, error);
	else
		fuse_reply_attr(req, &attr, TIMEOUT);
}

/* Times are the stores' own; owner and mode cannot be changed. */
static void striped_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
			    struct fuse_file_info *fi)
{
	int error = 0;

	if (to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
		error = EPERM;
	else if (to_set & FUSE_SET_ATTR_SIZE)
		error = cut_to(attr->st_size);
	if (error)
		fuse_reply_err(req, error);
	else
		striped_getattr(req, ino, fi);
}

/* Data */

/*
 * The first says that striped_write_buf() copes with data that are still the client's:
 * otherwise the library would fetch them first. Offered only where zero-copy may come about.
 *
 * Without the second, open(2) with O_TRUNC is a setattr() of its own after the open(), for
 * which the kernel keeps writers away. It would not for an open(), and whatever moves at
 * that moment would be cut off in one store and not in the other.
 */
static void striped_init(void *userdata, struct fuse_conn_info *conn)
{
	fuse_set_feature_flag(conn, FUSE_CAP_ZERO_COPY_WRITE);
	fuse_unset_feature_flag(conn, FUSE_CAP_ATOMIC_O_TRUNC);
}

/* A file whose contents are computed would say FUSE_ZERO_COPY_DECLINE. */
static void striped_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fi->zero_copy = FUSE_ZERO_COPY_ASK;
	fuse_reply_open(req, fi);
}

/*
 * Where the file ends is not asked: the store in which it does gives less than its range
 * says, and whatever follows a range that came out short does not count.
 */
static void striped_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			 struct fuse_file_info *fi)
{
	struct fuse_fd_range ranges[RANGES_MAX];
	size_t count = locate(off, size, ranges);

	if (count || !size)
		fuse_reply_read_fdv(req, ranges, count);
	else
		fuse_reply_err(req, EIO);
}

/*
 * Only the size of the vector is of interest; its data may be in memory, in a pipe or with
 * the client. The reply is made before this returns: over /dev/fuse they are gone then.
 */
static void striped_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *bufv,
			      off_t off, struct fuse_file_info *fi)
{
	struct fuse_fd_range ranges[RANGES_MAX];
	size_t size = fuse_buf_size(bufv), count = locate(off, size, ranges);
	int error = count || !size ? make_room(off + (off_t)size) : EIO;

	if (error)
		fuse_reply_err(req, error);
	else
		fuse_reply_write_fdv(req, ranges, count);
}

static void striped_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
			  struct fuse_file_info *fi)
{
	int error = 0;

	for (int i = 0; i < STORES; i++)
		if (fsync(stores[i]) < 0)
			error = errno;
	fuse_reply_err(req, error);
}

static const struct fuse_lowlevel_ops operations = {
	.init = striped_init,
	.getattr = striped_getattr,
	.setattr = striped_setattr,
	.open = striped_open,
	.read = striped_read,
	.write_buf = striped_write_buf,
	.fsync = striped_fsync,
};

/* Start and end */

/* The first two arguments are the stores; all others are the library's. */
static int take_argument(void *data, const char *arg, int key, struct fuse_args *rest)
{
	for (int i = 0; i < STORES && key == FUSE_OPT_KEY_NONOPT; i++) {
		if (!paths[i]) {
			paths[i] = arg;
			return 0;
		}
	}
	return 1;
}

/* A store may end too early if it was copied without its last hole. */
static int open_stores(void)
{
	struct stat attr;
	int error;

	for (int i = 0; i < STORES; i++) {
		stores[i] = open(paths[i], O_RDWR | O_CREAT | O_CLOEXEC, 0644);
		if (stores[i] < 0) {
			perror(paths[i]);
			return -1;
		}
	}
	error = get_attr(&attr);
	if (!error)
		error = set_size(attr.st_size);
	if (error)
		fprintf(stderr, "%s and %s: %s\n", paths[0], paths[1], strerror(error));
	return -error;
}

int main(int argc, char **argv)
{
	static const struct fuse_opt none[] = { FUSE_OPT_END };
	static const struct program program = { .operations = &operations };
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct fuse_cmdline_opts opts = { 0 };
	int status = 1;

	if (fuse_opt_parse(&args, NULL, none, take_argument) != 0 ||
	    fuse_opt_insert_arg(&args, 1, "-odefault_permissions") != 0 ||
	    fuse_parse_cmdline(&args, &opts) != 0)
		goto out;
	if (opts.show_help || opts.show_version) {
		printf("usage: %s [options] STORE0 STORE1 FILE\n\n", argv[0]);
		fuse_cmdline_help();
		fuse_lowlevel_help();
		status = 0;
		goto out;
	}
	if (!opts.mountpoint) {
		fprintf(stderr, "%s: STORE0, STORE1 or FILE is missing, try --help\n",
			argv[0]);
		goto out;
	}
	if (open_stores() == 0 && serve_session(&args, &program, &opts))
		status = 0;
out:
	free(opts.mountpoint);
	fuse_opt_free_args(&args);
	return status;
}
