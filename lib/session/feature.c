// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What a filesystem wants of a connection. It says so in conn->want, in conn->want_ext
 * or with functions, and a program may do all of that at different places. So the two
 * words are merged bit by bit: a bit counts as it was suggested unless one of the words
 * differs from that.
 */
#include <string.h>

#include "session/session.h"

/*
 * The lower half of what was suggested travels in the last reserved members, because a
 * filesystem may well work on a copy of the structure.
 */
static uint16_t *suggestion(struct fuse_conn_info *conn)
{
	return &conn->reserved[sizeof(conn->reserved) / sizeof(conn->reserved[0]) - 2];
}

void fuse_feature_suggest(struct fuse_conn_info *conn, uint64_t want)
{
	const uint32_t lower = (uint32_t)want;

	conn->want_ext = want;
	conn->want = lower;
	memcpy(suggestion(conn), &lower, sizeof(lower));
}

bool fuse_get_feature_flag(struct fuse_conn_info *conn, uint64_t flag)
{
	return conn->capable_ext & flag;
}

bool fuse_set_feature_flag(struct fuse_conn_info *conn, uint64_t flag)
{
	if (!fuse_get_feature_flag(conn, flag))
		return false;
	conn->want_ext |= flag;
	conn->want |= (uint32_t)flag;
	return true;
}

void fuse_unset_feature_flag(struct fuse_conn_info *conn, uint64_t flag)
{
	conn->want_ext &= ~flag;
	conn->want &= ~(uint32_t)flag;
}

int fuse_convert_to_conn_want_ext(struct fuse_conn_info *conn)
{
	const uint32_t extended = (uint32_t)conn->want_ext;
	uint32_t suggested, changed, merged;

	memcpy(&suggested, suggestion(conn), sizeof(suggested));
	changed = (conn->want ^ suggested) | (extended ^ suggested);
	merged = suggested ^ changed;
	conn->want_ext = (conn->want_ext & ~(uint64_t)UINT32_MAX) | merged;
	fuse_feature_suggest(conn, conn->want_ext);
	return 0;
}
