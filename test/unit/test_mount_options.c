// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mount options: which are taken, what mount(2) and fusermount3 get to see of them, and that
 * nothing in a value can pass for another option.
 */
#include "fuse_log.h"
#include "mount/mountinfo.h"
#include "mount/options.h"

#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANY 16

static char message[8192];

static void remember(enum fuse_log_level level, const char *fmt, va_list ap)
{
	size_t used = strlen(message);

	vsnprintf(message + used, sizeof(message) - used, fmt, ap);
}

static struct fuse_args rest;

/* What is left over, arguments between bars */
static const char *left(void)
{
	static char shown[8192];

	shown[0] = '\0';
	for (int i = 0; i < rest.argc; i++) {
		strcat(shown, i ? "|" : "");
		strcat(shown, rest.argv[i]);
	}
	return shown;
}

/* Parses "prog" and the arguments, which end with NULL. */
static struct fuse_mount_options *parse(const char *first, ...)
{
	static char *argv[MANY];
	const char *argument;
	va_list ap;
	int argc = 0;

	fuse_opt_free_args(&rest);
	message[0] = '\0';
	argv[argc++] = (char *)"prog";
	va_start(ap, first);
	for (argument = first; argument; argument = va_arg(ap, const char *))
		argv[argc++] = (char *)argument;
	va_end(ap);
	argv[argc] = NULL;
	rest = (struct fuse_args)FUSE_ARGS_INIT(argc, argv);
	return fuse_mount_options_parse(&rest);
}

static struct fuse_mount_options *parse_list(const char *list)
{
	struct fuse_mount_options *options = parse("-o", list, NULL);

	if (!options)
		fprintf(stderr, "%s", message);
	CHECK(options);
	CHECK_TEXT(message, "");
	return options;
}

static void check_data(const struct fuse_mount_options *options, const char *should)
{
	const struct fuse_mount_target target = {
		.device = 7, .mode = S_IFDIR | 0755, .uid = 1000, .gid = UINT_MAX - 1
	};
	static const char head[] = "fd=7,rootmode=40000,user_id=1000,group_id=4294967294";
	char *data = fuse_mount_spec_data(&options->spec, &target);

	CHECK(data);
	CHECK(strncmp(data, head, sizeof(head) - 1) == 0);
	CHECK_TEXT(data + sizeof(head) - 1, should);
	free(data);
}

static void check_type(const struct fuse_mount_options *options, const char *type,
		       const char *source)
{
	char *is = fuse_mount_spec_type(&options->spec);

	CHECK_TEXT(is, type);
	CHECK_TEXT(fuse_mount_spec_source(&options->spec), source);
	free(is);
}

static void test_nothing(void)
{
	struct fuse_mount_options *options;

	CASE("no options");
	options = parse("mnt", NULL);
	CHECK(options);
	CHECK_TEXT(left(), "prog|mnt");
	CHECK(!options->forwarded);
	CHECK_INT(options->spec.flags, MS_NOSUID | MS_NODEV);
	CHECK_INT(fuse_mount_options_max_read(options), 0);
	CHECK(!fuse_mount_options_auto_unmount(options));
	CHECK(!fuse_mount_options_allow_root(options));
	CHECK(!fuse_mount_options_allow_other(options));
	CHECK(!fuse_mount_options_default_permissions(options));
	check_data(options, "");
	check_type(options, "fuse", "/dev/fuse");
	fuse_mount_options_free(options);
	fuse_mount_options_free(NULL);
}

static void test_others_stay(void)
{
	struct fuse_mount_options *options;

	CASE("options of others stay");
	options = parse("-f", "-o",
			"ro,io_uring,fsname=a\\,b,max_threads=3,odd=c\\,d,max_read=9",
			"-oallow_other,context", "mnt", NULL);
	CHECK(options);
	CHECK_TEXT(left(), "prog|-o|io_uring,max_threads=3,odd=c\\,d,context|-f|mnt");
	CHECK_TEXT(options->forwarded, "ro,fsname=a\\,b,max_read=9,allow_other");
	CHECK_INT(fuse_mount_options_max_read(options), 9);
	check_data(options, ",allow_other,max_read=9");
	check_type(options, "fuse", "a,b");
	fuse_mount_options_free(options);
}

