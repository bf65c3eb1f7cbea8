/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What ThreadSanitizer cannot see: an open that was answered by one thread comes before the
 * read that another thread receives, because the kernel saw to it. Between two system
 * calls on one descriptor the sanitizer knows that; between rings and between clones of the
 * device it does not, and takes a filesystem's file handle for a race.
 *
 * Compiled to nothing elsewhere: the kernel's own locks order the memory accesses.
 */
#ifndef FUSE_TSAN_H
#define FUSE_TSAN_H

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FUSE_TSAN
#endif
#elif defined(__SANITIZE_THREAD__)
#define FUSE_TSAN
#endif

#ifdef FUSE_TSAN
#include <sanitizer/tsan_interface.h>
#define FUSE_REPLY_LEAVES(connection)	 __tsan_release(connection)
#define FUSE_REQUEST_ARRIVES(connection) __tsan_acquire(connection)
#else
#define FUSE_REPLY_LEAVES(connection)	 ((void)(connection))
#define FUSE_REQUEST_ARRIVES(connection) ((void)(connection))
#endif

#endif
