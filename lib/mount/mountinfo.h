/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FUSE_MOUNT_MOUNTINFO_H
#define FUSE_MOUNT_MOUNTINFO_H

/* The kernel's table of mounts, and what it says about a descriptor. Neither asks a file system. */

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

struct fuse_mount_entry {
	int id;
	int parent; /* the mount that it lies on */
	/* The file system's device number, which names a FUSE connection. */
	unsigned int connection;
	/* What of the file system is mounted there, "/" for all of it. */
	const char *root;
	const char *mountpoint;
	const char *type;
	const char *super_options; /* of the file system, written by itself */
};

/* Must be zeroed before, and closed after use, whatever open returned. */
struct fuse_mount_table {
	FILE *file;
	char *line;
	size_t size;
	int error; /* errno, or 0 if the end was one */
};

/* 0, or -1 with errno set */
int fuse_mount_table_open(struct fuse_mount_table *table);
/*
 * False at the end, and at an error, which table->error tells. The entry's strings are valid until
 * the next call.
 */
bool fuse_mount_table_next(struct fuse_mount_table *table,
			   struct fuse_mount_entry *entry);
void fuse_mount_table_close(struct fuse_mount_table *table);

/*
 * True if the mount with that id is a FUSE mount. *connection and *owner (the user who mounted
 * it) are set then; each may be NULL. If mountpoint is not NULL, it receives an allocated copy,
 * or NULL if there is no memory.
 */
bool fuse_mount_lookup(int id, unsigned int *connection, uid_t *owner, char **mountpoint);

bool fuse_mount_entry_is_fuse(const struct fuse_mount_entry *entry);
/* False if the entry does not name the user who mounted it. */
bool fuse_mount_entry_owner(const struct fuse_mount_entry *entry, uid_t *owner);

/* The mount that descriptor fd (O_PATH will do) lies in, or -1 */
int fuse_fd_mount_id(int fd);
/* The connection of a /dev/fuse descriptor, or 0 if it has none or the kernel does not say */
unsigned int fuse_fd_connection(int fd);

#endif
