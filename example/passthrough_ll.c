// SPDX-License-Identifier: GPL-2.0-only
/*
 * passthrough_ll: a directory, served under another name, in one file.
 *
 * Shows the low-level interface at work on real files: inode numbers and lookup counts, open
 * files and directories, what may be cached for how long, and options of one's own. Whatever
 * is done, is done as the user who runs it. passthrough_hp is this made fit for everyday use;
 * this is not for root to serve a tree that others can change underneath.
 *
 *     passthrough_ll -o source=/usr MOUNTPOINT
 *     ls -l MOUNTPOINT
 *     fusermount3 -u MOUNTPOINT
 *
 * Options behind -o, besides those that -h lists:
 *
 *     source=DIR                      what to serve; / if not given
 *     cache=never|auto|always         how far to trust that nobody else changes the source:
 *                                     not at all, for a second (the default), or for a day
 *     timeout=SECONDS                 for so long instead, if not cache=never
 *     writeback, no_writeback         let the kernel collect writes; default: no
 *     flock, no_flock                 pass flock(2) locks on to the source; default: no
 *     xattr, no_xattr                 pass extended attributes on; default: no
 */
#include "serve.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "set_id.h"

/*
 * A file that the kernel knows of. Its descriptor (O_PATH) finds it whatever becomes of its
 * names, and keeps its inode number in the source from being used for another.
 */
struct node {
	struct node *next;
	dev_t dev;
	ino_t ino;
	int fd;
	uint64_t lookups;
};

#define BUCKETS 4096

static struct {
	char *source; /* these two are allocated by the option parser, or NULL */
	char *cache;
	double timeout;
	int writeback;
	int flock;
	int xattr;

	bool direct_io;
	bool keep_cache;

	struct node root;
	pthread_mutex_t lock; /* of the buckets, of all lookups, and of waiters */
	struct node *buckets[BUCKETS];

	unsigned waiters;
	pthread_cond_t nobody_waits;
	atomic_bool over;
} fs = {
	.timeout = -1,
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.nobody_waits = PTHREAD_COND_INITIALIZER,
};

/* clang-format off */
#define OPTION(text, member, value) { text, offsetof(__typeof__(fs), member), value }
static const struct fuse_opt options[] = {
	OPTION("source=%s", source, 0),
	OPTION("cache=%s", cache, 0),
	OPTION("timeout=%lf", timeout, 0),
	OPTION("writeback", writeback, 1),
	OPTION("no_writeback", writeback, 0),
	OPTION("flock", flock, 1),
	OPTION("no_flock", flock, 0),
	OPTION("xattr", xattr, 1),
	OPTION("no_xattr", xattr, 0),
	FUSE_OPT_END,
};
/* clang-format on */

static void reply_result(fuse_req_t req, int returned)
{
	fuse_reply_err(req, returned == -1 ? errno : 0);
}

/* Nodes */

static struct node *node_of(fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? &fs.root : (struct node *)(uintptr_t)ino;
}

static int fd_of(fuse_ino_t ino)
{
	return node_of(ino)->fd;
}

/* A path to the very file that fd is open on, for system calls that do not take O_PATH. */
#define PROC_PATH_SIZE 32

static const char *proc_path(char *text, int fd)
{
	snprintf(text, PROC_PATH_SIZE, "/proc/self/fd/%d", fd);
	return text;
}

static struct node **bucket_of(const struct stat *attr)
{
	return &fs.buckets[(attr->st_ino ^ attr->st_dev * 31) % BUCKETS];
}

/* Count a lookup of the file that fd, which is taken over, is open on. NULL: no memory. */
static struct node *node_get(int fd, const struct stat *attr)
{
	struct node **bucket = bucket_of(attr), *node;

	pthread_mutex_lock(&fs.lock);
	for (node = *bucket; node; node = node->next)
		if (node->ino == attr->st_ino && node->dev == attr->st_dev)
			break;
	if (node) {
		node->lookups++;
		close(fd);
	} else {
		node = malloc(sizeof(*node));
		if (node) {
			*node = (struct node){ *bucket, attr->st_dev, attr->st_ino, fd,
					       1 };
			*bucket = node;
		} else {
			close(fd);
		}
	}
	pthread_mutex_unlock(&fs.lock);
	return node;
}

