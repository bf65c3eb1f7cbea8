// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Memory that clients share, as a filesystem makes it known and asks for it.
 */
#include <errno.h>

#include "fuse_config.h"
#include "fuse_shared_memory.h"
#include "session/session.h"

int fuse_session_add_shared_memory(struct fuse_session *se, int fd, uint64_t *id)
{
	if (!se || !id)
		return -EINVAL;
	return fuse_memories_add(&se->memories, fd, id);
}

int fuse_session_remove_shared_memory(struct fuse_session *se, uint64_t id)
{
	if (!se)
		return -EINVAL;
	return fuse_memories_remove(&se->memories, id);
}

int fuse_req_get_shared_memory(fuse_req_t req, uint64_t *id, off_t *off)
{
	if (!req->shared)
		return -ENOENT;
	if (id)
		*id = fuse_memories_id_of(&req->protocol->session->memories, req->shared);
	if (off)
		*off = (off_t)req->shared_off;
	return 0;
}
