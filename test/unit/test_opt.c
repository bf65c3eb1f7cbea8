// SPDX-License-Identifier: GPL-2.0-only
/*
 * The option parser: what matches, what is stored, what stays, what is refused.
 */
#include "fuse_log.h"
#include "fuse_opt.h"

#include "check.h"

#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MANY  32
#define END   ((char *)NULL)
#define AT(m) offsetof(struct values, m)

struct values {
	int flag;
	int other;
	int i;
	unsigned u;
	long l;
	unsigned long ul;
	short h;
	unsigned char hhu;
	long long ll;
	uint64_t ju;
	size_t zu;
	float f;
	double lf;
	long double Lf;
	char *s;
	char word[8];
	char seen[512]; /* what the callback saw: "key:arg;" each */
	int answer;	/* what it answers */
};

static char message[512];

static void remember(enum fuse_log_level level, const char *fmt, va_list ap)
{
	vsnprintf(message, sizeof(message), fmt, ap);
}

static int note(void *data, const char *arg, int key, struct fuse_args *outargs)
{
	struct values *v = data;
	size_t used = strlen(v->seen);

	snprintf(v->seen + used, sizeof(v->seen) - used, "%d:%s;", key, arg);
	return v->answer;
}

/* The list as one string, arguments between bars. */
static const char *show(const struct fuse_args *args)
{
	static char shown[1024];

	shown[0] = '\0';
	for (int i = 0; i < args->argc; i++) {
		strcat(shown, i ? "|" : "");
		strcat(shown, args->argv[i]);
	}
	CHECK(!args->argv || args->argv[args->argc] == NULL);
	return shown;
}

/* Parse "prog" and the arguments given; the result is left in *args. */
static int parse(struct fuse_args *args, struct values *v, const struct fuse_opt *table,
		 fuse_opt_proc_t proc, ...)
{
	static char *argv[MANY + 1];
	va_list ap;
	int argc = 1;

	argv[0] = (char *)"prog";
	va_start(ap, proc);
	while ((argv[argc] = va_arg(ap, char *)))
		argc++;
	va_end(ap);
	*args = (struct fuse_args)FUSE_ARGS_INIT(argc, argv);
	message[0] = '\0';
	return fuse_opt_parse(args, v, table, proc);
}

