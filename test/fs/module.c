// SPDX-License-Identifier: GPL-2.0-only
/*
 * A module as somebody else may write it, libfusemod_upper.so: shows the names of the filesystem
 * below in upper case when a directory is read, with the prefix that its option gives.
 */
#define FUSE_USE_VERSION 318
#include <fuse.h>

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct upper {
	struct fuse_fs *below;
	char *prefix;
	void *buf;
	fuse_fill_dir_t filler;
};

static struct upper *own(void)
{
	return fuse_get_context()->private_data;
}

static int upper_getattr(const char *path, struct stat *attr, struct fuse_file_info *fi)
{
	return fuse_fs_getattr(own()->below, path, attr, fi);
}

static int fill(void *data, const char *name, const struct stat *attr, off_t off,
		enum fuse_fill_dir_flags flags)
{
	const struct upper *upper = data;
	char shown[300];

	if (name[0] == '.')
		return upper->filler(upper->buf, name, attr, off, flags);
	snprintf(shown, sizeof(shown), "%s%s", upper->prefix ? upper->prefix : "", name);
	for (char *c = shown; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	return upper->filler(upper->buf, shown, attr, off, flags);
}

static int upper_readdir(const char *path, void *buf, fuse_fill_dir_t filler, off_t off,
			 struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	struct upper listing = *own();

	listing.buf = buf;
	listing.filler = filler;
	return fuse_fs_readdir(listing.below, path, &listing, fill, off, fi, flags);
}

static void *upper_init(struct fuse_conn_info *conn, struct fuse_config *cfg)
{
	struct upper *upper = own();

	fuse_fs_init(upper->below, conn, cfg);
	return upper;
}

static void upper_destroy(void *data)
{
	struct upper *upper = data;

	fuse_fs_destroy(upper->below);
	free(upper->prefix);
	free(upper);
}

static const struct fuse_operations operations = {
	.init = upper_init,
	.destroy = upper_destroy,
	.getattr = upper_getattr,
	.readdir = upper_readdir,
};

static struct fuse_fs *upper_new(struct fuse_args *args, struct fuse_fs *fs[])
{
	static const struct fuse_opt table[] = {
		{ "prefix=%s", offsetof(struct upper, prefix), 0 },
		FUSE_OPT_END,
	};
	struct upper *upper = calloc(1, sizeof(*upper));

	if (!upper || fuse_opt_parse(args, upper, table, NULL) != 0) {
		free(upper);
		return NULL;
	}
	upper->below = fs[0];
	return fuse_fs_new(&operations, sizeof(operations), upper);
}

FUSE_REGISTER_MODULE(upper, upper_new);
