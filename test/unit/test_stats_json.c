// SPDX-License-Identifier: GPL-2.0-only
/*
 * Statistics as JSON: that names, which fusestat has from the server of a mount, cannot add to it.
 */
#include "fuse_config.h"

#include "check.h"
#include "session/stats_json.h"

static char *printed;

static FILE *start(void)
{
	static size_t size;
	FILE *out;

	free(printed);
	out = open_memstream(&printed, &size);
	CHECK(out);
	return out;
}

static void test_text(void)
{
	FILE *out = start();

	CASE("a string is quoted, with what JSON and terminals obey escaped");
	fuse_stats_print_text(out, "a\"b\\c\n\033\177\303\274");
	fclose(out);
	CHECK_TEXT(printed, "\"a\\\"b\\\\c\\u000a\\u001b\\u007f\303\274\"");
}

static void test_kind(void)
{
	struct fuse_session_stats stats = {
		.transport = "x\", \"pid\": 1",
		.dialect = "\033[2J",
		.queues = 2,
	};
	FILE *out = start();

	CASE("so are the names of a transport, a dialect and a pool");
	fuse_stats_print_kind(out, "", &stats);
	fclose(out);
	CHECK_TEXT(printed, "\"transport\": \"x\\\", \\\"pid\\\": 1\",\n"
			    "\"dialect\": \"\\u001b[2J\",\n"
			    "\"pool\": null,\n"
			    "\"zero_copy\": false,\n"
			    "\"queues\": 2,\n");
}

int main(void)
{
	test_text();
	test_kind();
	free(printed);
	return 0;
}
