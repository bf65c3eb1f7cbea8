// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The attribute by which a mount tells where its memory channel is, before any getxattr handler
 * of the filesystem's sees it.
 */
#include "fuse_shared_memory.h"
#include "protocol/opcode.h"

static bool is_for_us(const struct fuse_req *req, const char *name)
{
	return req->nodeid == FUSE_ROOT_ID && req->protocol->hooks->channel_path &&
	       strcmp(name, FUSE_MEMORY_CHANNEL_XATTR) == 0;
}

bool fuse_channel_xattr_answers(struct fuse_req *req, const char *name, size_t size,
				int *res)
{
	char path[FUSE_CHANNEL_PATH_MAX];
	size_t length;

	if (!is_for_us(req, name))
		return false;
	length = req->protocol->hooks->channel_path(req->protocol, path);
	if (!length)
		return false;
	*res = 0;
	if (!size)
		fuse_reply_xattr(req, length);
	else if (size < length)
		*res = -ERANGE;
	else
		fuse_reply_buf(req, path, length);
	return true;
}