static void test_matching(void)
{
	const struct fuse_opt table[] = {
		FUSE_OPT_KEY("-x", 1),	      FUSE_OPT_KEY("--long", 1),
		FUSE_OPT_KEY("word", 1),      FUSE_OPT_KEY("name=", 1),
		FUSE_OPT_KEY("number=%u", 1), FUSE_OPT_KEY("-p ", 1),
		FUSE_OPT_KEY("-q %s", 1),     FUSE_OPT_KEY("fixed=value", 1),
		FUSE_OPT_KEY("--both=%s", 1), FUSE_OPT_END,
	};
	const struct {
		const char *opt;
		int matches;
	} cases[] = {
		{ "-x", 1 },	      { "-xy", 0 },
		{ "-", 0 },	      { "", 0 },
		{ "--long", 1 },      { "--lon", 0 },
		{ "--longer", 0 },    { "word", 1 },
		{ "word=1", 0 },      { "name", 0 },
		{ "name=", 1 },	      { "name=x", 1 },
		{ "names=x", 0 },     { "number=", 1 },
		{ "number=abc", 1 },  { "number", 0 },
		{ "-p", 1 },	      { "-pvalue", 1 },
		{ "-q", 1 },	      { "-qvalue", 1 },
		{ "fixed=value", 1 }, { "fixed=values", 0 },
		{ "fixed=", 0 },      { "--both=x", 1 },
		{ "--both", 0 },      { "name=%s", 1 },
		{ "number=%u", 1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CASE("match \"%s\": %d", cases[i].opt, cases[i].matches);
		CHECK_INT(fuse_opt_match(table, cases[i].opt), cases[i].matches);
	}
	CASE("nothing matches in no table");
	CHECK_INT(fuse_opt_match(NULL, "x"), 0);
}

static const struct fuse_opt numbers[] = {
	{ "d=%d", AT(i), 0 },
	{ "i=%i", AT(i), 0 },
	{ "u=%u", AT(u), 0 },
	{ "x=%x", AT(u), 0 },
	{ "o=%o", AT(u), 0 },
	{ "ld=%ld", AT(l), 0 },
	{ "lu=%lu", AT(ul), 0 },
	{ "hd=%hd", AT(h), 0 },
	{ "hhu=%hhu", AT(hhu), 0 },
	{ "lld=%lld", AT(ll), 0 },
	{ "ju=%ju", AT(ju), 0 },
	{ "zu=%zu", AT(zu), 0 },
	{ "f=%f", AT(f), 0 },
	{ "lf=%lf", AT(lf), 0 },
	{ "Lf=%Lf", AT(Lf), 0 },
	{ "w=%7[a-z]", AT(word), 0 },
	FUSE_OPT_END,
};

static void test_numbers(void)
{
	struct fuse_args args;
	struct values v = { 0 };

	CASE("every number is stored");
	CHECK_INT(parse(&args, &v, numbers, NULL, "-o",
			"i=-12,u=4000000000,ld=-5000000000,lu=18446744073709551615", "-o",
			"hd=-32768,hhu=255,lld=-9223372036854775808", "-o",
			"ju=0,zu=77,f=0.5,lf=-2.5e3,Lf=1e300,w=abc", END),
		  0);
	CHECK_TEXT(show(&args), "prog");
	CHECK_INT(v.i, -12);
	CHECK_INT(v.u, 4000000000U);
	CHECK_INT(v.l, -5000000000L);
	CHECK(v.ul == ULONG_MAX);
	CHECK_INT(v.h, SHRT_MIN);
	CHECK_INT(v.hhu, 255);
	CHECK(v.ll == LLONG_MIN);
	CHECK_INT(v.ju, 0);
	CHECK_INT(v.zu, 77);
	CHECK(v.f == 0.5F);
	CHECK(v.lf == -2500);
	CHECK(v.Lf == 1e300L);
	CHECK_TEXT(v.word, "abc");
	fuse_opt_free_args(&args);
}

static void test_number_edges(void)
{
	const struct {
		const char *option;
		const char *why; /* in the message; NULL if it is right */
		long long i;
		unsigned u;
	} cases[] = {
		{ "d=2147483647", NULL, INT_MAX, 0 },
		{ "d=-2147483648", NULL, INT_MIN, 0 },
		{ "d=2147483648", "out of range", 0, 0 },
		{ "d=-2147483649", "out of range", 0, 0 },
		{ "d=010", NULL, 10, 0 },
		{ "d=0x10", "not a number", 0, 0 },
		{ "d=+5", NULL, 5, 0 },
		{ "d= 5", NULL, 5, 0 },
		{ "d=5 ", "not a number", 0, 0 },
		{ "d=", "not a number", 0, 0 },
		{ "d=-", "not a number", 0, 0 },
		{ "d=x", "not a number", 0, 0 },
		{ "d=5x", "not a number", 0, 0 },
		{ "d=99999999999999999999", "out of range", 0, 0 },
		{ "i=010", NULL, 8, 0 },
		{ "i=0x10", NULL, 16, 0 },
		{ "i=-0x10", NULL, -16, 0 },
		{ "u=4294967295", NULL, 0, UINT_MAX },
		{ "u=4294967296", "out of range", 0, 0 },
		{ "u=-1", NULL, 0, UINT_MAX },
		{ "u=-2147483649", "out of range", 0, 0 },
		{ "u=18446744073709551616", "out of range", 0, 0 },
		{ "u=1.5", "not a number", 0, 0 },
		{ "x=ff", NULL, 0, 255 },
		{ "x=0xff", NULL, 0, 255 },
		{ "x=fg", "not a number", 0, 0 },
		{ "o=022", NULL, 0, 18 },
		{ "o=8", "not a number", 0, 0 },
		{ "hhu=256", "out of range", 0, 0 },
		{ "hd=32768", "out of range", 0, 0 },
		{ "lld=9223372036854775808", "out of range", 0, 0 },
		{ "lu=18446744073709551616", "out of range", 0, 0 },
		{ "f=1e39", "out of range", 0, 0 },
		{ "lf=1e400", "out of range", 0, 0 },
		{ "lf=1e-400", NULL, 0, 0 },
		{ "lf=", "not a number", 0, 0 },
		{ "lf=1.5s", "not a number", 0, 0 },
		{ "w=ABC", "not valid", 0, 0 },
	};

	for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
		struct fuse_args args;
		struct values v = { 0 };
		const char *why = cases[n].why;
		int result;

		CASE("number \"%s\": %s", cases[n].option, why ? why : "right");
		result = parse(&args, &v, numbers, NULL, "-o", cases[n].option, END);
		CHECK_INT(result, why ? -1 : 0);
		CHECK_INT(v.i, cases[n].i);
		CHECK_INT(v.u, cases[n].u);
		if (why) {
			CHECK(strstr(message, why));
			CHECK(strstr(message, cases[n].option));
			CHECK(!args.allocated);
		} else {
			CHECK_TEXT(message, "");
		}
		fuse_opt_free_args(&args);
	}
}

