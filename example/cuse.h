/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ioctls of the device that cuse.c serves; it also knows FIONREAD, as pipes do.
 */
#ifndef EXAMPLE_CUSE_H
#define EXAMPLE_CUSE_H

#include <stdint.h>
#include <sys/ioctl.h>

/* Where PEEK puts the first bytes of the queue. Pointer and size are for 64 bits. */
struct cuse_peek {
	uint64_t buffer;
	uint64_t size; /* in: of the buffer; out: how much of it is filled */
};

#define CUSE_GET_CAPACITY _IOR('Q', 0, uint32_t)
#define CUSE_SET_CAPACITY _IOW('Q', 1, uint32_t)
#define CUSE_PEEK	  _IOWR('Q', 2, struct cuse_peek)

#endif
