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
 * A buffer flag that is not in the public interface: the bytes are in no memory yet, and `mem`
 * points to the loader that brings them there. It comes with FUSE_BUF_IS_FD, so that
 * whoever takes the buffer for one in memory meets a descriptor of -1 instead.
 */
#define FUSE_BUF_NOT_LOADED ((enum fuse_buf_flags)(1 << 30))

struct fuse_buf_loader {
	/* Sets *memory to where the bytes are now. Returns 0 or a negative errno. */
	int (*load)(struct fuse_buf_loader *loader, void **memory);
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
