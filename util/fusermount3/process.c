// SPDX-License-Identifier: GPL-2.0-only

#include "fuse_config.h"
#include "fusermount3.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Otherwise a file that is opened later becomes what messages are written to. */
void process_open_stdio(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			_exit(EXIT_FAILURE);
	}
}

static int close_range_of(unsigned int first, unsigned int last)
{
	if (first > last)
		return 0;
#ifdef SYS_close_range
	return (int)syscall(SYS_close_range, first, last, 0);
#else
	errno = ENOSYS;
	return -1;
#endif
}

/* For kernels before 5.9 */
static int close_listed(int keep)
{
	DIR *directory = opendir("/proc/self/fd");
	struct dirent *entry;

	if (!directory)
		return -1;
	while ((entry = readdir(directory))) {
		int fd = atoi(entry->d_name);

		if (fd > STDERR_FILENO && fd != keep && fd != dirfd(directory))
			close(fd);
	}
	closedir(directory);
	return 0;
}

static int close_others(int keep)
{
	const unsigned int first = STDERR_FILENO + 1;

	if (keep < (int)first) {
		if (close_range_of(first, UINT_MAX) == 0)
			return 0;
	} else if (close_range_of(first, (unsigned int)keep - 1) == 0 &&
		   close_range_of((unsigned int)keep + 1, UINT_MAX) == 0) {
		return 0;
	}
	return close_listed(keep);
}

/* As far as it may */
static void lift(int resource)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	if (setrlimit(resource, &limit) == 0 || getrlimit(resource, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(resource, &limit);
}

/*
 * A limit must not cut a file short, dump memory to the caller, or make a look fail for good or
 * just where the caller wants it to.
 */
static void reset_limits(void)
{
	const struct rlimit zero = { 0, 0 };
	const struct rlimit files = { 256, 256 };

	setrlimit(RLIMIT_CORE, &zero);
	lift(RLIMIT_FSIZE);
	lift(RLIMIT_AS);
	lift(RLIMIT_DATA);
	setrlimit(RLIMIT_NOFILE, &files);
}

void process_sanitize(int keep)
{
	if (close_others(keep) != 0) {
		say("cannot close inherited descriptors: %s", strerror(errno));
		_exit(EXIT_FAILURE);
	}
	clearenv();
	umask(022);
	reset_limits();
}

/* The calls report no errors: with an impossible id they tell the one in force. */
static void set_file_ids(uid_t uid, gid_t gid)
{
	setfsgid(gid);
	setfsuid(uid);
	if ((gid_t)setfsgid((gid_t)-1) != gid || (uid_t)setfsuid((uid_t)-1) != uid) {
		say("cannot take on the caller's file permissions");
		_exit(EXIT_FAILURE);
	}
}

void privileges_lower(const struct caller *caller)
{
	set_file_ids(caller->uid, caller->gid);
}

void privileges_raise(void)
{
	set_file_ids(geteuid(), getegid());
}

int privileges_keep_unmount_only(const struct caller *caller)
{
	struct __user_cap_header_struct header = { .version =
							   _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective = CAP_TO_MASK(CAP_SYS_ADMIN);
	data[CAP_TO_INDEX(CAP_SYS_ADMIN)].permitted = CAP_TO_MASK(CAP_SYS_ADMIN);
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 &&
	    setresgid(caller->gid, caller->gid, caller->gid) == 0 &&
	    setresuid(caller->uid, caller->uid, caller->uid) == 0 &&
	    syscall(SYS_capset, &header, data) == 0 &&
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
		return 0;
	say("cannot give up privileges: %s", strerror(errno));
	return -1;
}
