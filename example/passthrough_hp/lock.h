/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Locks.
 */
#ifndef PASSTHROUGH_HP_LOCK_H
#define PASSTHROUGH_HP_LOCK_H

#include "inode.h"

/* To be called before there are requests. */
void lock_start(void);

/* End the waiting for locks, once the session's loop has ended. */
void lock_stop(void);

/* A descriptor of an inode is closed: its owner's locks go. */
void lock_flush(struct inode *inode, uint64_t owner);

/* An open file is closed: those locks go that came through it and are still there. */
void lock_release(struct inode *inode, uint64_t fh);

#endif
