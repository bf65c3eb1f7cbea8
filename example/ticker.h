/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the examples of notifications have in common: a thread of the filesystem's own, beside
 * those that serve requests.
 */
#ifndef EXAMPLE_TICKER_H
#define EXAMPLE_TICKER_H

#include "serve.h"

/*
 * serve() with a thread that calls tick() every `interval` seconds, from when the filesystem is
 * mounted until it is about to end.
 */
int serve_and_tick(struct fuse_args *args, const struct program *program,
		   void (*tick)(struct fuse_session *session), double interval);

#endif