static void test_ignored(void)
{
	struct fuse_mount_options *options;

	CASE("what mount(8) has for its own table is taken and ignored");
	options = parse("-n", "-o", "user=me,ro,username=me", "mnt", NULL);
	CHECK(options);
	CHECK_TEXT(left(), "prog|-o|username=me|mnt");
	CHECK_TEXT(options->forwarded, "ro");
	check_data(options, "");
	fuse_mount_options_free(options);
}

static void test_flags(void)
{
	static const struct {
		const char *list;
		unsigned long flags;
	} rows[] = {
		{ "dev,suid", 0 },
		{ "suid,nosuid,dev", MS_NOSUID },
		{ "rw", MS_NOSUID | MS_NODEV },
		{ "ro", MS_NOSUID | MS_NODEV | MS_RDONLY },
		{ "ro,rw", MS_NOSUID | MS_NODEV },
		{ "dev,suid,noexec,sync,dirsync",
		  MS_NOEXEC | MS_SYNCHRONOUS | MS_DIRSYNC },
		{ "dev,suid,noexec,sync,exec,async", 0 },
		{ "dev,suid,noatime,nodiratime", MS_NOATIME | MS_NODIRATIME },
		{ "dev,suid,noatime,nodiratime,atime,diratime", 0 },
		{ "dev,suid,relatime,strictatime,lazytime",
		  MS_RELATIME | MS_STRICTATIME | MS_LAZYTIME },
		{ "dev,suid,relatime,strictatime,lazytime,norelatime,nostrictatime,nolazytime",
		  0 },
		{ "dev,suid,nosymfollow", 256 },
		{ "dev,suid,nosymfollow,symfollow", 0 },
	};
	struct fuse_mount_options *options;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CASE("flags %s", rows[i].list);
		options = parse_list(rows[i].list);
		CHECK_INT(options->spec.flags, rows[i].flags);
		CHECK_TEXT(options->forwarded, rows[i].list);
		CHECK_TEXT(left(), "prog");
		fuse_mount_options_free(options);
	}
	CASE("-r");
	options = parse("-r", NULL);
	CHECK(options);
	CHECK(options->spec.flags & MS_RDONLY);
	CHECK_TEXT(options->forwarded, "ro");
	CHECK_TEXT(left(), "prog");
	fuse_mount_options_free(options);
}

static void test_access(void)
{
	struct fuse_mount_options *options;

	CASE("allow_root is the kernel's allow_other");
	options = parse_list("allow_root,default_permissions,auto_unmount");
	CHECK(fuse_mount_options_allow_root(options));
	CHECK(fuse_mount_options_allow_other(options));
	CHECK(fuse_mount_options_default_permissions(options));
	CHECK(fuse_mount_options_auto_unmount(options));
	check_data(options, ",allow_other,default_permissions");
	CHECK_TEXT(options->forwarded, "allow_other,default_permissions,auto_unmount");
	fuse_mount_options_free(options);

	CASE("allow_other");
	options = parse_list("allow_other");
	CHECK(!fuse_mount_options_allow_root(options));
	CHECK(fuse_mount_options_allow_other(options));
	check_data(options, ",allow_other");
	fuse_mount_options_free(options);
}

static void test_names(void)
{
	struct fuse_mount_options *options;

	CASE("names of file system and type");
	options = parse_list("subtype=sub");
	check_type(options, "fuse.sub", "sub");
	fuse_mount_options_free(options);
	options = parse_list("subtype=sub,fsname=user@host:/a b,fsname=last");
	check_type(options, "fuse.sub", "last");
	fuse_mount_options_free(options);
	options = parse_list("blkdev,fsname=/dev/x,subtype=ntfs,blksize=512");
	check_type(options, "fuseblk.ntfs", "/dev/x");
	check_data(options, ",blksize=512");
	fuse_mount_options_free(options);
	options = parse_list("blkdev,fsname=/dev/x");
	check_type(options, "fuseblk", "/dev/x");
	fuse_mount_options_free(options);
}

