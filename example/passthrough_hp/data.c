// SPDX-License-Identifier: GPL-2.0-only
/*
 * Open files: how their data moves, and whatever else is done with them.
 */
#include "data.h"
#include "caller.h"
#include "lock.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The kernel's own flag for "to be executed"; open(2) does not let programs set it. */
#define OPENED_TO_EXECUTE 040

/*
 * What we open with of what the client opens with. O_DIRECT is not among it, because our
 * buffers, and what lies in a pipe, are not aligned as it wants; nor is O_NONBLOCK, which
 * means nothing for regular files but would to splice(2).
 */
#define OPEN_FLAGS \
	(O_ACCMODE | O_APPEND | O_TRUNC | O_SYNC | O_DSYNC | O_NOATIME | O_LARGEFILE)

/* The ways that data goes */

/*
 * Hand the file to the kernel. Not if it has set-id bits: whether writing takes them away
 * depends on the writer, and the kernel does all writing as one.
 */
static int back(fuse_req_t req, struct inode *inode, int fd)
{
	struct stat attr;
	int id;

	if (!settings.passthrough || inode->device->no_backing)
		return 0;
	if (fstat(fd, &attr) < 0 || attr.st_mode & (S_ISUID | S_ISGID))
		return 0;
	id = WITH_CALLER(caller_become_backer(req), fuse_passthrough_open(req, fd));
	if (id <= 0)
		inode->device->no_backing = true;
	return id > 0 ? id : 0;
}

/*
 * The first open decides for all that follow until nobody has the inode open. Pages that
 * were cached before the kernel wrote to the file itself are out of date.
 */
static void choose_data_path(fuse_req_t req, struct inode *inode, int fd,
			     struct fuse_file_info *fi)
{
	bool cache_is_valid;

	pthread_mutex_lock(&inode->lock);
	cache_is_valid = inode->data_path == BY_REQUEST && inode_is_cacheable(inode);
	if (inode->opens++ == 0) {
		inode->backing_id = back(req, inode, fd);
		inode->data_path = inode->backing_id ? BY_KERNEL : BY_REQUEST;
		debug("inode %llu goes by %s\n", (unsigned long long)inode->key.ino,
		      inode->backing_id ? "kernel" : "request");
	}
	if (inode->data_path == BY_KERNEL) {
		fi->backing_id = inode->backing_id;
	} else {
		fi->direct_io = settings.direct_io;
		fi->parallel_direct_writes = settings.direct_io;
		fi->keep_cache = cache_is_valid && !settings.direct_io;
		if (!settings.splice)
			fi->zero_copy = FUSE_ZERO_COPY_DECLINE;
	}
	pthread_mutex_unlock(&inode->lock);
}

static void leave_data_path(fuse_req_t req, struct inode *inode)
{
	pthread_mutex_lock(&inode->lock);
	if (--inode->opens == 0 && inode->backing_id) {
		fuse_passthrough_close(req, inode->backing_id);
		inode->backing_id = 0;
	}
	pthread_mutex_unlock(&inode->lock);
}

/* Opening */

static void file_close(struct handle *handle)
{
	struct file *file = (struct file *)handle;

	if (file->other_fd >= 0)
		close(file->other_fd);
	close(file->fd);
	free(file);
}

/*
 * Make an open file of a descriptor, which becomes ours. The inode is kept, because its
 * last forget() may be carried out before release() is.
 */
static int file_new(fuse_req_t req, struct inode *inode, int fd,
		    struct fuse_file_info *fi)
{
	struct file *file = malloc(sizeof(*file));

	if (!file) {
		close(fd);
		return -ENOMEM;
	}
	file->fd = fd;
	file->append = fi->flags & O_APPEND;
	file->to_write = (fi->flags & O_ACCMODE) != O_RDONLY;
	file->other_fd = -1;
	inode_keep(inode);
	inode->opens_to_write += file->to_write;
	choose_data_path(req, inode, fd, fi);
	handle_add(&file->handle, file_close);
	fi->fh = (uintptr_t)file;
	return 0;
}

static void file_free(fuse_req_t req, struct inode *inode, struct fuse_file_info *fi)
{
	struct file *file = file_of(fi);

	leave_data_path(req, inode);
	lock_release(inode, fi->fh);
	inode->opens_to_write -= file->to_write;
	inode_forget(inode, 1);
	handle_remove(&file->handle);
	file_close(&file->handle);
}

/*
 * A file may be executed by those who may not read it, which the kernel has checked; the
 * source has no open(2) for that.
 */
