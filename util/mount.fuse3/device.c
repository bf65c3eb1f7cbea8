// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mounting on behalf of a program that will not have the privilege to: it inherits the open
 * device, and is told "/dev/fd/N" for a mount point.
 *
 * Such a program cannot unmount either. So this one stays until it knows that the program serves, and
 * cleans up if it does not: otherwise there would be a mount that nobody answers for.
 */
#include "fuse_config.h"
#include "mount.fuse3.h"
#include "mount/mountinfo.h"
#include "mount/mtab.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEVICE "/dev/fuse"

static int fail(const char *what, const char *path)
{
	say("%s '%s': %s", what, path, strerror(errno));
	return -1;
}

static const char *hint(int error)
{
	if (error == ENOENT || error == ENODEV || error == ENXIO)
		return " (is the kernel module 'fuse' loaded?)";
	if (error == EPERM || error == EACCES)
		return " (drop_privileges and pass_fuse_fd are for root)";
	return "";
}

static int open_device(void)
{
	int fd = open(DEVICE, O_RDWR);

	if (fd < 0)
		say("cannot open " DEVICE ": %s%s", strerror(errno), hint(errno));
	return fd;
}

int device_mount(const struct request *request, const struct identity *identity)
{
	struct fuse_mount_target target = {
		.path = request->mountpoint,
		.uid = identity->uid,
		.gid = identity->gid,
	};
	struct stat status;

	if (stat(request->mountpoint, &status) != 0)
		return fail("bad mount point", request->mountpoint);
	target.mode = status.st_mode;
	target.device = open_device();
	if (target.device < 0)
		return -1;
	if (fuse_mount_spec_mount(&request->spec, &target) == 0) {
		if (!request->no_mtab)
			fuse_mtab_add(&request->spec, request->mountpoint);
		return target.device;
	}
	say("cannot mount on '%s': %s%s", request->mountpoint,
	    fuse_mount_spec_error(&request->spec, errno),
	    errno == EPERM ? hint(errno) : "");
	close(target.device);
	return -1;
}

/* -1 if there is none, or no telling. Asks nobody who serves the mount. */
static int mount_id(const char *path)
{
	int pin = open(path, O_PATH | O_CLOEXEC);
	int id;

	if (pin < 0)
		return -1;
	id = fuse_fd_mount_id(pin);
	close(pin);
	return id;
}

static void unmount(const struct request *request, int id)
{
	if (id < 0 || mount_id(request->mountpoint) != id)
		return;
	if (umount2(request->mountpoint, MNT_DETACH) != 0)
		fail("cannot unmount", request->mountpoint);
	else if (!request->no_mtab)
		fuse_mtab_remove(request->mountpoint);
}

static _Noreturn void become(const struct request *request,
			     const struct identity *identity, const char *path,
			     char **command)
{
	bool drop = request->drop_privileges;

	if ((drop && privileges_seal() != 0) || identity_assume(identity) != 0 ||
	    (drop && privileges_drop() != 0))
		_exit(EXIT_FAILURE);
	execv(path, command);
	say("cannot run '%s': %s", path, strerror(errno));
	_exit(EXIT_FAILURE);
}

static int wait_for(pid_t child)
{
	int status;

	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return EXIT_FAILURE;
	}
	if (WIFSIGNALED(status))
		return 128 + WTERMSIG(status);
	return WEXITSTATUS(status);
}

int device_serve(const struct request *request, const struct identity *identity,
		 int device, const char *path, char **command)
{
	int id = mount_id(request->mountpoint);
	pid_t child;
	int status = EXIT_FAILURE;

	fflush(NULL);
	child = fork();
	if (child == 0)
		become(request, identity, path, command);
	if (child < 0)
		say("cannot start a process: %s", strerror(errno));
	/* It is the program's to keep the connection, and to end it by ending. */
	close(device);
	if (child > 0)
		status = wait_for(child);
	if (status != 0)
		unmount(request, id);
	return status;
}
