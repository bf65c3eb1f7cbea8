// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Messages of a memory channel, on their way out and in. Whoever is at the other end may send
 * anything: messages of any size, with any number of descriptors.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "channel/message.h"

/* Room for one descriptor, and not for a byte more: the kernel fills up what it finds. */
union control {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};
#define CONTROL_SIZE CMSG_LEN(sizeof(int))

static void attach(struct msghdr *header, union control *control, int descriptor)
{
	memset(control, 0, sizeof(*control));
	header->msg_control = control;
	header->msg_controllen = CONTROL_SIZE;
	control->header.cmsg_level = SOL_SOCKET;
	control->header.cmsg_type = SCM_RIGHTS;
	control->header.cmsg_len = CONTROL_SIZE;
	memcpy(CMSG_DATA(&control->header), &descriptor, sizeof(descriptor));
}

int fuse_channel_send(int socket, enum fuse_channel_kind kind, uint64_t id, int error,
		      int descriptor, int flags)
{
	struct fuse_channel_message message = {
		.magic = FUSE_CHANNEL_MAGIC,
		.version = FUSE_CHANNEL_VERSION,
		.kind = (uint16_t)kind,
		.id = id,
		.error = error,
	};
	struct iovec piece = { .iov_base = &message, .iov_len = sizeof(message) };
	struct msghdr header = { .msg_iov = &piece, .msg_iovlen = 1 };
	union control control;
	ssize_t sent;

	if (descriptor >= 0)
		attach(&header, &control, descriptor);
	do {
		sent = sendmsg(socket, &header, flags | MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	return 0;
}

static int take_descriptor(struct msghdr *header)
{
	struct cmsghdr *part = CMSG_FIRSTHDR(header);
	int descriptor = -1;

	if (part && part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS &&
	    part->cmsg_len == CONTROL_SIZE)
		memcpy(&descriptor, CMSG_DATA(part), sizeof(descriptor));
	return descriptor;
}

static int check(const struct fuse_channel_message *message, ssize_t size, int flags,
		 int descriptor)
{
	/* An empty message looks like the end, and is as good a reason to end. */
	if (size == 0)
		return -EPIPE;
	if (size != sizeof(*message) || (flags & MSG_TRUNC) ||
	    message->magic != FUSE_CHANNEL_MAGIC ||
	    message->version != FUSE_CHANNEL_VERSION || message->unused)
		return -EPROTO;
	if (flags & MSG_CTRUNC)
		return descriptor < 0 ? -EMFILE : -EPROTO;
	return 0;
}

int fuse_channel_receive(int socket, struct fuse_channel_message *message,
			 int *descriptor, int flags)
{
	struct iovec piece = { .iov_base = message, .iov_len = sizeof(*message) };
	union control control;
	struct msghdr header = {
		.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CONTROL_SIZE,
	};
	ssize_t size;

	*descriptor = -1;
	do {
		size = recvmsg(socket, &header, flags | MSG_CMSG_CLOEXEC);
	} while (size < 0 && errno == EINTR);
	if (size < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	*descriptor = take_descriptor(&header);
	return check(message, size, header.msg_flags, *descriptor);
}
