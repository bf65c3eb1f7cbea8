/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The inodes that the kernel knows of (inode.c), and the descriptors by which we reach
 * them (descriptor.c).
 */
#ifndef PASSTHROUGH_HP_INODE_H
#define PASSTHROUGH_HP_INODE_H

#include "passthrough_hp.h"
#include "place.h"

#include <pthread.h>
#include <stdatomic.h>

struct lock_owner;

/*
 * Which file an inode is. The mount belongs to it because a directory that is mounted in
 * two places is two directories to the kernel, with different parents; and because a file
 * may be read-only in one of them.
 */
struct inode_key {
	uint64_t mount;
	uint64_t dev;
	uint64_t ino;
};

/*
 * How an inode's data moves. It is the same for everybody who has it open, because the
 * kernel does not mix the two.
 */
enum data_path {
	/* In requests to us, and through the page cache unless we are told otherwise. */
	BY_REQUEST,

	/* The kernel reads and writes the source's file itself. */
	BY_KERNEL,
};

struct inode {
	/* Set once. */
	struct inode_key key;
	struct device *device;
	struct mount *mount;
	uint64_t generation;

	/* inode.c's: under the lock of the table's part that the inode belongs to. */
	struct inode *next;
	uint64_t nlookup;
	bool hashed;

	/* descriptor.c's. */
	atomic_int fd;
	atomic_int users;
	atomic_bool recent;
	bool in_ring;
	struct inode *ring_next, *ring_prev;
	struct file_handle *handle;

	/* data.c's and lock.c's: under lock. */
	pthread_mutex_t lock;
	unsigned opens;
	atomic_uint opens_to_write;
	enum data_path data_path;
	int backing_id;
	struct lock_owner *lock_owners;
};

/*
 * Make SOURCE the root.
 *
 * fd: an open directory, which becomes ours
 */
int inode_start(int fd);

/* Let lookups of this name in this directory fail, because it is where we are mounted. */
void inode_hide(const struct stat *parent, const char *name);

/* The inode of a number that the kernel gave, which is our own pointer. */
struct inode *inode_of(fuse_ino_t ino);

/*
 * Look up a name.
 *
 * e: filled in for the reply. If the result is 0 the lookup is counted, and has to be
 *    taken back if the reply fails.
 */
int inode_lookup(struct inode *parent, const char *name, struct fuse_entry_param *e);

/* The same for a file that is open. The descriptor stays the caller's. */
int inode_lookup_fd(int fd, struct fuse_entry_param *e);

/* Take back lookups. With the last one the inode is gone. */
void inode_forget(struct inode *inode, uint64_t nlookup);

/* Keep the inode until inode_forget(inode, 1). */
void inode_keep(struct inode *inode);

/* Attributes, as clients see them; fd is any descriptor of the inode. */
int inode_attr(const struct inode *inode, int fd, struct stat *attr);

/* For how long, in seconds, the kernel may use these attributes. */
double inode_attr_timeout(const struct inode *inode, mode_t mode);

/* Whether the kernel may keep what it knows of the inode at all. */
bool inode_is_cacheable(const struct inode *inode);

/*
 * Hold the inode that a name stands for, if there is one, while the name is removed: an
 * inode without a name can be reached by its descriptor only, which must be there.
 *
 * Returns what to pass to inode_unpin(), which may be NULL.
 */
struct inode *inode_pin(int parent_fd, const char *name);
void inode_unpin(struct inode *inode);

/* Prepare for as many descriptors as we may open. */
void descriptor_start(const struct inode *root);

/*
 * Get an inode's descriptor, of O_PATH, and keep it open until inode_drop(). To be called
 * before caller_become(), because to open it again takes root. To be dropped before the
 * request is answered: after that the kernel may forget the inode.
 */
int inode_hold(struct inode *inode);
void inode_drop(struct inode *inode);

/*
 * Give an inode its first descriptor, which becomes ours.
 */
void descriptor_give(struct inode *inode, int fd);

/*
 * Say whether fd, a descriptor of O_PATH, is open on this inode, when device and number
 * are known to be the same.
 */
bool descriptor_fits(struct inode *inode, int fd);

/* Close the inode's descriptor for good. */
void descriptor_end(struct inode *inode);

/* Close some descriptors that are not in use. Returns whether any were closed. */
bool descriptor_make_room(void);

/* Whether the inode's descriptor is closed at the moment. */
static inline bool descriptor_is_closed(const struct inode *inode)
{
	return inode->fd < 0;
}

/*
 * Make a descriptor: the system call is repeated while closing others helps. A caller
 * cannot tell our limit from the machine's, so ENFILE is what it gets.
 */
#define WITH_ROOM_FOR_FD(call)                                                        \
	__extension__({                                                               \
		int fd_;                                                              \
                                                                                      \
		do                                                                    \
			fd_ = result_of(call);                                        \
		while ((fd_ == -EMFILE || fd_ == -ENFILE) && descriptor_make_room()); \
		fd_ == -EMFILE ? -ENFILE : fd_;                                       \
	})

/*
 * "/proc/self/fd/N". It leads to the very file that N is open on, were it a symbolic
 * link, and lets descriptors of O_PATH into system calls that do not take them.
 */
struct proc_path {
	char text[32];
};

struct proc_path proc_path(int fd);

#endif