static void test_storing(void)
{
	const struct fuse_opt table[] = {
		{ "on", AT(flag), 1 }, { "off", AT(flag), 0 }, { "level", AT(other), -7 },
		{ "s=%s", AT(s), 0 },  { "-n %d", AT(i), 0 },  { "--text=%s", AT(s), 0 },
		FUSE_OPT_END,
	};
	struct fuse_args args;
	struct values v = { .flag = 5 };

	CASE("a plain row stores its value, the last one wins");
	CHECK_INT(parse(&args, &v, table, NULL, "-o", "off,level,on", END), 0);
	CHECK_INT(v.flag, 1);
	CHECK_INT(v.other, -7);
	fuse_opt_free_args(&args);

	CASE("a text is copied, and the one before it freed");
	CHECK_INT(parse(&args, &v, table, NULL, "-os=one", "-o", "s=", "--text=a=b", END),
		  0);
	CHECK_TEXT(v.s, "a=b");
	fuse_opt_free_args(&args);

	CASE("an escaped comma is part of a text");
	CHECK_INT(parse(&args, &v, table, NULL, "-os=a\\,b\\\\c,on", END), 0);
	CHECK_TEXT(v.s, "a,b\\c");
	fuse_opt_free_args(&args);
	free(v.s);

	CASE("a parameter behind the option or as the next argument");
	CHECK_INT(parse(&args, &v, table, NULL, "-n12", END), 0);
	CHECK_INT(v.i, 12);
	fuse_opt_free_args(&args);
	CHECK_INT(parse(&args, &v, table, NULL, "-n", "-13", "file", END), 0);
	CHECK_INT(v.i, -13);
	CHECK_TEXT(show(&args), "prog|file");
	fuse_opt_free_args(&args);

	CASE("a parameter that is missing");
	CHECK_INT(parse(&args, &v, table, NULL, "file", "-n", END), -1);
	CHECK(strstr(message, "-n") && strstr(message, "needs a parameter"));
	CHECK_TEXT(show(&args), "prog|file|-n");
	CHECK_INT(parse(&args, &v, table, NULL, "-o", END), -1);
	CHECK(strstr(message, "-o") && strstr(message, "needs a parameter"));
}

