// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of operations, the options, and the session.
 */
#include "allops.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options options;
pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
struct fuse_session *session;

#define OPTION(text, member)                              \
	{                                                 \
		text, offsetof(struct options, member), 0 \
	}

static const struct fuse_opt option_specs[] = {
	OPTION("timeout=%lf", timeout),
	OPTION("reply=%s", reply),
	OPTION("without=%s", without),
	OPTION("report=%s", report),
	FUSE_OPT_END,
};

static const char help[] =
	"    -o timeout=SECONDS     for how long names and attributes are valid (0)\n"
	"    -o reply=HOW           data is answered as: buf, iov, data, payload (buf)\n"
	"    -o without=NAME:...    operations that are not there\n"
	"    -o report=PATH         write .calls and .nodes there in the end\n";

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	called(OP_init, 0);
}

static void op_destroy(void *userdata)
{
	called(OP_destroy, 0);
}

static const struct fuse_lowlevel_ops all_operations = {
#define MEMBER(name) .name = op_##name,
	OPERATIONS(MEMBER)
#undef MEMBER
};

static int started(struct fuse_session *se)
{
	session = se;
	if (control_start())
		return 0;
	fprintf(stderr, "allops: no thread for commands\n");
	return -1;
}

static void loop_ended(struct fuse_session *se)
{
	control_stop();
}

static void write_report(void)
{
	char *calls = calls_text(), *nodes = nodes_text();
	FILE *out = options.report ? fopen(options.report, "w") : NULL;

	if (out) {
		fprintf(out, "%s\n%s", calls, nodes);
		fclose(out);
	}
	free(calls);
	free(nodes);
}

static int run(struct fuse_args *args)
{
	struct fuse_lowlevel_ops operations = all_operations;
	const struct program program = {
		.help = help,
		.operations = &operations,
		.started = started,
		.loop_ended = loop_ended,
		.destroyed = write_report,
	};
	int status;

	if (options.without && !leave_out(&operations, options.without))
		return 1;
	if (!node_make())
		return 1;
	status = serve(args, &program);
	node_free_all();
	return status;
}

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	int status = 1;

	options.reply = strdup("buf");
	if (options.reply && fuse_opt_parse(&args, &options, option_specs, NULL) == 0)
		status = run(&args);
	free(options.reply);
	free(options.without);
	free(options.report);
	fuse_opt_free_args(&args);
	return status;
}
