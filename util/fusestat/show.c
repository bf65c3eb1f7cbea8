// SPDX-License-Identifier: GPL-2.0-only
/*
 * What there is to be seen: a screen, a line, or JSON.
 */
#include "fusestat.h"

#include <inttypes.h>
#include <string.h>

#include "session/stats_json.h"

#define MEGA	1e6
#define GIGA_NS 1e9

static const uint64_t *counters(const struct sample *sample)
{
	return (const void *)&sample->stats.total;
}

static uint64_t growth(const struct sample *before, const struct sample *now,
		       size_t member)
{
	size_t index = member / sizeof(uint64_t);

	return counters(now)[index] - (before ? counters(before)[index] : 0);
}

#define GROWTH(before, now, member) \
	growth(before, now, offsetof(struct fuse_transport_stats, member))

static double seconds_between(const struct sample *before, const struct sample *now)
{
	return (double)(now->time_ns - before->time_ns) / GIGA_NS;
}

/* A part of all bytes, in a hundred; "-" if there are none. */
static const char *share(char to[16], const struct sample *before,
			 const struct sample *now, size_t member)
{
	uint64_t all =
		GROWTH(before, now, bytes_read) + GROWTH(before, now, bytes_written);

	if (all)
		snprintf(to, 16, "%.1f %%",
			 100.0 * (double)growth(before, now, member) / (double)all);
	else
		strcpy(to, "-");
	return to;
}

static void describe(char *to, size_t size, const struct fuse_session_stats *stats)
{
	if (strcmp(stats->transport, "io_uring") != 0) {
		snprintf(to, size, "/dev/fuse, without io_uring");
		return;
	}
	snprintf(to, size, "io_uring, %s, %s%s, %u %s%s", stats->dialect,
		 *stats->pool ? stats->pool : "no", " pool", stats->queues,
		 stats->queues == 1 ? "queue" : "queues",
		 stats->zero_copy ? ", zero-copy" : "");
}

/* ---- The screen ---- */

static void line_of_count(const char *name, const struct sample *before,
			  const struct sample *now, size_t member)
{
	char total[32], rate[32] = "-";

	if (before)
		snprintf(rate, sizeof(rate), "%.0f",
			 (double)growth(before, now, member) /
				 seconds_between(before, now));
	terminal_line("%-22s %14s %22s", name, rate,
		      text_number(total, growth(NULL, now, member)));
}

static void line_of_bytes(const char *name, const struct sample *before,
			  const struct sample *now, size_t member)
{
	char rate[32] = "-";

	if (before)
		snprintf(rate, sizeof(rate), "%.1f",
			 (double)growth(before, now, member) / MEGA /
				 seconds_between(before, now));
	terminal_line("%-22s %14s %22.1f", name, rate,
		      (double)growth(NULL, now, member) / MEGA);
}

static void line_of_share(const char *name, const struct sample *before,
			  const struct sample *now, size_t member)
{
	char recent[16] = "-", total[16];

	if (before)
		share(recent, before, now, member);
	terminal_line("%-22s %14s %22s", name, recent, share(total, NULL, now, member));
}

static size_t reason_member(unsigned reason)
{
	return offsetof(struct fuse_transport_stats, copy_reasons) +
	       reason * sizeof(uint64_t);
}

static void show_reasons(const struct sample *before, const struct sample *now)
{
	bool any = false;

	terminal_line("Reads and writes that were not zero-copied");
	for (unsigned i = 0; i < FUSE_COPY_REASONS; i++) {
		char name[64];

		if (!now->stats.total.copy_reasons[i])
			continue;
		any = true;
		snprintf(name, sizeof(name), "  %s", fuse_copy_reason_name(i));
		line_of_count(name, before, now, reason_member(i));
		terminal_line("      %s", fuse_copy_reason_text(i));
	}
	if (!any)
		terminal_line("  none");
}

void show_screen(const struct sample *before, const struct sample *now)
{
	char how[128];

	describe(how, sizeof(how), &now->stats);
	terminal_begin();
	terminal_line("%s", now->path);
	terminal_line("%s, server %" PRIu32, now->type, now->pid);
	terminal_line("%s", how);
	terminal_line("%s", "");
	terminal_line("%-22s %14s %22s", "", "a second", "since the start");
#define COUNT(text, member) \
	line_of_count(text, before, now, offsetof(struct fuse_transport_stats, member))
#define BYTES(text, member) \
	line_of_bytes(text, before, now, offsetof(struct fuse_transport_stats, member))
#define SHARE(text, member) \
	line_of_share(text, before, now, offsetof(struct fuse_transport_stats, member))
	COUNT("requests", requests);
	COUNT("errors", errors);
	BYTES("MB read", bytes_read);
	BYTES("MB written", bytes_written);
	SHARE("  zero-copied", zero_copied_bytes);
	SHARE("  in shared memory", shared_bytes);
	SHARE("  in a ring's memory", pool_bytes);
	SHARE("  copied", copied_bytes);
#undef COUNT
#undef BYTES
#undef SHARE
	terminal_line("%s", "");
	show_reasons(before, now);
	terminal_line("%s", "");
	terminal_line("q ends");
	terminal_end();
}

/* ---- Lines ---- */

void show_heading(const struct sample *now)
{
	char how[128];

	describe(how, sizeof(how), &now->stats);
	text_print(stdout, "%s: %s, %s", now->path, now->type, how);
	printf("\n"
	       "%10s %10s %10s %11s  %s\n",
	       "requests/s", "read MB/s", "write MB/s", "zero-copied", "copied for");
	fflush(stdout);
}

void show_line(const struct sample *before, const struct sample *now)
{
	double seconds = seconds_between(before, now);
	const char *between = "  ";
	char part[16];

	printf("%10.0f %10.1f %10.1f %11s",
	       (double)GROWTH(before, now, requests) / seconds,
	       (double)GROWTH(before, now, bytes_read) / MEGA / seconds,
	       (double)GROWTH(before, now, bytes_written) / MEGA / seconds,
	       share(part, before, now,
		     offsetof(struct fuse_transport_stats, zero_copied_bytes)));
	for (unsigned i = 0; i < FUSE_COPY_REASONS; i++) {
		uint64_t count = growth(before, now, reason_member(i));

		if (count)
			printf("%s%s %" PRIu64, between, fuse_copy_reason_name(i), count);
		if (count)
			between = ", ";
	}
	putchar('\n');
	fflush(stdout);
}

/* ---- JSON ---- */

void show_json(const struct sample *now)
{
	printf("{\n  \"mountpoint\": ");
	fuse_stats_print_text(stdout, now->path);
	printf(",\n  \"type\": ");
	fuse_stats_print_text(stdout, now->type);
	printf(",\n  \"pid\": %" PRIu32 ",\n", now->pid);
	fuse_stats_print_kind(stdout, "  ", &now->stats);
	fuse_stats_print(stdout, "  ", &now->stats.total);
	printf("\n}\n");
	fflush(stdout);
}
