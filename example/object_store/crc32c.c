// SPDX-License-Identifier: GPL-2.0-only
/*
 * Eight bytes at a time, each with a table of its own: table[n] has what a byte comes to that
 * n more bytes follow. So the look-ups do not wait for each other, as those of one table do.
 */
#include "crc32c.h"

#include <endian.h>
#include <pthread.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* with the lowest bit first */

static uint32_t table[8][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill_tables(void)
{
	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t crc = byte;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
		table[0][byte] = crc;
	}
	for (int n = 1; n < 8; n++)
		for (int byte = 0; byte < 256; byte++) {
			uint32_t before = table[n - 1][byte];

			table[n][byte] = before >> 8 ^ table[0][before & 255];
		}
}

static uint32_t add_eight(uint32_t crc, const unsigned char *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	word = le64toh(word) ^ crc;
	crc = 0;
	for (int i = 0; i < 8; i++)
		crc ^= table[7 - i][word >> 8 * i & 255];
	return crc;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
	const unsigned char *bytes = data;

	pthread_once(&once, fill_tables);
	crc = ~crc;
	for (; size >= 8; size -= 8, bytes += 8)
		crc = add_eight(crc, bytes);
	for (; size; size--, bytes++)
		crc = crc >> 8 ^ table[0][(crc ^ *bytes) & 255];
	return ~crc;
}

static void one_by_one(uint32_t *sums, const unsigned char *data, size_t size,
		       size_t count)
{
	for (size_t i = 0; i < count; i++)
		sums[i] = crc32c(0, data + i * size, size);
}

#ifdef __x86_64__

static uint64_t word_at(const unsigned char *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

/* The instruction takes a word in each cycle, but three of them to have the result. */
__attribute__((target("sse4.2"))) static void four(uint32_t *sums,
						   const unsigned char *data, size_t size)
{
	uint64_t crc[4] = { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX };

	for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
		crc[0] = __builtin_ia32_crc32di(crc[0], word_at(data + at));
		crc[1] = __builtin_ia32_crc32di(crc[1], word_at(data + size + at));
		crc[2] = __builtin_ia32_crc32di(crc[2], word_at(data + 2 * size + at));
		crc[3] = __builtin_ia32_crc32di(crc[3], word_at(data + 3 * size + at));
	}
	for (int i = 0; i < 4; i++)
		sums[i] = ~(uint32_t)crc[i];
}

void crc32c_pieces(uint32_t *sums, const void *data, size_t size, size_t count)
{
	const unsigned char *bytes = data;

	if (__builtin_cpu_supports("sse4.2"))
		for (; count >= 4; count -= 4, sums += 4, bytes += 4 * size)
			four(sums, bytes, size);
	one_by_one(sums, bytes, size, count);
}

#else

void crc32c_pieces(uint32_t *sums, const void *data, size_t size, size_t count)
{
	one_by_one(sums, data, size, count);
}

#endif
