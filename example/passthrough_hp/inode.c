// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which file is which inode.
 *
 * An inode lives as long as its lookup count is above 0: the kernel may name it in any
 * request, whether or not it has a name. As long as the inode's descriptor is open, its
 * number in the source cannot be used again for another file, so that device and number
 * are enough to recognize it. (descriptor.c sees to those whose descriptor is closed.)
 *
 * The table is cut into parts, each with its own lock, so that threads seldom meet.
 * Lock order: a part's lock or place.c's, not both, then descriptor.c's.
 */
#include "inode.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define PARTS	   64
#define FIRST_SIZE 64 /* slots of a part; a power of two, and always doubled */

struct part {
	pthread_mutex_t lock;
	struct inode **slots;
	size_t size;
	size_t count;
};

static struct part table[PARTS] = {
	[0 ... PARTS - 1] = { .lock = PTHREAD_MUTEX_INITIALIZER },
};

static struct inode *root;
static atomic_uint_fast64_t generations;

/* Our own mount, when it lies below SOURCE. To look it up would be to ask ourselves. */
static struct {
	uint64_t dev;
	uint64_t ino;
	char *name;
} hidden;

struct proc_path proc_path(int fd)
{
	struct proc_path path;

	snprintf(path.text, sizeof(path.text), "/proc/self/fd/%d", fd);
	return path;
}

static int get_status(int fd, const char *name, struct statx *stx)
{
	return result_of(statx(fd, name,
			       AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
			       STATX_BASIC_STATS | STATX_PLACE, stx));
}

static struct timespec time_of(struct statx_timestamp time)
{
	return (struct timespec){ .tv_sec = time.tv_sec, .tv_nsec = time.tv_nsec };
}

static void fill_attr(const struct device *device, const struct statx *stx,
		      struct stat *attr)
{
	*attr = (struct stat){
		.st_dev = makedev(stx->stx_dev_major, stx->stx_dev_minor),
		.st_ino = stx->stx_ino + device->ino_offset,
		.st_mode = stx->stx_mode,
		.st_nlink = stx->stx_nlink,
		.st_uid = stx->stx_uid,
		.st_gid = stx->stx_gid,
		.st_rdev = makedev(stx->stx_rdev_major, stx->stx_rdev_minor),
		.st_size = (off_t)stx->stx_size,
		.st_blksize = stx->stx_blksize,
		.st_blocks = (blkcnt_t)stx->stx_blocks,
		.st_atim = time_of(stx->stx_atime),
		.st_mtim = time_of(stx->stx_mtime),
		.st_ctim = time_of(stx->stx_ctime),
	};
}

int inode_attr(const struct inode *inode, int fd, struct stat *attr)
{
	struct statx stx;
	int res = get_status(fd, "", &stx);

	if (res == 0)
		fill_attr(inode->device, &stx, attr);
	return res;
}

bool inode_is_cacheable(const struct inode *inode)
{
	return settings.cache && !inode->device->in_two_places;
}

/*
 * Writing to a file takes its set-id bits away in the source, of which the kernel does not
 * learn. It must not run the file by a mode from before.
 */
double inode_attr_timeout(const struct inode *inode, mode_t mode)
{
	if (S_ISREG(mode) && mode & (S_ISUID | S_ISGID))
		return 0;
	return inode_is_cacheable(inode) ? settings.timeout : 0;
}

static struct fuse_entry_param entry_of(const struct inode *inode,
					const struct statx *stx)
{
	struct fuse_entry_param e = {
		.ino = inode == root ? FUSE_ROOT_ID : (uintptr_t)inode,
		.generation = inode->generation,
		.attr_timeout = inode_attr_timeout(inode, stx->stx_mode),
		.entry_timeout = inode_is_cacheable(inode) ? settings.timeout : 0,
	};

	fill_attr(inode->device, stx, &e.attr);
	return e;
}

struct inode *inode_of(fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? root : (struct inode *)(uintptr_t)ino;
}

/* The table */

static struct inode_key key_of(const struct statx *stx)
{
	return (struct inode_key){
		.mount = place_mount(stx),
		.dev = place_dev(stx),
		.ino = stx->stx_ino,
	};
}

static bool same_key(const struct inode_key *a, const struct inode_key *b)
{
	return a->ino == b->ino && a->dev == b->dev && a->mount == b->mount;
}

