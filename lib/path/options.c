// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The options of the path-based interface.
 */
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "path/path.h"

#define OPTION(templ, member, value)                               \
	{                                                          \
		templ, offsetof(struct fuse_config, member), value \
	}

static const struct fuse_opt table[] = {
	OPTION("debug", debug, 1),
	OPTION("-d", debug, 1),
	/* The session looks for these itself. */
	FUSE_OPT_KEY("debug", FUSE_OPT_KEY_KEEP),
	FUSE_OPT_KEY("-d", FUSE_OPT_KEY_KEEP),
	OPTION("kernel_cache", kernel_cache, 1),
	OPTION("auto_cache", auto_cache, 1),
	OPTION("noauto_cache", auto_cache, 0),
	OPTION("no_rofd_flush", no_rofd_flush, 1),
	OPTION("direct_io", direct_io, 1),
	OPTION("parallel_direct_writes=%d", parallel_direct_writes, 0),
	OPTION("hard_remove", hard_remove, 1),
	OPTION("use_ino", use_ino, 1),
	OPTION("readdir_ino", readdir_ino, 1),
	OPTION("umask=", set_mode, 1),
	OPTION("umask=%o", umask, 0),
	OPTION("fmask=", set_mode, 1),
	OPTION("fmask=%o", fmask, 0),
	OPTION("dmask=", set_mode, 1),
	OPTION("dmask=%o", dmask, 0),
	OPTION("uid=", set_uid, 1),
	OPTION("uid=%u", uid, 0),
	OPTION("gid=", set_gid, 1),
	OPTION("gid=%u", gid, 0),
	OPTION("entry_timeout=%lf", entry_timeout, 0),
	OPTION("attr_timeout=%lf", attr_timeout, 0),
	OPTION("ac_attr_timeout=%lf", ac_attr_timeout, 0),
	OPTION("ac_attr_timeout=", ac_attr_timeout_set, 1),
	OPTION("negative_timeout=%lf", negative_timeout, 0),
	OPTION("noforget", remember, -1),
	OPTION("remember=%u", remember, 0),
	OPTION("intr", intr, 1),
	OPTION("intr_signal=%d", intr_signal, 0),
	OPTION("modules=%s", modules, 0),
	FUSE_OPT_END,
};

int fuse_config_parse(struct fuse_config *conf, struct fuse_args *args)
{
	*conf = (struct fuse_config){
		.entry_timeout = 1.0,
		.attr_timeout = 1.0,
		.intr_signal = SIGUSR1,
	};
	return fuse_opt_parse(args, conf, table, NULL);
}

void fuse_config_free(struct fuse_config *conf)
{
	free(conf->modules);
	conf->modules = NULL;
}

static void print_help(void)
{
	printf("    -o kernel_cache        keep cached data of a file when it is opened\n"
	       "    -o [no]auto_cache      ...unless the file has changed (off)\n"
	       "    -o direct_io           do not cache data\n"
	       "    -o no_rofd_flush       no flush when a file was open for reading only\n"
	       "    -o umask=M             set file permissions (octal)\n"
	       "    -o fmask=M             ...of all but directories\n"
	       "    -o dmask=M             ...of directories\n"
	       "    -o uid=N               set file owner\n"
	       "    -o gid=N               set file group\n"
	       "    -o entry_timeout=T     cache timeout for names (1.0 s)\n"
	       "    -o negative_timeout=T  cache timeout for names that do not exist (0.0 s)\n"
	       "    -o attr_timeout=T      cache timeout for attributes (1.0 s)\n"
	       "    -o ac_attr_timeout=T   auto_cache timeout for attributes (attr_timeout)\n"
	       "    -o noforget            never forget inodes\n"
	       "    -o remember=T          remember inodes for T seconds (0)\n"
	       "    -o hard_remove         remove files at once, even if they are open\n"
	       "    -o use_ino             inode numbers are the filesystem's\n"
	       "    -o readdir_ino         try to show inode numbers in readdir\n"
	       "    -o intr                tell the filesystem of interrupted requests\n"
	       "    -o intr_signal=N       ...by this signal (%d)\n"
	       "    -o modules=M1[:M2...]  modules to be put above the filesystem\n",
	       SIGUSR1);
}

static int take_modules(void *data, const char *arg, int key, struct fuse_args *rest)
{
	(void)data;
	(void)arg;
	(void)key;
	(void)rest;
	return 1;
}

void fuse_lib_help(struct fuse_args *args)
{
	static const struct fuse_opt modules_only[] = {
		{ "modules=%s", 0, 0 },
		FUSE_OPT_END,
	};
	char *list = NULL;

	print_help();
	fuse_lowlevel_help();
	if (fuse_opt_parse(args, &list, modules_only, take_modules) == 0)
		fuse_modules_help(list);
	free(list);
}
