// SPDX-License-Identifier: GPL-2.0-only
/*
 * What both filesystems have in common: a file, and a table of operations that ends where the
 * memory does, so that nobody looks behind it.
 */
#ifndef LEVEL_H
#define LEVEL_H

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT	 "of its own level\n"
#define PLUS_ONE _IOWR('L', 1, int)

/* Where the file says its data begin. What the kernel thinks of others is 0. */
#define DATA_AT 3

/* The number of a control was an int, and this one is below 0 then. */
#if FUSE_USE_VERSION < 35
typedef int control_number;
#else
typedef unsigned int control_number;
#endif

static inline void fill_attr(struct stat *attr, int is_root)
{
	memset(attr, 0, sizeof(*attr));
	attr->st_ino = is_root ? 1 : 2;
	attr->st_mode = is_root ? S_IFDIR | 0755 : S_IFREG | 0444;
	attr->st_nlink = 1;
	attr->st_size = is_root ? 0 : (off_t)strlen(TEXT);
}

/* How much of TEXT there is behind off. */
static inline size_t part_of_text(size_t size, off_t off)
{
	size_t length = strlen(TEXT);

	if ((size_t)off >= length)
		return 0;
	return size < length - (size_t)off ? size : length - (size_t)off;
}

/*
 * A table as a program has it that was compiled with a header of another size: the first `size`
 * bytes, and what is missing to them is no address of anything.
 */
static inline const void *table_of_size(const void *table, size_t actual, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED || size > page)
		abort();
	memset(memory, 0xff, page);
	memcpy(memory + page - size, table, size < actual ? size : actual);
	if (mprotect(memory + page, page, PROT_NONE) != 0)
		abort();
	return memory + page - size;
}

#endif
