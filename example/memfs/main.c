// SPDX-License-Identifier: GPL-2.0-only
/*
 * memfs: a file system in memory.
 *
 * A complete filesystem on the high-level interface, and a model for one with data
 * structures of its own: paths are walked here, open files are known by their inodes, directories
 * are read by offsets, with attributes if the kernel wants them.
 *
 *     memfs MOUNTPOINT
 *     cp -a SOME_FOLDER MOUNTPOINT; ls -lR MOUNTPOINT
 *     fusermount3 -u MOUNTPOINT
 *
 * What was in it is gone then.
 */
#define FUSE_USE_VERSION 318
#include <fuse.h>

#include "memfs.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define NAME_LIMIT 255

static struct inode *root;

/* Held for reading by what changes nothing. */
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;

static int unlocked(int result)
{
	pthread_rwlock_unlock(&lock);
	return result;
}

/* ---- Paths ---- */

/* The directory that a path's last name is in, and that name. NULL if there is none. */
static struct inode *walk(const char *path, const char **name)
{
	struct inode *inode = root;
	const char *slash;

	*name = path + 1;
	while ((slash = strchr(*name, '/'))) {
		struct entry *entry;

		if (!S_ISDIR(inode->mode))
			return NULL;
		entry = directory_find(inode, *name, (size_t)(slash - *name));
		if (!entry)
			return NULL;
		inode = entry->inode;
		*name = slash + 1;
	}
	return S_ISDIR(inode->mode) ? inode : NULL;
}

static struct entry *find_entry(const char *path, struct inode **dir)
{
	const char *name;

	*dir = walk(path, &name);
	return *dir ? directory_find(*dir, name, strlen(name)) : NULL;
}

/* What is open has its inode in fh, and perhaps no path. */
static struct inode *find(const char *path, const struct fuse_file_info *fi)
{
	struct inode *dir;
	struct entry *entry;

	if (fi)
		return (struct inode *)(uintptr_t)fi->fh;
	if (path[1] == '\0')
		return root;
	entry = find_entry(path, &dir);
	return entry ? entry->inode : NULL;
}

/* ---- Attributes ---- */

static void *mem_init(struct fuse_conn_info *conn, struct fuse_config *cfg)
{
	cfg->use_ino = 1;
	cfg->nullpath_ok = 1;
	/* The kernel takes two names of one file for two files: one may change by the other. */
	cfg->attr_timeout = 0;
	cfg->auto_cache = 1;
	return NULL;
}

static int mem_getattr(const char *path, struct stat *attr, struct fuse_file_info *fi)
{
	struct inode *inode;

	pthread_rwlock_rdlock(&lock);
	inode = find(path, fi);
	if (inode)
		inode_get_attr(inode, attr);
	return unlocked(inode ? 0 : -ENOENT);
}

static int mem_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	struct inode *inode;

	pthread_rwlock_wrlock(&lock);
	inode = find(path, fi);
	if (!inode)
		return unlocked(-ENOENT);
	inode->mode = (inode->mode & S_IFMT) | (mode & 07777);
	inode_changed(inode);
	return unlocked(0);
}

static int mem_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi)
{
	struct inode *inode;

	pthread_rwlock_wrlock(&lock);
	inode = find(path, fi);
	if (!inode)
		return unlocked(-ENOENT);
	if (uid != (uid_t)-1)
		inode->uid = uid;
	if (gid != (gid_t)-1)
		inode->gid = gid;
	if (S_ISREG(inode->mode))
		inode->mode &= ~(mode_t)(S_ISUID | S_ISGID);
	inode_changed(inode);
	return unlocked(0);
}

static void set_time(struct timespec *time, struct timespec to)
{
	if (to.tv_nsec == UTIME_NOW)
		clock_gettime(CLOCK_REALTIME, time);
	else if (to.tv_nsec != UTIME_OMIT)
		*time = to;
}

static int mem_utimens(const char *path, const struct timespec tv[2],
		       struct fuse_file_info *fi)
{
	struct inode *inode;

	pthread_rwlock_wrlock(&lock);
	inode = find(path, fi);
	if (!inode)
		return unlocked(-ENOENT);
	set_time(&inode->atime, tv[0]);
	set_time(&inode->mtime, tv[1]);
	inode_changed(inode);
	return unlocked(0);
}

