// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Options by which the user of a filesystem overrides what its init() asks for. They are
 * kept as they were given, one table row each, and applied in init(): an option that was
 * not given changes nothing.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "session/session.h"

enum number {
	MAX_WRITE,
	MAX_READAHEAD,
	MAX_BACKGROUND,
	CONGESTION_THRESHOLD,
	TIME_GRAN,
	NUMBERS
};

/* One block of memory: the caller frees it with free(). */
struct fuse_conn_info_opts {
	uint64_t set;
	uint64_t unset;
	struct {
		bool given;
		unsigned value;
	} number[NUMBERS];
};

/* clang-format off */
static const struct {
	const char *name; /* with the "=" */
	size_t offset;	  /* in struct fuse_conn_info */
} numbers[NUMBERS] = {
	[MAX_WRITE] = { "max_write=", offsetof(struct fuse_conn_info, max_write) },
	[MAX_READAHEAD] = { "max_readahead=", offsetof(struct fuse_conn_info, max_readahead) },
	[MAX_BACKGROUND] = { "max_background=", offsetof(struct fuse_conn_info, max_background) },
	[CONGESTION_THRESHOLD] = { "congestion_threshold=",
				   offsetof(struct fuse_conn_info, congestion_threshold) },
	[TIME_GRAN] = { "time_gran=", offsetof(struct fuse_conn_info, time_gran) },
};

#define READDIRPLUS (FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO)

static const struct {
	const char *name;
	uint64_t set;
	uint64_t unset;
} switches[] = {
	{ "async_read", FUSE_CAP_ASYNC_READ, 0 },
	{ "sync_read", 0, FUSE_CAP_ASYNC_READ },
	{ "atomic_o_trunc", FUSE_CAP_ATOMIC_O_TRUNC, 0 },
	{ "no_remote_lock", 0, FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS },
	{ "no_remote_flock", 0, FUSE_CAP_FLOCK_LOCKS },
	{ "no_remote_posix_lock", 0, FUSE_CAP_POSIX_LOCKS },
	{ "splice_write", FUSE_CAP_SPLICE_WRITE, 0 },
	{ "no_splice_write", 0, FUSE_CAP_SPLICE_WRITE },
	{ "splice_move", FUSE_CAP_SPLICE_MOVE, 0 },
	{ "no_splice_move", 0, FUSE_CAP_SPLICE_MOVE },
	{ "splice_read", FUSE_CAP_SPLICE_READ, 0 },
	{ "no_splice_read", 0, FUSE_CAP_SPLICE_READ },
	{ "auto_inval_data", FUSE_CAP_AUTO_INVAL_DATA, 0 },
	{ "no_auto_inval_data", 0, FUSE_CAP_AUTO_INVAL_DATA },
	{ "readdirplus=no", 0, READDIRPLUS },
	{ "readdirplus=yes", FUSE_CAP_READDIRPLUS, FUSE_CAP_READDIRPLUS_AUTO },
	{ "readdirplus=auto", READDIRPLUS, 0 },
	{ "async_dio", FUSE_CAP_ASYNC_DIO, 0 },
	{ "no_async_dio", 0, FUSE_CAP_ASYNC_DIO },
	{ "writeback_cache", FUSE_CAP_WRITEBACK_CACHE, 0 },
	{ "no_writeback_cache", 0, FUSE_CAP_WRITEBACK_CACHE },
};
/* clang-format on */

static int take_number(struct fuse_conn_info_opts *opts, unsigned index, const char *arg)
{
	const char *name = numbers[index].name;
	char plain[32];

	memcpy(plain, name, strlen(name));
	plain[strlen(name) - 1] = '\0';
	opts->number[index].given = true;
	return fuse_option_number(plain, arg + strlen(name), 0, UINT32_MAX,
				  &opts->number[index].value);
}

static int take_option(void *data, const char *arg, int key, struct fuse_args *rest)
{
	struct fuse_conn_info_opts *opts = data;

	(void)rest;
	if (key != FUSE_OPT_KEY_OPT)
		return 1;
	for (unsigned i = 0; i < NUMBERS; i++) {
		if (!strncmp(arg, numbers[i].name, strlen(numbers[i].name)))
			return take_number(opts, i, arg);
	}
	for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
		if (!strcmp(arg, switches[i].name)) {
			/* The last one counts. */
			opts->set = (opts->set & ~switches[i].unset) | switches[i].set;
			opts->unset =
				(opts->unset & ~switches[i].set) | switches[i].unset;
			return 0;
		}
	}
	return 1;
}

struct fuse_conn_info_opts *fuse_parse_conn_info_opts(struct fuse_args *args)
{
	static const struct fuse_opt none[] = { FUSE_OPT_END };
	struct fuse_conn_info_opts *opts = calloc(1, sizeof(*opts));

	if (!opts) {
		fuse_log(FUSE_LOG_ERR, "fuse: no memory for options\n");
		return NULL;
	}
	if (fuse_opt_parse(args, opts, none, take_option) != 0) {
		free(opts);
		return NULL;
	}
	return opts;
}

void fuse_apply_conn_info_opts(struct fuse_conn_info_opts *opts,
			       struct fuse_conn_info *conn)
{
	for (unsigned i = 0; i < NUMBERS; i++) {
		if (opts->number[i].given)
			memcpy((char *)conn + numbers[i].offset, &opts->number[i].value,
			       sizeof(opts->number[i].value));
	}
	conn->want_ext = (conn->want_ext | opts->set) & ~opts->unset;
	conn->want = (conn->want | (uint32_t)opts->set) & ~(uint32_t)opts->unset;
}
