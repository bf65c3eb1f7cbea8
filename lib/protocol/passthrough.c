// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Backing files: open files that the kernel reads and writes on its own, once
 * fuse_reply_open() has named their id.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "protocol/protocol.h"

int fuse_passthrough_open(fuse_req_t req, int fd)
{
	struct fuse_backing_map map = { .fd = fd };
	int id = ioctl(fuse_session_fd(req->protocol->session), FUSE_DEV_IOC_BACKING_OPEN,
		       &map);

	if (id > 0)
		return id;
	fuse_log(FUSE_LOG_ERR,
		 "fuse: cannot register descriptor %d as a backing file: %s\n", fd,
		 id < 0 ? strerror(errno) : "the kernel gave no id");
	return 0;
}

int fuse_passthrough_close(fuse_req_t req, int backing_id)
{
	uint32_t id = (uint32_t)backing_id;
	int res = ioctl(fuse_session_fd(req->protocol->session),
			FUSE_DEV_IOC_BACKING_CLOSE, &id);

	if (res < 0) {
		int error = errno;

		fuse_log(FUSE_LOG_ERR, "fuse: cannot close backing file %d: %s\n",
			 backing_id, strerror(error));
		errno = error;
	}
	return res;
}
