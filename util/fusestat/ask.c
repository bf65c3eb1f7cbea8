// SPDX-License-Identifier: GPL-2.0-only
/*
 * One question to a mount. Up to the ioctl the file system is not asked for anything but to open
 * its root: what it is comes from the table of mounts.
 */
#include "fusestat.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "mount/mountinfo.h"

static void fail(struct answer *answer, enum ask_result result, int error)
{
	answer->result = result;
	answer->error = error;
}

/* The way by which fd was reached, links resolved, is that of the mount's root. */
static bool is_root(int fd, const struct fuse_mount_entry *entry)
{
	char link[sizeof("/proc/self/fd/-2147483648")];
	char path[PATH_MAX];
	ssize_t size;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	size = readlink(link, path, sizeof(path) - 1);
	if (size < 0)
		return false;
	path[size] = '\0';
	return strcmp(path, entry->mountpoint) == 0 && strcmp(entry->root, "/") == 0;
}

static bool find_entry(struct fuse_mount_table *table, int id,
		       struct fuse_mount_entry *entry)
{
	if (id < 0 || fuse_mount_table_open(table) != 0)
		return false;
	while (fuse_mount_table_next(table, entry))
		if (entry->id == id)
			return true;
	return false;
}

/* As whom the mount lets in: all of a process's numbers have to be these. */
struct owner {
	uid_t uid;
	gid_t gid;
};

static struct owner owner_of(const struct fuse_mount_entry *entry)
{
	const char *group = strstr(entry->super_options, "group_id=");
	struct owner owner = { 0 };

	if (!group || !fuse_mount_entry_owner(entry, &owner.uid))
		return (struct owner){ 0 };
	owner.gid = (gid_t)strtoul(strchr(group, '=') + 1, NULL, 10);
	return owner;
}

/* Fills in the type and the owner. False: the answer says why not. */
static bool recognise(int fd, struct answer *answer, struct owner *owner)
{
	struct fuse_mount_table table = { 0 };
	struct fuse_mount_entry entry;
	bool good = false;

	if (!find_entry(&table, fuse_fd_mount_id(fd), &entry)) {
		fail(answer, ASK_FAILED, errno ? errno : ENOENT);
	} else {
		snprintf(answer->type, sizeof(answer->type), "%s", entry.type);
		if (!fuse_mount_entry_is_fuse(&entry))
			fail(answer, ASK_NOT_FUSE, 0);
		else if (!is_root(fd, &entry))
			fail(answer, ASK_NOT_A_ROOT, 0);
		else
			good = true;
		*owner = owner_of(&entry);
	}
	fuse_mount_table_close(&table);
	return good;
}

/* Not even root is let in to a private mount, but root can become who is. */
static bool become(const struct owner *owner)
{
	return geteuid() == 0 && owner->uid != 0 && setgroups(0, NULL) == 0 &&
	       setresgid(owner->gid, owner->gid, owner->gid) == 0 &&
	       setresuid(owner->uid, owner->uid, owner->uid) == 0;
}

static int open_root(int fd, const struct owner *owner)
{
	const int flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC;
	char link[sizeof("/proc/self/fd/-2147483648")];
	int root = openat(fd, ".", flags);

	if (root < 0 && errno == EACCES && become(owner))
		root = openat(fd, ".", flags);
	if (root >= 0 || errno != ENOTDIR)
		return root;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return open(link, flags);
}

/* How an ioctl is answered by who does not know it. */
static bool means_unknown(int error)
{
	return error == ENOTTY || error == ENOSYS || error == EINVAL ||
	       error == EOPNOTSUPP;
}

static void ask_root(int root, struct answer *answer)
{
	struct fuse_live_stats *live = &answer->live;

	if (ioctl(root, FUSE_LIVE_IOC_STATS, live) < 0) {
		if (errno == EPERM || errno == EACCES)
			fail(answer, ASK_REFUSED, errno);
		else
			fail(answer, means_unknown(errno) ? ASK_FOREIGN : ASK_FAILED,
			     errno);
	} else if (live->version != FUSE_LIVE_VERSION || live->size != sizeof(*live)) {
		fail(answer, ASK_FOREIGN, 0);
	}
}

void ask(const char *path, struct answer *answer)
{
	struct owner owner = { 0 };
	int fd, root;

	memset(answer, 0, sizeof(*answer));
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0) {
		fail(answer, ASK_NO_PATH, errno);
		return;
	}
	errno = 0;
	if (!recognise(fd, answer, &owner))
		return;
	root = open_root(fd, &owner);
	if (root < 0)
		fail(answer, errno == EACCES ? ASK_REFUSED : ASK_FAILED, errno);
	else
		ask_root(root, answer);
}