static int open_again(fuse_req_t req, struct inode *inode, int flags)
{
	int path_fd = inode_hold(inode), fd;
	struct proc_path path = proc_path(path_fd);

	if (path_fd < 0)
		return path_fd;
	if (flags & OPENED_TO_EXECUTE)
		fd = WITH_ROOM_FOR_FD(open(path.text, O_RDONLY | O_CLOEXEC));
	else
		fd = AS_CALLER(req,
			       WITH_ROOM_FOR_FD(open(path.text,
						     (flags & OPEN_FLAGS) | O_CLOEXEC)));
	inode_drop(inode);
	return fd;
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct inode *inode = inode_of(ino);
	int fd = open_again(req, inode, fi->flags), res = fd;

	if (fd >= 0)
		res = file_new(req, inode, fd, fi);
	if (res < 0)
		fuse_reply_err(req, -res);
	else if (fuse_reply_open(req, fi) < 0)
		file_free(req, inode, fi);
}

static void reply_new_file(fuse_req_t req, int fd, struct fuse_file_info *fi)
{
	struct fuse_entry_param e;
	struct inode *inode;
	int res = fd;

	if (fd >= 0) {
		res = inode_lookup_fd(fd, &e);
		if (res < 0)
			close(fd);
	}
	if (res < 0) {
		fuse_reply_err(req, -res);
		return;
	}
	inode = inode_of(e.ino);
	res = file_new(req, inode, fd, fi);
	if (res < 0) {
		inode_forget(inode, 1);
		fuse_reply_err(req, -res);
	} else if (fuse_reply_create(req, &e, fi) < 0) {
		file_free(req, inode, fi);
		inode_forget(inode, 1);
	}
}

/*
 * The kernel found no such name, but somebody may have put one into the source: O_NONBLOCK
 * is for the case that it is a FIFO's.
 */
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi)
{
	int flags = fi->flags & (OPEN_FLAGS | O_EXCL);
	struct inode *dir = inode_of(parent);
	int dir_fd = inode_hold(dir), fd = dir_fd;

	if (dir_fd >= 0) {
		fd = AS_CREATOR(req,
				WITH_ROOM_FOR_FD(openat(dir_fd, name,
							flags | O_CREAT | O_NOFOLLOW |
								O_NONBLOCK | O_CLOEXEC,
							mode & ~S_IFMT)));
		inode_drop(dir);
	}
	if (fd >= 0)
		fcntl(fd, F_SETFL, flags);
	reply_new_file(req, fd, fi);
}

/* O_EXCL here says that the file will never get a name. */
void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi)
{
	int flags = fi->flags & (OPEN_FLAGS | O_EXCL);
	struct inode *dir = inode_of(parent);
	int dir_fd = inode_hold(dir), fd = dir_fd;

	if (dir_fd >= 0) {
		fd = AS_CREATOR(req, WITH_ROOM_FOR_FD(openat(
					     dir_fd, ".", flags | O_TMPFILE | O_CLOEXEC,
					     mode & ~S_IFMT)));
		inode_drop(dir);
	}
	reply_new_file(req, fd, fi);
}

/* Errors that the source reports at close(2), as a network file system does, go here. */
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	int fd = WITH_ROOM_FOR_FD(fcntl(file_of(fi)->fd, F_DUPFD_CLOEXEC, 0));

	lock_flush(inode_of(ino), fi->lock_owner);
	fuse_reply_err(req, -(fd < 0 ? fd : (int)result_of(close(fd))));
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	file_free(req, inode_of(ino), fi);
	fuse_reply_err(req, 0);
}

/* Reading and writing */

/*
 * The library knows the best way from a descriptor to the client. With zero-copy the data
 * moves after this returns; the file cannot be closed before, since the kernel releases it
 * only when all its requests are answered.
 */
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
	     struct fuse_file_info *fi)
{
	fuse_reply_read_fd(req, file_of(fi)->fd, off, size);
}

/*
 * For --nosplice: the way of a filesystem that computes its data. Over io_uring it can do
 * that right where the reply leaves from.
 */
void op_read_copied(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	char *buffer, *allocated = NULL;
	size_t room;
	ssize_t got;

	if (fuse_req_get_payload(req, &buffer, &room, NULL) < 0 || room < size)
		buffer = allocated = malloc(size);
	got = buffer ? result_of(pread(file_of(fi)->fd, buffer, size, off)) : -ENOMEM;
	if (got < 0)
		fuse_reply_err(req, (int)-got);
	else
		fuse_reply_buf(req, buffer, (size_t)got);
	free(allocated);
}

static int open_other(struct file *file)
{
	int flags = fcntl(file->fd, F_GETFL) & (O_APPEND | O_SYNC | O_DSYNC);
	int none = -1;
	int fd = WITH_ROOM_FOR_FD(open(proc_path(file->fd).text,
				       (flags ^ O_APPEND) | O_WRONLY | O_CLOEXEC));

	if (fd < 0 || atomic_compare_exchange_strong(&file->other_fd, &none, fd))
		return fd;
	close(fd); /* another thread was faster */
	return none;
}