static void node_put(struct node *node, uint64_t lookups)
{
	struct stat attr = { .st_dev = node->dev, .st_ino = node->ino };
	struct node **link;

	if (node == &fs.root)
		return;
	pthread_mutex_lock(&fs.lock);
	node->lookups -= lookups;
	if (node->lookups == 0) {
		for (link = bucket_of(&attr); *link != node;)
			link = &(*link)->next;
		*link = node->next;
		close(node->fd);
		free(node);
	}
	pthread_mutex_unlock(&fs.lock);
}

/* Returns 0 or an errno value. If 0, a lookup was counted. */
static int look_up(fuse_ino_t parent, const char *name, struct fuse_entry_param *e)
{
	int fd = openat(fd_of(parent), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct node *node;

	if (fd < 0)
		return errno;
	*e = (struct fuse_entry_param){
		.attr_timeout = fs.timeout,
		.entry_timeout = fs.timeout,
	};
	if (fstat(fd, &e->attr) < 0) {
		int error = errno;

		close(fd);
		return error;
	}
	node = node_get(fd, &e->attr);
	e->ino = (uintptr_t)node;
	return node ? 0 : ENOMEM;
}

/* If the kernel does not hear of an entry, its lookup did not happen. */
static void reply_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e;
	int error = look_up(parent, name, &e);

	if (error)
		fuse_reply_err(req, error);
	else if (fuse_reply_entry(req, &e) < 0)
		node_put(node_of(e.ino), 1);
}

static void ll_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	reply_lookup(req, parent, name);
}

static void ll_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	node_put(node_of(ino), nlookup);
	fuse_reply_none(req);
}

/* Attributes */

static void ll_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr;

	if (fstat(fd_of(ino), &attr) < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_attr(req, &attr, fs.timeout);
}

static struct timespec time_to_set(struct timespec time, int to_set, int given, int now)
{
	if (to_set & now)
		time.tv_nsec = UTIME_NOW;
	else if (!(to_set & given))
		time.tv_nsec = UTIME_OMIT;
	return time;
}

static int change(int fd, const struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	char path[PROC_PATH_SIZE];
	int res = 0;

	proc_path(path, fd);
	if (to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
		res = fchownat(fd, "",
			       to_set & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1,
			       to_set & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1,
			       AT_EMPTY_PATH);
	if (res == 0 && to_set & FUSE_SET_ATTR_MODE)
		res = chmod(path, attr->st_mode & 07777);
	if (res == 0 && to_set & FUSE_SET_ATTR_SIZE)
		res = fi ? ftruncate((int)fi->fh, attr->st_size)
			 : truncate(path, attr->st_size);
	if (res == 0 && to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME)) {
		struct timespec times[] = {
			time_to_set(attr->st_atim, to_set, FUSE_SET_ATTR_ATIME,
				    FUSE_SET_ATTR_ATIME_NOW),
			time_to_set(attr->st_mtim, to_set, FUSE_SET_ATTR_MTIME,
				    FUSE_SET_ATTR_MTIME_NOW),
		};

		res = utimensat(fd, "", times, AT_EMPTY_PATH);
	}
	return res;
}

static void ll_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi)
{
	if (change(fd_of(ino), attr, to_set, fi) < 0)
		fuse_reply_err(req, errno);
	else
		ll_getattr(req, ino, fi);
}

static void ll_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char link[PATH_MAX + 1];
	ssize_t length = readlinkat(fd_of(ino), "", link, sizeof(link) - 1);

	if (length < 0) {
		fuse_reply_err(req, errno);
		return;
	}
	link[length] = '\0';
	fuse_reply_readlink(req, link);
}

static void ll_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs figures;

	if (fstatvfs(fd_of(ino), &figures) < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_statfs(req, &figures);
}

/* Names */

static void reply_made(fuse_req_t req, int returned, fuse_ino_t parent, const char *name)
{
	if (returned < 0)
		fuse_reply_err(req, errno);
	else
		reply_lookup(req, parent, name);
}

