/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where a channel listens: a socket in a directory that was made for it.
 */
#ifndef FUSE_CHANNEL_PLACE_H
#define FUSE_CHANNEL_PLACE_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

struct fuse_channel_place {
	int socket; /* listens, and does not wait; -1: there is no place */
	struct sockaddr_un address;
};

/* for_others: users other than this process's are to reach it. Returns 0 or a negative errno. */
int fuse_channel_place_open(struct fuse_channel_place *place, bool for_others);
/* Socket and directory are gone after this. */
void fuse_channel_place_close(struct fuse_channel_place *place);

#endif
