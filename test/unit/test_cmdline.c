// SPDX-License-Identifier: GPL-2.0-only
/*
 * Command lines: what is taken, what stays, and what is said about mistakes.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

#include "check.h"
#include "fuse_lowlevel.h"
#include "session/session.h"

#define MOST_ARGUMENTS 16

int fuse_parse_cmdline_30(struct fuse_args *args, struct fuse_cmdline_opts *opts);

static char log_text[4096];

static void keep_log(enum fuse_log_level level, const char *fmt, va_list ap)
{
	size_t used = strlen(log_text);

	(void)level;
	vsnprintf(log_text + used, sizeof(log_text) - used, fmt, ap);
}

/* An argument list out of words that are separated by blanks. */
static struct fuse_args make_args(const char *words)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	char copy[512];
	char *rest = copy;
	char *word;

	snprintf(copy, sizeof(copy), "%s", words);
	while ((word = strsep(&rest, " ")) != NULL)
		CHECK_INT(fuse_opt_add_arg(&args, word), 0);
	log_text[0] = '\0';
	return args;
}

static const char *join_args(const struct fuse_args *args)
{
	static char text[512];

	text[0] = '\0';
	for (int i = 0; i < args->argc; i++) {
		strcat(text, i ? " " : "");
		strcat(text, args->argv[i]);
	}
	return text;
}

static unsigned lines(const char *text)
{
	unsigned count = 0;

	for (; *text; text++)
		count += *text == '\n';
	return count;
}

/* ---- fuse_parse_cmdline ---- */

static void test_parse(void)
{
	static const struct {
		const char *words;
		const char *left;
		struct fuse_cmdline_opts opts;
	} cases[] = {
		{ "prog", "prog -o subtype=prog", { 0 } },
		{ "/usr/bin/prog /",
		  "/usr/bin/prog -o subtype=prog",
		  { .mountpoint = (char *)"/" } },
		{ "prog /usr/../tmp/.",
		  "prog -o subtype=prog",
		  { .mountpoint = (char *)"/tmp" } },
		{ "prog -f -s",
		  "prog -o subtype=prog",
		  { .foreground = 1, .singlethread = 1 } },
		{ "prog -d", "prog -o subtype=prog -d", { .debug = 1, .foreground = 1 } },
		{ "prog -h", "prog -o subtype=prog", { .show_help = 1 } },
		{ "prog --help", "prog -o subtype=prog", { .show_help = 1 } },
		{ "prog -V", "prog -o subtype=prog", { .show_version = 1 } },
		{ "prog --version", "prog -o subtype=prog", { .show_version = 1 } },
		{ "prog -o fsname=x", "prog -o fsname=x", { .nodefault_subtype = 1 } },
		{ "prog -osubtype=x", "prog -o subtype=x", { .nodefault_subtype = 1 } },
		{ "prog -o clone_fd,ro",
		  "prog -o subtype=prog -o ro",
		  { .clone_fd = 1 } },
		{ "prog --own -o mine", "prog -o subtype=prog -o mine --own", { 0 } },
		{ "a,b", "a,b -o subtype=a\\,b", { 0 } },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fuse_args args = make_args(cases[i].words);
		const struct fuse_cmdline_opts *should = &cases[i].opts;
		struct fuse_cmdline_opts opts;

		CASE("%s", cases[i].words);
		CHECK_INT(fuse_parse_cmdline(&args, &opts), 0);
		CHECK_TEXT(join_args(&args), cases[i].left);
		CHECK_INT(opts.singlethread, should->singlethread);
		CHECK_INT(opts.foreground, should->foreground);
		CHECK_INT(opts.debug, should->debug);
		CHECK_INT(opts.nodefault_subtype, should->nodefault_subtype);
		CHECK_INT(opts.show_version, should->show_version);
		CHECK_INT(opts.show_help, should->show_help);
		CHECK_INT(opts.clone_fd, should->clone_fd);
		CHECK_INT(opts.max_threads, 10);
		CHECK_INT(opts.max_idle_threads, UINT_MAX);
		CHECK_INT(opts.mountpoint != NULL, should->mountpoint != NULL);
		if (should->mountpoint)
			CHECK_TEXT(opts.mountpoint, should->mountpoint);
		CHECK_TEXT(log_text, "");
		free(opts.mountpoint);
		fuse_opt_free_args(&args);
	}
}

static void test_parse_numbers(void)
{
	struct fuse_args args = make_args("prog -o max_threads=3,max_idle_threads=-1");
	struct fuse_cmdline_opts opts;

	CASE("numbers of threads");
	CHECK_INT(fuse_parse_cmdline(&args, &opts), 0);
	CHECK_INT(opts.max_threads, 3);
	CHECK_INT(opts.max_idle_threads, UINT_MAX);
	fuse_opt_free_args(&args);

	args = make_args("prog -o max_idle_threads=0");
	CHECK_INT(fuse_parse_cmdline(&args, &opts), 0);
	CHECK_INT(opts.max_idle_threads, 0);
	fuse_opt_free_args(&args);
}

