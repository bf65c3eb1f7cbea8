// SPDX-License-Identifier: GPL-2.0-only
/*
 * A path-based filesystem for tests, which tells what it was asked.
 *
 * /report lists the calls of operations on other files, with their paths and callers, since it was
 * last read. /file takes anything. /sleep is read in ten seconds, or until the reader is
 * interrupted: by a signal (intr), or because fuse_interrupted() says so (/ask); its size is the
 * number of those who read it. /locks has whatever locks anybody wants, and one of nobody's at
 * byte 100. /made is there once it is made. /refused takes a second to be renamed, or replaced,
 * and the latter is refused at last. Nothing is ever renamed to /stuck. /folder/inner, with a
 * file, takes five seconds to be renamed.
 * Any of them, and /folder, takes the controls below, and has its block i at 100 * i on the device.
 *
 * --nullpath-ok, --hard-remove set what the names say.
 */
#define FUSE_USE_VERSION 318
#include <fuse.h>

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define REPORT_ROOM 65536

/* The largest that a number of ioctl() has room for; what they do is said where they do it. */
struct all_bytes {
	unsigned char byte[(1 << _IOC_SIZEBITS) - 1];
};
#define NEGATE	_IOWR('P', 1, struct all_bytes)
#define NOTHING _IOR('P', 2, struct all_bytes)
#define SUM	_IOW('P', 3, struct all_bytes)
#define NUMBER	_IO('P', 4)
#define REFUSE	_IOWR('P', 5, int)

static struct {
	int nullpath_ok;
	int hard_remove;
} options;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char report[REPORT_ROOM];
static size_t report_size;
static _Atomic bool made;
static _Atomic int sleepers;

static int is_report(const char *path)
{
	return path && strcmp(path, "/report") == 0;
}

__attribute__((format(printf, 3, 4))) static void
note(const char *operation, const char *path, const char *format, ...)
{
	const struct fuse_context *context = fuse_get_context();
	char more[128];
	va_list args;
	int added;

	if (is_report(path))
		return;
	va_start(args, format);
	vsnprintf(more, sizeof(more), format, args);
	va_end(args);
	pthread_mutex_lock(&lock);
	added = snprintf(report + report_size, REPORT_ROOM - report_size,
			 "%s %s %u %u %d %o %s\n", operation, path ? path : "-",
			 context->uid, context->gid, (int)context->pid,
			 (unsigned)context->umask, more);
	if (added > 0 && report_size + (size_t)added < REPORT_ROOM)
		report_size += (size_t)added;
	pthread_mutex_unlock(&lock);
}

static void *op_init(struct fuse_conn_info *conn, struct fuse_config *cfg)
{
	cfg->nullpath_ok = options.nullpath_ok;
	if (options.hard_remove)
		cfg->hard_remove = 1;
	cfg->entry_timeout = cfg->attr_timeout = cfg->negative_timeout = 0;
	return fuse_get_context()->private_data; /* as main() has given it */
}

static bool is_one_of(const char *path, const char *const *paths, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(path, paths[i]) == 0)
			return true;
	}
	return false;
}

static int op_getattr(const char *path, struct stat *attr, struct fuse_file_info *fi)
{
	static const char *const folders[] = { "/", "/folder", "/folder/inner" };
	static const char *const files[] = {
		"/report",  "/file",  "/sleep",
		"/ask",	    "/locks", "/groups",
		"/refused", "/stuck", "/folder/inner/file",
	};

	note("getattr", path, "%s", fi ? "open" : "");
	memset(attr, 0, sizeof(*attr));
	attr->st_uid = 11;
	attr->st_gid = 22;
	attr->st_nlink = 1;
	attr->st_ino = 4711;
	attr->st_mode = S_IFREG | 0644;
	attr->st_size = 1000;
	if (!path)
		return 0;
	if (strcmp(path, "/sleep") == 0)
		attr->st_size = sleepers;
	if (is_one_of(path, folders, sizeof(folders) / sizeof(folders[0]))) {
		attr->st_mode = S_IFDIR | 0755;
		return 0;
	}
	if (is_one_of(path, files, sizeof(files) / sizeof(files[0])))
		return 0;
	return made && strcmp(path, "/made") == 0 ? 0 : -ENOENT;
}

