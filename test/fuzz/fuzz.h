/* SPDX-License-Identifier: GPL-2.0-only */
/* What the two halves of the fuzz target share: the driver and the file system. */
#ifndef FUZZ_H_
#define FUZZ_H_

#define FUSE_USE_VERSION 318

#include <stddef.h>
#include <stdint.h>

#include "fuse_lowlevel.h"

enum {
	SCRATCH = 64 * 1024,
};

/* ---- fuzz_process_buf.c ---- */

extern struct fuse_session *session; /* whose user data is &session */
extern char scratch[SCRATCH];
extern int data_file; /* SCRATCH bytes */

/* Ends the process, with a message: the library did something wrong. */
__attribute__((format(printf, 1, 2), noreturn)) void finding(const char *format, ...);

/* The next turn, 0 to count - 1. */
unsigned int turn(unsigned int count);

/* Reads what the library gave, for the sanitizers to see. */
void use(const void *memory, size_t size);

/* ---- filesystem.c ---- */

extern const struct fuse_lowlevel_ops operations;

/* Replies to the requests that wait for a later answer. */
void answer_held(void);

#endif
