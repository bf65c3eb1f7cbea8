// SPDX-License-Identifier: LGPL-2.1-or-later

#include "fuse_log.h"
#include "mountinfo.h"
#include "mtab.h"
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define DEVICE		  "/dev/fuse"
#define DESCRIPTOR_PREFIX "/dev/fd/"

/* The number in "/dev/fd/N", or -1 if the path has another form */
static int descriptor_number(const char *path)
{
	const char *digits;
	int64_t number = 0;

	if (strncmp(path, DESCRIPTOR_PREFIX, strlen(DESCRIPTOR_PREFIX)) != 0)
		return -1;
	digits = path + strlen(DESCRIPTOR_PREFIX);
	if (!*digits)
		return -1;
	for (; *digits; digits++) {
		if (*digits < '0' || *digits > '9')
			return -1;
		number = number * 10 + (*digits - '0');
		if (number > INT_MAX)
			return -1;
	}
	return (int)number;
}

int fuse_mount_fd_from_path(const char *mountpoint)
{
	int fd = descriptor_number(mountpoint);

	return fd >= 0 && fcntl(fd, F_GETFD) >= 0 ? fd : -1;
}

/* Returns the type of the mount point, or 0 with errno set and the reason logged. */
static mode_t check_mountpoint(const char *mountpoint)
{
	struct stat status;
	int error;

	if (stat(mountpoint, &status) != 0) {
		error = errno;
		fuse_log(FUSE_LOG_ERR, "fuse: bad mount point '%s': %s%s\n", mountpoint,
			 strerror(error),
			 error == ENOTCONN ? " (unmount the dead file system first)"
					   : "");
		errno = error;
		return 0;
	}
	if (S_ISDIR(status.st_mode) || S_ISREG(status.st_mode))
		return status.st_mode & S_IFMT;
	fuse_log(FUSE_LOG_ERR,
		 "fuse: bad mount point '%s': neither a directory nor a regular file\n",
		 mountpoint);
	errno = ENOTDIR;
	return 0;
}

/*
 * Returns the descriptor, or -1: with errno EPERM if a privileged helper could do better, and
 * otherwise after logging the reason.
 */
static int mount_directly(const char *mountpoint, mode_t mode,
			  const struct fuse_mount_options *options)
{
	struct fuse_mount_target target = {
		.path = mountpoint,
		.mode = mode,
		.uid = getuid(),
		.gid = getgid(),
	};
	int error;

	target.device = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (target.device < 0) {
		error = errno;
		if (error == EACCES || error == EPERM) {
			errno = EPERM;
			return -1;
		}
		fuse_log(FUSE_LOG_ERR, "fuse: cannot open " DEVICE ": %s%s\n",
			 strerror(error),
			 error == ENOENT || error == ENODEV || error == ENXIO
				 ? " (is the kernel module 'fuse' loaded?)"
				 : "");
		errno = error;
		return -1;
	}
	if (fuse_mount_spec_mount(&options->spec, &target) == 0) {
		fuse_mtab_add(&options->spec, mountpoint);
		return target.device;
	}
	error = errno;
	close(target.device);
	if (error != EPERM)
		fuse_log(FUSE_LOG_ERR, "fuse: cannot mount on '%s': %s\n", mountpoint,
			 fuse_mount_spec_error(&options->spec, error));
	errno = error;
	return -1;
}

int fuse_mount_at(const char *mountpoint, struct fuse_mount_options *options)
{
	bool watched = options->spec.auto_unmount;
	mode_t mode;
	int fd;

	if (descriptor_number(mountpoint) >= 0 &&
	    fuse_mount_fd_from_path(mountpoint) < 0) {
		fuse_log(FUSE_LOG_ERR,
			 "fuse: bad mount point '%s': descriptor is not open\n",
			 mountpoint);
		errno = EBADF;
		return -1;
	}
	mode = check_mountpoint(mountpoint);
	if (!mode)
		return -1;
	/* Only another process can outlive this one to unmount, so fusermount3 does it for root too. */
	if (!watched) {
		fd = mount_directly(mountpoint, mode, options);
		if (fd >= 0 || errno != EPERM)
			return fd;
	}
	return fuse_fusermount_mount(mountpoint, options->forwarded,
				     watched ? &options->watch : NULL);
}

struct connection {
	unsigned int number; /* 0: unknown */
	bool severed;	     /* unmounted, or aborted */
};

/* Looks which connection fd has, and lets go of it. */
static struct connection leave_connection(int fd)
{
	struct pollfd poller = { .fd = fd };
	struct connection connection = { 0 };
	int null;

	if (fd < 0)
		return connection;
	connection.number = fuse_fd_connection(fd);
	connection.severed = poll(&poller, 1, 0) == 1 && (poller.revents & POLLERR);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup3(null, fd, O_CLOEXEC);
		close(null);
	}
	return connection;
}

/*
 * Whether the mount that pin lies in is to be unmounted. One doubt is left: a severed
 * connection may have been unmounted, and its place taken by another file system, whose
 * connection then may even have the same number. That one would answer; ours cannot.
 */
static bool is_ours(int pin, const char *mountpoint, const struct connection *connection)
{
	struct statfs status;
	unsigned int number;
	uid_t owner;

	if (!fuse_mount_lookup(fuse_fd_mount_id(pin), &number, &owner, NULL))
		return false;
	if (connection->number ? number != connection->number : owner != getuid())
		return false;
	return !connection->severed ||
	       (statfs(mountpoint, &status) != 0 && errno == ENOTCONN);
}

/* 0 or errno. The pin makes it this mount, whatever has become of its path. */
static int detach(int pin)
{
	char path[sizeof("/proc/self/fd/-2147483648")];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", pin);
	return umount2(path, MNT_DETACH) == 0 ? 0 : errno;
}

void fuse_unmount_at(const char *mountpoint, int fd)
{
	struct connection connection;
	int error = EINVAL;
	int pin;

	if (descriptor_number(mountpoint) >= 0)
		return;
	connection = leave_connection(fd);
	/* Opened this way, not even a dead or busy file system is asked anything. */
	pin = open(mountpoint, O_PATH | O_CLOEXEC);
	if (pin < 0)
		return;
	if (is_ours(pin, mountpoint, &connection))
		error = detach(pin);
	close(pin);
	if (error == 0)
		fuse_mtab_remove(mountpoint);
	else if (error == EPERM)
		fuse_fusermount_unmount(mountpoint);
	else if (error != EINVAL) /* EINVAL: nothing is mounted there */
		fuse_log(FUSE_LOG_WARNING, "fuse: cannot unmount '%s': %s\n", mountpoint,
			 strerror(error));
}
