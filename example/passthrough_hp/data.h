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

	/* Whether fd has O_APPEND, which clients may change while it is open. */
	atomic_bool append;
};

static inline struct file *file_of(const struct fuse_file_info *fi)
{
	return (struct file *)(uintptr_t)fi->fh;
}

#endif
