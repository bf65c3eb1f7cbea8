// SPDX-License-Identifier: LGPL-2.1-or-later

#include "spec.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

#define FIELD(member) offsetof(struct fuse_mount_spec, member)

/* An option that is missing here is not a mount option, to the library and to fusermount3. */
static const struct fuse_mount_option options[] = {
	{ "ro", FUSE_MOUNT_SET_FLAG, 0, MS_RDONLY },
	{ "rw", FUSE_MOUNT_CLEAR_FLAG, 0, MS_RDONLY },
	{ "nosuid", FUSE_MOUNT_SET_FLAG, 0, MS_NOSUID },
	{ "suid", FUSE_MOUNT_CLEAR_FLAG, FUSE_MOUNT_FOR_ROOT, MS_NOSUID },
	{ "nodev", FUSE_MOUNT_SET_FLAG, 0, MS_NODEV },
	{ "dev", FUSE_MOUNT_CLEAR_FLAG, FUSE_MOUNT_FOR_ROOT, MS_NODEV },
	{ "noexec", FUSE_MOUNT_SET_FLAG, 0, MS_NOEXEC },
	{ "exec", FUSE_MOUNT_CLEAR_FLAG, 0, MS_NOEXEC },
	{ "sync", FUSE_MOUNT_SET_FLAG, 0, MS_SYNCHRONOUS },
	{ "async", FUSE_MOUNT_CLEAR_FLAG, 0, MS_SYNCHRONOUS },
	{ "dirsync", FUSE_MOUNT_SET_FLAG, 0, MS_DIRSYNC },
	{ "noatime", FUSE_MOUNT_SET_FLAG, 0, MS_NOATIME },
	{ "atime", FUSE_MOUNT_CLEAR_FLAG, 0, MS_NOATIME },
	{ "nodiratime", FUSE_MOUNT_SET_FLAG, 0, MS_NODIRATIME },
	{ "diratime", FUSE_MOUNT_CLEAR_FLAG, 0, MS_NODIRATIME },
	{ "relatime", FUSE_MOUNT_SET_FLAG, 0, MS_RELATIME },
	{ "norelatime", FUSE_MOUNT_CLEAR_FLAG, 0, MS_RELATIME },
	{ "strictatime", FUSE_MOUNT_SET_FLAG, 0, MS_STRICTATIME },
	{ "nostrictatime", FUSE_MOUNT_CLEAR_FLAG, 0, MS_STRICTATIME },
	{ "lazytime", FUSE_MOUNT_SET_FLAG, 0, MS_LAZYTIME },
	{ "nolazytime", FUSE_MOUNT_CLEAR_FLAG, 0, MS_LAZYTIME },
	{ "nosymfollow", FUSE_MOUNT_SET_FLAG, 0, MS_NOSYMFOLLOW },
	{ "symfollow", FUSE_MOUNT_CLEAR_FLAG, 0, MS_NOSYMFOLLOW },

	{ "fsname", FUSE_MOUNT_TEXT, 0, FIELD(fsname) },
	{ "subtype", FUSE_MOUNT_TEXT, 0, FIELD(subtype) },
	{ "blkdev", FUSE_MOUNT_SWITCH, FUSE_MOUNT_FOR_ROOT, FIELD(blkdev) },
	{ "auto_unmount", FUSE_MOUNT_SWITCH, 0, FIELD(auto_unmount) },
	{ "allow_root", FUSE_MOUNT_SWITCH, 0, FIELD(allow_root) },

	{ "allow_other", FUSE_MOUNT_SWITCH, FUSE_MOUNT_FOR_KERNEL, FIELD(allow_other) },
	{ "default_permissions", FUSE_MOUNT_SWITCH, FUSE_MOUNT_FOR_KERNEL,
	  FIELD(default_permissions) },
	{ "max_read", FUSE_MOUNT_NUMBER, FUSE_MOUNT_FOR_KERNEL, FIELD(max_read) },
	{ "blksize", FUSE_MOUNT_NUMBER, FUSE_MOUNT_FOR_KERNEL | FUSE_MOUNT_FOR_ROOT,
	  FIELD(blksize) },
	{ "context", FUSE_MOUNT_TEXT, FUSE_MOUNT_FOR_KERNEL | FUSE_MOUNT_FOR_ROOT,
	  FIELD(context) },
	{ "fscontext", FUSE_MOUNT_TEXT, FUSE_MOUNT_FOR_KERNEL | FUSE_MOUNT_FOR_ROOT,
	  FIELD(fscontext) },
	{ "defcontext", FUSE_MOUNT_TEXT, FUSE_MOUNT_FOR_KERNEL | FUSE_MOUNT_FOR_ROOT,
	  FIELD(defcontext) },
	{ "rootcontext", FUSE_MOUNT_TEXT, FUSE_MOUNT_FOR_KERNEL | FUSE_MOUNT_FOR_ROOT,
	  FIELD(rootcontext) },

	{ "fd", FUSE_MOUNT_RESERVED, 0, 0 },
	{ "rootmode", FUSE_MOUNT_RESERVED, 0, 0 },
	{ "user_id", FUSE_MOUNT_RESERVED, 0, 0 },
	{ "group_id", FUSE_MOUNT_RESERVED, 0, 0 },

	{ "x-", FUSE_MOUNT_COMMENT, 0, FIELD(comments) },
};

