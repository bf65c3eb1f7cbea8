/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the two ends of a memory channel say to each other: messages of one size over a
 * SOCK_SEQPACKET socket. Both ends are on one machine, so numbers are as it writes them; the
 * layout is the same for programs of 32 and of 64 bits.
 *
 *     server                        client
 *     WELCOME (error)      --->                  after connect(2); with an error, the end
 *                          <---     GIVE         and one descriptor
 *                          <---     TAKE_BACK (id)
 *     DONE (id, error)     --->                  for each of these, in their order
 */
#ifndef FUSE_CHANNEL_MESSAGE_H
#define FUSE_CHANNEL_MESSAGE_H

#include <stdint.h>

#define FUSE_CHANNEL_MAGIC   0x4d454d46u
#define FUSE_CHANNEL_VERSION 1

enum fuse_channel_kind {
	FUSE_CHANNEL_WELCOME = 1,
	FUSE_CHANNEL_GIVE,
	FUSE_CHANNEL_TAKE_BACK,
	FUSE_CHANNEL_DONE,
};

struct fuse_channel_message {
	uint32_t magic;
	uint16_t version;
	uint16_t kind;
	uint64_t id;
	int32_t error; /* 0 or a negative errno */
	uint32_t unused;
};

_Static_assert(sizeof(struct fuse_channel_message) == 24, "the same for all programs");

/*
 * Sends a message, and a descriptor unless that is -1; flags as of send(2). It never raises
 * SIGPIPE. Returns 0 or a negative errno, EPIPE if nobody is there any more.
 */
int fuse_channel_send(int socket, enum fuse_channel_kind kind, uint64_t id, int error,
		      int descriptor, int flags);

/*
 * Receives a message of the right form; which kind it is, is for the caller to judge. Returns 0
 * or a negative errno: EAGAIN, EPIPE (the other end is closed), EPROTO (this is none of ours),
 * EMFILE (it came with a descriptor, for which there was no room).
 * Whatever is returned, *descriptor is the caller's if it is not -1.
 */
int fuse_channel_receive(int socket, struct fuse_channel_message *message,
			 int *descriptor, int flags);

#endif
