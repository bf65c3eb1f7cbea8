// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A queue's memory. It is a file, so that its payload pool can be the source or the target
 * of an I/O operation that wants one; and shared, so that what is written through the
 * descriptor is what the pool holds.
 *
 * Called by owner threads, which block SIGXFSZ: a RLIMIT_FSIZE below the size makes
 * ftruncate() fail instead of ending the process.
 */
#include "fuse_config.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/fault.h"
#include "transport/uring/queue.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

static bool round_up(size_t *size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (__builtin_add_overflow(*size, page - 1, size))
		return false;
	*size &= ~(page - 1);
	return true;
}

static bool measure(struct fuse_uring_region *region, unsigned slots,
		    size_t header_stride, unsigned buffers, size_t payload_max,
		    off_t *total)
{
	region->payload_stride = payload_max;
	return round_up(&region->payload_stride) &&
	       !__builtin_mul_overflow((size_t)slots, header_stride,
				       &region->headers_size) &&
	       round_up(&region->headers_size) &&
	       !__builtin_mul_overflow((size_t)buffers, region->payload_stride,
				       &region->payloads_size) &&
	       !__builtin_add_overflow(region->headers_size, region->payloads_size,
				       total);
}

static int create_file(off_t size)
{
	int error = fuse_fault("memfd");
	int fd;

	if (error)
		return error;
	fd = memfd_create("fuse-ring", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL) /* Linux before 6.3 */
		fd = memfd_create("fuse-ring", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, size) < 0) {
		error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

static int map(char **memory, int fd, size_t size, off_t offset, const char *step)
{
	int error = fuse_fault(step);
	void *place;

	if (error)
		return error;
	place = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
		     offset);
	if (place == MAP_FAILED)
		return -errno;
	*memory = place;
	return 0;
}

int fuse_uring_region_open(struct fuse_uring_region *region, unsigned slots,
			   size_t header_stride, unsigned buffers, size_t payload_max,
			   const char **step)
{
	off_t total;
	int error;

	*step = "memfd";
	if (!measure(region, slots, header_stride, buffers, payload_max, &total))
		return -EOVERFLOW;
	region->memfd = create_file(total);
	if (region->memfd < 0)
		return region->memfd;

	*step = "map-headers";
	error = map(&region->headers, region->memfd, region->headers_size, 0, *step);
	if (error)
		return error;

	*step = "map-payload";
	return map(&region->payloads, region->memfd, region->payloads_size,
		   (off_t)region->headers_size, *step);
}

void fuse_uring_region_trim(struct fuse_uring_region *region, unsigned first)
{
	size_t offset = first * region->payload_stride;

	madvise(region->payloads + offset, region->payloads_size - offset, MADV_REMOVE);
}

void fuse_uring_region_close(struct fuse_uring_region *region)
{
	if (region->payloads)
		munmap(region->payloads, region->payloads_size);
	if (region->headers)
		munmap(region->headers, region->headers_size);
	if (region->memfd >= 0)
		close(region->memfd);
	*region = (struct fuse_uring_region){ .memfd = -1 };
}
