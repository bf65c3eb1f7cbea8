// SPDX-License-Identifier: GPL-2.0-only
/*
 * passthrough_hp: a directory tree, served under another name.
 *
 * What a filesystem on the low-level interface looks like when it is to be fast and
 * complete: everything that a Linux file system can do is there, and the answer to each
 * request is the one that the source would have given to the same caller.
 *
 *     passthrough_hp SOURCE MOUNTPOINT                 in the background
 *     passthrough_hp SOURCE MOUNTPOINT -o io_uring     requests over io_uring
 *     fusermount3 -u MOUNTPOINT
 *
 * Run as root it serves all users. The parts, in the order in which to read them:
 *
 *     main.c          options, features, life and end
 *     inode.c         which file is which inode, and for how long
 *     place.c         ... when there are other mounts below SOURCE
 *     descriptor.c    ... when there are more files than descriptors
 *     caller.c        acting as the user who asks
 *     directory.c     names and directories
 *     data.c          open files
 *     attr.c          attributes
 *     lock.c          locks
 */
#include "passthrough_hp.h"
#include "caller.h"
#include "handle.h"
#include "inode.h"
#include "lock.h"

#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Nothing but us is supposed to change the source, unless --nocache says otherwise. */
#define CACHE_TIMEOUT	3600.0

#define OVERLAYFS_MAGIC 0x794c7630

struct settings settings = {
	.cache = true,
	.passthrough = true,
	.splice = true,
};

/* What only main() needs of the command line. */
static struct {
	const char *source;
	const char *mountpoint;
	unsigned threads; /* 0: as many as the library thinks fit */
	bool single;
	bool clone_fd;
	bool foreground;
	bool stacked; /* SOURCE is on an overlay file system */
} command;

static const struct fuse_lowlevel_ops *operations(void);

/* Features */

static void ask(struct fuse_conn_info *conn, uint64_t feature, bool wanted)
{
	if (!wanted)
		fuse_unset_feature_flag(conn, feature);
	else if (!fuse_set_feature_flag(conn, feature))
		debug("the kernel does not have feature %#llx\n",
		      (unsigned long long)feature);
}

static void init(void *userdata, struct fuse_conn_info *conn)
{
	/*
	 * Not the writeback cache: sizes and times would be the kernel's, and writes would
	 * be answered before the source can refuse them.
	 */
	fuse_unset_feature_flag(conn, FUSE_CAP_WRITEBACK_CACHE);

	/* Permissions: see caller.c. With a default ACL there is no umask to apply. */
	ask(conn, FUSE_CAP_POSIX_ACL, true);
	ask(conn, FUSE_CAP_DONT_MASK, true);

	/* The source clears set-id bits itself, as all changes are made as the caller. */
	ask(conn, FUSE_CAP_HANDLE_KILLPRIV, true);
	ask(conn, FUSE_CAP_HANDLE_KILLPRIV_V2, true);

	/* Where a link leads to never changes. */
	ask(conn, FUSE_CAP_CACHE_SYMLINKS, settings.cache);

	ask(conn, FUSE_CAP_POSIX_LOCKS, true);
	ask(conn, FUSE_CAP_FLOCK_LOCKS, true);
	ask(conn, FUSE_CAP_SPLICE_READ, settings.splice);
	ask(conn, FUSE_CAP_SPLICE_WRITE, settings.splice);

	/* Data goes from descriptor to descriptor here; nobody has to have it in memory. */
	ask(conn, FUSE_CAP_ZERO_COPY_WRITE, settings.splice);
	ask(conn, FUSE_CAP_DIRECT_IO_ALLOW_MMAP, settings.direct_io);

	/* --direct-io is there to see the requests; and only root may name a file to back. */
	settings.passthrough = settings.passthrough && !settings.direct_io &&
			       geteuid() == 0 &&
			       fuse_set_feature_flag(conn, FUSE_CAP_PASSTHROUGH);
	if (command.stacked)
		conn->max_backing_stack_depth = FUSE_BACKING_STACKED_OVER;
	debug("passthrough %s, as the caller %s, protocol %u.%u\n",
	      settings.passthrough ? "on" : "off", settings.as_caller ? "on" : "off",
	      conn->proto_major, conn->proto_minor);
}

