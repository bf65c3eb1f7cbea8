// SPDX-License-Identifier: LGPL-2.1-or-later

#include "fuse_config.h"
#include "mtab.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

bool fuse_mtab_is_kept(void)
{
#ifdef IGNORE_MTAB
	return false;
#else
	struct stat mtab;

	return lstat("/etc/mtab", &mtab) == 0 && S_ISREG(mtab.st_mode);
#endif
}

/* fusermount3 is root by its effective user only; the child becomes so altogether. */
static void run(const char *path, const char *const argv[])
{
	static char *const environment[] = { NULL };
	sigset_t no_signals;
	pid_t child = fork();

	if (child == 0) {
		sigemptyset(&no_signals);
		sigprocmask(SIG_SETMASK, &no_signals, NULL);
		if (setgid(getegid()) == 0 && setuid(geteuid()) == 0)
			execve(path, (char *const *)argv, environment);
		_exit(127);
	}
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		continue;
}

/* As mount(8) takes it for one: commas would make it a list, of which it tries one by one. */
static char *one_type(const struct fuse_mount_spec *spec)
{
	char *type = fuse_mount_spec_type(spec);

	for (char *comma = type; comma && (comma = strchr(comma, ','));)
		*comma = '_';
	return type;
}

void fuse_mtab_add(const struct fuse_mount_spec *spec, const char *mountpoint)
{
	char *options = NULL;
	char *type;

	if (!fuse_mtab_is_kept())
		return;
	type = one_type(spec);
	if (type &&
	    asprintf(&options, "%s%s%s%s%s", spec->flags & MS_RDONLY ? "ro" : "rw",
		     spec->flags & MS_NOSUID ? ",nosuid" : "",
		     spec->flags & MS_NODEV ? ",nodev" : "", spec->comments ? "," : "",
		     spec->comments ? spec->comments : "") >= 0) {
		const char *const argv[] = { "mount",	 "--no-canonicalize",
					     "-i",	 "-f",
					     "-t",	 type,
					     "-o",	 options,
					     "--",	 fuse_mount_spec_source(spec),
					     mountpoint, NULL };

		run("/bin/mount", argv);
		free(options);
	}
	free(type);
}

void fuse_mtab_remove(const char *mountpoint)
{
	const char *const argv[] = { "umount", "--no-canonicalize", "-i", "--fake",
				     "--",     mountpoint,	    NULL };

	if (fuse_mtab_is_kept())
		run("/bin/umount", argv);
}
