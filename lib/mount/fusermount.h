/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FUSE_MOUNT_FUSERMOUNT_H
#define FUSE_MOUNT_FUSERMOUNT_H

/* The caller's side of fusermount3, which mounts for those who may not */

#include <sys/types.h>

/* A fusermount3 that stays until its socket closes, and unmounts then */
struct fuse_mount_watch {
	int socket; /* -1: none */
	pid_t pid;
};

/*
 * Returns the /dev/fuse descriptor, or -1 with errno set and the reason logged. options is as for
 * -o, or NULL. With a watch, options must contain auto_unmount.
 */
int fuse_fusermount_mount(const char *mountpoint, const char *options,
			  struct fuse_mount_watch *watch);
void fuse_fusermount_unmount(const char *mountpoint);
void fuse_fusermount_version(void);
void fuse_mount_watch_end(struct fuse_mount_watch *watch);

#endif