static const struct fuse_lowlevel_ops *operations(void)
{
	static struct fuse_lowlevel_ops ops = {
		.init = init,
		.lookup = op_lookup,
		.forget = op_forget,
		.forget_multi = op_forget_multi,
		.getattr = op_getattr,
		.setattr = op_setattr,
		.statx = op_statx,
		.readlink = op_readlink,
		.mknod = op_mknod,
		.mkdir = op_mkdir,
		.unlink = op_unlink,
		.rmdir = op_rmdir,
		.symlink = op_symlink,
		.rename = op_rename,
		.link = op_link,
		.create = op_create,
		.tmpfile = op_tmpfile,
		.open = op_open,
		.read = op_read,
		.write_buf = op_write_buf,
		.flush = op_flush,
		.release = op_release,
		.fsync = op_fsync,
		.fallocate = op_fallocate,
		.copy_file_range = op_copy_file_range,
		.lseek = op_lseek,
		.opendir = op_opendir,
		.readdir = op_readdir,
		.readdirplus = op_readdirplus,
		.releasedir = op_releasedir,
		.fsyncdir = op_fsyncdir,
		.statfs = op_statfs,
		.setxattr = op_setxattr,
		.getxattr = op_getxattr,
		.listxattr = op_listxattr,
		.removexattr = op_removexattr,
		.getlk = op_getlk,
		.setlk = op_setlk,
		.flock = op_flock,
	};

	if (!settings.splice) {
		ops.read = op_read_copied;
		ops.write = op_write;
		ops.write_buf = NULL;
	}
	return &ops;
}

/* The command line */

__attribute__((format(printf, 1, 2))) static bool complain(const char *format, ...)
{
	va_list ap;

	fputs("passthrough_hp: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	return false;
}

static void help(void)
{
	puts("usage: passthrough_hp [options] SOURCE MOUNTPOINT\n"
	     "\n"
	     "Serve the directory SOURCE at MOUNTPOINT.\n"
	     "\n"
	     "    --nopassthrough    let all reads and writes be requests\n"
	     "    --nosplice         copy data instead of splicing it, and no zero-copy\n"
	     "    --nocache          somebody else changes SOURCE: cache nothing\n"
	     "    --direct-io        read and write past the kernel's page cache\n"
	     "    --num-threads=N    use up to N threads\n"
	     "    --single           use one thread\n"
	     "    --clone-fd         let each thread have a descriptor of /dev/fuse\n"
	     "    --foreground       stay in the foreground\n"
	     "    --debug            log what is decided, in the foreground\n"
	     "    --debug-fuse       log all requests, in the foreground\n"
	     "    --help             print this\n"
	     "    -o OPT[,OPT...]    options of mount and library, among them:\n");
	fuse_lowlevel_help();
}

static bool parse_threads(const char *text)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || value < 1 || value > 100000)
		return complain("--num-threads: \"%s\" is not a number from 1 to 100000",
				text);
	command.threads = (unsigned)value;
	return true;
}

enum option_id {
	NO_PASSTHROUGH = 1000,
	NO_SPLICE,
	NO_CACHE,
	DIRECT_IO,
	NUM_THREADS,
	SINGLE,
	CLONE_FD,
	FOREGROUND,
	DEBUG,
	DEBUG_FUSE,
};

