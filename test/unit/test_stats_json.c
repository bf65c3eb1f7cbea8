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

static void test_characters(void)
{
	static const struct {
		const char *text, *json;
	} cases[] = {
		{ "\302\200\302\233\302\237\302\240",
		  "\"\\u0080\\u009b\\u009f\302\240\"" },
		{ "\337\277\340\240\200\357\277\277",
		  "\"\337\277\340\240\200\357\277\277\"" },
		{ "\360\220\200\200\364\217\277\277",
		  "\"\360\220\200\200\364\217\277\277\"" },
		{ "\233A\377", "\"\\udc9bA\\udcff\"" },
		{ "\300\257", "\"\\udcc0\\udcaf\"" },
		{ "\340\237\277", "\"\\udce0\\udc9f\\udcbf\"" },
		{ "\355\240\200", "\"\\udced\\udca0\\udc80\"" },
		{ "\360\217\277\277", "\"\\udcf0\\udc8f\\udcbf\\udcbf\"" },
		{ "\364\220\200\200", "\"\\udcf4\\udc90\\udc80\\udc80\"" },
		{ "\365\200", "\"\\udcf5\\udc80\"" },
		{ "\342\202", "\"\\udce2\\udc82\"" },
		{ "\342\"", "\"\\udce2\\\"\"" },
	};

	CASE("what is UTF-8 is kept but for control characters, and what is not is still JSON");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		FILE *out = start();

		fuse_stats_print_text(out, cases[i].text);
		fclose(out);
		CHECK_TEXT(printed, cases[i].json);
	}
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
	test_characters();
	test_kind();
	free(printed);
	return 0;
}
