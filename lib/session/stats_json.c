// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Names of counters and of reasons, and statistics as JSON. Needs nothing else of the library:
 * fusestat is built with this file, too.
 */
#include <string.h>

#include "session/stats_json.h"

/* clang-format off */
#define COUNTER(member) { #member, offsetof(struct fuse_transport_stats, member) }
/* clang-format on */

static const struct {
	const char *name;
	size_t offset;
} counters[] = {
	COUNTER(requests),
	COUNTER(replies),
	COUNTER(errors),
	COUNTER(bytes_read),
	COUNTER(bytes_written),
	COUNTER(zero_copied_requests),
	COUNTER(zero_copied_bytes),
	COUNTER(enters),
	COUNTER(commits),
	COUNTER(polls_hit),
	COUNTER(polls_missed),
	COUNTER(handed_over),
	COUNTER(linked),
	COUNTER(broken),
	COUNTER(unlinked),
	COUNTER(copied),
	COUNTER(paged),
	COUNTER(pool_bytes),
	COUNTER(copied_bytes),
	COUNTER(shared_requests),
	COUNTER(shared_bytes),
};

#define COUNTERS (sizeof(counters) / sizeof(counters[0]))

_Static_assert(sizeof(struct fuse_transport_stats) ==
		       (COUNTERS + FUSE_COPY_REASONS_ROOM) * sizeof(uint64_t),
	       "every counter has a name");

static const struct {
	const char *name, *text;
} reasons[] = {
	[FUSE_COPIED_OVER_DEVICE] = { "device", "came over /dev/fuse" },
	[FUSE_COPIED_BY_QUEUE] = { "queue", "the queue has no zero-copy" },
	[FUSE_COPIED_DECLINED] = { "declined", "the file was opened without zero-copy" },
	[FUSE_COPIED_FROM_MEMORY] = { "memory", "the reply was in memory" },
	[FUSE_COPIED_SEVERAL_BUFFERS] = { "several_buffers",
					  "the reply was in several buffers" },
	[FUSE_COPIED_TO_RETRY] = { "retry", "short reads were to be retried" },
	[FUSE_COPIED_NO_DESCRIPTOR] = { "no_descriptor", "out of file descriptors" },
	[FUSE_COPIED_FOR_HANDLER] = { "handler", "the write handler wants memory" },
	[FUSE_COPIED_LOOKED_AT] = { "looked_at", "the data of a write were looked at" },
	[FUSE_COPIED_FOR_FILE] = { "file", "the backing file cannot do without memory" },
};

_Static_assert(sizeof(reasons) / sizeof(reasons[0]) == FUSE_COPY_REASONS &&
		       FUSE_COPY_REASONS <= FUSE_COPY_REASONS_ROOM,
	       "every reason has a name and a counter");

const char *fuse_copy_reason_name(unsigned reason)
{
	return reason < FUSE_COPY_REASONS ? reasons[reason].name : NULL;
}

const char *fuse_copy_reason_text(unsigned reason)
{
	return reason < FUSE_COPY_REASONS ? reasons[reason].text : NULL;
}

/* Bytes of the UTF-8 character that the text begins with, 0 if it begins with none. */
static size_t character_size(const unsigned char *text)
{
	size_t size = text[0] < 0x80   ? 1
		      : text[0] < 0xc2 ? 0
		      : text[0] < 0xe0 ? 2
		      : text[0] < 0xf0 ? 3
		      : text[0] < 0xf5 ? 4
				       : 0;

	for (size_t i = 1; i < size; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	}
	/* Longer forms of smaller numbers, surrogates, and what is above the last character. */
	if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
	    (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
		return 0;
	return size;
}

/*
 * Paths are bytes, and JSON has none: those that are not UTF-8 become the halves of surrogates from
 * which Python's os.fsencode() has them back.
 */
void fuse_stats_print_text(FILE *out, const char *text)
{
	const unsigned char *next = (const unsigned char *)text;
	size_t size;

	fputc('"', out);
	for (; *next; next += size ? size : 1) {
		size = character_size(next);
		if (size == 0)
			fprintf(out, "\\udc%02x", *next);
		else if (*next == '"' || *next == '\\')
			fprintf(out, "\\%c", *next);
		else if (*next < 0x20 || *next == 0x7f)
			fprintf(out, "\\u%04x", *next);
		else if (next[0] == 0xc2 && next[1] < 0xa0) /* control characters, too */
			fprintf(out, "\\u%04x", next[1]);
		else
			fwrite(next, size, 1, out);
	}
	fputc('"', out);
}

/* The library's own are harmless, but fusestat has them from whoever answers it. */
static void print_name(FILE *out, const char *indent, const char *key, const char *name)
{
	fprintf(out, "%s\"%s\": ", indent, key);
	if (*name)
		fuse_stats_print_text(out, name);
	else
		fputs("null", out);
	fputs(",\n", out);
}

void fuse_stats_print_kind(FILE *out, const char *indent,
			   const struct fuse_session_stats *stats)
{
	print_name(out, indent, "transport", stats->transport);
	print_name(out, indent, "dialect", stats->dialect);
	print_name(out, indent, "pool", stats->pool);
	fprintf(out, "%s\"zero_copy\": %s,\n", indent,
		stats->zero_copy ? "true" : "false");
	fprintf(out, "%s\"queues\": %u,\n", indent, stats->queues);
}

void fuse_stats_print(FILE *out, const char *indent,
		      const struct fuse_transport_stats *stats)
{
	for (size_t i = 0; i < COUNTERS; i++) {
		const char *counter = (const char *)stats + counters[i].offset;

		fprintf(out, "%s\"%s\": %llu,\n", indent, counters[i].name,
			(unsigned long long)*(const uint64_t *)counter);
	}
	fprintf(out, "%s\"copy_reasons\": {", indent);
	for (unsigned i = 0; i < FUSE_COPY_REASONS; i++)
		fprintf(out, "%s\n%s  \"%s\": %llu", i ? "," : "", indent,
			reasons[i].name, (unsigned long long)stats->copy_reasons[i]);
	fprintf(out, "\n%s}", indent);
}