static int mem_readlink(const char *path, char *buf, size_t size)
{
	struct inode *inode;

	pthread_rwlock_rdlock(&lock);
	inode = find(path, NULL);
	if (!inode)
		return unlocked(-ENOENT);
	if (!S_ISLNK(inode->mode))
		return unlocked(-EINVAL);
	snprintf(buf, size, "%s", inode->target);
	return unlocked(0);
}

static int mem_statfs(const char *path, struct statvfs *figures)
{
	long pages = sysconf(_SC_PHYS_PAGES), free_pages = sysconf(_SC_AVPHYS_PAGES);

	figures->f_bsize = figures->f_frsize = (unsigned long)sysconf(_SC_PAGESIZE);
	figures->f_blocks = (fsblkcnt_t)pages;
	figures->f_bfree = figures->f_bavail = (fsblkcnt_t)free_pages;
	figures->f_namemax = NAME_LIMIT;
	return 0;
}

/* ---- Extended attributes ---- */

static int set_attribute(struct attribute **link, const char *name, const char *value,
			 size_t size)
{
	struct attribute *attribute = *link;
	char *copy = malloc(size ? size : 1);

	if (!copy)
		return -ENOSPC;
	memcpy(copy, value, size);
	if (!attribute) {
		attribute = calloc(1, sizeof(*attribute));
		if (attribute)
			attribute->name = strdup(name);
		if (!attribute || !attribute->name) {
			free(attribute);
			free(copy);
			return -ENOSPC;
		}
		*link = attribute;
	}
	free(attribute->value);
	attribute->value = copy;
	attribute->size = size;
	return 0;
}

static int mem_setxattr(const char *path, const char *name, const char *value,
			size_t size, int flags)
{
	struct attribute **link;
	struct inode *inode;

	pthread_rwlock_wrlock(&lock);
	inode = find(path, NULL);
	if (!inode)
		return unlocked(-ENOENT);
	link = inode_find_attribute(inode, name);
	if (*link && (flags & XATTR_CREATE))
		return unlocked(-EEXIST);
	if (!*link && (flags & XATTR_REPLACE))
		return unlocked(-ENODATA);
	inode_changed(inode);
	return unlocked(set_attribute(link, name, value, size));
}

static int mem_getxattr(const char *path, const char *name, char *value, size_t size)
{
	struct attribute *attribute;
	struct inode *inode;

	pthread_rwlock_rdlock(&lock);
	inode = find(path, NULL);
	if (!inode)
		return unlocked(-ENOENT);
	attribute = *inode_find_attribute(inode, name);
	if (!attribute)
		return unlocked(-ENODATA);
	if (size && size < attribute->size)
		return unlocked(-ERANGE);
	if (size)
		memcpy(value, attribute->value, attribute->size);
	return unlocked((int)attribute->size);
}

static int mem_listxattr(const char *path, char *list, size_t size)
{
	size_t used = 0;
	struct inode *inode;

	pthread_rwlock_rdlock(&lock);
	inode = find(path, NULL);
	if (!inode)
		return unlocked(-ENOENT);
	for (struct attribute *a = inode->attributes; a; a = a->next) {
		size_t length = strlen(a->name) + 1;

		if (size && used + length > size)
			return unlocked(-ERANGE);
		if (size)
			memcpy(list + used, a->name, length);
		used += length;
	}
	return unlocked((int)used);
}

static int mem_removexattr(const char *path, const char *name)
{
	struct attribute **link, *attribute;
	struct inode *inode;

	pthread_rwlock_wrlock(&lock);
	inode = find(path, NULL);
	if (!inode)
		return unlocked(-ENOENT);
	link = inode_find_attribute(inode, name);
	attribute = *link;
	if (!attribute)
		return unlocked(-ENODATA);
	*link = attribute->next;
	free(attribute->name);
	free(attribute->value);
	free(attribute);
	inode_changed(inode);
	return unlocked(0);
}

/* ---- Names ---- */

/* A new directory or file belongs to the caller; its group may be the directory's. */
static struct inode *make_inode(const struct inode *dir, mode_t mode)
{
	const struct fuse_context *context = fuse_get_context();
	gid_t gid = context->gid;