/*
 * What to write to. Clients may turn O_APPEND on and off while they have a file open, and
 * the kernel writes mapped pages through any file that is open for writing, where they must not
 * end up at the end. Turning it on and off in our own descriptor would be wrong for writes
 * that are under way.
 */
static int writable_fd(struct file *file, bool append)
{
	int other = file->other_fd;

	if (file->append == append)
		return file->fd;
	return other >= 0 ? other : open_other(file);
}

/*
 * Whether a write may be ours. Out of a mapping it is by nobody in particular. And root keeps
 * set-id bits by writing, if the kernel does not say otherwise; all other users lose them,
 * and have to leave alone what is reserved for root or beyond their quota.
 */
static bool is_as_we_are(fuse_req_t req, const struct fuse_file_info *fi)
{
	if (fi->writepage || !settings.as_caller)
		return true;
	return fuse_req_ctx(req)->uid == 0 && !fi->kill_suidgid;
}

static ssize_t write_as_we_are(int fd, struct fuse_bufvec *data, off_t off)
{
	struct fuse_bufvec place = FUSE_BUFVEC_INIT(fuse_buf_size(data));

	place.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	place.buf[0].fd = fd;
	place.buf[0].pos = off;
	return fuse_buf_copy(&place, data, 0);
}

/*
 * If the data is still the client's, it goes to the file as the caller's, or the library brings
 * it to memory first. What it submits for other requests along with it, in this very thread, has
 * credentials of its own, the server's. Only if the kernel had no memory to register those would
 * it be carried out as this one's caller.
 */
static ssize_t write_as_caller(fuse_req_t req, int fd, struct fuse_bufvec *data,
			       off_t off)
{
	return WITH_CALLER(caller_become_writer(req, fd), write_as_we_are(fd, data, off));
}

/*
 * A single write may be one that is to be on the disk when it ends (RWF_DSYNC, RWF_SYNC). The
 * kernel asks for an fsync() after it, unless it goes past its cache. Whole files of that kind
 * are opened like that in the source; O_SYNC is O_DSYNC and a bit more.
 */
static bool is_to_be_synced(int fd, const struct fuse_file_info *fi)
{
	return settings.direct_io && !fi->writepage &&
	       fi->flags & O_SYNC & ~fcntl(fd, F_GETFL);
}

static ssize_t write_here(fuse_req_t req, int fd, struct fuse_bufvec *data, off_t off,
			  const struct fuse_file_info *fi)
{
	ssize_t written = is_as_we_are(req, fi) ? write_as_we_are(fd, data, off)
						: write_as_caller(req, fd, data, off);
	int res = 0;

	if (written > 0 && is_to_be_synced(fd, fi))
		res = (fi->flags & O_SYNC) == O_SYNC ? fsync(fd) : fdatasync(fd);
	return res < 0 ? -errno : written;
}

void op_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *bufv, off_t off,
		  struct fuse_file_info *fi)
{
	int fd = writable_fd(file_of(fi), !fi->writepage && fi->flags & O_APPEND);
	ssize_t written = fd;

	if (fd >= 0 && is_as_we_are(req, fi) && !is_to_be_synced(fd, fi)) {
		fuse_reply_write_fd(req, fd, off, fuse_buf_size(bufv));
		return;
	}
	if (fd >= 0)
		written = write_here(req, fd, bufv, off, fi);
	if (written < 0)
		fuse_reply_err(req, (int)-written);
	else
		fuse_reply_write(req, (size_t)written);
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
	      struct fuse_file_info *fi)
{
	struct fuse_bufvec data = FUSE_BUFVEC_INIT(size);

	data.buf[0].mem = (void *)(uintptr_t)buf;
	op_write_buf(req, ino, &data, off, fi);
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	int fd = file_of(fi)->fd;

	fuse_reply_err(req, -result_of(datasync ? fdatasync(fd) : fsync(fd)));
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
		  struct fuse_file_info *fi)
{
	int fd = file_of(fi)->fd;

	fuse_reply_err(req, -AS_WRITER(req, fd,
				       result_of(fallocate(fd, mode, offset, length))));
}

void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
			struct fuse_file_info *fi_out, size_t len, int flags)
{
	int in = file_of(fi_in)->fd, out = writable_fd(file_of(fi_out), false);
	ssize_t copied = out;

	if (out >= 0)
		copied = AS_WRITER(req, out,
				   result_of(copy_file_range(in, &off_in, out, &off_out,
							     len, flags)));
	if (copied < 0)
		fuse_reply_err(req, (int)-copied);
	else
		fuse_reply_write(req, (size_t)copied);
}

/* The descriptor's own position moves, but nothing here goes by it. */
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
	      struct fuse_file_info *fi)
{
	off_t found = lseek(file_of(fi)->fd, off, whence);

	if (found < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_lseek(req, found);
}
