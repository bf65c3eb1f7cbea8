/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Closing what others have sent. close(2) waits for whoever serves the file, and a file of a FUSE
 * mount may be served by somebody who never answers. So such a descriptor is closed by a thread of
 * its own; who sent it has to wait for that, and nobody else.
 */
#ifndef FUSE_CHANNEL_CLOSER_H
#define FUSE_CHANNEL_CLOSER_H

#include <stdbool.h>
#include <sys/types.h>

struct fuse_closer;

/* wake: an eventfd that is written to when a descriptor has been closed. NULL: no memory. */
struct fuse_closer *fuse_closer_new(int wake);
/* Does not wait: what cannot be closed now may be closed later. */
void fuse_closer_free(struct fuse_closer *closer);

/* Takes the descriptor, which this user has sent. */
void fuse_closer_close(struct fuse_closer *closer, int fd, uid_t uid);
/* Whether something that this user has sent is yet to be closed. */
bool fuse_closer_is_busy(struct fuse_closer *closer, uid_t uid);

#endif
