// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Memory that a client can share with a server.
 */
#include "fuse_config.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuse_shared_memory.h"
#include "memory/memory.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

static int create(unsigned flags)
{
	const char *name = "fuse-memory";
	int fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL) /* Linux before 6.3 */
		fd = memfd_create(name, flags);
	return fd < 0 ? -errno : fd;
}

int fuse_memory_create(size_t size, unsigned flags)
{
	unsigned kind = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int error = 0;
	int fd;

	if ((off_t)size <= 0 || (flags & ~(unsigned)FUSE_MEMORY_HUGETLB))
		return -EINVAL;
	if (flags & FUSE_MEMORY_HUGETLB)
		kind |= MFD_HUGETLB;
	fd = create(kind);
	if (fd < 0)
		return fd;
	if (ftruncate(fd, (off_t)size) != 0)
		error = errno == EFBIG ? -ENOMEM : -errno;
	else if (fcntl(fd, F_ADD_SEALS, FUSE_MEMORY_SEALS) != 0)
		error = -errno;
	if (!error)
		return fd;
	close(fd);
	return error;
}