static void ll_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		     dev_t rdev)
{
	reply_made(req, mknodat(fd_of(parent), name, mode, rdev), parent, name);
}

static void ll_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	reply_made(req, mkdirat(fd_of(parent), name, mode), parent, name);
}

static void ll_symlink(fuse_req_t req, const char *link, fuse_ino_t parent,
		       const char *name)
{
	reply_made(req, symlinkat(link, fd_of(parent), name), parent, name);
}

static void ll_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent,
		    const char *newname)
{
	char path[PROC_PATH_SIZE];

	reply_made(req,
		   linkat(AT_FDCWD, proc_path(path, fd_of(ino)), fd_of(newparent),
			  newname, AT_SYMLINK_FOLLOW),
		   newparent, newname);
}

static void ll_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	reply_result(req, unlinkat(fd_of(parent), name, 0));
}

static void ll_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	reply_result(req, unlinkat(fd_of(parent), name, AT_REMOVEDIR));
}

static void ll_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
		      fuse_ino_t newparent, const char *newname, unsigned int flags)
{
	reply_result(req,
		     renameat2(fd_of(parent), name, fd_of(newparent), newname, flags));
}

/* Directories: fh is a stream, and an offset what telldir(3) calls the next entry. */

static DIR *stream_of(const struct fuse_file_info *fi)
{
	return (DIR *)(uintptr_t)fi->fh;
}

static void ll_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	char path[PROC_PATH_SIZE];
	DIR *stream = opendir(proc_path(path, fd_of(ino)));

	if (!stream) {
		fuse_reply_err(req, errno);
		return;
	}
	fi->fh = (uintptr_t)stream;
	if (fuse_reply_open(req, fi) < 0)
		closedir(stream);
}

static void ll_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	closedir(stream_of(fi));
	fuse_reply_err(req, 0);
}

/* "." and ".." are no lookups, and neither are names that have gone meanwhile. */
static struct fuse_entry_param entry_of(fuse_ino_t dir, const struct dirent *found,
					bool plus)
{
	bool dots = strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0;
	struct fuse_entry_param e;

	if (plus && !dots && look_up(dir, found->d_name, &e) == 0)
		return e;
	return (struct fuse_entry_param){
		.attr = { .st_ino = found->d_ino, .st_mode = DTTOIF(found->d_type) },
	};
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		 struct fuse_file_info *fi, bool plus)
{
	DIR *stream = stream_of(fi);
	char *buffer = malloc(size);
	const struct dirent *found;
	size_t used = 0;
	int error;

	if (!buffer) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	if (off != telldir(stream))
		seekdir(stream, off);
	for (errno = 0; (found = readdir(stream)); errno = 0) {
		struct fuse_entry_param e = entry_of(ino, found, plus);
		size_t room = size - used, need;

		need = plus ? fuse_add_direntry_plus(req, buffer + used, room,
						     found->d_name, &e, found->d_off)
			    : fuse_add_direntry(req, buffer + used, room, found->d_name,
						&e.attr, found->d_off);
		if (need > room) {
			if (e.ino)
				node_put(node_of(e.ino), 1);
			break;
		}
		used += need;
		off = found->d_off;
	}
	error = found ? 0 : errno;
	if (found) /* it comes first next time */
		seekdir(stream, off);
	if (error && !used)
		fuse_reply_err(req, error);
	else
		fuse_reply_buf(req, buffer, used);
	free(buffer);
}

static void ll_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	list(req, ino, size, off, fi, false);
}

static void ll_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			   struct fuse_file_info *fi)
{
	list(req, ino, size, off, fi, true);
}

static void ll_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
			struct fuse_file_info *fi)
{
	int fd = dirfd(stream_of(fi));

	reply_result(req, datasync ? fdatasync(fd) : fsync(fd));
}

/* Files: fh is a descriptor, and whether that has O_APPEND: see append.h. */

/*
 * When the kernel collects writes, it reads what is around them, on files that were opened
 * for writing only as well, and it knows where the end is.
 */
