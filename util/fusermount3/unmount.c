// SPDX-License-Identifier: GPL-2.0-only

#include "fuse_config.h"
#include "fusermount3.h"
#include "mount/mountinfo.h"
#include "mount/mtab.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_FILE "/run/" PROGRAM ".lock"

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x00004000U
#endif

/*
 * The topmost mount at a path. While it is held, no other mount can come by its id. Getting hold
 * of it asks no file system anything but its parent directory's: it may be dead.
 */
struct pin {
	int parent;
	int mount;
	char name[NAME_MAX + 1];
};

static void pin_release(struct pin *pin)
{
	close(pin->mount);
	close(pin->parent);
}

static bool ends_in_dots(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *last = slash ? slash + 1 : path;

	return strcmp(last, ".") == 0 || strcmp(last, "..") == 0;
}

/* A copy whose last component is the name of a directory entry, not a way to one; or NULL */
static char *copy_with_name(const char *path)
{
	char *copy = strdup(path);
	size_t length = copy ? strlen(copy) : 0;

	while (length > 1 && copy[length - 1] == '/')
		copy[--length] = '\0';
	if (copy && ends_in_dots(copy)) {
		free(copy);
		copy = realpath(path, NULL);
	}
	return copy;
}

/* 0 or an errno. A link in place of the last component is not followed. */
static int pin_open(struct pin *pin, const char *path)
{
	const int flags = O_PATH | O_CLOEXEC;
	char *copy = copy_with_name(path);
	const char *directory = ".";
	char *name = copy;
	char *slash;
	int error = 0;

	pin->parent = -1;
	pin->mount = -1;
	if (!copy)
		return errno;
	slash = strrchr(copy, '/');
	if (slash) {
		*slash = '\0';
		name = slash + 1;
		directory = slash == copy ? "/" : copy;
	}
	if (*name == '\0' || strlen(name) > NAME_MAX) {
		error = *name ? ENAMETOOLONG : EINVAL;
	} else {
		memcpy(pin->name, name, strlen(name) + 1);
		pin->parent = open(directory, flags | O_DIRECTORY);
		if (pin->parent >= 0)
			pin->mount = openat(pin->parent, name, flags | O_NOFOLLOW);
		if (pin->mount < 0)
			error = errno;
	}
	free(copy);
	if (error && pin->parent >= 0)
		close(pin->parent);
	return error;
}

/*
 * 0 or an errno. Lazily, it is the mount that is held or none. Otherwise it must not be held, or
 * it would be busy, and is whatever is topmost there by then. That nothing but the caller's own lay
 * below a moment ago makes it unlikely to be somebody else's, no more.
 */
static int pin_unmount(struct pin *pin, bool lazy)
{
	char path[sizeof("/proc/self/fd/-2147483648/") + NAME_MAX];
	int error;

	if (lazy) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", pin->mount);
		error = umount2(path, MNT_DETACH) == 0 ? 0 : errno;
		pin_release(pin);
	} else {
		snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", pin->parent,
			 pin->name);
		close(pin->mount);
		error = umount2(path, UMOUNT_NOFOLLOW) == 0 ? 0 : errno;
		close(pin->parent);
	}
	return error;
}

/*
 * The lock keeps those who unmount the same at once from taking one more mount each. It keeps
 * nobody from anything else: umount(8) does not know of it.
 *
 * One byte for each user, so that whoever stops a process that has the lock stops only himself.
 * Not for root, who needs no race to unmount what he likes.
 */
int unmount_lock_open(const struct caller *caller)
{
	int error, fd;

	if (caller->uid == 0)
		return -1;
	privileges_raise();
	fd = open(LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	error = errno;
	privileges_lower(caller);
	if (fd >= 0)
		return fd;
	if (error == ENOENT || error == EROFS || error == EACCES || error == EPERM)
		return -1;
	say("cannot open " LOCK_FILE ": %s", strerror(error));
	return -2;
}

/* Until the descriptor is closed */
static int lock_unmounting(int lock, const struct caller *caller)
{
	struct flock range = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = caller->uid,
		.l_len = 1,
	};

	while (lock >= 0 && fcntl(lock, F_OFD_SETLKW, &range) != 0) {
		if (errno == EINTR)
			continue;
		say("cannot lock " LOCK_FILE ": %s", strerror(errno));
		return -1;
	}
	return 0;
}

/* NULL if the caller may unmount it, else why not; *mountpoint is to be freed in both cases. */
static const char *why_not(const struct pin *pin, const struct caller *caller,
			   struct identity *identity, char **mountpoint)
{
	char nothing[1];
	uid_t owner;

	identity->id = fuse_fd_mount_id(pin->mount);
	identity->unique = 0;
	if (!fuse_mount_lookup(identity->id, &identity->connection, &owner, mountpoint))
		return readlinkat(pin->mount, "", nothing, sizeof(nothing)) >= 0
			       ? "it is a symbolic link"
			       : "it is not a FUSE file system";
	return caller->uid == 0 || owner == caller->uid ? NULL
							: "another user has mounted it";
}

