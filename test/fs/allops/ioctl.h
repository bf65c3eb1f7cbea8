/* SPDX-License-Identifier: GPL-2.0-only */
/* What ioctl() understands; test_lowlevel_ops.py has the same numbers. */
#ifndef ALLOPS_IOCTL_H
#define ALLOPS_IOCTL_H

#include <linux/ioctl.h>
#include <stdint.h>

#define ALLOPS_SUM	_IO('E', 0)	       /* the argument itself, plus 1 */
#define ALLOPS_GET_SIZE _IOR('E', 1, uint64_t) /* the file's size; a directory's names */
#define ALLOPS_SET_SIZE _IOW('E', 2, uint64_t)
#define ALLOPS_REVERSE	_IOWR('E', 3, char[16]) /* the 16 bytes, last one first */
#define ALLOPS_RETRY	_IO('E', 4) /* asks for memory, which is not granted */

#endif
