/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who writes to a file takes its set-id bits away, unless it is root: as which we may write, for
 * others. Therefore the kernel, which knows who writes, does it with a chmod before; but not where
 * writes go past its cache: there it only says with each that it has to be done.
 */
#ifndef EXAMPLE_SET_ID_H
#define EXAMPLE_SET_ID_H

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "append.h"

/*
 * Before a write: 0, or a negative errno value, and it must not be made. Capabilities go
 * by the write itself, whoever makes it; and set-id bits if we are not root, who may not be allowed
 * to change them otherwise.
 */
static inline int set_id_to_write(const struct fuse_file_info *fi)
{
	int fd = (int)fi->fh;
	struct stat attr;
	mode_t drop;

	if (!fi->kill_suidgid)
		return 0;
	if (fstat(fd, &attr) < 0)
		return -errno;
	drop = attr.st_mode & S_ISUID;
	/* Without the group's right to execute it means something else. */
	if (attr.st_mode & S_IXGRP)
		drop |= attr.st_mode & S_ISGID;
	if (!drop || !S_ISREG(attr.st_mode))
		return 0;
	if (fchmod(fd, attr.st_mode & 07777 & ~drop) == 0)
		return 0;
	return errno == EPERM && geteuid() != 0 ? 0 : -errno;
}

/* What every write begins with: append_fd_to_write(), of a file that has lost its bits. */
static inline int fd_to_write(const struct fuse_file_info *fi)
{
	int error = set_id_to_write(fi);

	return error ? error : append_fd_to_write(fi);
}

#endif
