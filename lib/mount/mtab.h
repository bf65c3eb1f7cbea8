/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FUSE_MOUNT_MTAB_H
#define FUSE_MOUNT_MTAB_H

/*
 * A system whose /etc/mtab is a regular file expects whoever mounts to keep it. Elsewhere (it is
 * a link to /proc/mounts, or missing, or support is built out) these functions do nothing.
 * They run mount(8) and umount(8), which need the real user to be root, and let these complain
 * themselves: the mount is a fact already.
 */

#include <stdbool.h>
#include "spec.h"

bool fuse_mtab_is_kept(void);
void fuse_mtab_add(const struct fuse_mount_spec *spec, const char *mountpoint);
void fuse_mtab_remove(const char *mountpoint);

#endif
