/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file whose every byte has been seen: beside the data there are checksums, one for each block,
 * which are computed from what is written and compared with what is read.
 */
#ifndef EXAMPLE_CHECKED_FILE_H
#define EXAMPLE_CHECKED_FILE_H

#include <pthread.h>
#include <sys/types.h>

struct checked_file {
	int data;
	int sums;
	pthread_rwlock_t lock; /* many may read while nobody writes */
};

/* The descriptors, of files that may be empty, are the file's own from now on. */
void checked_file_init(struct checked_file *file, int data, int sums);
void checked_file_close(struct checked_file *file);

/*
 * These return a negative errno if they fail: EIO where the data are not what was written. A read
 * is short at the end only, a write never is.
 */
ssize_t checked_file_read(struct checked_file *file, char *to, size_t size, off_t off);
ssize_t checked_file_write(struct checked_file *file, const char *from, size_t size,
			   off_t off);
int checked_file_resize(struct checked_file *file, off_t size);
int checked_file_sync(struct checked_file *file);

#endif
