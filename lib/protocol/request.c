// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What a filesystem may ask of a request that it holds.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/protocol.h"

void *fuse_req_userdata(fuse_req_t req)
{
	return req->protocol->userdata;
}

const struct fuse_ctx *fuse_req_ctx(fuse_req_t req)
{
	return &req->ctx;
}

/* Stores at most `size` of the ids that the line lists, and returns how many it lists. */
static int parse_groups(const char *line, int size, gid_t list[])
{
	int count = 0;
	char *end;

	for (;; line = end) {
		unsigned long gid = strtoul(line, &end, 10);

		if (end == line)
			return count;
		if (count < size)
			list[count] = (gid_t)gid;
		count++;
	}
}

/* The wire has no list of groups: the caller is asked, by way of /proc. */
int fuse_req_getgroups(fuse_req_t req, int size, gid_t list[])
{
	static const char key[] = "Groups:";
	const size_t key_size = sizeof(key) - 1;
	size_t room = 0;
	char *line = NULL;
	int count = -EIO;
	char path[64];
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", (int)req->ctx.pid,
		 (int)req->ctx.pid);
	status = fopen(path, "re");
	if (!status)
		return -errno;
	while (count < 0 && getline(&line, &room, status) > 0) {
		if (!strncmp(line, key, key_size))
			count = parse_groups(line + key_size, size, list);
	}
	free(line);
	fclose(status);
	return count;
}

void fuse_req_interrupt_func(fuse_req_t req, fuse_interrupt_func_t func, void *data)
{
	fuse_inflight_set_func(&req->protocol->inflight, req, func, data);
}

int fuse_req_interrupted(fuse_req_t req)
{
	return fuse_inflight_interrupted(&req->protocol->inflight, req);
}

bool fuse_req_is_uring(fuse_req_t req)
{
	return req->transport->is_uring;
}

bool fuse_req_is_zero_copy(fuse_req_t req)
{
	return req->zero_copied;
}

/* A write's data in shared memory are not where its reply goes. */
static bool is_shared_write(const struct fuse_req *req)
{
	return req->shared && req->opcode == FUSE_WRITE;
}

int fuse_req_get_payload(fuse_req_t req, char **payload, size_t *payload_sz, void **mr)
{
	if (!req->transport->is_uring || !req->reply_room || !payload || !payload_sz)
		return -EINVAL;
	if (req->zero_copied && req->opcode == FUSE_WRITE) {
		int res = req->transport->load(req);

		if (res)
			return res;
	}
	if (is_shared_write(req)) {
		*payload = (char *)req->view.payload;
		*payload_sz = req->view.payload_size;
	} else {
		*payload = req->reply_room;
		*payload_sz = req->reply_room_size;
	}
	if (mr)
		*mr = req->transport->region ? req->transport->region(req) : NULL;
	return 0;
}
