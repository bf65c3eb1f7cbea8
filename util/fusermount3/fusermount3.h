/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FUSERMOUNT3_H
#define FUSERMOUNT3_H

/*
 * Mounts and unmounts FUSE file systems for users who may not call mount(2), so it is installed
 * set-uid root. The rules that the files here share:
 *
 * - The caller controls everything that a process inherits, and may stop, continue and kill this
 *   one at any instruction. Whatever could be swapped between a look and a use is held by an
 *   O_PATH descriptor in between.
 * - File permissions are the caller's (file system uid and gid) except between
 *   privileges_raise() and privileges_lower(). What stays throughout is the right to mount.
 * - Every descriptor is close-on-exec.
 *
 * Functions return 0 or a descriptor, and -1 after say() has told why.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "mount/spec.h"

#define PROGRAM "fusermount3"

/* The real user and group: on whose behalf everything is done */
struct caller {
	uid_t uid;
	gid_t gid;
};

/* One line to stderr, after the program's name */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Drops messages from now on */
void say_nothing(void);

/* process.c: what this process is made of */

/* Both of these end the process rather than return with a doubt. */
void process_open_stdio(void);
/* Closes everything above 2 but keep (-1: nothing is kept), and forgets environment and limits. */
void process_sanitize(int keep);
void privileges_lower(const struct caller *caller);
void privileges_raise(void);
/* Becomes the caller for good, and keeps the one capability that unmounting takes. */
int privileges_keep_unmount_only(const struct caller *caller);

/* config.c */

struct config {
	bool user_allow_other;
	long mount_max; /* -1: no limit */
};

/*
 * A file that is missing, not a regular one or partly wrong leaves the defaults, with a warning for
 * what is wrong. One that cannot be opened, or not be read to its end, is an error: what it forbids
 * may be in what is not seen. The caller can bring that about, by using up all open files.
 */
int config_read(struct config *config, const struct caller *caller);

/* mountpoint.c */

/*
 * Returns an O_PATH descriptor of the directory or file at path (links followed), which the
 * caller may mount upon, and its mode.
 */
int mountpoint_open(const char *path, const struct caller *caller, mode_t *mode);

/* mount.c */

/* options is modified; NULL for none. Stays until the socket closes if they say so. */
int mount_filesystem(const struct caller *caller, const char *mountpoint, char *options,
		     int socket);

/* unmount.c */

int unmount_filesystem(const struct caller *caller, const char *mountpoint, bool lazy);

/* A mount as it can be recognised later, without keeping it busy meanwhile */
struct identity {
	int id; /* may be given to another mount once this one is gone */
	unsigned int connection;
	uint64_t
		unique; /* never used twice; 0: kernel (before 6.8) or file system won't say */
};

/* The FUSE mount of the caller at path */
int identity_get(struct identity *identity, const char *path,
		 const struct caller *caller);
void identity_get_unique(struct identity *identity, const char *path);
/* Lazily; lock as from unmount_lock(). Returns 1 if that mount is gone already. */
int identity_unmount(const struct identity *identity, const struct caller *caller,
		     int lock);

/*
 * Returns a descriptor that unmounting holds a lock of, or -1 where there is no place for one.
 * -2: error.
 */
int unmount_lock_open(const struct caller *caller);

/* watch.c: auto_unmount */

struct watch {
	struct identity identity;
	int lock;
	int null;
};

/* Everything that can fail */
int watch_prepare(struct watch *watch, const struct caller *caller,
		  const char *mountpoint);
/* Waits for the other end of the socket to be closed, then unmounts. */
int watch_run(const struct watch *watch, const struct caller *caller, int socket);

#endif