static int flags_for(int flags)
{
	if (fs.writeback && (flags & O_ACCMODE) == O_WRONLY)
		flags = (flags & ~O_ACCMODE) | O_RDWR;
	if (fs.writeback)
		flags &= ~O_APPEND;
	return (flags & ~(O_NOFOLLOW | O_DIRECT)) | O_CLOEXEC;
}

static void set_cache(struct fuse_file_info *fi)
{
	fi->direct_io = fs.direct_io;
	fi->keep_cache = fs.keep_cache;
}

static void ll_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	char path[PROC_PATH_SIZE];
	int fd = open(proc_path(path, fd_of(ino)), flags_for(fi->flags));

	if (fd < 0) {
		fuse_reply_err(req, errno);
		return;
	}
	fi->fh = append_handle(fd, flags_for(fi->flags));
	set_cache(fi);
	if (fuse_reply_open(req, fi) < 0)
		close(fd);
}

/*
 * The kernel found no such name, but there may be one by now, of a file that it has not checked
 * yet whether the caller may open. After ESTALE it looks again, and opens what there is.
 */
static void ll_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	int fd = openat(fd_of(parent), name,
			flags_for(fi->flags) | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
	struct fuse_entry_param e;
	int error = fd < 0 ? errno : look_up(parent, name, &e);

	if (fd < 0 && error == EEXIST && !(fi->flags & O_EXCL))
		error = ESTALE;
	if (error) {
		if (fd >= 0)
			close(fd);
		fuse_reply_err(req, error);
		return;
	}
	fi->fh = append_handle(fd, flags_for(fi->flags));
	set_cache(fi);
	if (fuse_reply_create(req, &e, fi) < 0) {
		node_put(node_of(e.ino), 1);
		close(fd);
	}
}

static struct fuse_bufvec place_in_file(struct fuse_file_info *fi, size_t size, off_t off)
{
	struct fuse_bufvec place = FUSE_BUFVEC_INIT(size);

	place.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	place.buf[0].fd = (int)fi->fh;
	place.buf[0].pos = off;
	return place;
}

static void ll_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	struct fuse_bufvec source = place_in_file(fi, size, off);

	fuse_reply_data(req, &source, 0);
}

static void ll_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *bufv,
			 off_t off, struct fuse_file_info *fi)
{
	struct fuse_bufvec target = place_in_file(fi, fuse_buf_size(bufv), off);
	int fd = fd_to_write(fi);
	ssize_t written = fd;

	target.buf[0].fd = fd;
	if (fd >= 0)
		written = fuse_buf_copy(&target, bufv, 0);
	append_written(fi, fd);
	if (written < 0)
		fuse_reply_err(req, (int)-written);
	else
		fuse_reply_write(req, (size_t)written);
}

/* Closing a copy brings up what the source reports at close(2). */
static void ll_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	int copy = dup((int)fi->fh);

	reply_result(req, copy < 0 ? -1 : close(copy));
}

static void ll_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	close((int)fi->fh);
	fuse_reply_err(req, 0);
}

static void ll_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
		     struct fuse_file_info *fi)
{
	reply_result(req, datasync ? fdatasync((int)fi->fh) : fsync((int)fi->fh));
}

static void ll_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
			 off_t length, struct fuse_file_info *fi)
{
	reply_result(req, fallocate((int)fi->fh, mode, offset, length));
}

static void ll_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
		     struct fuse_file_info *fi)
{
	off_t found = lseek((int)fi->fh, off, whence);

	if (found < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_lseek(req, found);
}

static void ll_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			       struct fuse_file_info *fi_in, fuse_ino_t ino_out,
			       off_t off_out, struct fuse_file_info *fi_out, size_t len,
			       int flags)
{
	ssize_t copied = append_copy(fi_in, off_in, fi_out, off_out, len, flags);

	if (copied < 0)
		fuse_reply_err(req, (int)-copied);
	else
		fuse_reply_write(req, (size_t)copied);
}

/*
 * Who waits for a lock does not do so in a handler: there are only so many threads for these,
 * and one has to be left to hear of the lock's release. So each has a thread of its own, which
 * asks again and again; passthrough_hp/lock.c does without that, at the price of signals. The
 * file stays open meanwhile: the kernel releases it when all its requests are answered.
 */