static uint64_t hash_of(const struct inode_key *key)
{
	uint64_t hash = key->ino * 0x9e3779b97f4a7c15u;

	hash ^= (key->dev + (key->mount << 20)) * 0xc2b2ae3d27d4eb4fu;
	return hash ^ hash >> 29;
}

static struct part *part_of(const struct inode_key *key)
{
	return &table[hash_of(key) >> 32 & (PARTS - 1)];
}

static struct inode **slot_of(struct part *part, const struct inode_key *key)
{
	return &part->slots[hash_of(key) & (part->size - 1)];
}

static struct inode *table_find(struct part *part, const struct inode_key *key)
{
	struct inode *inode;

	if (!part->size)
		return NULL;
	for (inode = *slot_of(part, key); inode; inode = inode->next)
		if (same_key(&inode->key, key))
			return inode;
	return NULL;
}

static int table_grow(struct part *part)
{
	struct part larger = { .size = part->size ? part->size * 2 : FIRST_SIZE };

	larger.slots = calloc(larger.size, sizeof(*larger.slots));
	if (!larger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < part->size; i++) {
		struct inode *next;

		for (struct inode *inode = part->slots[i]; inode; inode = next) {
			struct inode **slot = slot_of(&larger, &inode->key);

			next = inode->next;
			inode->next = *slot;
			*slot = inode;
		}
	}
	free(part->slots);
	part->slots = larger.slots;
	part->size = larger.size;
	return 0;
}

/* A table that cannot grow gets slower; only an empty one is an error. */
static int table_add(struct part *part, struct inode *inode)
{
	struct inode **slot;

	if (part->count >= part->size && table_grow(part) < 0 && !part->size)
		return -ENOMEM;
	slot = slot_of(part, &inode->key);
	inode->next = *slot;
	*slot = inode;
	inode->hashed = true;
	part->count++;
	return 0;
}

static void table_remove(struct part *part, struct inode *inode)
{
	struct inode **link = slot_of(part, &inode->key);

	while (*link != inode)
		link = &(*link)->next;
	*link = inode->next;
	inode->hashed = false;
	part->count--;
}

/* Lookups */

static void inode_free(struct inode *inode)
{
	free(inode->handle);
	pthread_mutex_destroy(&inode->lock);
	free(inode);
}

static struct inode *inode_new(const struct statx *stx, int fd)
{
	struct inode *inode = calloc(1, sizeof(*inode));

	if (!inode)
		return NULL;
	pthread_mutex_init(&inode->lock, NULL);
	inode->key = key_of(stx);
	inode->generation = ++generations;
	inode->nlookup = 1;
	inode->fd = fd;
	if (place_find(stx, fd, &inode->device, &inode->mount) < 0) {
		inode_free(inode);
		return NULL;
	}
	return inode;
}

/* An inode whose descriptor is closed may be another file's by now: adopt() looks. */
static struct inode *count_if_known(const struct statx *stx)
{
	struct inode_key key = key_of(stx);
	struct part *part = part_of(&key);
	struct inode *inode;

	pthread_mutex_lock(&part->lock);
	inode = table_find(part, &key);
	if (inode && descriptor_is_closed(inode))
		inode = NULL;
	if (inode)
		inode->nlookup++;
	pthread_mutex_unlock(&part->lock);
	return inode;
}

/*
 * Find or make the inode that fd, which becomes ours, is open on. NULL if memory runs out.
 */
static struct inode *adopt(int fd, const struct statx *stx)
{
	struct inode *fresh = inode_new(stx, fd), *inode;
	struct inode_key key = key_of(stx);
	struct part *part = part_of(&key);

	pthread_mutex_lock(&part->lock);
	inode = table_find(part, &key);
	if (inode && !descriptor_fits(inode, fd)) {
		table_remove(part, inode);
		inode = NULL;
	}
	if (inode)
		inode->nlookup++;
	else if (fresh && table_add(part, fresh) == 0)
		inode = fresh;
	pthread_mutex_unlock(&part->lock);

	if (inode == fresh && fresh) {
		descriptor_give(fresh, fd);
		return fresh;
	}
	if (fresh)
		inode_free(fresh);
	close(fd);
	return inode;
}

static int lookup_path_fd(int fd, struct fuse_entry_param *e)
{
	struct statx stx;
	struct inode *inode;
	int res = get_status(fd, "", &stx);

	if (res < 0) {
		close(fd);
		return res;
	}
	inode = adopt(fd, &stx);
	if (!inode)
		return -ENOMEM;
	*e = entry_of(inode, &stx);
	return 0;
}

