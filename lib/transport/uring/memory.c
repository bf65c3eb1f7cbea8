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
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/fault.h"
#include "transport/uring/queue.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

/* So that a pool may consist of huge pages, where the system hands them out. */
#define HUGE_PAGE ((size_t)2 << 20)

static bool round_up(size_t *size, size_t to)
{
	if (__builtin_add_overflow(*size, to - 1, size))
		return false;
	*size &= ~(to - 1);
	return true;
}

static bool measure(struct fuse_uring_region *region,
		    const struct fuse_uring_layout *layout, off_t *total)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t rooms;

	region->payload_stride = layout->payload_max;
	return round_up(&region->payload_stride, page) &&
	       !__builtin_mul_overflow((size_t)layout->slots, layout->header_stride,
				       &region->headers_size) &&
	       round_up(&region->headers_size, HUGE_PAGE) &&
	       !__builtin_mul_overflow((size_t)layout->buffers, region->payload_stride,
				       &region->pool_size) &&
	       !__builtin_mul_overflow((size_t)layout->rooms, region->payload_stride,
				       &rooms) &&
	       !__builtin_add_overflow(region->pool_size, rooms,
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

/* A place that begins where a huge page may; the kernel gives away any page's. */
static char *reserve(size_t size)
{
	char *place, *aligned;
	size_t before;

	place = mmap(NULL, size + HUGE_PAGE, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (place == MAP_FAILED)
		return NULL;
	before = -(uintptr_t)place & (HUGE_PAGE - 1);
	aligned = place + before;
	if (before)
		munmap(place, before);
	munmap(aligned + size, HUGE_PAGE - before);
	return aligned;
}

static int map(char **memory, int fd, size_t size, off_t offset, const char *step)
{
	int error = fuse_fault(step);
	char *place;

	if (error)
		return error;
	place = reserve(size);
	if (!place)
		return -errno;
	*memory = place; /* whatever lies there is unmapped with the region */
	if (mmap(place, size, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, offset) == MAP_FAILED)
		return -errno;
	return 0;
}

int fuse_uring_region_open(struct fuse_uring_region *region,
			   const struct fuse_uring_layout *layout, const char **step)
{
	off_t total;
	int error;

	*step = "memfd";
	if (!measure(region, layout, &total))
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

off_t fuse_uring_region_offset(const struct fuse_uring_region *region,
			       const char *payload)
{
	return (off_t)region->headers_size + (payload - region->payloads);
}

void fuse_uring_region_trim(struct fuse_uring_region *region, unsigned first)
{
	size_t offset = first * region->payload_stride;

	if (offset < region->payloads_size)
		madvise(region->payloads + offset, region->payloads_size - offset,
			MADV_REMOVE);
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
