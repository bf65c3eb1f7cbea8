/* SPDX-License-Identifier: GPL-2.0-only */
/* XXH3_64bits(), with the widest instructions of the processor that runs this. */
#ifndef EXAMPLE_OBJECT_STORE_XXH3_H
#define EXAMPLE_OBJECT_STORE_XXH3_H

#include <xxhash.h>
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#endif

#endif