static void test_callback(void)
{
	const struct fuse_opt table[] = {
		FUSE_OPT_KEY("-a", 11),
		FUSE_OPT_KEY("name=", 12),
		FUSE_OPT_KEY("number=%u", 13),
		FUSE_OPT_KEY("-p ", 14),
		FUSE_OPT_KEY("stay", FUSE_OPT_KEY_KEEP),
		FUSE_OPT_KEY("go", FUSE_OPT_KEY_DISCARD),
		FUSE_OPT_END,
	};
	struct fuse_args args;
	struct values v = { .answer = 1 };

	CASE("the callback is asked, and what it keeps stays");
	CHECK_INT(parse(&args, &v, table, note, "-a", "-o", "name=x,number=y,stay,go,new",
			"-p", "q", "-pr", "file", "-z", END),
		  0);
	CHECK_TEXT(v.seen,
		   "11:-a;12:name=x;13:number=y;-1:new;14:-pq;14:-pr;-2:file;-1:-z;");
	CHECK_TEXT(show(&args), "prog|-o|name=x,number=y,stay,new|-a|-pq|-pr|file|-z");
	fuse_opt_free_args(&args);

	CASE("what it does not keep goes");
	v = (struct values){ .answer = 0 };
	CHECK_INT(parse(&args, &v, table, note, "-a", "-o", "name=x,stay,go", "file",
			END),
		  0);
	CHECK_TEXT(v.seen, "11:-a;12:name=x;-2:file;");
	CHECK_TEXT(show(&args), "prog|-o|stay");
	fuse_opt_free_args(&args);

	CASE("when it fails, nothing changes");
	v = (struct values){ .answer = -1 };
	CHECK_INT(parse(&args, &v, table, note, "-o", "stay", "file", END), -1);
	CHECK_TEXT(v.seen, "-2:file;");
	CHECK_TEXT(message, "");
	CHECK_TEXT(show(&args), "prog|-o|stay|file");
	CHECK_INT(parse(&args, &v, table, note, "-o", "name=x", END), -1);
	CHECK_INT(parse(&args, &v, table, note, "-y", END), -1);

	CASE("without a callback what no row consumes stays");
	CHECK_INT(parse(&args, &v, table, NULL, "-a", "-o", "go,what", "file", END), 0);
	CHECK_TEXT(show(&args), "prog|-o|what|-a|file");
	fuse_opt_free_args(&args);

	CASE("without a table everything is unknown");
	v = (struct values){ .answer = 1 };
	CHECK_INT(parse(&args, &v, NULL, note, "-a", "-o", "x", "--", "-b", END), 0);
	CHECK_TEXT(v.seen, "-1:-a;-1:x;-2:-b;");
	CHECK_TEXT(show(&args), "prog|-o|x|-a|--|-b");
	fuse_opt_free_args(&args);
}

static int add_more(void *data, const char *arg, int key, struct fuse_args *outargs)
{
	CHECK_INT(fuse_opt_add_arg(outargs, "added"), 0);
	CHECK_INT(fuse_opt_insert_arg(outargs, 1, "first"), 0);
	return 0;
}

static int add_dashes(void *data, const char *arg, int key, struct fuse_args *outargs)
{
	CHECK_INT(fuse_opt_add_arg(outargs, "--"), 0);
	return 0;
}

static void test_several_rows(void)
{
	const struct fuse_opt table[] = {
		{ "x", AT(flag), 1 },
		FUSE_OPT_KEY("x", FUSE_OPT_KEY_KEEP),
		FUSE_OPT_KEY("x", FUSE_OPT_KEY_KEEP),
		{ "x", AT(other), 2 },
		FUSE_OPT_KEY("-p ", 1),
		{ "-p %s", AT(s), 0 },
		FUSE_OPT_KEY("-p", 2),
		FUSE_OPT_END,
	};
	struct fuse_args args;
	struct values v = { 0 };

	CASE("every row that matches acts, and the option stays once");
	CHECK_INT(parse(&args, &v, table, note, "-ox", END), 0);
	CHECK_INT(v.flag, 1);
	CHECK_INT(v.other, 2);
	CHECK_TEXT(show(&args), "prog|-o|x");
	fuse_opt_free_args(&args);

	CASE("rows share the following argument");
	CHECK_INT(parse(&args, &v, table, note, "-p", "one", "-y", END), 0);
	CHECK_TEXT(v.s, "one");
	CHECK_TEXT(v.seen, "1:-pone;2:-p;-1:-y;");
	free(v.s);
	fuse_opt_free_args(&args);

	CASE("the callback may add arguments");
	CHECK_INT(parse(&args, &v, NULL, add_more, "file", "-o", "a", END), 0);
	CHECK_TEXT(show(&args), "prog|first|first|added|added");
	fuse_opt_free_args(&args);
	CHECK_INT(parse(&args, &v, NULL, add_dashes, "file", END), 0);
	CHECK_TEXT(show(&args), "prog|--");
	fuse_opt_free_args(&args);
}

