/* SPDX-License-Identifier: GPL-2.0-only */
/* A filesystem of four names: "data" (a file of the host), "link", "entries" (a directory), and "." */
#ifndef SERVER_H
#define SERVER_H

#include "ring.h"

#define NR_ENTRIES   200
#define LINK_TARGET  "a/target/of/some/length"
#define IOCTL_INVERT _IOWR('B', 1, char[3000])

struct counters {
	unsigned long requests, zero_copied, buffered, bufferless, linked, broken;
	unsigned long most_buffers;
};

struct server {
	struct mounted mount;
	struct setup setup;
	int backing;
	bool linked;		  /* data operations are linked to their commit */
	unsigned int delay_us;	  /* per READ */
	struct counters counters; /* of all queues, once they have ended */
	struct server_queue *queues;
};

void server_start(struct server *server, const char *mountpoint);
void server_stop(struct server *server);

#endif
