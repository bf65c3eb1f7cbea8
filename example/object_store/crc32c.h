/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef EXAMPLE_CRC32C_H
#define EXAMPLE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * CRC32C (Castagnoli) of what had `crc`, 0 at first, and these bytes behind it: crc32c(0, "123456789", 9)
 * is 0xe3069283.
 */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

#endif
