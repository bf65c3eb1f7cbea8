/* SPDX-License-Identifier: GPL-2.0-only */
/* CRC32C, as iSCSI, ext4 and others have it. Any thread may call. */
#ifndef EXAMPLE_OBJECT_STORE_CRC32C_H
#define EXAMPLE_OBJECT_STORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Goes on from the sum of what was before; 0 to begin with. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

/*
 * The sums of `count` pieces that lie one behind the other, each of `size` bytes, a multiple of 8. As
 * they do not depend on each other this is several times as fast as one after the other.
 */
void crc32c_pieces(uint32_t *sums, const void *data, size_t size, size_t count);

#endif
