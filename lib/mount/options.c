// SPDX-License-Identifier: LGPL-2.1-or-later

#include "options.h"
#include "fuse_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What fusermount3 gets to see of an option: it knows nothing of the check for allow_root. */
static const char *forwarded(const char *text)
{
	return strcmp(text, "allow_root") == 0 ? "allow_other" : text;
}

/*
 * Of mount(8), for /etc/mtab: who mounts, and that it is not to be written. Programs are given them
 * from /etc/fstab or by hand; the kernel's table has the user anyway.
 */
static bool is_for_mtab(const char *argument)
{
	static const char user[] = "user=";

	return strcmp(argument, "-n") == 0 ||
	       strncmp(argument, user, sizeof(user) - 1) == 0;
}

/* 0: taken, 1: not ours, -1: wrong */
static int take_option(void *data, const char *argument, int key, struct fuse_args *rest)
{
	struct fuse_mount_options *options = data;
	const struct fuse_mount_option *option;
	const char *reason;

	if (key != FUSE_OPT_KEY_OPT)
		return 1;
	if (is_for_mtab(argument))
		return 0;
	if (strcmp(argument, "-r") == 0)
		argument = "ro";
	option = fuse_mount_option_find(argument);
	if (!option)
		return 1;
	reason = fuse_mount_spec_set(&options->spec, option, argument);
	if (reason) {
		fuse_log(FUSE_LOG_ERR, "fuse: option '%s' %s\n", argument, reason);
		return -1;
	}
	if (fuse_opt_add_opt_escaped(&options->forwarded, forwarded(argument)) != 0) {
		fuse_log(FUSE_LOG_ERR, "fuse: no memory for option '%s'\n", argument);
		return -1;
	}
	return 0;
}

struct fuse_mount_options *fuse_mount_options_parse(struct fuse_args *args)
{
	static const struct fuse_opt none[] = { FUSE_OPT_END };
	struct fuse_mount_options *options = calloc(1, sizeof(*options));
	const char *reason;

	if (!options) {
		fuse_log(FUSE_LOG_ERR, "fuse: no memory for the mount options\n");
		return NULL;
	}
	options->watch.socket = -1;
	fuse_mount_spec_init(&options->spec);
	if (fuse_opt_parse(args, options, none, take_option) != 0)
		goto fail;
	reason = fuse_mount_spec_check(&options->spec);
	if (reason) {
		fuse_log(FUSE_LOG_ERR, "fuse: %s\n", reason);
		goto fail;
	}
	return options;
fail:
	fuse_mount_options_free(options);
	return NULL;
}

void fuse_mount_options_free(struct fuse_mount_options *options)
{
	if (!options)
		return;
	fuse_mount_watch_end(&options->watch);
	fuse_mount_spec_free(&options->spec);
	free(options->forwarded);
	free(options);
}

unsigned int fuse_mount_options_max_read(const struct fuse_mount_options *options)
{
	return options->spec.max_read;
}

bool fuse_mount_options_auto_unmount(const struct fuse_mount_options *options)
{
	return options->spec.auto_unmount;
}

bool fuse_mount_options_allow_root(const struct fuse_mount_options *options)
{
	return options->spec.allow_root;
}

bool fuse_mount_options_allow_other(const struct fuse_mount_options *options)
{
	return options->spec.allow_other || options->spec.allow_root;
}

bool fuse_mount_options_default_permissions(const struct fuse_mount_options *options)
{
	return options->spec.default_permissions;
}

void fuse_mount_options_help(void)
{
	fputs("    -o allow_other         let all users into the file system\n"
	      "    -o allow_root          let root in, besides the user who mounts\n"
	      "    -o default_permissions let the kernel check owner and mode of files\n"
	      "    -o auto_unmount        unmount when this process ends, however it ends\n"
	      "    -o fsname=NAME         device column of the mount table\n"
	      "    -o subtype=NAME        type column of the mount table, as fuse.NAME\n"
	      "    -o max_read=N          largest read request, in bytes\n"
	      "    -o blkdev              fsname= is a block device, for fuseblk (root only)\n"
	      "    -o blksize=N           block size for blkdev, in bytes (root only)\n"
	      "    -o ro, nosuid, nodev, noexec, sync, dirsync, noatime, ...\n"
	      "                           as for mount(8); dev and suid for root only\n",
	      stdout);
}

void fuse_mount_version(void)
{
	fuse_fusermount_version();
}
