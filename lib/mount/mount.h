/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FUSE_MOUNT_MOUNT_H
#define FUSE_MOUNT_MOUNT_H

/*
 * How a session gets its /dev/fuse descriptor and gets rid of its mount. The only header of this
 * folder that session/ includes. Nothing here may be called by two threads at once for the same
 * options or mount point; different mounts are independent of each other.
 */

#include <stdbool.h>

struct fuse_args;
struct fuse_mount_options;

/*
 * Takes the mount options out of args and leaves everything else in. Returns NULL, with one
 * reason logged, when an option has a bad value, may not be given, or contradicts another one.
 */
struct fuse_mount_options *fuse_mount_options_parse(struct fuse_args *args);

/*
 * Also ends the auto_unmount watch, which unmounts the file system if that has not happened yet:
 * free the options last, after fuse_unmount_at(). NULL is allowed.
 */
void fuse_mount_options_free(struct fuse_mount_options *options);

/* max_read= in bytes, 0 when not given */
unsigned int fuse_mount_options_max_read(const struct fuse_mount_options *options);
bool fuse_mount_options_auto_unmount(const struct fuse_mount_options *options);
/*
 * The kernel knows no allow_root: it is mounted as allow_other, and the session has to refuse
 * every caller but root and the user who mounted.
 */
bool fuse_mount_options_allow_root(const struct fuse_mount_options *options);
/* True for allow_root as well: other users' requests reach the file system */
bool fuse_mount_options_allow_other(const struct fuse_mount_options *options);
bool fuse_mount_options_default_permissions(const struct fuse_mount_options *options);

/* The lines about mount options of the help text, on stdout */
void fuse_mount_options_help(void);

/* Lets fusermount3 print its version on stdout */
void fuse_mount_version(void);

/*
 * Mounts on a directory or a regular file. Returns the /dev/fuse descriptor (close-on-exec, owned
 * by the caller), or -1 with errno set and one reason logged. Waits for no answer from the file
 * system, so FUSE_INIT may be answered afterwards.
 */
int fuse_mount_at(const char *mountpoint, struct fuse_mount_options *options);

/*
 * Unmounts lazily, if the file system of that descriptor is still mounted there. With fd -1, or
 * on a kernel that cannot tell which mount a descriptor belongs to (before 6.16), any FUSE mount
 * of this user at mountpoint counts. Give the absolute path: a daemon has changed its directory.
 *
 * fd stays open and the caller's to close, but it no longer refers to the connection afterwards:
 * an unmount may write back dirty pages, and with nobody left to answer that would never end.
 * Other references to the connection (clones, rings) must be gone for the same reason.
 */
void fuse_unmount_at(const char *mountpoint, int fd);

/*
 * The N of a mount point "/dev/fd/N", a descriptor of a FUSE file system that somebody else has
 * mounted; -1 if mountpoint has another form or descriptor N is not open.
 */
int fuse_mount_fd_from_path(const char *mountpoint);

#endif