	if (dir->mode & S_ISGID) {
		gid = dir->gid;
		if (S_ISDIR(mode))
			mode |= S_ISGID;
	}
	return inode_new(mode, context->uid, gid);
}

/* With the lock held. The inode that was made, or NULL and *error. */
static struct inode *make(const char *path, mode_t mode, int *error)
{
	const char *name;
	struct inode *dir = walk(path, &name), *inode;

	*error = -ENOENT;
	if (!dir)
		return NULL;
	*error = strlen(name) > NAME_LIMIT ? -ENAMETOOLONG : -EEXIST;
	if (strlen(name) > NAME_LIMIT || directory_find(dir, name, strlen(name)))
		return NULL;
	*error = -ENOSPC;
	inode = make_inode(dir, mode);
	if (!inode)
		return NULL;
	inode->opens = 1; /* until it has its name */
	if ((!S_ISDIR(mode) || directory_init(inode, dir) == 0) &&
	    directory_add(dir, name, inode) == 0)
		*error = 0;
	if (*error == 0 && S_ISDIR(mode))
		inode->nlink++; /* its "." */
	inode_close(inode);
	return *error ? NULL : inode;
}

static int mem_mknod(const char *path, mode_t mode, dev_t rdev)
{
	struct inode *inode;
	int error;

	pthread_rwlock_wrlock(&lock);
	inode = make(path, mode, &error);
	if (inode)
		inode->rdev = rdev;
	return unlocked(error);
}

static int mem_mkdir(const char *path, mode_t mode)
{
	int error;

	pthread_rwlock_wrlock(&lock);
	make(path, S_IFDIR | mode, &error);
	return unlocked(error);
}

static int mem_symlink(const char *target, const char *path)
{
	char *copy = strdup(target);
	struct inode *inode;
	int error;

	if (!copy)
		return -ENOSPC;
	pthread_rwlock_wrlock(&lock);
	inode = make(path, S_IFLNK | 0777, &error);
	if (inode) {
		inode->target = copy;
		inode->size = (off_t)strlen(copy);
	} else {
		free(copy);
	}
	return unlocked(error);
}

static int mem_link(const char *from, const char *to)
{
	const char *name;
	struct inode *inode, *dir;

	pthread_rwlock_wrlock(&lock);
	inode = find(from, NULL);
	dir = walk(to, &name);
	if (!inode || !dir)
		return unlocked(-ENOENT);
	if (S_ISDIR(inode->mode))
		return unlocked(-EPERM);
	if (strlen(name) > NAME_LIMIT)
		return unlocked(-ENAMETOOLONG);
	if (directory_find(dir, name, strlen(name)))
		return unlocked(-EEXIST);
	inode_changed(inode);
	return unlocked(directory_add(dir, name, inode) == 0 ? 0 : -ENOSPC);
}

static int remove_name(const char *path, bool is_directory)
{
	struct inode *dir;
	struct entry *entry;

	pthread_rwlock_wrlock(&lock);
	entry = find_entry(path, &dir);
	if (!entry)
		return unlocked(-ENOENT);
	if (S_ISDIR(entry->inode->mode) != is_directory)
		return unlocked(is_directory ? -ENOTDIR : -EISDIR);
	if (is_directory && entry->inode->directory->entries)
		return unlocked(-ENOTEMPTY);
	if (is_directory)
		entry->inode->nlink--; /* its "." */
	directory_remove(dir, entry);
	return unlocked(0);
}

static int mem_unlink(const char *path)
{
	return remove_name(path, false);
}

static int mem_rmdir(const char *path)
{
	return remove_name(path, true);
}

/* Whether one may replace the other. */
static int check_replacement(const struct inode *new, const struct inode *old)
{
	if (S_ISDIR(new->mode) && !S_ISDIR(old->mode))
		return -ENOTDIR;
	if (!S_ISDIR(new->mode) && S_ISDIR(old->mode))
		return -EISDIR;
	if (S_ISDIR(old->mode) && old->directory->entries)
		return -ENOTEMPTY;
	return 0;
}

