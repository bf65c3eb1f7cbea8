/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Acting as whoever made a request.
 *
 * Each of the functions prepares the calling thread, whether or not it succeeds, for one
 * system call, after which caller_end() makes it itself again. The macros do both; call is
 * an expression that has a negative errno value for failure, which is then theirs too.
 */
#ifndef PASSTHROUGH_HP_CALLER_H
#define PASSTHROUGH_HP_CALLER_H

#include "passthrough_hp.h"

/* To be called once, by the only thread. */
void caller_start(void);

/* For what needs permission. */
int caller_become(fuse_req_t req);

/* For what makes a file, too: with the caller's umask. */
int caller_become_creator(fuse_req_t req);

/* For what changes the contents of a file that was opened with permission. */
int caller_become_writer(fuse_req_t req, int fd);

/* For what the kernel will do in the caller's place. */
int caller_become_backer(fuse_req_t req);

/* errno is the same afterwards. */
void caller_end(void);

#define WITH_CALLER(become, call)        \
	__extension__({                  \
		ssize_t res_ = (become); \
                                         \
		if (res_ == 0)           \
			res_ = (call);   \
		caller_end();            \
		res_;                    \
	})

#define AS_CALLER(req, call)	 WITH_CALLER(caller_become(req), call)
#define AS_CREATOR(req, call)	 WITH_CALLER(caller_become_creator(req), call)
#define AS_WRITER(req, fd, call) WITH_CALLER(caller_become_writer(req, fd), call)

#endif