static int op_open(const char *path, struct fuse_file_info *fi)
{
	note("open", path, "%o", (unsigned)fi->flags);
	if (is_report(path)) {
		fi->fh = 1;
	} else {
		fi->fh = 2;
		if (strcmp(path, "/sleep") == 0)
			fi->fh = 3;
		if (strcmp(path, "/ask") == 0)
			fi->fh = 4;
		if (strcmp(path, "/groups") == 0)
			fi->fh = 5;
	}
	fi->direct_io = fi->fh != 2;
	return 0;
}

static int op_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	note("create", path, "%o", (unsigned)mode);
	made = true;
	fi->fh = 2;
	return 0;
}

/* It is forgotten when its end is reached, not when it is closed: more may come in between. */
static int read_report(char *buf, size_t size, off_t off)
{
	size_t left;

	pthread_mutex_lock(&lock);
	left = (size_t)off < report_size ? report_size - (size_t)off : 0;
	if (size > left)
		size = left;
	memcpy(buf, report + off, size);
	if (!left)
		report_size = 0;
	pthread_mutex_unlock(&lock);
	return (int)size;
}

static int sleep_until_signal(void)
{
	const struct timespec ten = { 10, 0 };
	int error;

	sleepers++;
	error = nanosleep(&ten, NULL) != 0 ? -errno : 0;
	sleepers--;
	return error;
}

static int sleep_and_ask(void)
{
	const struct timespec ten_ms = { 0, 10000000 };

	for (int i = 0; i < 1000; i++) {
		if (fuse_interrupted())
			return -EINTR;
		nanosleep(&ten_ms, NULL);
	}
	return 0;
}

static int list_groups(char *buf, size_t size)
{
	gid_t list[64];
	int count = fuse_getgroups(64, list);
	int used = 0;

	for (int i = 0; i < count && i < 64; i++)
		used += snprintf(buf + used, size - (size_t)used, "%u\n", list[i]);
	return count < 0 ? count : used;
}

static int op_read(const char *path, char *buf, size_t size, off_t off,
		   struct fuse_file_info *fi)
{
	if (fi->fh == 1)
		return read_report(buf, size, off);
	note("read", path, "%zu", size);
	if (fi->fh == 3)
		return sleep_until_signal();
	if (fi->fh == 4)
		return sleep_and_ask();
	if (fi->fh == 5)
		return off ? 0 : list_groups(buf, size);
	memset(buf, 'x', size);
	return off >= 1000 ? 0 : (int)size;
}

static int op_write(const char *path, const char *buf, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	note("write", path, "%zu", size);
	return (int)size;
}

static int op_flush(const char *path, struct fuse_file_info *fi)
{
	if (fi->fh != 1)
		note("flush", path, " ");
	return 0;
}

static int op_release(const char *path, struct fuse_file_info *fi)
{
	if (fi->fh != 1)
		note("release", path, " ");
	return 0;
}

static int op_unlink(const char *path)
{
	note("unlink", path, " ");
	if (strcmp(path, "/made") == 0)
		made = false;
	return 0;
}

static int op_link(const char *from, const char *to)
{
	note("link", from, "%s", to);
	made = true;
	return 0;
}

static int op_rename(const char *from, const char *to, unsigned int flags)
{
	bool replaces = strcmp(to, "/refused") == 0;

	note("rename", from, "%s %u", to, flags);
	if (strcmp(to, "/stuck") == 0)
		return -EIO;
	if (strncmp(from, "/.fuse_hidden", 13) == 0)
		return 0;
	if (replaces || strcmp(from, "/refused") == 0)
		sleep(1);
	if (strcmp(from, "/folder/inner") == 0)
		sleep(5);
	return replaces ? -EXDEV : 0;
}

static int op_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	note("truncate", path, "%lld %s", (long long)size, fi ? "open" : "");
	return 0;
}

static int op_utimens(const char *path, const struct timespec tv[2],
		      struct fuse_file_info *fi)
{
	note("utimens", path, "%ld %ld", (long)tv[0].tv_nsec, (long)tv[1].tv_nsec);
	return 0;
}

