// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The settings of the multi-threaded loop.
 */
#include <limits.h>
#include <stdlib.h>

#include "session/session.h"

/* More is taken for a mistake. */
#define MOST_IDLE_THREADS 100000

struct fuse_loop_config *fuse_loop_cfg_create(void)
{
	struct fuse_loop_config *config = calloc(1, sizeof(*config));

	if (!config)
		return NULL;
	config->max_threads = FUSE_DEFAULT_MAX_THREADS;
	config->max_idle_threads = FUSE_DEFAULT_MAX_IDLE_THREADS;
	return config;
}

void fuse_loop_cfg_destroy(struct fuse_loop_config *config)
{
	free(config);
}

void fuse_loop_cfg_set_idle_threads(struct fuse_loop_config *config, unsigned int value)
{
	if (value > MOST_IDLE_THREADS && value != UINT_MAX) {
		fuse_log(FUSE_LOG_ERR,
			 "fuse: ignoring a limit of %u idle threads: above %u\n", value,
			 MOST_IDLE_THREADS);
		return;
	}
	config->max_idle_threads = value;
}

void fuse_loop_cfg_set_max_threads(struct fuse_loop_config *config, unsigned int value)
{
	config->max_threads = value;
}

void fuse_loop_cfg_set_clone_fd(struct fuse_loop_config *config, unsigned int value)
{
	config->clone_fd = value != 0;
}

void fuse_loop_cfg_convert(struct fuse_loop_config *config,
			   struct fuse_loop_config_v1 *v1_conf)
{
	fuse_loop_cfg_set_idle_threads(config, v1_conf->max_idle_threads);
	fuse_loop_cfg_set_clone_fd(config, v1_conf->clone_fd != 0);
}
