/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The steps that every reply consists of, for the files of protocol/ that send replies:
 * claim the request, then do one of the others.
 */
#ifndef FUSE_REPLY_H
#define FUSE_REPLY_H

#include "protocol/protocol.h"

/*
 * False, after a message, if the request has been answered: then neither it nor the place
 * for its reply may be touched.
 */
bool fuse_reply_claim(struct fuse_req *req);

/* These end a claimed request, whatever comes out. They return 0 or a negative errno. */
int fuse_reply_deliver_error(struct fuse_req *req, int error);
int fuse_reply_deliver_written(struct fuse_req *req, size_t count);
int fuse_reply_deliver_data(struct fuse_req *req, struct fuse_bufvec *data,
			    enum fuse_buf_copy_flags flags);
/* A read's, whose data are in place: with its client, or in its reply's memory. */
int fuse_reply_deliver_filled(struct fuse_req *req, size_t size);
int fuse_reply_deliver_ranges(struct fuse_req *req, const struct fuse_fd_range *ranges,
			      size_t count);

#endif