/* Whatever is in a name has to come through fusermount3's list of options unchanged. */
static void test_escaping(void)
{
	static const struct {
		const char *given; /* on the command line */
		const char *meant;
	} rows[] = {
		{ "a\\,b", "a,b" },
		{ "a\\\\b", "a\\b" },
		{ "\\\\\\,\\\\", "\\,\\" },
		{ "x\\,allow_other\\,dev", "x,allow_other,dev" },
		{ "=,\\,", "=" },
		{ "a b\tc\nd", "a b\tc\nd" },
		{ "\xc3\xa9\"'", "\xc3\xa9\"'" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *list, *option;
		char given[64];
		struct fuse_mount_options *options;

		CASE("escaped name %s", rows[i].meant);
		snprintf(given, sizeof(given), "ro,fsname=%s", rows[i].given);
		options = parse("-o", given, NULL);
		CHECK(options);
		CHECK_TEXT(options->spec.fsname, rows[i].meant);
		CHECK_TEXT(fuse_mount_spec_source(&options->spec), rows[i].meant);
		check_data(options, "");
		list = options->forwarded;
		CHECK_TEXT(fuse_mount_next_option(&list), "ro");
		option = fuse_mount_next_option(&list);
		CHECK(option && strncmp(option, "fsname=", 7) == 0);
		CHECK_TEXT(option + 7, rows[i].meant);
		CHECK(!fuse_mount_next_option(&list));
		fuse_mount_options_free(options);
	}
}

static void test_list(void)
{
	char text[] = ",a\\,b,,c\\\\,\\d\\";
	char *list = text;

	CASE("list of options");
	CHECK_TEXT(fuse_mount_next_option(&list), "");
	CHECK_TEXT(fuse_mount_next_option(&list), "a,b");
	CHECK_TEXT(fuse_mount_next_option(&list), "");
	CHECK_TEXT(fuse_mount_next_option(&list), "c\\");
	CHECK_TEXT(fuse_mount_next_option(&list), "d\\");
	CHECK(!fuse_mount_next_option(&list));
	CHECK(!fuse_mount_next_option(&list));
}

static void test_labels(void)
{
	struct fuse_mount_options *options;

	CASE("security contexts");
	options = parse_list(
		"context=u:r:t:s0:c1\\,c2,fscontext=u:r:f,defcontext=\"a\\,b\","
		"rootcontext=u");
	check_data(options,
		   ",context=\"u:r:t:s0:c1,c2\",fscontext=u:r:f,defcontext=\"a,b\""
		   ",rootcontext=u");
	fuse_mount_options_free(options);
	CHECK(!parse("-o", "context=a\"\\,user_id=0\\,b=\"c", NULL));
	CHECK_TEXT(
		message,
		"fuse: option 'context=a\",user_id=0,b=\"c' may not contain a quote\n");
	CHECK(!parse("-o", "context=\"\"", NULL));
	CHECK(strstr(message, "needs a value"));
}

static void test_comments(void)
{
	struct fuse_mount_options *options;

	CASE("options for other programs");
	options = parse_list("x-one,x-systemd.automount,x-two=2");
	CHECK_TEXT(options->spec.comments, "x-one,x-systemd.automount,x-two=2");
	CHECK_TEXT(left(), "prog");
	check_data(options, "");
	fuse_mount_options_free(options);
}

static void test_refusals(void)
{
	static const struct {
		const char *list;
		const char *message;
	} rows[] = {
		{ "fd=3",
		  "fuse: option 'fd=3' may not be given: it is filled in when mounting\n" },
		{ "rootmode=40000", "may not be given" },
		{ "ro,user_id=0", "option 'user_id=0' may not be given" },
		{ "group_id=0", "may not be given" },
		{ "max_read=", "fuse: option 'max_read=' needs a number\n" },
		{ "max_read=12x", "needs a number" },
		{ "max_read= 1", "needs a number" },
		{ "max_read=+1", "needs a number" },
		{ "max_read=-1", "needs a number" },
		{ "max_read=4294967296", "is too large" },
		{ "max_read=99999999999999999999999", "is too large" },
		{ "fsname=", "needs a value" },
		{ "subtype=", "needs a value" },
		{ "allow_root,allow_other",
		  "fuse: options 'allow_other' and 'allow_root' exclude each other\n" },
		{ "blkdev", "needs the block device as 'fsname='" },
		{ "blksize=512", "only for 'blkdev'" },
		{ "x-a=b\\,suid", "may not contain a comma" },
	};
	char name[8 + PATH_MAX] = "fsname=";

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CASE("refused: %s", rows[i].list);
		CHECK(!parse("-o", rows[i].list, NULL));
		CHECK(strstr(message, rows[i].message));
		CHECK(strchr(message, '\n') == message + strlen(message) - 1);
	}
	CASE("refused: names that are too long");
	memset(name + strlen(name), 'a', PATH_MAX);
	CHECK(!parse("-o", name, NULL));
	CHECK(strstr(message, "is too long"));
}

