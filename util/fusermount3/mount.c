// SPDX-License-Identifier: GPL-2.0-only

#include "fuse_config.h"
#include "fusermount3.h"
#include "mount/mountinfo.h"
#include "mount/mtab.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEVICE "/dev/fuse"

/*
 * Where /etc/mtab is a file, mount(8) is run as root to write it, and carries these out: makes a
 * directory, gives it to somebody, and what else may come.
 */
static bool is_order(const char *text)
{
	static const char prefix[] = "x-mount.";

	return strncmp(text, prefix, sizeof(prefix) - 1) == 0;
}

static bool is_for_root(const struct fuse_mount_option *option, const char *text)
{
	return (option->traits & FUSE_MOUNT_FOR_ROOT) ||
	       (option->kind == FUSE_MOUNT_COMMENT && is_order(text));
}

/*
 * The opposites of nosuid and nodev do no harm, as these are set in the end, and neither does an
 * order that is not passed on. So they are not refused: file systems pass them on from /etc/fstab.
 */
static int refuse_option(const struct fuse_mount_option *option, const char *text)
{
	bool harmless = option->kind == FUSE_MOUNT_CLEAR_FLAG ||
			option->kind == FUSE_MOUNT_COMMENT;

	say("option '%s' is for root only%s", text, harmless ? ", ignored" : "");
	return harmless ? 0 : -1;
}

static int parse_option(struct fuse_mount_spec *spec, const struct caller *caller,
			const char *text)
{
	const struct fuse_mount_option *option = fuse_mount_option_find(text);
	const char *reason;

	if (!option) {
		say("unknown option '%s'", text);
		return -1;
	}
	if (caller->uid != 0 && is_for_root(option, text))
		return refuse_option(option, text);
	reason = fuse_mount_spec_set(spec, option, text);
	if (!reason)
		return 0;
	say("option '%s' %s", text, reason);
	return -1;
}

static int parse_options(struct fuse_mount_spec *spec, const struct caller *caller,
			 char *list)
{
	const char *reason;
	char *text;

	while ((text = fuse_mount_next_option(&list))) {
		if (*text && parse_option(spec, caller, text) != 0)
			return -1;
	}
	if (caller->uid != 0)
		spec->flags |= MS_NOSUID | MS_NODEV;
	reason = fuse_mount_spec_check(spec);
	/* It would be allow_other without the check that makes it allow_root. */
	if (!reason && spec->allow_root)
		reason =
			"option 'allow_root' is a matter of the library: use 'allow_other'";
	if (!reason)
		return 0;
	say("%s", reason);
	return -1;
}

/* Mounts of ordinary users; -1: the table cannot be read to its end */
static long count_mounts(void)
{
	struct fuse_mount_table table = { 0 };
	struct fuse_mount_entry entry;
	long count = 0;
	uid_t owner;

	if (fuse_mount_table_open(&table) != 0)
		table.error = errno;
	while (!table.error && fuse_mount_table_next(&table, &entry)) {
		if (fuse_mount_entry_is_fuse(&entry) &&
		    fuse_mount_entry_owner(&entry, &owner) && owner != 0)
			count++;
	}
	if (table.error) {
		say("cannot count mounts: %s", strerror(table.error));
		count = -1;
	}
	fuse_mount_table_close(&table);
	return count;
}

static int check_config(const struct fuse_mount_spec *spec, const struct caller *caller)
{
	struct config config;
	long count;

	if (caller->uid == 0)
		return 0;
	if (config_read(&config, caller) != 0)
		return -1;
	if (spec->allow_other && !config.user_allow_other) {
		say("option 'allow_other' needs 'user_allow_other' in /etc/fuse.conf");
		return -1;
	}
	if (config.mount_max < 0)
		return 0;
	count = count_mounts();
	if (count < 0)
		return -1;
	if (count < config.mount_max)
		return 0;
	say("too many FUSE mounts: 'mount_max' in /etc/fuse.conf allows %ld",
	    config.mount_max);
	return -1;
}

static const char *device_hint(int error)
{
	if ((error == EACCES || error == EPERM) && geteuid() != 0)
		return " (" PROGRAM " is not set-uid root)";
	if (error == ENOENT || error == ENODEV || error == ENXIO)
		return " (is the kernel module 'fuse' loaded?)";
	return "";
}

static int open_device(const struct caller *caller)
{
	int error, fd;

	privileges_raise();
	fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	error = errno;
	privileges_lower(caller);
	if (fd < 0)
		say("cannot open " DEVICE ": %s%s", strerror(error), device_hint(error));
	return fd;
}

static int send_descriptor(int socket, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char byte = 0;
	struct iovec vector = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &vector,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	ssize_t sent;

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	do {
		sent = sendmsg(socket, &message, MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	if (sent == 1)
		return 0;
	say("cannot hand over the descriptor: %s", strerror(errno));
	return -1;
}

/* Where a descriptor leads, free of links */
static int resolve(int fd, char *path, size_t size)
{
	char link[sizeof("/proc/self/fd/-2147483648")];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, size);
	if (length < 0 || (size_t)length >= size) {
		say("cannot tell the path of the mount point: %s",
		    strerror(length < 0 ? errno : ENAMETOOLONG));
		return -1;
	}
	path[length] = '\0';
	return 0;
}

static void take_back(const char *path, const struct caller *caller)
{
	int lock = unmount_lock_open(caller);
	struct identity identity;

	if (lock == -2)
		return;
	if (identity_get(&identity, path, caller) == 0)
		identity_unmount(&identity, caller, lock);
	if (lock >= 0)
		close(lock);
}

/* Once mounted: hands the descriptor over, and stays if it is to be unmounted later. */
static int deliver(const struct caller *caller, const struct fuse_mount_spec *spec,
		   const char *path, int device, int socket)
{
	struct watch watch;

	if (spec->auto_unmount && watch_prepare(&watch, caller, path) != 0)
		goto undo;
	if (send_descriptor(socket, device) != 0)
		goto undo;
	close(device);
	return spec->auto_unmount ? watch_run(&watch, caller, socket) : 0;
undo:
	close(device);
	take_back(path, caller);
	return -1;
}

static int mount_on(const struct caller *caller, const struct fuse_mount_spec *spec,
		    const char *mountpoint, int socket)
{
	char link[sizeof("/proc/self/fd/-2147483648")];
	struct fuse_mount_target target = {
		.path = link,
		.uid = caller->uid,
		.gid = caller->gid,
	};
	char path[PATH_MAX];
	int place;

	place = mountpoint_open(mountpoint, caller, &target.mode);
	if (place < 0 || resolve(place, path, sizeof(path)) != 0)
		return -1;
	target.device = open_device(caller);
	if (target.device < 0)
		return -1;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", place);
	if (fuse_mount_spec_mount(spec, &target) != 0) {
		const char *reason = fuse_mount_spec_error(spec, errno);

		say("cannot mount on '%s': %s", mountpoint, reason);
		return -1;
	}
	close(place);
	fuse_mtab_add(spec, path);
	return deliver(caller, spec, path, target.device, socket);
}

int mount_filesystem(const struct caller *caller, const char *mountpoint, char *options,
		     int socket)
{
	struct fuse_mount_spec spec;
	int result = -1;

	fuse_mount_spec_init(&spec);
	if (parse_options(&spec, caller, options) == 0 &&
	    check_config(&spec, caller) == 0)
		result = mount_on(caller, &spec, mountpoint, socket);
	fuse_mount_spec_free(&spec);
	return result;
}
