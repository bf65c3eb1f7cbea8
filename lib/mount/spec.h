/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FUSE_MOUNT_SPEC_H
#define FUSE_MOUNT_SPEC_H

/*
 * What is mounted, and how: the mount options by name, their values, and the mount(2) call made of
 * them. Used by the library and by fusermount3, so it neither logs nor decides who may do what.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum fuse_mount_option_kind {
	FUSE_MOUNT_SET_FLAG,   /* sets a flag of mount(2) */
	FUSE_MOUNT_CLEAR_FLAG, /* clears it */
	FUSE_MOUNT_SWITCH,     /* NAME */
	FUSE_MOUNT_NUMBER,     /* NAME=N */
	FUSE_MOUNT_TEXT,       /* NAME=TEXT */
	FUSE_MOUNT_RESERVED, /* NAME=..., which only whoever calls mount(2) may fill in */
	FUSE_MOUNT_COMMENT,  /* x-ANYTHING: for other programs to see */
};

enum fuse_mount_option_trait {
	FUSE_MOUNT_FOR_KERNEL = 1, /* appears under its name in the data of mount(2) */
	FUSE_MOUNT_FOR_ROOT = 2,   /* fusermount3 keeps it from ordinary users */
};

struct fuse_mount_option {
	const char *name;
	enum fuse_mount_option_kind kind;
	unsigned int traits;
	unsigned long
		value; /* the flag, or the offset of the field in struct fuse_mount_spec */
};

struct fuse_mount_spec {
	unsigned long flags; /* MS_* */
	bool allow_other;
	bool allow_root;
	bool auto_unmount;
	bool blkdev;
	bool default_permissions;
	uint32_t max_read; /* bytes; 0: not given */
	uint32_t blksize;  /* bytes; 0: not given */
	char *fsname;
	char *subtype;
	char *context;
	char *fscontext;
	char *defcontext;
	char *rootcontext;
	char *comments; /* x-* options, separated by commas */
};

/* Where and for whom */
struct fuse_mount_target {
	const char *path;
	int device;  /* the open /dev/fuse */
	mode_t mode; /* of the mount point: only its type matters */
	uid_t uid;
	gid_t gid;
};

/* nosuid and nodev, until an option says otherwise */
void fuse_mount_spec_init(struct fuse_mount_spec *spec);
void fuse_mount_spec_free(struct fuse_mount_spec *spec);

/* The option that text ("NAME" or "NAME=VALUE", nothing escaped) is an instance of, or NULL */
const struct fuse_mount_option *fuse_mount_option_find(const char *text);

/* Both return NULL, or the reason why not. */
const char *fuse_mount_spec_set(struct fuse_mount_spec *spec,
				const struct fuse_mount_option *option, const char *text);
const char *fuse_mount_spec_check(const struct fuse_mount_spec *spec);

/* The device column of the mount table; valid as long as spec */
const char *fuse_mount_spec_source(const struct fuse_mount_spec *spec);
/* The type column, and the data of mount(2). Allocated; NULL if there is no memory. */
char *fuse_mount_spec_type(const struct fuse_mount_spec *spec);
char *fuse_mount_spec_data(const struct fuse_mount_spec *spec,
			   const struct fuse_mount_target *target);

/*
 * 0, or -1 with errno of mount(2), among which EPERM says that the caller is not privileged.
 * E2BIG: the options do not fit into what mount(2) takes.
 */
int fuse_mount_spec_mount(const struct fuse_mount_spec *spec,
			  const struct fuse_mount_target *target);

/* What went wrong, in words, for the errno of fuse_mount_spec_mount() */
const char *fuse_mount_spec_error(const struct fuse_mount_spec *spec, int error);

/*
 * The next option of the comma separated list *list, which is modified: unescaped (a backslash
 * takes the next character literally) and zero-terminated. NULL at the end of the list.
 */
char *fuse_mount_next_option(char **list);

#endif