struct waiter {
	fuse_req_t req;
	int fd;
	int op;
};

#define PAUSE	     20000000 /* nanoseconds */
#define WAITERS_MAX  256
#define WAITER_STACK (128 << 10)

static int ask_for_lock(const struct waiter *waiter)
{
	return flock(waiter->fd, waiter->op | LOCK_NB) == 0 ? 0 : errno;
}

static void *wait_for_lock(void *data)
{
	const struct timespec pause = { .tv_nsec = PAUSE };
	struct waiter *waiter = data;
	int error;

	do {
		nanosleep(&pause, NULL);
		if (fs.over)
			error = ENOTCONN;
		else if (fuse_req_interrupted(waiter->req))
			error = EINTR;
		else
			error = ask_for_lock(waiter);
	} while (error == EWOULDBLOCK);
	fuse_reply_err(waiter->req, error);
	free(waiter);

	pthread_mutex_lock(&fs.lock);
	if (--fs.waiters == 0)
		pthread_cond_signal(&fs.nobody_waits);
	pthread_mutex_unlock(&fs.lock);
	return NULL;
}

/*
 * Returns 0, and the request will be answered, or an errno value: whoever may open files can ask
 * for any number of locks, but not make us have as many threads. Signals are for the thread
 * that waits for the session's end.
 */
static int start_waiter(const struct waiter *what)
{
	struct waiter *waiter = malloc(sizeof(*waiter));
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int error = EAGAIN;

	if (!waiter)
		return ENOLCK;
	*waiter = *what;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, WAITER_STACK);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_mutex_lock(&fs.lock);
	if (fs.waiters < WAITERS_MAX)
		error = pthread_create(&thread, &attr, wait_for_lock, waiter);
	if (!error)
		fs.waiters++;
	pthread_mutex_unlock(&fs.lock);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (error)
		free(waiter);
	return error ? ENOLCK : 0;
}

/* The session is about to end, and their requests with it. */
static void stop_waiters(struct fuse_session *session)
{
	fs.over = true;
	pthread_mutex_lock(&fs.lock);
	while (fs.waiters)
		pthread_cond_wait(&fs.nobody_waits, &fs.lock);
	pthread_mutex_unlock(&fs.lock);
}

static void ll_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
	struct waiter waiter = { .req = req, .fd = (int)fi->fh, .op = op };
	int error = ask_for_lock(&waiter);

	if (error == EWOULDBLOCK && !(op & LOCK_NB)) {
		error = start_waiter(&waiter);
		if (!error)
			return;
	}
	fuse_reply_err(req, error);
}

/* Extended attributes */

static void ll_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
			const char *value, size_t size, int flags)
{
	char path[PROC_PATH_SIZE];

	reply_result(req,
		     setxattr(proc_path(path, fd_of(ino)), name, value, size, flags));
}

static void ll_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	char path[PROC_PATH_SIZE];

	reply_result(req, removexattr(proc_path(path, fd_of(ino)), name));
}

/* name NULL: the list of names. size 0: the size that it takes. */
static void reply_xattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	char *value = size ? malloc(size) : NULL;
	char path[PROC_PATH_SIZE];
	ssize_t got;

	proc_path(path, fd_of(ino));
	if (size && !value) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	got = name ? getxattr(path, name, value, size) : listxattr(path, value, size);
	if (got < 0)
		fuse_reply_err(req, errno);
	else if (size == 0)
		fuse_reply_xattr(req, (size_t)got);
	else
		fuse_reply_buf(req, value, (size_t)got);
	free(value);
}

static void ll_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	reply_xattr(req, ino, name, size);
}

static void ll_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	reply_xattr(req, ino, NULL, size);
}

/* Session */

/*
 * Set-id bits, and capabilities, of what others change through us are left to the kernel, but
 * for writes past its cache: see set_id.h. It does not do it for what open() truncates either;
 * therefore that shall be a setattr() of its own.
 */
static void ll_init(void *userdata, struct fuse_conn_info *conn)
{
	fuse_unset_feature_flag(conn, FUSE_CAP_HANDLE_KILLPRIV);
	fuse_unset_feature_flag(conn, FUSE_CAP_ATOMIC_O_TRUNC);
	if (fs.writeback)
		fs.writeback = fuse_set_feature_flag(conn, FUSE_CAP_WRITEBACK_CACHE);
}

