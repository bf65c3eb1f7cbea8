/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files whose handle is a descriptor, which may have O_APPEND.
 *
 * On such a descriptor Linux writes to the end whatever the offset. That is as it
 * has to be for a client that appends, because others may append to the file in the source,
 * and the client's kernel does not know where it ends now. It is wrong for pages of a mapping,
 * which may come by way of any file that is open for writing, and for a client that has since
 * taken O_APPEND away: these are rare enough to get a descriptor for each write.
 */
#ifndef EXAMPLE_APPEND_H
#define EXAMPLE_APPEND_H

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

/* In the handle, beside the descriptor: that has O_APPEND. */
#define APPENDS ((uint64_t)1 << 32)

/* flags: those that it was opened with */
static inline uint64_t append_handle(int fd, int flags)
{
	return (uint64_t)fd | (flags & O_APPEND ? APPENDS : 0);
}

/*
 * The descriptor for one write, or a negative errno value; and the end of that. It is not always
 * the file's own.
 */
static inline int append_fd_to_write(const struct fuse_file_info *fi)
{
	int fd = (int)fi->fh, flags;
	char path[32];

	if (!(fi->fh & APPENDS) || (!fi->writepage && fi->flags & O_APPEND))
		return fd;
	flags = fcntl(fd, F_GETFL) & (O_SYNC | O_DSYNC | O_DIRECT);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = open(path, flags | O_WRONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static inline void append_written(const struct fuse_file_info *fi, int fd)
{
	if (fd >= 0 && fd != (int)fi->fh)
		close(fd);
}

/*
 * copy_file_range(2) refuses O_APPEND. So does the client's kernel, and what comes here is, by its
 * lack of flags, never to be appended.
 */
static inline ssize_t append_copy(const struct fuse_file_info *fi_in, off_t off_in,
				  const struct fuse_file_info *fi_out, off_t off_out,
				  size_t size, int flags)
{
	int fd = append_fd_to_write(fi_out);
	ssize_t copied;

	if (fd < 0)
		return fd;
	copied = copy_file_range((int)fi_in->fh, &off_in, fd, &off_out, size,
				 (unsigned)flags);
	if (copied < 0)
		copied = -errno;
	append_written(fi_out, fd);
	return copied;
}

#endif
