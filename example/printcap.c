// SPDX-License-Identifier: GPL-2.0-only
/*
 * printcap: what this kernel and this library can do together.
 *
 * Mounts a filesystem without any files, on a directory made for the purpose, for as long as
 * it takes to agree on features: these are known in init() and cannot be asked for sooner.
 * Shows that, and a session that ends itself.
 *
 *     printcap
 *
 * The first two lines and the list below them are for programs to read, too.
 */
#define FUSE_USE_VERSION 318
#include <fuse_lowlevel.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* clang-format off */
static const struct {
	uint64_t flag;
	const char *name;
} features[] = {
#define FEATURE(name) { name, #name }
	FEATURE(FUSE_CAP_ASYNC_READ),
	FEATURE(FUSE_CAP_POSIX_LOCKS),
	FEATURE(FUSE_CAP_ATOMIC_O_TRUNC),
	FEATURE(FUSE_CAP_EXPORT_SUPPORT),
	FEATURE(FUSE_CAP_DONT_MASK),
	FEATURE(FUSE_CAP_SPLICE_WRITE),
	FEATURE(FUSE_CAP_SPLICE_MOVE),
	FEATURE(FUSE_CAP_SPLICE_READ),
	FEATURE(FUSE_CAP_FLOCK_LOCKS),
	FEATURE(FUSE_CAP_IOCTL_DIR),
	FEATURE(FUSE_CAP_AUTO_INVAL_DATA),
	FEATURE(FUSE_CAP_READDIRPLUS),
	FEATURE(FUSE_CAP_READDIRPLUS_AUTO),
	FEATURE(FUSE_CAP_ASYNC_DIO),
	FEATURE(FUSE_CAP_WRITEBACK_CACHE),
	FEATURE(FUSE_CAP_NO_OPEN_SUPPORT),
	FEATURE(FUSE_CAP_PARALLEL_DIROPS),
	FEATURE(FUSE_CAP_POSIX_ACL),
	FEATURE(FUSE_CAP_HANDLE_KILLPRIV),
	FEATURE(FUSE_CAP_HANDLE_KILLPRIV_V2),
	FEATURE(FUSE_CAP_CACHE_SYMLINKS),
	FEATURE(FUSE_CAP_NO_OPENDIR_SUPPORT),
	FEATURE(FUSE_CAP_EXPLICIT_INVAL_DATA),
	FEATURE(FUSE_CAP_EXPIRE_ONLY),
	FEATURE(FUSE_CAP_SETXATTR_EXT),
	FEATURE(FUSE_CAP_DIRECT_IO_ALLOW_MMAP),
	FEATURE(FUSE_CAP_PASSTHROUGH),
	FEATURE(FUSE_CAP_NO_EXPORT_SUPPORT),
	FEATURE(FUSE_CAP_OVER_IO_URING),
#undef FEATURE
};
/* clang-format on */

#define FEATURES (sizeof(features) / sizeof(features[0]))

static struct fuse_session *session;
static int printed;

static void print_features(struct fuse_conn_info *conn)
{
	puts("Capabilities:");
	for (size_t i = 0; i < FEATURES; i++)
		if (fuse_get_feature_flag(conn, features[i].flag))
			printf("\t%s\n", features[i].name);
	puts("Not offered by the kernel:");
	for (size_t i = 0; i < FEATURES; i++)
		if (!fuse_get_feature_flag(conn, features[i].flag))
			printf("    %s\n", features[i].name);
	puts("Asked for unless the filesystem decides otherwise:");
	for (size_t i = 0; i < FEATURES; i++)
		if (conn->want_ext & features[i].flag)
			printf("    %s\n", features[i].name);
}

static void print_limits(const struct fuse_conn_info *conn)
{
	puts("Limits:");
	printf("    max_write %u bytes\n", conn->max_write);
	printf("    max_readahead %u bytes\n", conn->max_readahead);
	printf("    max_background %u requests\n", conn->max_background);
	printf("    congestion_threshold %u requests\n", conn->congestion_threshold);
}

/* Why the kernel does or does not offer to use rings. */
static const char *state_of_rings(void)
{
	FILE *file = fopen("/sys/module/fuse/parameters/enable_uring", "re");
	int answer = file ? getc(file) : EOF;

	if (file)
		fclose(file);
	if (answer == EOF)
		return "not in this kernel";
	return answer == 'Y' ? "enabled"
			     : "in this kernel, but disabled: "
			       "echo 1 > /sys/module/fuse/parameters/enable_uring";
}

static void print_transports(struct fuse_conn_info *conn)
{
	puts("Transports:");
	puts("    /dev/fuse: always");
	printf("    io_uring: %s; %s\n", state_of_rings(),
	       fuse_get_feature_flag(conn, FUSE_CAP_OVER_IO_URING)
		       ? "offered, use it with -o io_uring"
		       : "not offered");
}

static void print_and_end(void *userdata, struct fuse_conn_info *conn)
{
	printf("Protocol version: %u.%u\n", conn->proto_major, conn->proto_minor);
	print_features(conn);
	print_limits(conn);
	print_transports(conn);
	printed = 1;
	fuse_session_exit(session);
}

/* Some features are asked for only if these operations are there. They are never called. */

static void no_lock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		    struct flock *lock)
{
	fuse_reply_err(req, ENOSYS);
}

static void no_set_lock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
			struct flock *lock, int sleep)
{
	fuse_reply_err(req, ENOSYS);
}

static void no_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
	fuse_reply_err(req, ENOSYS);
}

static void no_write(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *bufv, off_t off,
		     struct fuse_file_info *fi)
{
	fuse_reply_err(req, ENOSYS);
}

static void no_list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	fuse_reply_err(req, ENOSYS);
}

static const struct fuse_lowlevel_ops operations = {
	.init = print_and_end,
	.getlk = no_lock,
	.setlk = no_set_lock,
	.flock = no_flock,
	.write_buf = no_write,
	.readdir = no_list,
	.readdirplus = no_list,
};

/*
 * The kernel sends what leads to init() right after the mount, before anybody comes; what
 * comes later nobody hears.
 */
static int negotiate(const char *directory, const char *program)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);

	if (fuse_opt_add_arg(&args, program) != 0)
		return 0;
	session = fuse_session_new(&args, &operations, sizeof(operations), NULL);
	if (session && fuse_session_mount(session, directory) == 0) {
		fuse_session_loop(session);
		fuse_session_unmount(session);
	}
	if (session)
		fuse_session_destroy(session);
	fuse_opt_free_args(&args);
	return printed;
}

int main(int argc, char **argv)
{
	char directory[] = "/tmp/printcap.XXXXXX";
	int good;

	if (argc > 1) {
		fprintf(stderr, "usage: %s\n", argv[0]);
		return 1;
	}
	printf("Library version: %s\n", fuse_pkgversion());
	if (!mkdtemp(directory)) {
		fprintf(stderr, "%s: %s: %s\n", argv[0], directory, strerror(errno));
		return 1;
	}
	good = negotiate(directory, argv[0]);
	rmdir(directory);
	return good ? 0 : 1;
}
