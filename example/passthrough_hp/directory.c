// SPDX-License-Identifier: GPL-2.0-only
/*
 * Names: looking them up, making and removing them, and reading directories.
 */
#include "caller.h"
#include "handle.h"
#include "inode.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A lookup counts only if the kernel hears of it. */
static void reply_entry(fuse_req_t req, int res, const struct fuse_entry_param *e)
{
	if (res < 0)
		fuse_reply_err(req, -res);
	else if (fuse_reply_entry(req, e) < 0)
		inode_forget(inode_of(e->ino), 1);
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e;

	reply_entry(req, inode_lookup(inode_of(parent), name, &e), &e);
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	inode_forget(inode_of(ino), nlookup);
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		inode_forget(inode_of(forgets[i].ino), forgets[i].nlookup);
	fuse_reply_none(req);
}

/* Making names */

/*
 * What was made is looked up by its name. Should somebody have put another file there by
 * now, that is the one that the kernel gets to know.
 */
static void reply_made(fuse_req_t req, struct inode *dir, const char *name, int res)
{
	struct fuse_entry_param e;

	if (res == 0)
		res = inode_lookup(dir, name, &e);
	reply_entry(req, res, &e);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	      dev_t rdev)
{
	struct inode *dir = inode_of(parent);
	int fd = inode_hold(dir), res = fd;

	if (fd >= 0) {
		res = AS_CREATOR(req, result_of(mknodat(fd, name, mode, rdev)));
		inode_drop(dir);
	}
	reply_made(req, dir, name, res);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct inode *dir = inode_of(parent);
	int fd = inode_hold(dir), res = fd;

	if (fd >= 0) {
		res = AS_CREATOR(req, result_of(mkdirat(fd, name, mode)));
		inode_drop(dir);
	}
	reply_made(req, dir, name, res);
}

void op_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
	struct inode *dir = inode_of(parent);
	int fd = inode_hold(dir), res = fd;

	if (fd >= 0) {
		res = AS_CALLER(req, result_of(symlinkat(link, fd, name)));
		inode_drop(dir);
	}
	reply_made(req, dir, name, res);
}

/* By way of /proc, because AT_EMPTY_PATH is for those with CAP_DAC_READ_SEARCH only. */
static int link_file(fuse_req_t req, int fd, struct inode *dir, const char *name)
{
	int dir_fd = inode_hold(dir), res;

	if (dir_fd < 0)
		return dir_fd;
	res = AS_CALLER(req, result_of(linkat(AT_FDCWD, proc_path(fd).text, dir_fd, name,
					      AT_SYMLINK_FOLLOW)));
	inode_drop(dir);
	return res;
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	struct inode *inode = inode_of(ino), *dir = inode_of(newparent);
	int fd = inode_hold(inode), res = fd;

	if (fd >= 0) {
		res = link_file(req, fd, dir, newname);
		inode_drop(inode);
	}
	reply_made(req, dir, newname, res);
}

/* Removing and changing names */

static int remove_name(fuse_req_t req, fuse_ino_t parent, const char *name, int flags)
{
	struct inode *dir = inode_of(parent), *victim;
	int fd = inode_hold(dir), res;

	if (fd < 0)
		return fd;
	victim = inode_pin(fd, name);
	res = AS_CALLER(req, result_of(unlinkat(fd, name, flags)));
	inode_unpin(victim);
	inode_drop(dir);
	return res;
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	fuse_reply_err(req, -remove_name(req, parent, name, 0));
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	fuse_reply_err(req, -remove_name(req, parent, name, AT_REMOVEDIR));
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
	       const char *newname, unsigned int flags)
{
	struct inode *from = inode_of(parent), *to = inode_of(newparent), *victim;
	int from_fd = inode_hold(from), to_fd = inode_hold(to), res;

	res = from_fd < 0 ? from_fd : to_fd;
	if (res >= 0) {
		victim = inode_pin(to_fd, newname);
		res = AS_CALLER(
			req, result_of(renameat2(from_fd, name, to_fd, newname, flags)));
		inode_unpin(victim);
	}
	if (from_fd >= 0)
		inode_drop(from);
	if (to_fd >= 0)
		inode_drop(to);
	fuse_reply_err(req, -res);
}

/* Open directories */

/*
 * Entries are read ahead of those that were passed on. The kernel reads one open directory
 * in one thread at a time, but nothing says that it always will.
 */
struct directory {
	struct handle handle; /* first: an open directory is its handle */
	pthread_mutex_t lock;
	int fd;

	/* The place behind the last entry passed on, and the entries that come next. */
	off_t offset;
	size_t next;
	size_t filled;
	char entries[32768] __attribute__((aligned(__alignof__(struct dirent64))));
};

static struct directory *directory_of(const struct fuse_file_info *fi)
{
	return (struct directory *)(uintptr_t)fi->fh;
}

static void directory_free(struct handle *handle)
{
	struct directory *dir = (struct directory *)handle;

	close(dir->fd);
	pthread_mutex_destroy(&dir->lock);
	free(dir);
}

