// SPDX-License-Identifier: GPL-2.0-only
/*
 * Three parties read an option list: mount(8) and those who manage mounts, whose options no
 * program understands; this program; and the program that is to be run.
 */
#include "fuse_config.h"
#include "mount.fuse3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * For fstab(5) and who reads it. A name that ends with '=' or '-' stands for all that begin so.
 * No "user=": it is some programs' own option, and libfuse drops it if nobody claims it.
 */
static const char *const management[] = {
	"auto",	   "noauto",   "user",	   "nouser",  "users", "nousers", "owner",
	"noowner", "group",    "nogroup",  "nofail",  "fail",  "_netdev", "defaults",
	"loud",	   "comment=", "uhelper=", "helper=", "x-",    "X-",
};

static bool is_for_management(const char *option)
{
	for (size_t i = 0; i < sizeof(management) / sizeof(management[0]); i++) {
		const char *name = management[i];
		size_t length = strlen(name);

		if (strcmp(option, name) == 0)
			return true;
		if ((name[length - 1] == '=' || name[length - 1] == '-') &&
		    strncmp(option, name, length) == 0)
			return true;
	}
	return false;
}

static int no_memory(void)
{
	say("out of memory");
	return -1;
}

/* Appends `length` bytes of text to the list for the program. */
static int forward(struct request *request, const char *text, size_t length)
{
	char *joined;

	if (asprintf(&joined, "%s%s%.*s", request->options ? request->options : "",
		     request->options ? "," : "", (int)length, text) < 0)
		return no_memory();
	free(request->options);
	request->options = joined;
	return 0;
}

/* The program will see to what is wrong with it, unless it is us who mount. */
static int note_mount_option(struct request *request, const char *option)
{
	const struct fuse_mount_option *known = fuse_mount_option_find(option);
	const char *reason;

	if (!known)
		return 0;
	reason = fuse_mount_spec_set(&request->spec, known, option);
	if (!reason)
		return 0;
	say("option '%s' %s", option, reason);
	return -1;
}

static int set_user(struct request *request, const char *name)
{
	if (!*name) {
		say("option 'setuid=' needs the name of a user");
		return -1;
	}
	free(request->user);
	request->user = strdup(name);
	return request->user ? 0 : no_memory();
}

/* `raw` and its length are how the option is written, with backslashes. */
static int parse_option(struct request *request, const char *option, const char *raw,
			size_t length)
{
	static const char setuid_option[] = "setuid=";

	if (!*option || is_for_management(option))
		return 0;
	if (strncmp(option, setuid_option, sizeof(setuid_option) - 1) == 0)
		return set_user(request, option + sizeof(setuid_option) - 1);
	if (strcmp(option, "drop_privileges") == 0) {
		request->drop_privileges = true;
		request->mounted = true;
		return 0;
	}
	if (strcmp(option, "pass_fuse_fd") == 0) {
		request->mounted = true;
		return 0;
	}
	if (note_mount_option(request, option) != 0)
		return -1;
	return forward(request, raw, length);
}

int options_parse(struct request *request, const char *list)
{
	char *copy = strdup(list), *next = copy;
	const char *option;
	int result = 0;

	if (!copy)
		return no_memory();
	while (result == 0 && (option = fuse_mount_next_option(&next))) {
		/* It was unescaped in place: the original is as long as it is to the next one. */
		const char *raw = list + (option - copy);
		size_t length = next ? (size_t)(next - option) - 1 : strlen(raw);

		result = parse_option(request, option, raw, length);
	}
	free(copy);
	return result;
}

/*
 * Programs mount nosuid and nodev unless they are told otherwise; mount(8) is expected to do the
 * opposite. What an ordinary user's program serves is nobody's to trust.
 */
static int add_defaults_of_mount(struct request *request, bool no_dev, bool no_suid)
{
	static const char dev[] = "dev", suid[] = "suid";

	if (getuid() != 0 || request->user)
		return 0;
	if (!no_dev &&
	    (note_mount_option(request, dev) || forward(request, dev, strlen(dev))))
		return -1;
	if (!no_suid &&
	    (note_mount_option(request, suid) || forward(request, suid, strlen(suid))))
		return -1;
	return 0;
}

/* Is this one of the options that go to the program? */
static bool has_option(const struct request *request, const char *wanted)
{
	char *copy = strdup(request->options ? request->options : ""), *next = copy;
	const char *option;
	bool found = false;

	while (copy && !found && (option = fuse_mount_next_option(&next)))
		found = strcmp(option, wanted) == 0;
	free(copy);
	return found;
}

/* The columns of the mount table, as the program itself would fill them in. */
static int name_mount(struct request *request)
{
	const char *slash = strrchr(request->type, '/');
	const char *base = slash ? slash + 1 : request->type;
	const char *source = request->source ? request->source : request->type;
	struct fuse_mount_spec *spec = &request->spec;

	if (!spec->subtype && !(spec->subtype = strdup(base)))
		return no_memory();
	if (!spec->fsname && !(spec->fsname = strdup(source)))
		return no_memory();
	return 0;
}

int options_complete(struct request *request)
{
	const char *reason;

	if (add_defaults_of_mount(request, has_option(request, "nodev"),
				  has_option(request, "nosuid")) != 0)
		return -1;
	if (!request->mounted)
		return 0;
	/* Whoever waits for the program's end to unmount would need the privileges. */
	if (request->spec.auto_unmount) {
		say("option 'auto_unmount' and '%s' exclude each other",
		    request->drop_privileges ? "drop_privileges" : "pass_fuse_fd");
		return -1;
	}
	reason = fuse_mount_spec_check(&request->spec);
	if (reason) {
		say("%s", reason);
		return -1;
	}
	return name_mount(request);
}
