/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Several versions of one symbol.
 *
 * An entry point is a function with a name of its own, say fuse_parse_cmdline_312. By
 * FUSE_CURRENT it also becomes what programs link to as fuse_parse_cmdline, by
 * FUSE_FORMER what programs found that were linked when an earlier one was current.
 *
 * Where there are no versions (a static library, or some C libraries), the plain name is the
 * current function, and former ones are only there by their own names.
 */
#ifndef FUSE_SYMVER_H
#define FUSE_SYMVER_H

#include "fuse_config.h"

#if defined(HAVE_SYMVER) && !defined(FUSE_STATIC)
#define FUSE_HAS_VERSIONS

#define FUSE_FORMER(name, function, version)  FUSE_SYMVER_(name, function, "@" version)
#define FUSE_CURRENT(name, function, version) FUSE_SYMVER_(name, function, "@@" version)

/*
 * The attribute goes through link-time optimisation, where an assembler statement may end
 * up in another object than its function; not every compiler has it.
 */
#if __has_attribute(symver)
#define FUSE_SYMVER_(name, function, at) \
	extern __typeof__(function) function __attribute__((symver(#name at)));
#else
#define FUSE_SYMVER_(name, function, at) __asm__(".symver " #function "," #name at);
#endif

#else

#define FUSE_FORMER(name, function, version)
#define FUSE_CURRENT(name, function, version) \
	extern __typeof__(function) name __attribute__((alias(#function)));

#endif

#endif