static void test_max_read(void)
{
	struct fuse_mount_options *options;

	CASE("max_read");
	options = parse_list("max_read=4294967295");
	CHECK_INT(fuse_mount_options_max_read(options), 4294967295U);
	check_data(options, ",max_read=4294967295");
	fuse_mount_options_free(options);
	options = parse_list("max_read=4096,max_read=0");
	CHECK_INT(fuse_mount_options_max_read(options), 0);
	check_data(options, "");
	fuse_mount_options_free(options);
}

/* Labels may be long, but mount(2) takes no more than a page, and cuts off the rest. */
static void test_overflow(void)
{
	const struct fuse_mount_target target = { .path = "/proc/missing",
						  .mode = S_IFDIR };
	static char list[16 * 1024] = "context=";
	struct fuse_mount_options *options;

	CASE("more than mount(2) takes");
	memset(list + 8, 'a', 4000);
	strcat(list, ",fscontext=");
	memset(list + strlen(list), 'b', 4000);
	options = parse_list(list);
	CHECK_INT(fuse_mount_spec_mount(&options->spec, &target), -1);
	CHECK_INT(errno, E2BIG);
	CHECK_TEXT(fuse_mount_spec_error(&options->spec, E2BIG),
		   "the options are too long");
	fuse_mount_options_free(options);
}

static void test_descriptor_path(void)
{
	static const char *const wrong[] = {
		"",	      "/",
		"/dev",	      "/dev/fd",
		"/dev/fd/",   "/dev/fd/-1",
		"/dev/fd/+0", "/dev/fd/ 0",
		"/dev/fd/x",  "/dev/fd/0x0",
		"/dev/fd/0/", "dev/fd/0",
		"/dev/fd0",   "/dev/fd/99999",
		"//dev/fd/0", "/dev/fd/4294967296",
		"/dev/fd/9",  "/proc/self/fd",
		"/dev/fd/0 ", "/dev/fd/18446744073709551616",
	};
	char path[32];
	int fd = open("/dev/null", O_RDONLY);

	CASE("/dev/fd/N");
	close(9);
	snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	CHECK_INT(fuse_mount_fd_from_path(path), fd);
	close(fd);
	CHECK_INT(fuse_mount_fd_from_path(path), -1);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CHECK_INT(fuse_mount_fd_from_path(wrong[i]), -1);
}

static void test_bad_mountpoints(void)
{
	static const struct {
		const char *path;
		const char *message;
	} rows[] = {
		{ "/proc/missing/x",
		  "fuse: bad mount point '/proc/missing/x': No such file or directory\n" },
		{ "", "fuse: bad mount point '': No such file or directory\n" },
		{ "/dev/null", "neither a directory nor a regular file\n" },
		{ "/dev/fd/999", "descriptor is not open\n" },
	};
	struct fuse_mount_options *options = parse_list("ro");

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CASE("mount point '%s'", rows[i].path);
		message[0] = '\0';
		CHECK_INT(fuse_mount_at(rows[i].path, options), -1);
		CHECK(strstr(message, rows[i].message));
		CHECK(strchr(message, '\n') == message + strlen(message) - 1);
	}
	CASE("unmounting what is not mounted");
	message[0] = '\0';
	fuse_unmount_at("/proc/missing/x", -1);
	fuse_unmount_at("/", -1);
	fuse_unmount_at("/dev/fd/0", -1);
	CHECK_TEXT(message, "");
	fuse_mount_options_free(options);
}

static void test_owner(void)
{
	static const struct {
		const char *options;
		long owner; /* -1: none */
	} rows[] = {
		{ "rw,user_id=0,group_id=5", 0 },
		{ "user_id=4294967295", 4294967295 },
		{ "rw,group_id=5,user_id=65534", 65534 },
		{ "rw,x=user_id=7,user_id=8", 8 },
		{ "rw,nouser_id=7", -1 },
		{ "rw,user_id=", -1 },
		{ "rw,user_id=4294967296", -1 },
		{ "rw,user_id=-1", -1 },
		{ "rw,user_id=12a", -1 },
		{ "", -1 },
	};

	CASE("owner of a mount");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct fuse_mount_entry entry = { .super_options =
								rows[i].options };
		uid_t owner = 1;

		CHECK_INT(fuse_mount_entry_owner(&entry, &owner), rows[i].owner >= 0);
		if (rows[i].owner >= 0)
			CHECK_INT(owner, rows[i].owner);
	}
}