/* 0 or an errno. *parent is the mount that the one with that id lies on, -1 if it is gone. */
static int find_parent(int id, int *parent)
{
	struct fuse_mount_table table = { 0 };
	struct fuse_mount_entry entry;
	int error;

	*parent = -1;
	if (fuse_mount_table_open(&table) != 0)
		table.error = errno;
	while (*parent < 0 && !table.error && fuse_mount_table_next(&table, &entry)) {
		if (entry.id == id)
			*parent = entry.parent;
	}
	error = table.error;
	fuse_mount_table_close(&table);
	return error;
}

/*
 * Whether something below is not the caller's to unmount. It would be what is unmounted in place of
 * his own on top of it, if he stops this process, unmounts that with umount(8), and goes on.
 *
 * Not told by paths: he may rename a directory above between two looks. Ids may be given to other
 * mounts, but those of what a mount lies on are not while it is mounted, so it is looked at last.
 */
static int has_others_below(const struct pin *pin, int id, const struct caller *caller,
			    bool *others)
{
	const int bottom = fuse_fd_mount_id(pin->parent);
	int first, last, below, error;
	uid_t owner;

	*others = true;
	if (bottom < 0)
		return 0;
	error = find_parent(id, &first);
	below = first;
	while (!error && below != bottom) {
		if (!fuse_mount_lookup(below, NULL, &owner, NULL) || owner != caller->uid)
			return 0;
		error = find_parent(below, &below);
	}
	if (!error)
		error = find_parent(id, &last);
	if (!error)
		*others = last != first;
	return error;
}

/* 0 or an errno; lets go of the pin. */
static int unmount_pinned(struct pin *pin, int id, const struct caller *caller, bool lazy)
{
	bool others = false;
	int error = 0;

	if (!lazy && caller->uid != 0)
		error = has_others_below(pin, id, caller, &others);
	if (!error)
		return pin_unmount(pin, lazy || others);
	pin_release(pin);
	return error;
}

static int unmount_locked(const struct caller *caller, const char *path, bool lazy)
{
	struct identity identity;
	char *mountpoint = NULL;
	const char *reason = NULL;
	struct pin pin;
	int error = pin_open(&pin, path);

	if (error == 0) {
		reason = why_not(&pin, caller, &identity, &mountpoint);
		if (!reason && !mountpoint)
			reason = strerror(ENOMEM);
		if (reason)
			pin_release(&pin);
		else
			error = unmount_pinned(&pin, identity.id, caller, lazy);
	}
	if (error)
		reason = error == EINVAL ? "nothing is mounted there" : strerror(error);
	if (reason)
		say("cannot unmount '%s': %s", path, reason);
	else
		fuse_mtab_remove(mountpoint);
	free(mountpoint);
	return reason ? -1 : 0;
}

int unmount_filesystem(const struct caller *caller, const char *mountpoint, bool lazy)
{
	int lock = unmount_lock_open(caller);
	int result = -1;

	if (lock != -2 && lock_unmounting(lock, caller) == 0)
		result = unmount_locked(caller, mountpoint, lazy);
	if (lock >= 0)
		close(lock);
	return result;
}

int identity_get(struct identity *identity, const char *path, const struct caller *caller)
{
	const char *reason = NULL;
	struct pin pin;
	int error = pin_open(&pin, path);

	if (error == 0) {
		reason = why_not(&pin, caller, identity, NULL);
		pin_release(&pin);
	} else {
		reason = strerror(error);
	}
	if (reason)
		say("cannot watch '%s': %s", path, reason);
	return reason ? -1 : 0;
}

/* Answered from what the kernel has; but it has nothing for whom FUSE does not let in. */
static uint64_t unique_id(int mount)
{
	struct statx status;

	if (statx(mount, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID_UNIQUE,
		  &status) != 0 ||
	    !(status.stx_mask & STATX_MNT_ID_UNIQUE))
		return 0;
	return status.stx_mnt_id;
}

void identity_get_unique(struct identity *identity, const char *path)
{
	struct pin pin;

	if (pin_open(&pin, path) != 0)
		return;
	if (fuse_fd_mount_id(pin.mount) == identity->id)
		identity->unique = unique_id(pin.mount);
	pin_release(&pin);
}

/* Looks the path up by id first: a directory above may have been renamed since. */
static int unmount_identified(const struct identity *identity,
			      const struct caller *caller)
{
	struct identity found;
	char *path = NULL;
	struct pin pin;
	int result = 1;

	if (!fuse_mount_lookup(identity->id, NULL, NULL, &path) || !path)
		return 1;
	if (pin_open(&pin, path) == 0) {
		if (why_not(&pin, caller, &found, NULL) || found.id != identity->id ||
		    found.connection != identity->connection ||
		    (identity->unique && unique_id(pin.mount) != identity->unique))
			pin_release(&pin);
		else
			result = pin_unmount(&pin, true) == 0 ? 0 : 1;
	}
	if (result == 0)
		fuse_mtab_remove(path);
	free(path);
	return result;
}

int identity_unmount(const struct identity *identity, const struct caller *caller,
		     int lock)
{
	if (lock_unmounting(lock, caller) != 0)
		return -1;
	return unmount_identified(identity, caller);
}