static int op_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi)
{
	note("chown", path, "%d %d", (int)uid, (int)gid);
	return 0;
}

static int op_lock(const char *path, struct fuse_file_info *fi, int cmd,
		   struct flock *flock)
{
	note("lock", path, "%s %d %lld %lld",
	     cmd == F_GETLK   ? "get"
	     : cmd == F_SETLK ? "set"
			      : "wait",
	     flock->l_type, (long long)flock->l_start, (long long)flock->l_len);
	if (cmd != F_GETLK)
		return 0;
	if (flock->l_start > 100 ||
	    (flock->l_len && flock->l_start + flock->l_len <= 100)) {
		flock->l_type = F_UNLCK;
	} else {
		flock->l_type = F_WRLCK;
		flock->l_start = 100;
		flock->l_len = 1;
		flock->l_pid = 4321;
	}
	return 0;
}

static int negate(struct all_bytes *all)
{
	for (size_t i = 0; i < sizeof(*all); i++)
		all->byte[i] = (unsigned char)~all->byte[i];
	return 0;
}

static int sum(const struct all_bytes *all)
{
	int result = 0;

	for (size_t i = 0; i < sizeof(*all); i++)
		result += all->byte[i];
	return result;
}

static int op_ioctl(const char *path, unsigned int cmd, void *arg,
		    struct fuse_file_info *fi, unsigned int flags, void *data)
{
	if (_IOC_TYPE(cmd) != 'P')
		return -ENOTTY; /* who opens a file may ask whether it is a terminal */
	note("ioctl", path, "%u %d", _IOC_NR(cmd), !!(flags & FUSE_IOCTL_DIR));
	switch (cmd) {
	case NEGATE:
		return negate(data);
	case NOTHING: /* leaves what is to be passed out as it is */
		return 0;
	case SUM:
		return sum(data);
	case NUMBER: /* what it is given */
		return data ? -EINVAL : (int)(uintptr_t)arg;
	case REFUSE:
		return -ERANGE;
	default:
		return -ENOTTY;
	}
}

static int op_bmap(const char *path, size_t blocksize, uint64_t *idx)
{
	note("bmap", path, "%zu %llu", blocksize, (unsigned long long)*idx);
	*idx *= 100;
	return 0;
}

static int op_readdir(const char *path, void *buf, fuse_fill_dir_t filler, off_t off,
		      struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	struct stat attr = { .st_mode = S_IFREG | 0644, .st_ino = 4711 };

	note("readdir", path, "%lld %d", (long long)off, (int)flags);
	filler(buf, "file", &attr, 0, FUSE_FILL_DIR_DEFAULTS);
	filler(buf, "sleep", &attr, 0, FUSE_FILL_DIR_DEFAULTS);
	return 0;
}

static void op_destroy(void *private_data)
{
	pthread_mutex_lock(&lock);
	fprintf(stderr, "%.*sdestroy %s\n", (int)report_size, report,
		(const char *)private_data);
	pthread_mutex_unlock(&lock);
}

static const struct fuse_operations operations = {
	.init = op_init,
	.destroy = op_destroy,
	.getattr = op_getattr,
	.open = op_open,
	.create = op_create,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.release = op_release,
	.unlink = op_unlink,
	.link = op_link,
	.rename = op_rename,
	.truncate = op_truncate,
	.utimens = op_utimens,
	.chown = op_chown,
	.lock = op_lock,
	.readdir = op_readdir,
	.ioctl = op_ioctl,
	.bmap = op_bmap,
};

int main(int argc, char **argv)
{
	static const struct fuse_opt table[] = {
		{ "--nullpath-ok", offsetof(__typeof__(options), nullpath_ok), 1 },
		{ "--hard-remove", offsetof(__typeof__(options), hard_remove), 1 },
		FUSE_OPT_END,
	};
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	char data[] = "private";
	int status;

	if (fuse_opt_parse(&args, &options, table, NULL) != 0)
		return 1;
	status = fuse_main(args.argc, args.argv, &operations, data);
	fuse_opt_free_args(&args);
	return status;
}