#define OPTION_COUNT (sizeof(options) / sizeof(options[0]))

static inline const void *field(const struct fuse_mount_spec *spec,
				const struct fuse_mount_option *option)
{
	return (const char *)spec + option->value;
}

static inline void *field_of(struct fuse_mount_spec *spec,
			     const struct fuse_mount_option *option)
{
	return (char *)spec + option->value;
}

void fuse_mount_spec_init(struct fuse_mount_spec *spec)
{
	*spec = (struct fuse_mount_spec){ .flags = MS_NOSUID | MS_NODEV };
}

void fuse_mount_spec_free(struct fuse_mount_spec *spec)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (options[i].kind == FUSE_MOUNT_TEXT ||
		    options[i].kind == FUSE_MOUNT_COMMENT)
			free(*(char **)field_of(spec, &options[i]));
	}
	fuse_mount_spec_init(spec);
}

const struct fuse_mount_option *fuse_mount_option_find(const char *text)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct fuse_mount_option *option = &options[i];
		size_t length = strlen(option->name);

		if (strncmp(text, option->name, length) != 0)
			continue;
		switch (option->kind) {
		case FUSE_MOUNT_SET_FLAG:
		case FUSE_MOUNT_CLEAR_FLAG:
		case FUSE_MOUNT_SWITCH:
			if (text[length] == '\0')
				return option;
			break;
		case FUSE_MOUNT_NUMBER:
		case FUSE_MOUNT_TEXT:
		case FUSE_MOUNT_RESERVED:
			if (text[length] == '=')
				return option;
			break;
		case FUSE_MOUNT_COMMENT:
			return option;
		}
	}
	return NULL;
}

static const char *set_number(uint32_t *number, const char *text)
{
	uint64_t sum = 0;

	if (*text == '\0')
		return "needs a number";
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return "needs a number";
		sum = sum * 10 + (uint64_t)(*text - '0');
		if (sum > UINT32_MAX)
			return "is too large";
	}
	*number = (uint32_t)sum;
	return NULL;
}

/*
 * An empty name would leave an empty column in the mount table, which shifts the ones after it
 * for every program that reads it. The kernel takes no longer text than this either.
 */
static const char *set_text(char **field, const char *text)
{
	char *copy;

	if (*text == '\0')
		return "needs a value";
	if (strlen(text) >= PATH_MAX)
		return "is too long";
	copy = strdup(text);
	if (!copy)
		return "does not fit into memory";
	free(*field);
	*field = copy;
	return NULL;
}

/* The kernel's data has quotes around a label with commas in it, and no way to quote a quote. */
static const char *set_label(char **field, const char *text)
{
	size_t length = strlen(text);
	char *bare;
	const char *reason;

	if (length >= 2 && text[0] == '"' && text[length - 1] == '"') {
		text++;
		length -= 2;
	}
	bare = strndup(text, length);
	if (!bare)
		return "does not fit into memory";
	reason = strchr(bare, '"') ? "may not contain a quote" : set_text(field, bare);
	free(bare);
	return reason;
}

static const char *add_comment(char **comments, const char *text)
{
	char *joined;

	/* They end up in a list of options, and may not smuggle another one into it. */
	if (strchr(text, ','))
		return "may not contain a comma";
	if (asprintf(&joined, "%s%s%s", *comments ? *comments : "", *comments ? "," : "",
		     text) < 0)
		return "does not fit into memory";
	free(*comments);
	*comments = joined;
	return NULL;
}

const char *fuse_mount_spec_set(struct fuse_mount_spec *spec,
				const struct fuse_mount_option *option, const char *text)
{
	const char *value = text + strlen(option->name) + 1;

	switch (option->kind) {
	case FUSE_MOUNT_SET_FLAG:
		spec->flags |= option->value;
		return NULL;
	case FUSE_MOUNT_CLEAR_FLAG:
		spec->flags &= ~option->value;
		return NULL;
	case FUSE_MOUNT_SWITCH:
		*(bool *)field_of(spec, option) = true;
		return NULL;
	case FUSE_MOUNT_NUMBER:
		return set_number(field_of(spec, option), value);
	case FUSE_MOUNT_TEXT:
		if (option->traits & FUSE_MOUNT_FOR_KERNEL)
			return set_label(field_of(spec, option), value);
		return set_text(field_of(spec, option), value);
	case FUSE_MOUNT_RESERVED:
		return "may not be given: it is filled in when mounting";
	case FUSE_MOUNT_COMMENT:
		return add_comment(field_of(spec, option), text);
	}
	return "is of no known kind";
}

