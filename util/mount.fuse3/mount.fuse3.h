/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef MOUNT_FUSE3_H
#define MOUNT_FUSE3_H

/*
 * mount.fuse3: what mount(8) runs for a file system whose driver is a program.
 *
 * It finds out which program, as whom, and with which options, and becomes it. No shell is involved:
 * each word of the command is one argument, whatever is in it. Functions that can fail
 * return 0 or -1, and have said why.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "mount/spec.h"

#define PROGRAM "mount.fuse3"

struct request {
	bool fake;    /* check everything, do nothing */
	bool verbose; /* show the command */
	bool no_mtab; /* where it is a file, leave it alone */
	char *type;   /* the program's name or path */
	char *source; /* NULL: it is given none */
	char *mountpoint;

	/* From the options: */
	char *user;   /* who the program runs as; NULL: who we are */
	bool mounted; /* by us: the program gets the open device */
	bool drop_privileges;
	char *options;		     /* what is left of them, for the program */
	struct fuse_mount_spec spec; /* those that mount(2) would get */
};

__attribute__((format(printf, 1, 2))) void say(const char *format, ...);

/* options.c: sorts a list, with backslashes in it as they came */
int options_parse(struct request *request, const char *list);
/* Once all were parsed: what goes without saying, and what does not go together */
int options_complete(struct request *request);

/* user.c */
struct identity {
	bool change;	   /* otherwise it is who we are already */
	char *name, *home; /* NULL: not known */
	uid_t uid;
	gid_t gid;
};

/* Who a request is to be run as; also if that is ourselves */
int identity_find(struct identity *identity, const struct request *request);
int identity_assume(const struct identity *identity);
/*
 * For good: neither this process nor what it runs will be privileged again. Sealing needs privileges
 * itself, but leaves those that identity_assume() needs, so it comes before and dropping behind.
 */
int privileges_seal(void);
int privileges_drop(void);

/* device.c: the mount is ours, the rest is the program's, who has no privileges */

/* Mounts, and returns the descriptor, which programs inherit; -1: said why */
int device_mount(const struct request *request, const struct identity *identity);
/*
 * Runs the command in a child, which alone keeps the descriptor. Should it fail, what was mounted
 * is unmounted. Its status.
 */
int device_serve(const struct request *request, const struct identity *identity,
		 int device, const char *path, char **command);

#endif