/* Not as ".": that takes permission to search the directory, and not only to read it. */
static int directory_open(fuse_req_t req, struct inode *inode, struct directory **made)
{
	struct proc_path path;
	struct directory *dir;
	int path_fd = inode_hold(inode), fd;

	if (path_fd < 0)
		return path_fd;
	path = proc_path(path_fd);
	fd = AS_CALLER(req, WITH_ROOM_FOR_FD(
				    open(path.text, O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
	inode_drop(inode);
	if (fd < 0)
		return fd;
	dir = malloc(sizeof(*dir));
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	pthread_mutex_init(&dir->lock, NULL);
	dir->fd = fd;
	dir->offset = 0;
	dir->next = dir->filled = 0;
	handle_add(&dir->handle, directory_free);
	*made = dir;
	return 0;
}

static void directory_close(struct directory *dir)
{
	handle_remove(&dir->handle);
	directory_free(&dir->handle);
}

/* Listings are not cached by the kernel: it would not see names that the source gets. */
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct directory *dir = NULL;
	int res = directory_open(req, inode_of(ino), &dir);

	if (res < 0) {
		fuse_reply_err(req, -res);
		return;
	}
	fi->fh = (uintptr_t)dir;
	if (fuse_reply_open(req, fi) < 0)
		directory_close(dir);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	directory_close(directory_of(fi));
	fuse_reply_err(req, 0);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	int fd = directory_of(fi)->fd;

	fuse_reply_err(req, -result_of(datasync ? fdatasync(fd) : fsync(fd)));
}

/* Go to an offset, which is one that the source gave with an entry, or 0. */
static int directory_seek(struct directory *dir, off_t offset)
{
	if (offset == dir->offset)
		return 0;
	if (lseek(dir->fd, offset, SEEK_SET) < 0)
		return -errno;
	dir->offset = offset;
	dir->next = dir->filled = 0;
	return 0;
}

/* Returns 1 and the next entry, which stays next until directory_pass(); 0 at the end. */
static int directory_next(struct directory *dir, const struct dirent64 **entry)
{
	if (dir->next == dir->filled) {
		ssize_t got = getdents64(dir->fd, dir->entries, sizeof(dir->entries));

		if (got < 0)
			return -errno;
		dir->next = 0;
		dir->filled = (size_t)got;
	}
	if (dir->next == dir->filled)
		return 0;
	*entry = (const struct dirent64 *)(dir->entries + dir->next);
	return 1;
}

static void directory_pass(struct directory *dir, const struct dirent64 *entry)
{
	dir->next += entry->d_reclen;
	dir->offset = entry->d_off;
}

/* A listing being made, for one request. */
struct listing {
	fuse_req_t req;
	struct inode *inode;
	char *buffer;
	size_t size;
	size_t used;

	/* Inodes that lookups were counted for: only in listings with attributes. */
	struct inode **counted;
	size_t counts;
};

/* The least that an entry with attributes takes in a reply, in bytes. */
#define ENTRY_PLUS_MIN 152

static bool is_dots(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* What getdents64(2) says about a file; its type may be missing. */
static struct stat attr_of(const struct listing *listing, const struct dirent64 *entry)
{
	return (struct stat){
		.st_ino = entry->d_ino + listing->inode->device->ino_offset,
		.st_mode = DTTOIF(entry->d_type),
	};
}

static bool add_plain(struct listing *listing, const struct dirent64 *entry)
{
	struct stat attr = attr_of(listing, entry);
	size_t room = listing->size - listing->used;
	size_t need = fuse_add_direntry(listing->req, listing->buffer + listing->used,
					room, entry->d_name, &attr, entry->d_off);

	if (need > room)
		return false;
	listing->used += need;
	return true;
}

/*
 * Names for which there is no lookup: "." and "..", and files that are gone by now or
 * cannot be looked at. The kernel asks for the latter if it needs them.
 */
static bool add_plus(struct listing *listing, const struct dirent64 *entry)
{
	struct fuse_entry_param e = { .attr = attr_of(listing, entry) };
	size_t room = listing->size - listing->used;
	struct fuse_entry_param found;

	if (fuse_add_direntry_plus(listing->req, NULL, 0, entry->d_name, &e,
				   entry->d_off) > room)
		return false;
	if (!is_dots(entry->d_name) &&
	    inode_lookup(listing->inode, entry->d_name, &found) == 0) {
		e = found;
		listing->counted[listing->counts++] = inode_of(e.ino);
	}
	listing->used +=
		fuse_add_direntry_plus(listing->req, listing->buffer + listing->used,
				       room, entry->d_name, &e, entry->d_off);
	return true;
}

/* An error after some entries is left to the next request, which will meet it again. */
static int fill(struct listing *listing, struct directory *dir, off_t offset)
{
	const struct dirent64 *entry = NULL;
	int res = directory_seek(dir, offset);

	while (res == 0 && (res = directory_next(dir, &entry)) > 0) {
		if (listing->counted ? !add_plus(listing, entry)
				     : !add_plain(listing, entry))
			break;
		directory_pass(dir, entry);
		res = 0;
	}
	if (listing->used)
		return 0;
	return res > 0 ? -EINVAL : res;
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		 struct fuse_file_info *fi, bool plus)
{
	struct directory *dir = directory_of(fi);
	struct listing listing = {
		.req = req,
		.inode = inode_of(ino),
		.buffer = malloc(size),
		.size = size,
	};
	int res = -ENOMEM;

	if (plus)
		listing.counted =
			calloc(size / ENTRY_PLUS_MIN + 1, sizeof(struct inode *));
	if (listing.buffer && (!plus || listing.counted)) {
		pthread_mutex_lock(&dir->lock);
		res = fill(&listing, dir, offset);
		pthread_mutex_unlock(&dir->lock);
	}
	if (res < 0)
		fuse_reply_err(req, -res);
	else if (fuse_reply_buf(req, listing.buffer, listing.used) < 0)
		while (listing.counts)
			inode_forget(listing.counted[--listing.counts], 1);
	free(listing.counted);
	free(listing.buffer);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		struct fuse_file_info *fi)
{
	list(req, ino, size, off, fi, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	list(req, ino, size, off, fi, true);
}
