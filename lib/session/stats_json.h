/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FUSE_STATS_JSON_H
#define FUSE_STATS_JSON_H

/* Statistics in words: their names, for files and for programs that show them. */

#include <stdio.h>

#include "fuse_lowlevel.h"

/* A string of JSON, in its quotes. */
void fuse_stats_print_text(FILE *out, const char *text);

/* Members of a JSON object, each in a line that begins with `indent`. */

/* Which transport, and what it has; ends with a comma and a newline. */
void fuse_stats_print_kind(FILE *out, const char *indent,
			   const struct fuse_session_stats *stats);
/* All counters; ends behind the last one. */
void fuse_stats_print(FILE *out, const char *indent,
		      const struct fuse_transport_stats *stats);

#endif
