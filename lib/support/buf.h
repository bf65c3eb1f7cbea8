/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Walking along a buffer vector. The place is the vector's own (idx, off), which the
 * public interface shows; a place behind the end of a buffer is the start of the next.
 */
#ifndef FUSE_SUPPORT_BUF_H
#define FUSE_SUPPORT_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "fuse_lowlevel.h"

/*
 * A buffer flag that is not in the public interface: the bytes are a client's, and in no memory
 * of this process; `mem` points to the struct below. It comes with FUSE_BUF_IS_FD and
 * FUSE_BUF_FD_SEEK, so that whoever takes the buffer for one in memory meets a descriptor instead,
 * and whoever copies it piece by piece moves `pos` along: the data begin at `origin`.
 */
#define FUSE_BUF_WITH_CLIENT ((enum fuse_buf_flags)(1 << 30))

struct fuse_client_data;

/*
 * Data to be read from have `load` and `send`, those to be written to the other two. Offsets
 * count from the beginning of the data. Results are bytes, as many as could be moved, or a
 * negative errno; -EOPNOTSUPP from `send` and `receive` asks to go by way of memory.
 */
struct fuse_client_data_ops {
	/* Sets *memory to where all of the data are now. Returns 0 or a negative errno. */
	int (*load)(struct fuse_client_data *data, void **memory);
	/* To a file, at a position or, with -1, at its own. */
	ssize_t (*send)(struct fuse_client_data *data, size_t off, size_t len, int fd,
			off_t pos);
	/* From a file. */
	ssize_t (*receive)(struct fuse_client_data *data, size_t off, size_t len, int fd,
			   off_t pos);
	/* From memory. */
	ssize_t (*fill)(struct fuse_client_data *data, size_t off, const void *memory,
			size_t len);
};

struct fuse_client_data {
	const struct fuse_client_data_ops *ops;
	off_t origin;
	size_t size;
	bool to_file; /* fuse_buf_copy() was to bring them to one */
};

/*
 * The first buffer from the place on that has bytes left; NULL at the end. The place
 * moves there, so that bufv->off is the offset in it, and *left is set to what it has.
 */
struct fuse_buf *fuse_bufvec_current(struct fuse_bufvec *bufv, size_t *left);

/* Move the place on by so many bytes, or to the end. */
void fuse_bufvec_advance(struct fuse_bufvec *bufv, size_t bytes);

/* How many bytes there are from the place on; SIZE_MAX if it is that or more. */
size_t fuse_bufvec_left(const struct fuse_bufvec *bufv);

/* Whether all bytes from the place on are in memory. */
bool fuse_bufvec_in_memory(const struct fuse_bufvec *bufv);

#endif /* FUSE_SUPPORT_BUF_H */
