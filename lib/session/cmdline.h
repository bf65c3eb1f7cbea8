/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The command line, as compat.c makes entry points of it.
 */
#ifndef FUSE_SESSION_CMDLINE_H
#define FUSE_SESSION_CMDLINE_H

#include "fuse_lowlevel.h"

/* 0, or -1 after a message; then opts->mountpoint is NULL. */
int fuse_cmdline_parse(struct fuse_args *args, struct fuse_cmdline_opts *opts);

#endif
