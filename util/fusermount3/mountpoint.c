// SPDX-License-Identifier: GPL-2.0-only

#include "fuse_config.h"
#include "fusermount3.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/*
 * File systems whose directories are nothing but places for files. Others show the state of the
 * kernel or of processes (/proc/PID belongs to its user!), and programs trust what they find.
 */
static const uint32_t mountable[] = {
	/* local */
	0xef53,	    /* ext2, ext3, ext4 */
	0x9123683e, /* btrfs */
	0x58465342, /* xfs */
	0xf2f52010, /* f2fs */
	0xca451a4e, /* bcachefs */
	0x2fc12fc1, /* zfs */
	0x52654973, /* reiserfs */
	0x3153464a, /* jfs */
	0x3434,	    /* nilfs2 */
	0x72b6,	    /* jffs2 */
	0x24051905, /* ubifs */
	0x4d44,	    /* msdos, vfat */
	0x2011bab0, /* exfat */
	0x5346544e, /* ntfs */
	0x7366746e, /* ntfs3 */
	0x4244,	    /* hfs */
	0x482b,	    /* hfs+ */
	0x00011954, /* ufs1 */
	0x19540119, /* ufs2 */
	0xadf5,	    /* adfs */
	0xadff,	    /* affs */
	0x15013346, /* udf */
	0x9660,	    /* iso9660 */
	0x73717368, /* squashfs */
	0xe0f5e1e2, /* erofs */
	/* memory */
	0x01021994, /* tmpfs */
	0x858458f6, /* ramfs */
	/* over others */
	0x794c7630, /* overlay */
	0x61756673, /* aufs */
	0xf15f,	    /* ecryptfs */
	0x65735546, /* fuse */
	/* network, cluster, host */
	0x6969,	    /* nfs */
	0xff534d42, /* cifs */
	0xfe534d42, /* smb3 */
	0x517b,	    /* smbfs */
	0x00c36400, /* ceph */
	0x5346414f, /* afs */
	0x6b414653, /* kafs */
	0x73757245, /* coda */
	0x01161970, /* gfs2 */
	0x7461636f, /* ocfs2 */
	0x0bd00bd0, /* lustre */
	0x47504653, /* gpfs */
	0x19830326, /* beegfs */
	0x01021997, /* 9p */
	0x00c0ffee, /* hostfs */
	0x786f4256, /* vboxsf */
};

static bool is_mountable(const struct statfs *status)
{
	for (size_t i = 0; i < sizeof(mountable) / sizeof(mountable[0]); i++) {
		if (mountable[i] == (uint32_t)status->f_type)
			return true;
	}
	return false;
}

/* access(2) judges by the real user; a pinned descriptor has no other name than this. */
static bool is_writable(int fd)
{
	char path[sizeof("/proc/self/fd/-2147483648")];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return access(path, W_OK) == 0;
}

/*
 * Whoever may replace all that is in a place may as well mount on it. In a sticky directory such
 * as /tmp that is its owner alone.
 */
static const char *why_not(int fd, const struct stat *status, uid_t uid)
{
	struct statfs filesystem;

	if (fstatfs(fd, &filesystem) != 0)
		return strerror(errno);
	if (!is_mountable(&filesystem))
		return "not on a file system that may be mounted on";
	if (status->st_uid == uid)
		return NULL;
	if (S_ISDIR(status->st_mode) && (status->st_mode & S_ISVTX))
		return "a sticky directory that you do not own";
	return is_writable(fd) ? NULL : "you neither own it nor may write to it";
}

int mountpoint_open(const char *path, const struct caller *caller, mode_t *mode)
{
	const char *reason = NULL;
	struct stat status;
	int fd = open(path, O_PATH | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &status) != 0)
		reason = strerror(errno);
	else if (!S_ISDIR(status.st_mode) && !S_ISREG(status.st_mode))
		reason = "neither a directory nor a regular file";
	else if (caller->uid != 0)
		reason = why_not(fd, &status, caller->uid);
	if (!reason) {
		*mode = status.st_mode;
		return fd;
	}
	say("bad mount point '%s': %s", path, reason);
	if (fd >= 0)
		close(fd);
	return -1;
}
