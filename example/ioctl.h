/* SPDX-License-Identifier: GPL-2.0-only */
/* What ioctl and ioctl_client agree on. */
#ifndef EXAMPLE_IOCTL_H
#define EXAMPLE_IOCTL_H

#include <stddef.h>
#include <sys/ioctl.h>

/* Direction and size are in the number: by them the kernel copies data in and out. */
#define FIOC_GET_SIZE _IOR('E', 0, size_t)
#define FIOC_SET_SIZE _IOW('E', 1, size_t)

#endif