static const struct option options[] = {
	{ "nopassthrough", no_argument, NULL, NO_PASSTHROUGH },
	{ "nosplice", no_argument, NULL, NO_SPLICE },
	{ "nocache", no_argument, NULL, NO_CACHE },
	{ "direct-io", no_argument, NULL, DIRECT_IO },
	{ "num-threads", required_argument, NULL, NUM_THREADS },
	{ "single", no_argument, NULL, SINGLE },
	{ "clone-fd", no_argument, NULL, CLONE_FD },
	{ "foreground", no_argument, NULL, FOREGROUND },
	{ "debug", no_argument, NULL, DEBUG },
	{ "debug-fuse", no_argument, NULL, DEBUG_FUSE },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static bool take_option(int id, const char *argument, struct fuse_args *args)
{
	switch (id) {
	case NO_PASSTHROUGH:
		settings.passthrough = false;
		return true;
	case NO_SPLICE:
		settings.splice = false;
		return true;
	case NO_CACHE:
		settings.cache = false;
		return true;
	case DIRECT_IO:
		settings.direct_io = true;
		return true;
	case NUM_THREADS:
		return parse_threads(argument);
	case SINGLE:
		command.single = true;
		return true;
	case CLONE_FD:
		command.clone_fd = true;
		return true;
	case FOREGROUND:
		command.foreground = true;
		return true;
	case DEBUG:
		settings.debug = command.foreground = true;
		return true;
	case DEBUG_FUSE:
		command.foreground = true;
		return fuse_opt_add_arg(args, "-odebug") == 0;
	case 'o':
		return fuse_opt_add_arg(args, "-o") == 0 &&
		       fuse_opt_add_arg(args, argument) == 0;
	case 'h':
		help();
		exit(0);
	default: /* getopt_long() has complained */
		return false;
	}
}

static bool parse_command_line(int argc, char **argv, struct fuse_args *args)
{
	int id;

	while ((id = getopt_long(argc, argv, "ho:", options, NULL)) >= 0)
		if (!take_option(id, optarg, args))
			return false;
	if (argc - optind < 2)
		return complain("%s is missing, try --help",
				argc == optind ? "SOURCE" : "MOUNTPOINT");
	if (argc - optind > 2)
		return complain("\"%s\" is one argument too many", argv[optind + 2]);
	command.source = argv[optind];
	command.mountpoint = argv[optind + 1];
	return true;
}

/*
 * What is mounted with, unless the user says otherwise later in the list. The kernel lets
 * root alone in without allow_other.
 */
static bool add_own_options(struct fuse_args *args, bool read_only)
{
	char *text = NULL, *name = NULL;
	bool added;

	added = asprintf(&name, "fsname=%s", command.source) >= 0 &&
		fuse_opt_add_opt(&text, "default_permissions,subtype=passthrough_hp") ==
			0 &&
		fuse_opt_add_opt_escaped(&text, name) == 0 &&
		(!settings.as_caller || fuse_opt_add_opt(&text, "allow_other") == 0) &&
		(!read_only || fuse_opt_add_opt(&text, "ro") == 0) &&
		fuse_opt_insert_arg(args, 1, "-o") == 0 &&
		fuse_opt_insert_arg(args, 2, text) == 0;
	free(text);
	free(name);
	return added;
}

/* Start and end */

/* Returns the descriptor of SOURCE, or -1. */
static int open_source(bool *read_only)
{
	int fd = open(command.source, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statvfs figures;
	struct statfs type;

	if (fd < 0) {
		complain("%s: %s", command.source, strerror(errno));
		return -1;
	}
	*read_only = fstatvfs(fd, &figures) == 0 && figures.f_flag & ST_RDONLY;
	command.stacked = fstatfs(fd, &type) == 0 && type.f_type == OVERLAYFS_MAGIC;
	return fd;
}

/*
 * A mount point below SOURCE is listed, but not looked up, because it would be ourselves who
 * had to answer our own question. It is made absolute, as it is needed again after
 * fuse_daemonize(), and stays allocated.
 */
static bool check_mountpoint(void)
{
	char *path, *parent;
	struct stat attr;

	if (strncmp(command.mountpoint, "/dev/fd/", 8) == 0)
		return true;
	if (stat(command.mountpoint, &attr) < 0)
		return complain("%s: %s", command.mountpoint, strerror(errno));
	if (!S_ISDIR(attr.st_mode))
		return complain("%s: %s", command.mountpoint, strerror(ENOTDIR));
	path = realpath(command.mountpoint, NULL);
	if (!path)
		return complain("%s: %s", command.mountpoint, strerror(errno));
	command.mountpoint = path;
	parent = strdup(path);
	if (parent && stat(dirname(parent), &attr) == 0)
		inode_hide(&attr, strrchr(path, '/') + 1);
	free(parent);
	return true;
}

/* Limits are the callers', whose kernel keeps them; ours must not be in their way. */
static void lift_limits(void)
{
	struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };

	setrlimit(RLIMIT_FSIZE, &none);
	signal(SIGXFSZ, SIG_IGN);
}

static int run_loop(struct fuse_session *session)
{
	struct fuse_loop_config *config;
	int res;

	if (command.single)
		return fuse_session_loop(session);
	config = fuse_loop_cfg_create();
	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_clone_fd(config, command.clone_fd);
	if (command.threads)
		fuse_loop_cfg_set_max_threads(config, command.threads);
	res = fuse_session_loop_mt(session, config);
	fuse_loop_cfg_destroy(config);
	return res;
}

/* Returns whether all went well. A signal is as good an end as an unmount. */
static bool serve(struct fuse_session *session)
{
	bool good;

	if (fuse_session_mount(session, command.mountpoint) != 0)
		return false;
	good = fuse_daemonize(command.foreground) == 0 && run_loop(session) >= 0;
	lock_stop();
	fuse_session_unmount(session);
	return good;
}

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	bool read_only, good = false;
	int source = -1, res;

	if (fuse_opt_add_arg(&args, argv[0]) < 0 ||
	    !parse_command_line(argc, argv, &args))
		goto out;
	source = open_source(&read_only);
	if (source < 0 || !check_mountpoint())
		goto out;
	lift_limits();
	caller_start();
	lock_start();
	res = inode_start(source);
	if (res < 0) {
		complain("%s: %s", command.source, strerror(-res));
		goto out;
	}
	if (!add_own_options(&args, read_only))
		goto out;
	settings.timeout = settings.cache ? CACHE_TIMEOUT : 0;

	settings.session =
		fuse_session_new(&args, operations(), sizeof(*operations()), NULL);
	if (!settings.session)
		goto out;
	if (fuse_set_signal_handlers(settings.session) == 0) {
		good = serve(settings.session);
		fuse_remove_signal_handlers(settings.session);
	}
	fuse_session_destroy(settings.session);
	handle_close_all();
out:
	fuse_opt_free_args(&args);
	return good ? 0 : 1;
}