static void test_lists(void)
{
	const struct {
		const char *list;
		const char *seen;
		const char *stays;
	} cases[] = {
		{ "a", "-1:a;", "prog|-o|a" },
		{ "a,b", "-1:a;-1:b;", "prog|-o|a,b" },
		{ ",a,,b,", "-1:a;-1:b;", "prog|-o|a,b" },
		{ "", "", "prog" },
		{ ",", "", "prog" },
		{ "a\\,b", "-1:a,b;", "prog|-o|a\\,b" },
		{ "a\\\\,b", "-1:a\\;-1:b;", "prog|-o|a\\\\,b" },
		{ "a\\\\\\,b", "-1:a\\,b;", "prog|-o|a\\\\\\,b" },
		{ "a\\", "-1:a\\;", "prog|-o|a\\\\" },
		{ "\\a\\b", "-1:ab;", "prog|-o|ab" },
		{ "a\\054b", "-1:a,b;", "prog|-o|a\\,b" },
		{ "\\0411", "-1:!1;", "prog|-o|!1" },
		{ "\\377", "-1:\377;", "prog|-o|\377" },
		{ "\\400", "-1:400;", "prog|-o|400" },
		{ "\\500", "-1:500;", "prog|-o|500" },
		{ "\\000", "-1:000;", "prog|-o|000" },
		{ "\\04", "-1:04;", "prog|-o|04" },
		{ "\\048", "-1:048;", "prog|-o|048" },
		{ "\\", "-1:\\;", "prog|-o|\\\\" },
		{ "-x,--y", "-1:-x;-1:--y;", "prog|-o|-x,--y" },
		{ "a=b=c,d e", "-1:a=b=c;-1:d e;", "prog|-o|a=b=c,d e" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fuse_args args;
		struct values v = { .answer = 1 };

		CASE("list \"%s\"", cases[i].list);
		CHECK_INT(parse(&args, &v, NULL, note, "-o", cases[i].list, END), 0);
		CHECK_TEXT(v.seen, cases[i].seen);
		CHECK_TEXT(show(&args), cases[i].stays);
		fuse_opt_free_args(&args);
	}
}

static void test_order(void)
{
	const struct {
		const char *argv[8];
		const char *stays;
	} cases[] = {
		{ { "file", "-oa", "-x", "-o", "b,c" }, "prog|-o|a,b,c|file|-x" },
		{ { "--", "-oa", "-x" }, "prog|--|-oa|-x" },
		{ { "-oa", "--", "file" }, "prog|-o|a|--|file" },
		{ { "-oa", "--" }, "prog|-o|a" },
		{ { "--" }, "prog" },
		{ { "--", "--" }, "prog|--|--" },
		{ { "x", "--" }, "prog|x" },
		{ { "-", "--", "-" }, "prog|-|--|-" },
		{ { "" }, "prog|" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *const *a = cases[i].argv;
		struct fuse_args args;

		CASE("what stays: %s", cases[i].stays);
		CHECK_INT(parse(&args, NULL, NULL, NULL, a[0], a[1], a[2], a[3], a[4],
				a[5], END),
			  0);
		CHECK_TEXT(show(&args), cases[i].stays);
		fuse_opt_free_args(&args);
	}

	CASE("\"--\" goes with what was behind it");
	{
		struct values v = { .answer = 0 };
		struct fuse_args args;

		CHECK_INT(parse(&args, &v, NULL, note, "--", "-a", "b", END), 0);
		CHECK_TEXT(v.seen, "-2:-a;-2:b;");
		CHECK_TEXT(show(&args), "prog");
		fuse_opt_free_args(&args);
	}
}

static void test_empty(void)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);

	CASE("nothing to parse");
	CHECK_INT(fuse_opt_parse(NULL, NULL, NULL, NULL), 0);
	CHECK_INT(fuse_opt_parse(&args, NULL, NULL, NULL), 0);
	fuse_opt_free_args(&args);
	fuse_opt_free_args(NULL);
}

