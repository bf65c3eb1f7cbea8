// SPDX-License-Identifier: GPL-2.0-only
/*
 * Becoming somebody else, and somebody who can do nothing.
 */
#include "fuse_config.h"
#include "mount.fuse3.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fail(const char *what)
{
	say("%s: %s", what, strerror(errno));
	return -1;
}

static const struct passwd *find_user(const struct request *request)
{
	const struct passwd *entry;

	if (!request->user)
		return getpwuid(getuid());
	entry = getpwnam(request->user);
	if (!entry)
		say("option 'setuid=': there is no user '%s'", request->user);
	else if (getuid() != 0 && entry->pw_uid != getuid())
		say("option 'setuid=' is for root only");
	else
		return entry;
	return NULL;
}

int identity_find(struct identity *identity, const struct request *request)
{
	const struct passwd *entry = find_user(request);

	*identity = (struct identity){ .uid = getuid(), .gid = getgid() };
	if (!entry)
		return request->user ? -1 : 0; /* one may have a number without a name */
	identity->change = request->user && entry->pw_uid != getuid();
	if (identity->change) {
		identity->uid = entry->pw_uid;
		identity->gid = entry->pw_gid;
	}
	identity->name = strdup(entry->pw_name);
	identity->home = strdup(entry->pw_dir);
	if (identity->name && identity->home)
		return 0;
	say("out of memory");
	return -1;
}

int identity_assume(const struct identity *identity)
{
	const int replace = identity->change;

	if (identity->change) {
		if (initgroups(identity->name, identity->gid) != 0)
			return fail("cannot get the groups of the user");
		if (setgid(identity->gid) != 0 || setuid(identity->uid) != 0)
			return fail("cannot become the user");
	}
	/* mount(8) takes them away, and programs look for their configuration there. */
	if (identity->name) {
		setenv("USER", identity->name, replace);
		setenv("LOGNAME", identity->name, replace);
		setenv("HOME", identity->home, replace);
	}
	return 0;
}

/* One that this kernel does not know ends the list. */
static int empty_bounding_set(void)
{
	for (unsigned long capability = 0; capability < 64; capability++) {
		if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0)
			continue;
		if (errno == EINVAL && capability > 0)
			return 0;
		return -1;
	}
	return 0;
}

static int empty_capability_sets(void)
{
	struct __user_cap_header_struct header = { .version =
							   _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

	return (int)syscall(SYS_capset, &header, sets);
}

/* User 0 is then a user like others, and no file gives anything back. */
static int lock_securebits(void)
{
	return prctl(PR_SET_SECUREBITS,
		     SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
			     SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
			     SECBIT_NO_CAP_AMBIENT_RAISE |
			     SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
		     0, 0, 0);
}

int privileges_seal(void)
{
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 &&
	    errno != EINVAL)
		return fail("cannot clear ambient capabilities");
	if (lock_securebits() != 0 || empty_bounding_set() != 0)
		return fail("cannot give up capabilities for good");
	return 0;
}

int privileges_drop(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return fail("cannot rule out new privileges");
	if (empty_capability_sets() != 0)
		return fail("cannot give up capabilities");
	return 0;
}
