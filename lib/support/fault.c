// SPDX-License-Identifier: LGPL-2.1-or-later
#include "support/fault.h"

#ifdef FUSE_FAULT_INJECTION

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

int fuse_fault(const char *step)
{
	static _Atomic unsigned long passes;
	const char *wanted = getenv("FUSE_FAULT");
	size_t length = strlen(step);
	unsigned long nth = 0;
	int error = EIO;
	char *rest;

	if (!wanted || strncmp(wanted, step, length) != 0)
		return 0;
	rest = (char *)wanted + length;
	if (*rest == '@')
		nth = strtoul(rest + 1, &rest, 10);
	if (*rest == ':')
		error = (int)strtoul(rest + 1, &rest, 10);
	if (*rest != '\0')
		return 0;
	if (nth && atomic_fetch_add(&passes, 1) + 1 != nth)
		return 0;
	return -error;
}

#else

/* ISO C wants a declaration in every translation unit. */
extern int fuse_fault_is_compiled_out;

#endif
