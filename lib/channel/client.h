/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FUSE_CHANNEL_CLIENT_H
#define FUSE_CHANNEL_CLIENT_H

/* fuse_memory_channel_connect() when the socket's path is known. */
int fuse_channel_connect(const char *socket_path);

#endif
