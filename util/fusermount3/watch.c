// SPDX-License-Identifier: GPL-2.0-only

#include "fuse_config.h"
#include "fusermount3.h"
#include "mount/mtab.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A watch lives as long as the mount, so it keeps as little as possible: one capability, the
 * socket, and the lock file. Where /etc/mtab is a file, writing it takes all of root, though.
 */
int watch_prepare(struct watch *watch, const struct caller *caller,
		  const char *mountpoint)
{
	if (identity_get(&watch->identity, mountpoint, caller) != 0)
		return -1;
	watch->lock = unmount_lock_open(caller);
	if (watch->lock == -2)
		return -1;
	watch->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (watch->null < 0) {
		say("cannot open /dev/null: %s", strerror(errno));
		return -1;
	}
	if (caller->uid != 0 && !fuse_mtab_is_kept() &&
	    privileges_keep_unmount_only(caller) != 0)
		return -1;
	/* Only now: FUSE answers nobody who is not the caller through and through. */
	identity_get_unique(&watch->identity, mountpoint);
	return 0;
}

/*
 * Whatever kills or hangs up the file system's process group must not reach this process, and
 * nobody who waits for the end of its output should have to wait for it.
 */
static void go_to_background(const struct watch *watch)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	/* Leaving the directory is a courtesy; should it fail, the directory stays busy. */
	if (chdir("/") != 0)
		say("cannot leave the current directory: %s", strerror(errno));
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		dup2(watch->null, fd);
	close(watch->null);
}

static void wait_for_close(int socket)
{
	char ignored[64];
	ssize_t got;

	do {
		got = recv(socket, ignored, sizeof(ignored), 0);
	} while (got > 0 || (got < 0 && errno == EINTR));
}

int watch_run(const struct watch *watch, const struct caller *caller, int socket)
{
	go_to_background(watch);
	wait_for_close(socket);
	return identity_unmount(&watch->identity, caller, watch->lock) < 0 ? -1 : 0;
}