const char *fuse_mount_spec_check(const struct fuse_mount_spec *spec)
{
	if (spec->allow_other && spec->allow_root)
		return "options 'allow_other' and 'allow_root' exclude each other";
	if (spec->blkdev && !spec->fsname)
		return "option 'blkdev' needs the block device as 'fsname='";
	if (spec->blksize && !spec->blkdev)
		return "option 'blksize=' is only for 'blkdev'";
	return NULL;
}

const char *fuse_mount_spec_source(const struct fuse_mount_spec *spec)
{
	if (spec->fsname)
		return spec->fsname;
	return spec->subtype ? spec->subtype : "/dev/fuse";
}

static const char *base_type(const struct fuse_mount_spec *spec)
{
	return spec->blkdev ? "fuseblk" : "fuse";
}

char *fuse_mount_spec_type(const struct fuse_mount_spec *spec)
{
	char *type;

	if (asprintf(&type, "%s%s%s", base_type(spec), spec->subtype ? "." : "",
		     spec->subtype ? spec->subtype : "") < 0)
		return NULL;
	return type;
}

static void put_option(FILE *data, const struct fuse_mount_spec *spec,
		       const struct fuse_mount_option *option)
{
	if (option->kind == FUSE_MOUNT_SWITCH) {
		if (*(const bool *)field(spec, option))
			fprintf(data, ",%s", option->name);
	} else if (option->kind == FUSE_MOUNT_NUMBER) {
		uint32_t number = *(const uint32_t *)field(spec, option);

		if (number)
			fprintf(data, ",%s=%" PRIu32, option->name, number);
	} else if (option->kind == FUSE_MOUNT_TEXT) {
		const char *text = *(char *const *)field(spec, option);

		if (text)
			fprintf(data, strchr(text, ',') ? ",%s=\"%s\"" : ",%s=%s",
				option->name, text);
	}
}

char *fuse_mount_spec_data(const struct fuse_mount_spec *spec,
			   const struct fuse_mount_target *target)
{
	char *text = NULL;
	size_t length;
	FILE *data = open_memstream(&text, &length);
	bool failed;

	if (!data)
		return NULL;
	fprintf(data, "fd=%d,rootmode=%o,user_id=%u,group_id=%u", target->device,
		target->mode & S_IFMT, target->uid, target->gid);
	if (spec->allow_root)
		fprintf(data, ",allow_other");
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (options[i].traits & FUSE_MOUNT_FOR_KERNEL)
			put_option(data, spec, &options[i]);
	}
	failed = ferror(data);
	if (fclose(data) != 0 || failed) {
		free(text);
		return NULL;
	}
	return text;
}

/* Kernels before 2.6.26 know no subtypes; by convention the subtype then prefixes the name. */
static int mount_without_subtype(const struct fuse_mount_spec *spec,
				 const struct fuse_mount_target *target, const char *data)
{
	char *source;
	int result;

	if (spec->blkdev || !spec->fsname)
		return mount(fuse_mount_spec_source(spec), target->path, base_type(spec),
			     spec->flags, data);
	if (asprintf(&source, "%s#%s", spec->subtype, spec->fsname) < 0) {
		errno = ENOMEM;
		return -1;
	}
	result = mount(source, target->path, base_type(spec), spec->flags, data);
	free(source);
	return result;
}

int fuse_mount_spec_mount(const struct fuse_mount_spec *spec,
			  const struct fuse_mount_target *target)
{
	char *type = fuse_mount_spec_type(spec);
	char *data = fuse_mount_spec_data(spec, target);
	int result = -1;
	int error;

	if (!type || !data) {
		errno = ENOMEM;
	} else if (strlen(data) >= (size_t)sysconf(_SC_PAGESIZE)) {
		/* mount(2) would cut it there without a word. */
		errno = E2BIG;
	} else {
		result = mount(fuse_mount_spec_source(spec), target->path, type,
			       spec->flags, data);
		if (result != 0 && errno == ENODEV && spec->subtype)
			result = mount_without_subtype(spec, target, data);
	}
	error = errno;
	free(type);
	free(data);
	errno = error;
	return result;
}

const char *fuse_mount_spec_error(const struct fuse_mount_spec *spec, int error)
{
	switch (error) {
	case ENODEV:
		return spec->blkdev ? "this kernel has no file system 'fuseblk'"
				    : "this kernel has no file system 'fuse'";
	case ENOTBLK:
		return "fsname= is not a block device, which 'blkdev' needs";
	case E2BIG:
		return "the options are too long";
	case EINVAL:
		return "the kernel does not accept the options";
	default:
		return strerror(error);
	}
}

char *fuse_mount_next_option(char **list)
{
	char *option = *list;
	char *from = option;
	char *to = option;

	if (!option)
		return NULL;
	while (*from && *from != ',') {
		if (*from == '\\' && from[1])
			from++;
		*to++ = *from++;
	}
	*list = *from ? from + 1 : NULL;
	*to = '\0';
	return option;
}
