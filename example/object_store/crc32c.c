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