static void test_arguments(void)
{
	char *borrowed[] = { (char *)"a", (char *)"b", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);

	CASE("adding to an empty list");
	CHECK_INT(fuse_opt_add_arg(&args, "one"), 0);
	CHECK_INT(fuse_opt_add_arg(&args, "three"), 0);
	CHECK_TEXT(show(&args), "one|three");
	CHECK(args.allocated);

	CASE("inserting");
	CHECK_INT(fuse_opt_insert_arg(&args, 1, "two"), 0);
	CHECK_INT(fuse_opt_insert_arg(&args, 0, "zero"), 0);
	CHECK_INT(fuse_opt_insert_arg(&args, 4, "four"), 0);
	CHECK_TEXT(show(&args), "zero|one|two|three|four");

	CASE("inserting where there is no place");
	message[0] = '\0';
	CHECK_INT(fuse_opt_insert_arg(&args, 6, "x"), -1);
	CHECK(message[0]);
	CHECK_INT(fuse_opt_insert_arg(&args, -1, "x"), -1);
	CHECK_TEXT(show(&args), "zero|one|two|three|four");

	CASE("inserting a copy of a member");
	CHECK_INT(fuse_opt_insert_arg(&args, 0, args.argv[2]), 0);
	CHECK_TEXT(show(&args), "two|zero|one|two|three|four");
	fuse_opt_free_args(&args);
	CHECK(args.argc == 0 && !args.argv && !args.allocated);

	CASE("a borrowed list is copied first");
	args = (struct fuse_args)FUSE_ARGS_INIT(2, borrowed);
	CHECK_INT(fuse_opt_insert_arg(&args, 1, args.argv[1]), 0);
	CHECK_TEXT(show(&args), "a|b|b");
	CHECK(args.argv != borrowed && args.allocated && borrowed[2] == NULL);
	fuse_opt_free_args(&args);

	CASE("freeing a borrowed list leaves it to its owner");
	args = (struct fuse_args)FUSE_ARGS_INIT(2, borrowed);
	fuse_opt_free_args(&args);
	CHECK(args.argc == 0 && !args.argv);
	CHECK_TEXT(borrowed[0], "a");
}

static void test_joining(void)
{
	char *list = NULL;

	CASE("adding to a list of options");
	CHECK_INT(fuse_opt_add_opt(&list, "a"), 0);
	CHECK_TEXT(list, "a");
	CHECK_INT(fuse_opt_add_opt(&list, "b,c\\"), 0);
	CHECK_TEXT(list, "a,b,c\\");
	CHECK_INT(fuse_opt_add_opt_escaped(&list, "d,e\\f"), 0);
	CHECK_TEXT(list, "a,b,c\\,d\\,e\\\\f");
	free(list);
}

/* Whatever an option is made of, escaping it and parsing the list gives it back. */
static void test_round_trip(void)
{
	static const char alphabet[] = "a,\\=0 7-";
	unsigned seed = 1;

	CASE("5000 random options survive escaping and parsing");
	for (int round = 0; round < 5000; round++) {
		struct fuse_args args;
		struct values v = { .answer = 1 };
		char option[3][10], should[64] = "";
		char *list = NULL;

		for (int n = 0; n < 3; n++) {
			int length = 1 + rand_r(&seed) % 8;

			for (int i = 0; i < length; i++)
				option[n][i] = alphabet[rand_r(&seed) % 8];
			option[n][length] = '\0';
			strcat(strcat(strcat(should, "-1:"), option[n]), ";");
			CHECK_INT(fuse_opt_add_opt_escaped(&list, option[n]), 0);
		}
		CHECK_INT(parse(&args, &v, NULL, note, "-o", list, END), 0);
		CHECK_TEXT(v.seen, should);
		CHECK_INT(args.argc, 3);
		CHECK_TEXT(args.argv[2], list);
		fuse_opt_free_args(&args);
		free(list);
	}
}

int main(void)
{
	fuse_set_log_func(remember);
	test_matching();
	test_numbers();
	test_number_edges();
	test_storing();
	test_callback();
	test_several_rows();
	test_lists();
	test_order();
	test_empty();
	test_arguments();
	test_joining();
	test_round_trip();
	return 0;
}