static void test_mount_table(void)
{
	static char text[] =
		"27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
		"nonsense\n"
		"28 27 0:40 / /a\\040b\\134\\012 rw - fuse.x  rw,user_id=3\n"
		"29 27 0:41 / /short rw\n"
		"99999999999 27 0:41 / /m rw - fuse x rw\n"
		"-1 27 0:41 / /m rw - fuse x rw\n"
		"30 27 4096:41 / /m rw - fuse x rw\n"
		"31 27 8:1048575 / /m rw,x shared:1 master:2 - fuseblk.y /dev/y rw,user_id=0\n"
		"32 27 0:41 / /m rw - fusectl x rw\n"
		"33 27 0:41 / /m rw - fuse x rw";
	struct fuse_mount_table table = { .file = fmemopen(text, sizeof(text) - 1, "r") };
	struct fuse_mount_entry entry;

	CASE("table of mounts");
	CHECK(table.file);
	CHECK(fuse_mount_table_next(&table, &entry));
	CHECK_INT(entry.id, 27);
	CHECK_TEXT(entry.type, "ext4");
	CHECK(!fuse_mount_entry_is_fuse(&entry));
	CHECK(fuse_mount_table_next(&table, &entry));
	CHECK_INT(entry.id, 28);
	CHECK_INT(entry.connection, 40);
	CHECK_TEXT(entry.mountpoint, "/a b\\\n");
	CHECK_TEXT(entry.type, "fuse.x");
	CHECK_TEXT(entry.super_options, "rw,user_id=3");
	CHECK(fuse_mount_entry_is_fuse(&entry));
	CHECK(fuse_mount_table_next(&table, &entry));
	CHECK_INT(entry.id, 31);
	CHECK_INT(entry.connection, 8 << 20 | 1048575);
	CHECK(fuse_mount_entry_is_fuse(&entry));
	CHECK(fuse_mount_table_next(&table, &entry));
	CHECK_INT(entry.id, 32);
	CHECK(!fuse_mount_entry_is_fuse(&entry));
	CHECK(fuse_mount_table_next(&table, &entry));
	CHECK_INT(entry.id, 33);
	CHECK_TEXT(entry.super_options, "rw");
	CHECK(!fuse_mount_table_next(&table, &entry));
	CHECK_INT(table.error, 0);
	fuse_mount_table_close(&table);
}

static ssize_t fail_to_read(void *first, char *to, size_t size)
{
	static const char line[] = "33 27 0:41 / /m rw - fuse x rw\n";

	if (!*(bool *)first) {
		errno = ENOMEM;
		return -1;
	}
	*(bool *)first = false;
	CHECK(size >= sizeof(line) - 1);
	memcpy(to, line, sizeof(line) - 1);
	return sizeof(line) - 1;
}

static void test_unreadable_mount_table(void)
{
	bool first = true;
	const cookie_io_functions_t functions = { .read = fail_to_read };
	struct fuse_mount_table table = { .file = fopencookie(&first, "r", functions) };
	struct fuse_mount_entry entry;

	CASE("table of mounts that cannot be read to its end");
	CHECK(table.file);
	CHECK(fuse_mount_table_next(&table, &entry));
	CHECK_INT(table.error, 0);
	CHECK(!fuse_mount_table_next(&table, &entry));
	CHECK_INT(table.error, ENOMEM);
	fuse_mount_table_close(&table);
}

int main(void)
{
	fuse_set_log_func(remember);
	test_nothing();
	test_others_stay();
	test_ignored();
	test_flags();
	test_access();
	test_names();
	test_escaping();
	test_list();
	test_labels();
	test_comments();
	test_refusals();
	test_max_read();
	test_overflow();
	test_descriptor_path();
	test_bad_mountpoints();
	test_owner();
	test_mount_table();
	test_unreadable_mount_table();
	fuse_opt_free_args(&rest);
	return 0;
}