static int exchange(struct inode *dir, struct entry *entry, struct inode *to_dir,
		    struct entry *to_entry)
{
	struct inode *inode = entry->inode;

	entry->inode = to_entry->inode;
	to_entry->inode = inode;
	if (S_ISDIR(entry->inode->mode)) {
		entry->inode->directory->parent = dir;
		dir->nlink++;
		to_dir->nlink--;
	}
	if (S_ISDIR(inode->mode)) {
		inode->directory->parent = to_dir;
		to_dir->nlink++;
		dir->nlink--;
	}
	inode_touch(dir);
	inode_touch(to_dir);
	return 0;
}

static int move(struct inode *dir, struct entry *entry, struct inode *to_dir,
		const char *name, struct entry *replaced)
{
	int error;

	if (replaced && replaced->inode == entry->inode)
		return 0;
	error = replaced ? check_replacement(entry->inode, replaced->inode) : 0;
	if (error)
		return error;
	if (replaced) {
		if (S_ISDIR(replaced->inode->mode))
			replaced->inode->nlink--;
		directory_remove(to_dir, replaced);
	}
	if (directory_add(to_dir, name, entry->inode) != 0)
		return -ENOSPC;
	inode_changed(entry->inode);
	directory_remove(dir, entry);
	return 0;
}

static int mem_rename(const char *from, const char *to, unsigned int flags)
{
	struct inode *dir, *to_dir;
	struct entry *entry, *replaced = NULL;
	const char *name;

	pthread_rwlock_wrlock(&lock);
	entry = find_entry(from, &dir);
	to_dir = walk(to, &name);
	if (to_dir)
		replaced = directory_find(to_dir, name, strlen(name));
	if (!entry || !to_dir || (!replaced && (flags & RENAME_EXCHANGE)))
		return unlocked(-ENOENT);
	if (strlen(name) > NAME_LIMIT)
		return unlocked(-ENAMETOOLONG);
	if (flags & ~(unsigned)(RENAME_EXCHANGE | RENAME_NOREPLACE))
		return unlocked(-EINVAL);
	if (replaced && (flags & RENAME_NOREPLACE))
		return unlocked(-EEXIST);
	if (flags & RENAME_EXCHANGE)
		return unlocked(exchange(dir, entry, to_dir, replaced));
	return unlocked(move(dir, entry, to_dir, name, replaced));
}

/* ---- Open files and directories ---- */

static int mem_open(const char *path, struct fuse_file_info *fi)
{
	struct inode *inode;

	pthread_rwlock_wrlock(&lock);
	inode = find(path, NULL);
	if (!inode)
		return unlocked(-ENOENT);
	if (fi->flags & O_TRUNC)
		data_truncate(inode, 0);
	inode->opens++;
	fi->fh = (uintptr_t)inode;
	return unlocked(0);
}

static int mem_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	struct inode *inode;
	int error;

	pthread_rwlock_wrlock(&lock);
	inode = make(path, S_IFREG | (mode & 07777), &error);
	if (inode) {
		inode->opens++;
		fi->fh = (uintptr_t)inode;
	}
	return unlocked(error);
}

static int mem_release(const char *path, struct fuse_file_info *fi)
{
	pthread_rwlock_wrlock(&lock);
	inode_close(find(path, fi));
	return unlocked(0);
}

static int mem_opendir(const char *path, struct fuse_file_info *fi)
{
	int error = mem_open(path, fi);

	fi->cache_readdir = 0;
	return error;
}

static void fill_entry(const struct inode *inode, enum fuse_readdir_flags flags,
		       struct stat *attr)
{
	if (flags & FUSE_READDIR_PLUS) {
		inode_get_attr(inode, attr);
		return;
	}
	memset(attr, 0, sizeof(*attr));
	attr->st_ino = inode->ino;
	attr->st_mode = inode->mode;
}

