/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What memfs is made of. One lock guards all of it (main.c), so nothing here locks.
 */
#ifndef MEMFS_H
#define MEMFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* ---- inode.c ---- */

struct attribute {
	struct attribute *next;
	char *name;
	char *value;
	size_t size;
};

/* A file's data lie in chunks, of which those never written to are NULL. */
#define CHUNK ((size_t)65536)

struct inode {
	ino_t ino;
	mode_t mode;
	nlink_t nlink;
	uid_t uid;
	gid_t gid;
	dev_t rdev;
	unsigned opens; /* as a file or directory; it lives until this and nlink are 0 */
	off_t size;
	struct timespec atime, mtime, ctime;
	struct attribute *attributes;
	union {
		struct {
			char **chunk;
			size_t chunks;
		} file;
		struct directory *directory;
		char *target;
	};
};

/* NULL if memory ran out. It has no name, and nobody has it open. */
struct inode *inode_new(mode_t mode, uid_t uid, gid_t gid);
/* One name, or one open, less. */
void inode_unlink(struct inode *inode);
void inode_close(struct inode *inode);
void inode_get_attr(const struct inode *inode, struct stat *attr);
/* Its data are others now, which takes set-id bits away; or modified, or only changed. */
void inode_written(struct inode *inode);
void inode_touch(struct inode *inode);
void inode_changed(struct inode *inode);

/* An attribute's place in the list: where it is, or where it would be. */
struct attribute **inode_find_attribute(struct inode *inode, const char *name);

/* ---- data.c: return what the operations of those names do ---- */

int data_read(const struct inode *inode, char *buf, size_t size, off_t off);
int data_write(struct inode *inode, const char *buf, size_t size, off_t off);
int data_truncate(struct inode *inode, off_t size);
/* Zeros in a range, without memory for them where that can be. */
void data_clear(struct inode *inode, off_t start, off_t end);
off_t data_seek(const struct inode *inode, off_t off, int whence);
/* How many chunks there are. */
size_t data_chunks(const struct inode *inode);
void data_free(struct inode *inode);

/* ---- directory.c ---- */

struct entry {
	struct entry *next; /* with the same hash */
	struct inode *inode;
	size_t slot;
	char name[];
};

/*
 * Entries are found by their names through a hash table, and listed by their slots, which
 * are the offsets of readdir(). Slots are not used again as long as somebody has the
 * directory open.
 */
struct directory {
	struct inode *parent;
	struct entry **bucket;
	size_t buckets;
	struct entry **slot;
	size_t slots, slot_room;
	size_t entries;
};

/* Returns 0 or -ENOMEM. */
int directory_init(struct inode *inode, struct inode *parent);
void directory_free(struct inode *inode);
struct entry *directory_find(const struct inode *inode, const char *name, size_t length);
/* The inode gets one more name. Returns 0 or -ENOMEM. */
int directory_add(struct inode *inode, const char *name, struct inode *what);
/* And one less. */
void directory_remove(struct inode *inode, struct entry *entry);

#endif
