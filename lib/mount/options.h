/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FUSE_MOUNT_OPTIONS_H
#define FUSE_MOUNT_OPTIONS_H

#include "fuse_opt.h"
#include "fusermount.h"
#include "mount.h"
#include "spec.h"

struct fuse_mount_options {
	struct fuse_mount_spec spec;
	char *forwarded; /* the same for fusermount3 -o, escaped; NULL: none */
	struct fuse_mount_watch watch;
};

#endif
