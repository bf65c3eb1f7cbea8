/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a unit test needs: CASE() prints a line for each case, CHECK() ends the program at
 * the first thing that is not as it should be.
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether a sanitizer watches: gcc says so in one way, clang in another. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define CASE(...)                    \
	do {                         \
		printf("case: ");    \
		printf(__VA_ARGS__); \
		putchar('\n');       \
		fflush(stdout);      \
	} while (0)

#define CHECK(condition)                                                           \
	do {                                                                       \
		if (!(condition)) {                                                \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, \
				#condition);                                       \
			exit(1);                                                   \
		}                                                                  \
	} while (0)

#define CHECK_INT(is, should)                                                      \
	do {                                                                       \
		long long is_ = (is), should_ = (should);                          \
		if (is_ != should_) {                                              \
			fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__, \
				__LINE__, #is, is_, should_);                      \
			exit(1);                                                   \
		}                                                                  \
	} while (0)

#define CHECK_TEXT(is, should)                                                         \
	do {                                                                           \
		const char *is_ = (is), *should_ = (should);                           \
		if (!is_ || strcmp(is_, should_) != 0) {                               \
			fprintf(stderr, "%s:%d: %s is \"%s\", not \"%s\"\n", __FILE__, \
				__LINE__, #is, is_ ? is_ : "(null)", should_);         \
			exit(1);                                                       \
		}                                                                      \
	} while (0)

#endif /* CHECK_H */
