/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fault injection, compiled in only with -Dfault-injection=true, which the test suite
 * uses. The environment variable FUSE_FAULT names the step that is to fail and,
 * after a colon, the errno (default EIO): FUSE_FAULT=ring-create:12. With "@N" behind
 * the step only its N-th pass, counted from 1, fails: FUSE_FAULT=ring-create@2.
 */
#ifndef FUSE_FAULT_H
#define FUSE_FAULT_H

#include "fuse_config.h"

#ifdef FUSE_FAULT_INJECTION
/* 0, or the negative errno with which this step has to fail. */
int fuse_fault(const char *step);
#else
static inline int fuse_fault(const char *step)
{
	(void)step;
	return 0;
}
#endif

#endif
