// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * subdir: a directory of the filesystem below, as if it were all.
 *
 * With rellinks, symbolic links that name an absolute path in that directory are shown as
 * relative ones, so that they lead to the same file through the mount.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "modules/modules.h"
#include "modules/rewrite.h"

struct subdir {
	struct fuse_rewrite rewrite;
	char *base; /* with no slash at its end; empty for the root */
	int rellinks;
};

enum key {
	KEY_HELP,
};

static const struct fuse_opt table[] = {
	FUSE_OPT_KEY("-h", KEY_HELP),
	FUSE_OPT_KEY("--help", KEY_HELP),
	{ "subdir=%s", offsetof(struct subdir, base), 0 },
	{ "rellinks", offsetof(struct subdir, rellinks), 1 },
	{ "norellinks", offsetof(struct subdir, rellinks), 0 },
	FUSE_OPT_END,
};

static struct subdir *subdir_of(struct fuse_rewrite *rewrite)
{
	return (struct subdir *)((char *)rewrite - offsetof(struct subdir, rewrite));
}

static int path_down(struct fuse_rewrite *rewrite, const char *path, char **result)
{
	const char *base = subdir_of(rewrite)->base;

	return asprintf(result, "%s%s", base, path) < 0 ? -ENOMEM : 0;
}

/* How long the part is that two absolute paths have in common, in whole names. */
static size_t common_part(const char *a, const char *b)
{
	size_t common = 0, i;

	for (i = 0; a[i] && a[i] == b[i]; i++) {
		if (a[i] == '/')
			common = i;
	}
	if ((!a[i] && (b[i] == '/' || !b[i])) || (!b[i] && a[i] == '/'))
		common = i;
	return common;
}

static const char *skip_slashes(const char *text)
{
	while (*text == '/')
		text++;
	return text;
}

/* From the directory that has the link: up as often as need be, and down to the target. */
static int make_relative(const char *link, const char *target, char **result)
{
	size_t common = common_part(link, target);
	const char *rest = skip_slashes(target + common);
	size_t ups = 0, size;
	char *to;

	for (const char *c = skip_slashes(link + common); *c; c++)
		ups += *c == '/';
	size = 3 * ups + strlen(rest) + 2;
	to = *result = malloc(size);
	if (!to)
		return -ENOMEM;
	for (size_t i = 0; i < ups; i++)
		to = stpcpy(to, "../");
	strcpy(to, rest);
	if (!**result)
		strcpy(*result, ".");
	return 0;
}

static bool is_below(const char *base, const char *path)
{
	size_t length = strlen(base);

	return !strncmp(path, base, length) && (path[length] == '/' || !path[length]);
}

static int link_up(struct fuse_rewrite *rewrite, const char *path, const char *target,
		   char **result)
{
	struct subdir *subdir = subdir_of(rewrite);

	*result = NULL;
	if (!subdir->rellinks || target[0] != '/' || !is_below(subdir->base, target))
		return 0;
	return make_relative(path, target, result);
}

static void destroy(struct fuse_rewrite *rewrite)
{
	struct subdir *subdir = subdir_of(rewrite);

	free(subdir->base);
	free(subdir);
}

static void print_help(void)
{
	printf("    -o subdir=DIR          the directory (mandatory)\n"
	       "    -o [no]rellinks        show absolute symlinks as relative ones (off)\n");
}

static int take_option(void *data, const char *arg, int key, struct fuse_args *rest)
{
	(void)data;
	(void)arg;
	(void)rest;
	if (key != KEY_HELP)
		return 1;
	print_help();
	return -1;
}

static bool is_complete(struct subdir *subdir, struct fuse_fs *below)
{
	size_t length;

	if (!below || !subdir->base) {
		fuse_log(FUSE_LOG_ERR, "fuse: module subdir: %s\n",
			 below ? "option subdir= is missing"
			       : "there is no filesystem below");
		return false;
	}
	length = strlen(subdir->base);
	while (length > 0 && subdir->base[length - 1] == '/')
		subdir->base[--length] = '\0';
	return true;
}

static struct fuse_fs *subdir_new(struct fuse_args *args, struct fuse_fs *fs[])
{
	struct subdir *subdir = calloc(1, sizeof(*subdir));
	struct fuse_fs *made = NULL;

	if (!subdir) {
		fuse_log(FUSE_LOG_ERR, "fuse: module subdir: no memory\n");
		return NULL;
	}
	subdir->rewrite = (struct fuse_rewrite){
		.below = fs[0],
		.path_down = path_down,
		.link_up = link_up,
		.destroy = destroy,
	};
	if (fuse_opt_parse(args, subdir, table, take_option) == 0 &&
	    is_complete(subdir, fs[0]))
		made = fuse_rewrite_new(&subdir->rewrite);
	if (!made)
		destroy(&subdir->rewrite);
	return made;
}

FUSE_REGISTER_MODULE(subdir, subdir_new);