static void test_parse_mistakes(void)
{
	static const struct {
		const char *words;
		const char *message;
	} cases[] = {
		{ "prog /there/is/no/such", "'/there/is/no/such'" },
		{ "prog / /tmp", "'/tmp'" },
		{ "prog -o max_threads=0", "max_threads: '0'" },
		{ "prog -o max_threads=x", "max_threads: 'x'" },
		{ "prog -o max_threads=", "max_threads: ''" },
		{ "prog / -o max_idle_threads=-2", "max_idle_threads: '-2'" },
		{ "prog -o max_threads=99999999999999999999", "max_threads: '9999" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fuse_args args = make_args(cases[i].words);
		struct fuse_cmdline_opts opts;

		CASE("%s", cases[i].words);
		CHECK_INT(fuse_parse_cmdline(&args, &opts), -1);
		CHECK(opts.mountpoint == NULL);
		CHECK_INT(lines(log_text), 1);
		CHECK(strstr(log_text, cases[i].message) != NULL);
		fuse_opt_free_args(&args);
	}
}

static void test_descriptor_mountpoint(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct fuse_cmdline_opts opts;
	struct fuse_args args;
	char words[64], path[32];

	CASE("/dev/fd/N stays as it is");
	CHECK(fd >= 0);
	snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	snprintf(words, sizeof(words), "prog %s", path);
	args = make_args(words);
	CHECK_INT(fuse_parse_cmdline(&args, &opts), 0);
	CHECK_TEXT(opts.mountpoint, path);
	free(opts.mountpoint);
	fuse_opt_free_args(&args);

	CASE("/dev/fd/N that is not open");
	close(fd);
	args = make_args(words);
	CHECK_INT(fuse_parse_cmdline(&args, &opts), -1);
	CHECK_INT(lines(log_text), 1);
	fuse_opt_free_args(&args);
}

static void test_former_structure(void)
{
	union {
		struct fuse_cmdline_opts opts;
		unsigned char bytes[sizeof(struct fuse_cmdline_opts)];
	} caller;
	struct fuse_args args = make_args("prog -f");

	CASE("programs of before 3.12 have a smaller structure");
	memset(&caller, 0xa5, sizeof(caller));
	CHECK_INT(fuse_parse_cmdline_30(&args, &caller.opts), 0);
	CHECK_INT(caller.opts.foreground, 1);
	CHECK_INT(caller.opts.max_idle_threads, UINT_MAX);
	for (size_t i = offsetof(struct fuse_cmdline_opts, max_threads);
	     i < sizeof(caller); i++)
		CHECK_INT(caller.bytes[i], 0xa5);
	fuse_opt_free_args(&args);
}

/* ---- fuse_session_new ---- */

static struct fuse_session *new_session(const char *words)
{
	static const struct fuse_lowlevel_ops no_ops;
	struct fuse_args args = make_args(words);
	struct fuse_session *se = fuse_session_new(&args, &no_ops, sizeof(no_ops), NULL);

	fuse_opt_free_args(&args);
	return se;
}

static void test_session_options(void)
{
	struct fuse_session *se;

	CASE("defaults");
	se = new_session("prog");
	CHECK(se != NULL);
	CHECK_INT(se->options.io_uring, 0);
	CHECK_INT(se->options.queue_depth, 8);
	CHECK_INT(se->options.poll_us, sysconf(_SC_NPROCESSORS_ONLN) == 1 ? 0 : 50);
	CHECK(!se->protocol.debug);
	CHECK_INT(fuse_session_fd(se), -1);
	fuse_session_destroy(se);

	CASE("everything given");
	se = new_session("prog -d -o io_uring,io_uring_q_depth=17,io_uring_poll_us=0,"
			 "io_uring_strict,io_uring_pin=all,ro,fsname=a,subtype=b");
	CHECK(se != NULL);
	CHECK_INT(se->options.io_uring, 1);
	CHECK_INT(se->options.io_uring_strict, 1);
	CHECK_INT(se->options.queue_depth, 17);
	CHECK_INT(se->options.poll_us, 0);
	CHECK_INT(se->options.pin, FUSE_URING_PIN_ALL);
	CHECK(se->protocol.debug);
	fuse_session_destroy(se);

	CASE("insisting on io_uring is asking for it");
	se = new_session("prog -o io_uring_strict");
	CHECK(se != NULL);
	CHECK_INT(se->options.io_uring, 1);
	fuse_session_destroy(se);
}

static void test_session_mistakes(void)
{
	static const struct {
		const char *words;
		const char *message;
	} cases[] = {
		{ "prog -o xyz", "unknown option(s): `-o xyz'" },
		{ "prog --xyz -o a,b=c", "unknown option(s): `-o a,b=c --xyz'" },
		{ "prog here", "unknown option(s): `here'" },
		{ "prog -o io_uring_q_depth=0",
		  "io_uring_q_depth: '0' is not a number from 1" },
		{ "prog -o io_uring_q_depth=-1", "io_uring_q_depth: '-1'" },
		{ "prog -o io_uring_q_depth=+1", "io_uring_q_depth: '+1'" },
		{ "prog -o io_uring_q_depth=1000000", "io_uring_q_depth: '1000000'" },
		{ "prog -o io_uring_q_depth=text", "io_uring_q_depth: 'text'" },
		{ "prog -o io_uring_q_depth=8k", "io_uring_q_depth: '8k'" },
		{ "prog -o io_uring_q_depth=", "io_uring_q_depth: ''" },
		{ "prog -o io_uring_q_depth", "unknown option(s)" },
		{ "prog -o io_uring_poll_us=-1", "io_uring_poll_us: '-1'" },
		{ "prog -o io_uring_pool=some", "io_uring_pool: 'some'" },
		{ "prog -o io_uring_pin=", "io_uring_pin: ''" },
		{ "prog -o io_uring_pin=payload", "io_uring_pin: 'payload'" },
		{ "prog -o io_uring_zero_copy,io_uring_pool=none", "without a pool" },
		{ "prog -o io_uring_zero_copy,io_uring_pin=headers",
		  "without pinned buffers" },
		{ "prog -o io_uring_pool=registered,io_uring_pin=none",
		  "io_uring_pin: the buffers of a registered pool are pinned" },
		{ "prog -o io_uring_pool=plain,io_uring_pin=all",
		  "io_uring_pin: the buffers of a plain pool are not" },
		{ "prog -o stats=", "stats" },
		{ "prog -o stats=/there/is/no/such", "'/there/is/no/such'" },
		{ "prog -o stats=/tmp", "'/tmp'" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CASE("%s", cases[i].words);
		CHECK(new_session(cases[i].words) == NULL);
		CHECK_INT(lines(log_text), 1);
		CHECK(strstr(log_text, cases[i].message) != NULL);
	}
}

static void test_no_arguments(void)
{
	static const struct fuse_lowlevel_ops no_ops;
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);

	CASE("not even a program name");
	log_text[0] = '\0';
	CHECK(fuse_session_new(&args, &no_ops, sizeof(no_ops), NULL) == NULL);
	CHECK_INT(lines(log_text), 1);
}

static void test_newer_program(void)
{
	struct {
		struct fuse_lowlevel_ops ops;
		void (*newer)(void);
	} ops;
	struct fuse_args args = make_args("prog");
	struct fuse_session *se;

	CASE("more operations than this library knows");
	memset(&ops, 0, sizeof(ops));
	se = fuse_session_new(&args, &ops.ops, sizeof(ops), NULL);
	CHECK(se != NULL);
	CHECK_INT(lines(log_text), 1);
	fuse_session_destroy(se);
	fuse_opt_free_args(&args);
}

/* ---- fuse_parse_conn_info_opts ---- */

static void test_conn_options(void)
{
	static const struct {
		const char *option;
		uint32_t before, after;
	} cases[] = {
		{ "async_read", 0, FUSE_CAP_ASYNC_READ },
		{ "sync_read", FUSE_CAP_ASYNC_READ, 0 },
		{ "atomic_o_trunc", 0, FUSE_CAP_ATOMIC_O_TRUNC },
		{ "no_remote_lock", FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS, 0 },
		{ "no_remote_flock", FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS,
		  FUSE_CAP_POSIX_LOCKS },
		{ "no_remote_posix_lock", FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS,
		  FUSE_CAP_FLOCK_LOCKS },
		{ "splice_write", 0, FUSE_CAP_SPLICE_WRITE },
		{ "no_splice_write", FUSE_CAP_SPLICE_WRITE, 0 },
		{ "splice_move", 0, FUSE_CAP_SPLICE_MOVE },
		{ "no_splice_move", FUSE_CAP_SPLICE_MOVE, 0 },
		{ "splice_read", 0, FUSE_CAP_SPLICE_READ },
		{ "no_splice_read", FUSE_CAP_SPLICE_READ, 0 },
		{ "auto_inval_data", 0, FUSE_CAP_AUTO_INVAL_DATA },
		{ "no_auto_inval_data", FUSE_CAP_AUTO_INVAL_DATA, 0 },
		{ "readdirplus=yes", FUSE_CAP_READDIRPLUS_AUTO, FUSE_CAP_READDIRPLUS },
		{ "readdirplus=no", FUSE_CAP_READDIRPLUS, 0 },
		{ "readdirplus=auto", 0,
		  FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO },
		{ "async_dio", 0, FUSE_CAP_ASYNC_DIO },
		{ "no_async_dio", FUSE_CAP_ASYNC_DIO, 0 },
		{ "writeback_cache", 0, FUSE_CAP_WRITEBACK_CACHE },
		{ "no_writeback_cache", FUSE_CAP_WRITEBACK_CACHE, 0 },
		{ "async_dio,no_async_dio", FUSE_CAP_ASYNC_DIO, 0 },
		{ "no_async_dio,async_dio", 0, FUSE_CAP_ASYNC_DIO },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fuse_conn_info conn = {
			.want = cases[i].before,
			.want_ext = cases[i].before | 1ULL << 40,
		};
		struct fuse_conn_info_opts *opts;
		struct fuse_args args;
		char words[80];

		CASE("-o %s", cases[i].option);
		snprintf(words, sizeof(words), "prog -o %s,other", cases[i].option);
		args = make_args(words);
		opts = fuse_parse_conn_info_opts(&args);
		CHECK(opts != NULL);
		CHECK_TEXT(join_args(&args), "prog -o other");
		fuse_apply_conn_info_opts(opts, &conn);
		CHECK_INT(conn.want, cases[i].after);
		CHECK_INT(conn.want_ext, cases[i].after | 1ULL << 40);
		free(opts);
		fuse_opt_free_args(&args);
	}
}

static void test_conn_numbers(void)
{
	struct fuse_conn_info conn = { .max_write = 1,
				       .time_gran = 1,
				       .max_readahead = 7 };
	struct fuse_conn_info_opts *opts;
	struct fuse_args args = make_args("prog -o max_write=65536,max_background=5,"
					  "congestion_threshold=4,time_gran=1000000000");

	CASE("numbers of the connection");
	opts = fuse_parse_conn_info_opts(&args);
	CHECK(opts != NULL);
	fuse_apply_conn_info_opts(opts, &conn);
	CHECK_INT(conn.max_write, 65536);
	CHECK_INT(conn.max_background, 5);
	CHECK_INT(conn.congestion_threshold, 4);
	CHECK_INT(conn.time_gran, 1000000000);
	CHECK_INT(conn.max_readahead, 7);
	free(opts);
	fuse_opt_free_args(&args);

	args = make_args("prog -o max_write=many");
	CHECK(fuse_parse_conn_info_opts(&args) == NULL);
	CHECK_INT(lines(log_text), 1);
	CHECK(strstr(log_text, "max_write: 'many'") != NULL);
	fuse_opt_free_args(&args);
}

/* ---- The loop's settings ---- */

static void test_loop_config(void)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	struct fuse_loop_config_v1 former = { .clone_fd = 1, .max_idle_threads = 4 };

	CASE("settings of the loop");
	log_text[0] = '\0';
	CHECK(config != NULL);
	CHECK_INT(config->max_threads, 10);
	CHECK_INT(config->max_idle_threads, UINT_MAX);
	CHECK_INT(config->clone_fd, 0);
	fuse_loop_cfg_set_max_threads(config, 3);
	fuse_loop_cfg_set_idle_threads(config, 2);
	fuse_loop_cfg_set_clone_fd(config, 7);
	CHECK_INT(config->max_threads, 3);
	CHECK_INT(config->max_idle_threads, 2);
	CHECK_INT(config->clone_fd, 1);
	fuse_loop_cfg_set_idle_threads(config, 1000000);
	CHECK_INT(config->max_idle_threads, 2);
	CHECK_INT(lines(log_text), 1);
	fuse_loop_cfg_set_idle_threads(config, UINT_MAX);
	CHECK_INT(config->max_idle_threads, UINT_MAX);
	fuse_loop_cfg_convert(config, &former);
	CHECK_INT(config->clone_fd, 1);
	CHECK_INT(config->max_idle_threads, 4);
	CHECK_INT(config->max_threads, 3);
	fuse_loop_cfg_destroy(config);
	fuse_loop_cfg_destroy(NULL);
}

static void test_version(void)
{
	CASE("version");
	CHECK_INT(fuse_version(), FUSE_VERSION);
	CHECK(strncmp(fuse_pkgversion(), "3.18", 4) == 0);
}

int main(void)
{
	fuse_set_log_func(keep_log);
	test_parse();
	test_parse_numbers();
	test_parse_mistakes();
	test_descriptor_mountpoint();
	test_former_structure();
	test_session_options();
	test_session_mistakes();
	test_no_arguments();
	test_newer_program();
	test_conn_options();
	test_conn_numbers();
	test_loop_config();
	test_version();
	return 0;
}
