// SPDX-License-Identifier: GPL-2.0-only
/*
 * A sum is the XXH3 of a block, with zeros behind its end if it is the last one, and
 * xor that of a block of zeros. So 0 stands for zeros, holes of the one file agree with
 * holes of the other, and a file that grows needs no sum to be changed.
 *
 * Whole blocks are read to where they are wanted and written from where they are; only parts of
 * blocks go through a buffer. If writing fails midway, or the process dies, blocks are left whose
 * sums are not right: they cannot be read before they are written again.
 */
#include "checked_file.h"

#include "xxh3.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK	     ((size_t)4096)
#define SUM_OF_ZEROS UINT64_C(0x93d76fe148c689ba) /* XXH3_64bits(zeros, BLOCK) */

/* As many blocks as are dealt with at once. */
#define MANY 1024

void checked_file_init(struct checked_file *file, int data, int sums)
{
	file->data = data;
	file->sums = sums;
	pthread_rwlock_init(&file->lock, NULL);
}

void checked_file_close(struct checked_file *file)
{
	close(file->data);
	close(file->sums);
	pthread_rwlock_destroy(&file->lock);
}

/* ---- All of it, or as much as there is ---- */

static ssize_t read_all(int fd, void *to, size_t size, off_t off)
{
	size_t done = 0;

	while (done < size) {
		ssize_t got =
			pread(fd, (char *)to + done, size - done, off + (off_t)done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

static int write_all(int fd, const void *from, size_t size, off_t off)
{
	size_t done = 0;

	while (done < size) {
		ssize_t put = pwrite(fd, (const char *)from + done, size - done,
				     off + (off_t)done);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put < 0 ? -errno : -EIO;
		done += (size_t)put;
	}
	return 0;
}

/* ---- Sums ---- */

static uint64_t sum_of(const char *block)
{
	return XXH3_64bits(block, BLOCK) ^ SUM_OF_ZEROS;
}

static uint64_t sum_of_part(const char *data, size_t size)
{
	char block[BLOCK] = { 0 };

	memcpy(block, data, size);
	return sum_of(block);
}

static void compute(uint64_t *sums, const char *data, size_t size)
{
	size_t whole = size / BLOCK;

	for (size_t i = 0; i < whole; i++)
		sums[i] = sum_of(data + i * BLOCK);
	if (size % BLOCK)
		sums[whole] = sum_of_part(data + whole * BLOCK, size % BLOCK);
}

static size_t sums_size(size_t size)
{
	return (size + BLOCK - 1) / BLOCK * sizeof(uint64_t);
}

static off_t sums_off(off_t off)
{
	return off / (off_t)BLOCK * (off_t)sizeof(uint64_t);
}

/* `off` is where a block begins, and `size` no more than MANY of them. */
static int check(const struct checked_file *file, const char *data, size_t size,
		 off_t off)
{
	uint64_t is[MANY], should[MANY] = { 0 };
	ssize_t got = read_all(file->sums, should, sums_size(size), sums_off(off));

	if (got < 0)
		return (int)got;
	compute(is, data, size);
	return memcmp(is, should, sums_size(size)) == 0 ? 0 : -EIO;
}

/* ---- Blocks ---- */

static ssize_t read_blocks(const struct checked_file *file, char *to, size_t size,
			   off_t off)
{
	ssize_t got = read_all(file->data, to, size, off);
	int error = got > 0 ? check(file, to, (size_t)got, off) : 0;

	return error ? error : got;
}

static int write_blocks(const struct checked_file *file, const char *from, size_t size,
			off_t off)
{
	uint64_t sums[MANY];
	int error = write_all(file->data, from, size, off);

	if (error)
		return error;
	compute(sums, from, size);
	return write_all(file->sums, sums, sums_size(size), sums_off(off));
}

/* How much of this is to be dealt with next: whole blocks, or a part of one. */
static size_t next(size_t size, off_t off)
{
	size_t within = (size_t)off % BLOCK;

	if (within || size < BLOCK)
		return size < BLOCK - within ? size : BLOCK - within;
	size -= size % BLOCK;
	return size < MANY * BLOCK ? size : MANY * BLOCK;
}

static ssize_t read_part(const struct checked_file *file, char *to, size_t size,
			 off_t off)
{
	size_t within = (size_t)off % BLOCK;
	char block[BLOCK];
	ssize_t got = read_blocks(file, block, BLOCK, off - (off_t)within);

	if (got <= (ssize_t)within)
		return got < 0 ? got : 0;
	got -= (ssize_t)within;
	if (got > (ssize_t)size)
		got = (ssize_t)size;
	memcpy(to, block + within, (size_t)got);
	return got;
}

/* Together with what is before it and behind it. */
static int write_part(const struct checked_file *file, const char *from, size_t size,
		      off_t off)
{
	size_t within = (size_t)off % BLOCK;
	char block[BLOCK] = { 0 };
	ssize_t got = read_blocks(file, block, BLOCK, off - (off_t)within);
	size_t length = within + size;

	if (got < 0)
		return (int)got;
	if ((size_t)got > length)
		length = (size_t)got;
	memcpy(block + within, from, size);
	return write_blocks(file, block, length, off - (off_t)within);
}

/* ---- Files ---- */

ssize_t checked_file_read(struct checked_file *file, char *to, size_t size, off_t off)
{
	size_t done = 0;
	ssize_t got = 1;

	pthread_rwlock_rdlock(&file->lock);
	while (done < size && got > 0) {
		size_t step = next(size - done, off);

		got = step % BLOCK ? read_part(file, to + done, step, off)
				   : read_blocks(file, to + done, step, off);
		if (got > 0)
			done += (size_t)got;
		if (got != (ssize_t)step)
			break;
		off += got;
	}
	pthread_rwlock_unlock(&file->lock);
	return got < 0 ? got : (ssize_t)done;
}

ssize_t checked_file_write(struct checked_file *file, const char *from, size_t size,
			   off_t off)
{
	size_t done = 0;
	int error = 0;

	pthread_rwlock_wrlock(&file->lock);
	while (done < size && !error) {
		size_t step = next(size - done, off);

		error = step % BLOCK ? write_part(file, from + done, step, off)
				     : write_blocks(file, from + done, step, off);
		done += step;
		off += (off_t)step;
	}
	pthread_rwlock_unlock(&file->lock);
	return error ? error : (ssize_t)size;
}

/* The last block's end becomes zeros. */
static int cut_block(const struct checked_file *file, off_t size)
{
	size_t within = (size_t)size % BLOCK;
	char block[BLOCK] = { 0 };
	ssize_t got = 0;

	if (within)
		got = read_blocks(file, block, BLOCK, size - (off_t)within);
	if (got <= (ssize_t)within)
		return got < 0 ? (int)got : 0;
	return write_blocks(file, block, within, size - (off_t)within);
}

static int resize(const struct checked_file *file, off_t size)
{
	off_t sums = sums_off(size) + (size % (off_t)BLOCK ? sums_off((off_t)BLOCK) : 0);
	int error = cut_block(file, size);

	if (error)
		return error;
	if (ftruncate(file->data, size) != 0 || ftruncate(file->sums, sums) != 0)
		return -errno;
	return 0;
}

int checked_file_resize(struct checked_file *file, off_t size)
{
	int error;

	pthread_rwlock_wrlock(&file->lock);
	error = resize(file, size);
	pthread_rwlock_unlock(&file->lock);
	return error;
}

int checked_file_sync(struct checked_file *file)
{
	return fsync(file->data) != 0 || fsync(file->sums) != 0 ? -errno : 0;
}
