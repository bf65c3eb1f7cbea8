// SPDX-License-Identifier: GPL-2.0-only
/*
 * Data of files.
 */
#include "memfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Larger ones would need more pointers to chunks than anybody has memory for. */
#define SIZE_LIMIT ((off_t)1 << 44)

static size_t chunk_of(off_t off)
{
	return (size_t)(off / (off_t)CHUNK);
}

static size_t within(off_t off)
{
	return (size_t)(off % (off_t)CHUNK);
}

static off_t start_of(size_t number)
{
	return (off_t)number * (off_t)CHUNK;
}

/* left: how many bytes there are, which can be more than a size_t holds. */
static size_t smaller(size_t size, off_t left)
{
	return left < (off_t)size ? (size_t)left : size;
}

int data_read(const struct inode *inode, char *buf, size_t size, off_t off)
{
	size_t done = 0;

	if (off >= inode->size)
		return 0;
	size = smaller(size, inode->size - off);
	while (done < size) {
		off_t at = off + (off_t)done;
		size_t step = smaller(CHUNK - within(at), (off_t)(size - done));
		const char *chunk = chunk_of(at) < inode->file.chunks
					    ? inode->file.chunk[chunk_of(at)]
					    : NULL;

		if (chunk)
			memcpy(buf + done, chunk + within(at), step);
		else
			memset(buf + done, 0, step);
		done += step;
	}
	return (int)size;
}

/* The chunk of an offset, made if need be. */
static char *get_chunk(struct inode *inode, off_t off)
{
	size_t number = chunk_of(off), count = inode->file.chunks;
	char **larger;

	if (number >= count) {
		count = number + 1 + number / 2;
		larger = realloc(inode->file.chunk, count * sizeof(*larger));
		if (!larger)
			return NULL;
		memset(larger + inode->file.chunks, 0,
		       (count - inode->file.chunks) * sizeof(*larger));
		inode->file.chunk = larger;
		inode->file.chunks = count;
	}
	if (!inode->file.chunk[number])
		inode->file.chunk[number] = calloc(1, CHUNK);
	return inode->file.chunk[number];
}

int data_write(struct inode *inode, const char *buf, size_t size, off_t off)
{
	size_t done = 0;

	if (off > SIZE_LIMIT - (off_t)size)
		return -EFBIG;
	while (done < size) {
		off_t at = off + (off_t)done;
		size_t step = smaller(CHUNK - within(at), (off_t)(size - done));
		char *chunk = get_chunk(inode, at);

		if (!chunk)
			break;
		memcpy(chunk + within(at), buf + done, step);
		done += step;
	}
	if (done == 0 && size > 0)
		return -ENOSPC;
	if (off + (off_t)done > inode->size)
		inode->size = off + (off_t)done;
	inode_written(inode);
	return (int)done;
}

void data_clear(struct inode *inode, off_t start, off_t end)
{
	off_t last = start_of(inode->file.chunks);

	if (end > last)
		end = last;
	while (start < end) {
		size_t step = smaller(CHUNK - within(start), end - start);
		char **chunk = &inode->file.chunk[chunk_of(start)];

		if (step == CHUNK) {
			free(*chunk);
			*chunk = NULL;
		} else if (*chunk) {
			memset(*chunk + within(start), 0, step);
		}
		start += (off_t)step;
	}
}

int data_truncate(struct inode *inode, off_t size)
{
	if (size > SIZE_LIMIT)
		return -EFBIG;
	if (size < inode->size)
		data_clear(inode, size, start_of(inode->file.chunks));
	inode->size = size;
	inode_written(inode);
	return 0;
}

off_t data_seek(const struct inode *inode, off_t off, int whence)
{
	size_t number = chunk_of(off);

	if (off < 0 || off >= inode->size)
		return -ENXIO;
	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return -EINVAL;
	for (;; number++) {
		bool data = number < inode->file.chunks && inode->file.chunk[number];
		off_t start = start_of(number);

		if (start >= inode->size)
			break;
		if (data == (whence == SEEK_DATA))
			return start > off ? start : off;
	}
	return whence == SEEK_HOLE ? inode->size : -ENXIO;
}

size_t data_chunks(const struct inode *inode)
{
	size_t count = 0;

	for (size_t i = 0; i < inode->file.chunks; i++)
		count += inode->file.chunk[i] != NULL;
	return count;
}

void data_free(struct inode *inode)
{
	data_clear(inode, 0, start_of(inode->file.chunks));
	free(inode->file.chunk);
}
