// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * From a transport's view to a message whose parts are known to be where the decoders look
 * for them. Every size that the other side sent is checked here or, where only
 * the opcode knows what it counts, in the decoder.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/opcode.h"

const char *fuse_message_string(struct fuse_message *message)
{
	const char *string = message->payload;
	const char *end;

	end = message->payload_size ? memchr(string, '\0', message->payload_size) : NULL;
	if (!end)
		return NULL;
	message->payload = end + 1;
	message->payload_size -= (size_t)(end + 1 - string);
	return string;
}

static int read_all(int fd, char *to, size_t size)
{
	while (size > 0) {
		ssize_t got = read(fd, to, size);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return FUSE_MALFORMED;
		to += got;
		size -= (size_t)got;
	}
	return 0;
}

/* The payload becomes `head` and, behind it, what is in the pipe. */
static int load(struct fuse_message *message, const void *head, size_t head_size)
{
	char *mem = malloc(head_size + message->payload_size + 1);
	int res;

	if (!mem)
		return -ENOMEM;
	message->loaded = mem;
	memcpy(mem, head, head_size);
	res = read_all(message->payload_fd, mem + head_size, message->payload_size);
	message->payload = mem;
	message->payload_size += head_size;
	message->payload_fd = -1;
	return res;
}

int fuse_message_load(struct fuse_message *message)
{
	return message->payload_fd < 0 ? 0 : load(message, "", 0);
}

/* Kernels send SETXATTR's longer argument only when that was settled in INIT. */
static size_t arg_size(const struct fuse_req *req, const struct fuse_opcode_entry *entry)
{
	if (req->opcode == FUSE_SETXATTR &&
	    !(req->protocol->conn.want_ext & FUSE_CAP_SETXATTR_EXT))
		return entry->arg_min;
	return entry->arg_size;
}

/* Only INIT is told by its own length how long its argument is. */
static size_t arg_minimum(const struct fuse_opcode_entry *entry, size_t size)
{
	return entry->decode == fuse_decode_init ? entry->arg_min : size;
}

/* On a ring, kernels put NOTIFY_REPLY's argument before its data, not where others have it. */
static bool arg_leads_payload(const struct fuse_req *req)
{
	return req->opcode == FUSE_NOTIFY_REPLY && !req->view.contiguous &&
	       req->view.payload_fd < 0 && req->view.arg_size == 0;
}

int fuse_message_parse(struct fuse_message *message, const struct fuse_req *req,
		       const struct fuse_opcode_entry *entry)
{
	const struct fuse_view *view = &req->view;
	bool in_pipe = view->payload_fd >= 0;
	bool leads = arg_leads_payload(req);
	bool joined = view->contiguous || in_pipe || leads;
	size_t body =
		view->arg_size + (view->contiguous && !in_pipe ? 0 : view->payload_size);
	const char *arg = leads ? view->payload : view->arg;
	size_t arg_room = leads ? view->payload_size : view->arg_size;
	size_t size = arg_size(req, entry);
	size_t first = arg_room < size ? arg_room : size;
	const char *rest = arg + first;
	size_t rest_size = joined ? arg_room - first : 0;
	const struct fuse_in_header header = fuse_req_header(req);
	size_t extension = (size_t)header.total_extlen * 8;

	message->loaded = NULL;
	message->payload_fd = -1;
	if (header.len != sizeof(header) + body || first < arg_minimum(entry, size))
		return FUSE_MALFORMED;

	memset(message->arg, 0, sizeof(message->arg));
	if (first)
		memcpy(message->arg, arg, first);

	if (in_pipe) {
		message->payload = NULL;
		message->payload_size = view->payload_size;
		message->payload_fd = view->payload_fd;
		if (!(entry->flags & FUSE_OP_PIPE) || rest_size || extension) {
			int res = load(message, rest, rest_size);

			if (res)
				return res;
		}
	} else {
		message->payload = joined ? rest : view->payload;
		message->payload_size = joined ? rest_size : view->payload_size;
	}

	/* No decoder needs the extensions, but their bytes are not the payload's. */
	if (extension > message->payload_size)
		return FUSE_MALFORMED;
	message->payload_size -= extension;
	return 0;
}