/* Without these two the kernel keeps such locks itself, or says that there are none. */
static struct fuse_lowlevel_ops operations(void)
{
	struct fuse_lowlevel_ops ops = {
		.init = ll_init,
		.lookup = ll_lookup,
		.forget = ll_forget,
		.getattr = ll_getattr,
		.setattr = ll_setattr,
		.readlink = ll_readlink,
		.statfs = ll_statfs,
		.mknod = ll_mknod,
		.mkdir = ll_mkdir,
		.symlink = ll_symlink,
		.link = ll_link,
		.unlink = ll_unlink,
		.rmdir = ll_rmdir,
		.rename = ll_rename,
		.opendir = ll_opendir,
		.readdir = ll_readdir,
		.readdirplus = ll_readdirplus,
		.releasedir = ll_releasedir,
		.fsyncdir = ll_fsyncdir,
		.create = ll_create,
		.open = ll_open,
		.read = ll_read,
		.write_buf = ll_write_buf,
		.flush = ll_flush,
		.release = ll_release,
		.fsync = ll_fsync,
		.fallocate = ll_fallocate,
		.lseek = ll_lseek,
		.copy_file_range = ll_copy_file_range,
	};

	if (fs.flock)
		ops.flock = ll_flock;
	if (fs.xattr) {
		ops.setxattr = ll_setxattr;
		ops.getxattr = ll_getxattr;
		ops.listxattr = ll_listxattr;
		ops.removexattr = ll_removexattr;
	}
	return ops;
}

/* Returns whether the options make sense. */
static bool settle(const char *program)
{
	const char *source = fs.source ? fs.source : "/";
	const char *cache = fs.cache ? fs.cache : "auto";
	double timeout;

	if (strcmp(cache, "never") == 0) {
		timeout = 0;
		fs.direct_io = true;
	} else if (strcmp(cache, "auto") == 0) {
		timeout = 1;
	} else if (strcmp(cache, "always") == 0) {
		timeout = 86400;
		fs.keep_cache = true;
	} else {
		fprintf(stderr, "%s: cache=%s: must be never, auto or always\n", program,
			cache);
		return false;
	}
	if (fs.timeout < 0 || fs.direct_io)
		fs.timeout = timeout;

	fs.root.fd = open(source, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fs.root.fd < 0) {
		fprintf(stderr, "%s: source=%s: %s\n", program, source, strerror(errno));
		return false;
	}
	return true;
}

/*
 * Each node has a descriptor, and the kernel can know of very many. Where even what root may
 * ask for is not enough, see passthrough_hp/descriptor.c.
 */
static void raise_limit(void)
{
	struct rlimit limit = { 1 << 20, 1 << 20 };

	if (setrlimit(RLIMIT_NOFILE, &limit) == 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
	struct fuse_lowlevel_ops ops;
	const struct program program = { .operations = &ops, .loop_ended = stop_waiters };
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct fuse_cmdline_opts opts;
	bool good = false;

	umask(0); /* the kernel applies the caller's */
	raise_limit();
	if (fuse_parse_cmdline(&args, &opts) != 0)
		return 1;
	if (opts.show_help) {
		printf("usage: %s [options] -o source=DIR MOUNTPOINT\n\n", argv[0]);
		fuse_cmdline_help();
		fuse_lowlevel_help();
		good = true;
	} else if (opts.show_version) {
		printf("FUSE library version %s\n", fuse_pkgversion());
		fuse_lowlevel_version();
		good = true;
	} else if (!opts.mountpoint) {
		fprintf(stderr, "%s: MOUNTPOINT is missing, try --help\n", argv[0]);
	} else if (fuse_opt_parse(&args, &fs, options, NULL) == 0 && settle(argv[0])) {
		ops = operations();
		good = serve_session(&args, &program, &opts);
	}
	free(fs.source);
	free(fs.cache);
	free(opts.mountpoint);
	fuse_opt_free_args(&args);
	return good ? 0 : 1;
}
