/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The server's end of a memory channel: a listening socket, a thread, and what each client has
 * given. It knows no session; where memory goes is its owner's business.
 */
#ifndef FUSE_CHANNEL_SERVER_H
#define FUSE_CHANNEL_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct fuse_channel_server;

struct fuse_channel_config {
	unsigned max_regions; /* of one client */
	unsigned max_clients;
	uint64_t max_bytes; /* of one region */
	bool hugetlb;	    /* such memory is taken as well */
	bool for_others;    /* other users are to reach the socket */

	/* The file that says how memory is promised; NULL: the kernel's */
	const char *overcommit;

	/* All of these are called in the channel's thread, and return 0 or a negative errno. */
	int (*allow)(void *userdata, pid_t pid, uid_t uid, gid_t gid);
	void *userdata;
	/* The memory is sealed and not too large. The descriptor is closed after the call. */
	int (*add)(void *owner, int fd, uint64_t *id);
	int (*remove)(void *owner, uint64_t id);
	void *owner;
};

/* Listens, but does not answer yet. Returns 0 or a negative errno. */
int fuse_channel_server_new(struct fuse_channel_server **server,
			    const struct fuse_channel_config *config);
/* The thread does not survive a fork: start it behind. Returns 0 or a negative errno. */
int fuse_channel_server_start(struct fuse_channel_server *server);
/* Ends the thread, removes what clients have given, and the socket. */
void fuse_channel_server_free(struct fuse_channel_server *server);

/* The socket's path, as long as the server lives. */
const char *fuse_channel_server_path(const struct fuse_channel_server *server);

#endif