/* Offsets: 1 is behind ".", 2 behind "..", and then come the slots. */
static int mem_readdir(const char *path, void *buf, fuse_fill_dir_t filler, off_t off,
		       struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	enum fuse_fill_dir_flags fill =
		flags & FUSE_READDIR_PLUS ? FUSE_FILL_DIR_PLUS : FUSE_FILL_DIR_DEFAULTS;
	struct directory *directory;
	struct inode *inode;
	struct stat attr;

	pthread_rwlock_rdlock(&lock);
	inode = find(path, fi);
	directory = inode->directory;
	fill_entry(inode, flags, &attr);
	if (off < 1 && filler(buf, ".", &attr, 1, fill))
		return unlocked(0);
	fill_entry(directory->parent, flags, &attr);
	if (off < 2 && filler(buf, "..", &attr, 2, fill))
		return unlocked(0);
	for (size_t i = off < 2 ? 0 : (size_t)off - 2; i < directory->slots; i++) {
		struct entry *entry = directory->slot[i];

		if (!entry)
			continue;
		fill_entry(entry->inode, flags, &attr);
		if (filler(buf, entry->name, &attr, (off_t)i + 3, fill))
			break;
	}
	return unlocked(0);
}

/* ---- Data ---- */

static int mem_read(const char *path, char *buf, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	pthread_rwlock_rdlock(&lock);
	return unlocked(data_read(find(path, fi), buf, size, off));
}

static int mem_write(const char *path, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	struct inode *inode;

	pthread_rwlock_wrlock(&lock);
	inode = find(path, fi);
	if (fi->flags & O_APPEND)
		off = inode->size;
	return unlocked(data_write(inode, buf, size, off));
}

static int mem_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	struct inode *inode;

	pthread_rwlock_wrlock(&lock);
	inode = find(path, fi);
	return unlocked(inode ? data_truncate(inode, size) : -ENOENT);
}

/* There is nothing to set aside; what is to be free, or zero, is cleared. */
static int mem_fallocate(const char *path, int mode, off_t offset, off_t length,
			 struct fuse_file_info *fi)
{
	const int known =
		FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
	struct inode *inode;
	int error = 0;

	if (mode & ~known)
		return -EOPNOTSUPP;
	pthread_rwlock_wrlock(&lock);
	inode = find(path, fi);
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		data_clear(inode, offset, offset + length);
	if (!(mode & FALLOC_FL_KEEP_SIZE) && offset + length > inode->size)
		error = data_truncate(inode, offset + length);
	inode_written(inode);
	return unlocked(error);
}

static off_t mem_lseek(const char *path, off_t off, int whence, struct fuse_file_info *fi)
{
	off_t found;

	pthread_rwlock_rdlock(&lock);
	found = data_seek(find(path, fi), off, whence);
	pthread_rwlock_unlock(&lock);
	return found;
}

/* There is nothing behind the memory that data could be brought to. */
static int mem_fsync(const char *path, int datasync, struct fuse_file_info *fi)
{
	return 0;
}

static void mem_destroy(void *private_data)
{
	root->nlink = 1;
	inode_unlink(root);
}

static const struct fuse_operations operations = {
	.init = mem_init,
	.destroy = mem_destroy,
	.getattr = mem_getattr,
	.chmod = mem_chmod,
	.chown = mem_chown,
	.utimens = mem_utimens,
	.readlink = mem_readlink,
	.statfs = mem_statfs,
	.setxattr = mem_setxattr,
	.getxattr = mem_getxattr,
	.listxattr = mem_listxattr,
	.removexattr = mem_removexattr,
	.mknod = mem_mknod,
	.mkdir = mem_mkdir,
	.symlink = mem_symlink,
	.link = mem_link,
	.unlink = mem_unlink,
	.rmdir = mem_rmdir,
	.rename = mem_rename,
	.open = mem_open,
	.create = mem_create,
	.release = mem_release,
	.opendir = mem_opendir,
	.readdir = mem_readdir,
	.releasedir = mem_release,
	.read = mem_read,
	.write = mem_write,
	.truncate = mem_truncate,
	.fallocate = mem_fallocate,
	.lseek = mem_lseek,
	.fsync = mem_fsync,
	.fsyncdir = mem_fsync,
};

int main(int argc, char **argv)
{
	root = inode_new(S_IFDIR | 0755, getuid(), getgid());
	if (!root || directory_init(root, root) != 0) {
		fprintf(stderr, "%s: no memory\n", argv[0]);
		return 1;
	}
	root->nlink = 2;
	return fuse_main(argc, argv, &operations, NULL);
}
