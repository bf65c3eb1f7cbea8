/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Open files.
 */
#ifndef PASSTHROUGH_HP_DATA_H
#define PASSTHROUGH_HP_DATA_H

#include "handle.h"
#include "inode.h"

struct file {
	struct handle handle; /* first: an open file is its handle */
	int fd;
	bool to_write;
	bool append; /* fd has O_APPEND */

	/* The same file opened the other way as to O_APPEND, once somebody needs it; or -1. */
	atomic_int other_fd;
};

static inline struct file *file_of(const struct fuse_file_info *fi)
{
	return (struct file *)(uintptr_t)fi->fh;
}

#endif