/* Nearly always the file is known, and asking once for its name is all there is to do. */
static int lookup_at(int parent_fd, const char *name, struct fuse_entry_param *e)
{
	struct statx stx;
	struct inode *inode;
	int fd, res = get_status(parent_fd, name, &stx);

	if (res < 0)
		return res;
	inode = count_if_known(&stx);
	if (inode) {
		*e = entry_of(inode, &stx);
		return 0;
	}
	fd = WITH_ROOM_FOR_FD(openat(parent_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
	return fd < 0 ? fd : lookup_path_fd(fd, e);
}

static bool is_hidden(const struct inode *parent, const char *name)
{
	return hidden.name && parent->key.ino == hidden.ino &&
	       parent->key.dev == hidden.dev && strcmp(name, hidden.name) == 0;
}

/*
 * The kernel keeps "." and ".." to itself. If it did not, the root's ".." would lead out
 * of SOURCE.
 */
int inode_lookup(struct inode *parent, const char *name, struct fuse_entry_param *e)
{
	int fd, res;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -ENOENT;
	if (is_hidden(parent, name))
		return -ELOOP;
	fd = inode_hold(parent);
	if (fd < 0)
		return fd;
	res = lookup_at(fd, name, e);
	inode_drop(parent);
	return res;
}

int inode_lookup_fd(int fd, struct fuse_entry_param *e)
{
	struct statx stx;
	struct inode *inode;
	int path_fd, res = get_status(fd, "", &stx);

	if (res < 0)
		return res;
	inode = count_if_known(&stx);
	if (inode) {
		*e = entry_of(inode, &stx);
		return 0;
	}
	path_fd = WITH_ROOM_FOR_FD(open(proc_path(fd).text, O_PATH | O_CLOEXEC));
	return path_fd < 0 ? path_fd : lookup_path_fd(path_fd, e);
}

void inode_keep(struct inode *inode)
{
	struct part *part = part_of(&inode->key);

	pthread_mutex_lock(&part->lock);
	inode->nlookup++;
	pthread_mutex_unlock(&part->lock);
}

void inode_forget(struct inode *inode, uint64_t nlookup)
{
	struct part *part = part_of(&inode->key);
	bool gone;

	if (inode == root)
		return;
	pthread_mutex_lock(&part->lock);
	if (nlookup > inode->nlookup) {
		fuse_log(FUSE_LOG_ERR,
			 "passthrough_hp: inode %llu forgotten too often: %llu of %llu\n",
			 (unsigned long long)inode->key.ino, (unsigned long long)nlookup,
			 (unsigned long long)inode->nlookup);
		nlookup = inode->nlookup;
	}
	inode->nlookup -= nlookup;
	gone = inode->nlookup == 0;
	if (gone && inode->hashed)
		table_remove(part, inode);
	pthread_mutex_unlock(&part->lock);
	if (!gone)
		return;
	descriptor_end(inode);
	inode_free(inode);
}

struct inode *inode_pin(int parent_fd, const char *name)
{
	struct inode *inode;
	struct inode_key key;
	struct part *part;
	struct statx stx;

	if (get_status(parent_fd, name, &stx) < 0)
		return NULL;
	key = key_of(&stx);
	part = part_of(&key);
	pthread_mutex_lock(&part->lock);
	inode = table_find(part, &key);
	if (inode)
		inode->nlookup++;
	pthread_mutex_unlock(&part->lock);
	if (inode && inode_hold(inode) < 0) {
		inode_forget(inode, 1);
		return NULL;
	}
	return inode;
}

void inode_unpin(struct inode *inode)
{
	if (!inode)
		return;
	inode_drop(inode);
	inode_forget(inode, 1);
}

/* Start */

void inode_hide(const struct stat *parent, const char *name)
{
	hidden.dev = parent->st_dev;
	hidden.ino = parent->st_ino;
	hidden.name = strdup(name);
}

int inode_start(int fd)
{
	struct statx stx;
	int res = get_status(fd, "", &stx);

	if (res < 0)
		return res;
	place_scan(fd, &stx);
	root = adopt(fd, &stx);
	if (!root)
		return -ENOMEM;
	descriptor_start(root);
	return 0;
}
