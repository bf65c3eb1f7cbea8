// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Entry points with versions, as session/compat.c has them, for the path-based interface.
 */
#include <errno.h>
#include <stddef.h>

/* The header has an inline function of that name, for which the library has a symbol. */
#define fuse_main_real fuse_main_real_inline
#include "path/path.h"
#undef fuse_main_real

#include "support/symver.h"

/* The header gives the plain names to callers. Here they are functions. */
#undef fuse_new
#undef fuse_loop_mt

/* How many threads may idle, as interfaces before 3.12 had it. */
#define FORMER_MAX_IDLE_THREADS 10

/* ---- fuse_main_real: a symbol until 3.17, then inline over ..._versioned ---- */

int fuse_main_real(int argc, char *argv[], const struct fuse_operations *op,
		   size_t op_size, void *user_data);

int fuse_main_real(int argc, char *argv[], const struct fuse_operations *op,
		   size_t op_size, void *user_data)
{
	return fuse_main_real_versioned(argc, argv, op, op_size, NULL, user_data);
}

/* ---- fuse_new: 3.0 understood --help; then a symbol; now a macro over _fuse_new_31 ---- */

struct fuse *fuse_new_30(struct fuse_args *args, const struct fuse_operations *op,
			 size_t op_size, void *user_data);
struct fuse *fuse_new_31(struct fuse_args *args, const struct fuse_operations *op,
			 size_t op_size, void *user_data);

struct fuse *_fuse_new_31(struct fuse_args *args, const struct fuse_operations *op,
			  size_t op_size, struct libfuse_version *version,
			  void *user_data)
{
	return fuse_make(args, op, op_size, version, user_data);
}

struct fuse *_fuse_new_30(struct fuse_args *args, const struct fuse_operations *op,
			  size_t op_size, struct libfuse_version *version,
			  void *user_data)
{
	static const struct fuse_opt help_only[] = {
		{ "-h", offsetof(struct fuse_config, show_help), 1 },
		{ "--help", offsetof(struct fuse_config, show_help), 1 },
		FUSE_OPT_END,
	};
	struct fuse_config conf = { 0 };

	if (fuse_opt_parse(args, &conf, help_only, NULL) != 0)
		return NULL;
	if (conf.show_help) {
		fuse_lib_help(args);
		return NULL;
	}
	return fuse_make(args, op, op_size, version, user_data);
}

FUSE_FORMER(fuse_new, fuse_new_31, "FUSE_3.1")
struct fuse *fuse_new_31(struct fuse_args *args, const struct fuse_operations *op,
			 size_t op_size, void *user_data)
{
	return _fuse_new_31(args, op, op_size, NULL, user_data);
}

FUSE_FORMER(fuse_new, fuse_new_30, "FUSE_3.0")
struct fuse *fuse_new_30(struct fuse_args *args, const struct fuse_operations *op,
			 size_t op_size, void *user_data)
{
	return _fuse_new_30(args, op, op_size, NULL, user_data);
}

/* ---- fuse_loop_mt: clone_fd alone; a visible structure; an opaque one ---- */

int fuse_loop_mt_31(struct fuse *f, int clone_fd);
int fuse_loop_mt_32(struct fuse *f, struct fuse_loop_config_v1 *v1);
int fuse_loop_mt_312(struct fuse *f, struct fuse_loop_config *config);

FUSE_CURRENT(fuse_loop_mt, fuse_loop_mt_312, "FUSE_3.12")
int fuse_loop_mt_312(struct fuse *f, struct fuse_loop_config *config)
{
	return fuse_run_threads(f, config);
}

FUSE_FORMER(fuse_loop_mt, fuse_loop_mt_32, "FUSE_3.2")
int fuse_loop_mt_32(struct fuse *f, struct fuse_loop_config_v1 *v1)
{
	struct fuse_loop_config *config;
	int result;

	if (!v1)
		return fuse_loop_mt_312(f, NULL);
	config = fuse_loop_cfg_create();
	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_convert(config, v1);
	result = fuse_loop_mt_312(f, config);
	fuse_loop_cfg_destroy(config);
	return result;
}

FUSE_FORMER(fuse_loop_mt, fuse_loop_mt_31, "FUSE_3.0")
int fuse_loop_mt_31(struct fuse *f, int clone_fd)
{
	struct fuse_loop_config_v1 v1 = {
		.clone_fd = clone_fd,
		.max_idle_threads = FORMER_MAX_IDLE_THREADS,
	};

	return fuse_loop_mt_32(f, &v1);
}
