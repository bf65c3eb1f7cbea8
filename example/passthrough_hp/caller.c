// SPDX-License-Identifier: GPL-2.0-only
/*
 * Acting as whoever made a request.
 *
 * Root serves many users. Their permissions are checked twice. The kernel checks them by
 * the modes and ACLs that we report (default_permissions: see main.c), because it does not
 * ask us before it uses what it has cached: without that, a directory that one user may
 * search would be open to all. And the source checks them, because we act as the caller.
 * That does more: new files belong to the caller, with the mode that umask or default ACL
 * leave them, set-id bits go when the caller's actions make them go, space kept for root is
 * kept, and a file whose mode was changed in the source behind the kernel's back stays
 * closed.
 *
 * What only tells (lookup, getattr, readdir, reads of open files) is done as ourselves.
 *
 * The identity of a thread is the kernel's business; the C library's setresuid() and the
 * like would change all threads, so the system calls are made directly. The effective user
 * ID, rather than the file system user ID alone, because with it all capabilities go and
 * come back: one of them opens the space that is kept for root. The real and saved IDs stay
 * root's, so that no user may signal or trace us.
 *
 * A caller may have more or fewer capabilities than its user ID implies. They are taken over
 * too. In another user namespace they are about other users, and only the kernel's check can
 * know which: there, and where a caller is out of sight, it has to be enough.
 */
#include "caller.h"
#include "inode.h"

#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAP_BIT(cap) (UINT64_C(1) << (cap))

/* Systems that once had 16-bit IDs call the 32-bit ones so. */
#ifdef SYS_setresuid32
#define NR_SETRESUID SYS_setresuid32
#define NR_SETRESGID SYS_setresgid32
#define NR_SETGROUPS SYS_setgroups32
#else
#define NR_SETRESUID SYS_setresuid
#define NR_SETRESGID SYS_setresgid
#define NR_SETGROUPS SYS_setgroups
#endif

struct capabilities {
	uint64_t effective;
	uint64_t permitted;
	uint64_t inheritable;
};

static struct capabilities own;
static struct stat own_namespace;

/* What caller_end() has to undo. */
static _Thread_local struct {
	bool uid;
	bool gid;
	bool groups;
	bool capabilities;
	bool umask;
	mode_t old_umask;
} changed;

/* System calls that change one thread */

static int set_uid(uid_t uid)
{
	changed.uid = true;
	return result_of(syscall(NR_SETRESUID, -1, uid, -1));
}

static int set_gid(gid_t gid)
{
	changed.gid = true;
	return result_of(syscall(NR_SETRESGID, -1, gid, -1));
}

static int set_groups(int count, const gid_t *groups)
{
	changed.groups = true;
	return result_of(syscall(NR_SETGROUPS, count, groups));
}

static int set_effective(uint64_t effective)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	for (int i = 0; i < 2; i++) {
		data[i].effective = (uint32_t)(effective >> 32 * i);
		data[i].permitted = (uint32_t)(own.permitted >> 32 * i);
		data[i].inheritable = (uint32_t)(own.inheritable >> 32 * i);
	}
	changed.capabilities = true;
	return result_of(syscall(SYS_capset, &head, data));
}

/* pid: a thread; 0 for the calling one */
static int get_capabilities(pid_t pid, struct capabilities *caps)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, pid };
	struct __user_cap_data_struct data[2];
	int res = result_of(syscall(SYS_capget, &head, data));

	if (res < 0)
		return res;
	caps->effective = data[0].effective | (uint64_t)data[1].effective << 32;
	caps->permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	caps->inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
	return 0;
}

/* Umask */

/* Only if a thread cannot have its own umask: held while it differs from the process's. */
static pthread_mutex_t shared_umask = PTHREAD_MUTEX_INITIALIZER;

static bool has_own_umask(void)
{
	static _Thread_local bool tried, own_umask;

	if (!tried) {
		tried = true;
		own_umask = unshare(CLONE_FS) == 0;
	}
	return own_umask;
}

static void set_umask(mode_t mask)
{
	if (!has_own_umask())
		pthread_mutex_lock(&shared_umask);
	changed.umask = true;
	changed.old_umask = umask(mask);
}

static void restore_umask(void)
{
	umask(changed.old_umask);
	changed.umask = false;
	if (!has_own_umask())
		pthread_mutex_unlock(&shared_umask);
}

/* Who the caller is */

static int get_groups(fuse_req_t req, int room, gid_t *groups)
{
	int count;

	do
		count = fuse_req_getgroups(req, room, groups);
	while ((count == -EMFILE || count == -ENFILE) && descriptor_make_room());
	return count;
}

static int take_groups(fuse_req_t req)
{
	gid_t few[64], *groups = few;
	int room = sizeof(few) / sizeof(few[0]), count, res;

	while ((count = get_groups(req, room, groups)) > room) {
		if (groups != few)
			free(groups);
		room = count;
		groups = calloc(room, sizeof(*groups));
		if (!groups)
			return -ENOMEM;
	}
	res = count > 0 ? set_groups(count, groups) : count;
	if (groups != few)
		free(groups);
	return res;
}

static bool is_in_our_namespace(pid_t pid)
{
	char path[64];
	struct stat theirs;

	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	return stat(path, &theirs) == 0 && theirs.st_ino == own_namespace.st_ino &&
	       theirs.st_dev == own_namespace.st_dev;
}

/*
 * Whether the thread accesses files as this user by itself. A kernel thread that does it on
 * behalf of another, as an NFS server's, keeps all its capabilities, which are not for him.
 */
static bool is_user(pid_t pid, uid_t uid)
{
	char path[64], line[128];
	unsigned fsuid;
	bool same = false;
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	status = fopen(path, "re");
	if (!status)
		return false;
	while (fgets(line, sizeof(line), status))
		if (sscanf(line, "Uid: %*u %*u %*u %u", &fsuid) == 1)
			same = fsuid == uid;
	fclose(status);
	return same;
}

/*
 * The capabilities without which the source would check again what the kernel has checked
 * when it knew more than we do. Not the one that keeps set-id bits.
 */
#define CHECKED_BY_KERNEL                                           \
	(CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_DAC_READ_SEARCH) | \
	 CAP_BIT(CAP_FOWNER) | CAP_BIT(CAP_CHOWN))

static uint64_t capabilities_of(const struct fuse_ctx *ctx)
{
	struct capabilities caps;

	if (ctx->pid == 0 || get_capabilities(ctx->pid, &caps) < 0)
		return ctx->uid ? CHECKED_BY_KERNEL : own.effective;
	if (ctx->uid == 0 && (caps.effective & own.permitted) == own.effective)
		return own.effective;
	if (!caps.effective)
		return 0;
	if (!is_in_our_namespace(ctx->pid))
		return caps.effective & CHECKED_BY_KERNEL;
	if (!is_user(ctx->pid, ctx->uid))
		return ctx->uid ? 0 : own.effective;
	return caps.effective;
}

/*
 * Take over what makes the caller: user, groups and capabilities, and the given ones in
 * addition. Groups that cannot be found out are in CHECKED_BY_KERNEL's hands.
 */
static int become(fuse_req_t req, uint64_t additional)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	uint64_t caps;
	int res;

	if (!settings.as_caller)
		return 0;
	res = ctx->gid ? set_gid(ctx->gid) : 0;
	if (res < 0)
		return res;
	caps = capabilities_of(ctx);
	if (ctx->uid == 0)
		return caps == own.effective ? 0 : set_effective(caps & own.permitted);

	res = take_groups(req);
	if (res == -ENOENT || res == -ESRCH || res == -EACCES)
		caps |= CHECKED_BY_KERNEL;
	else if (res < 0)
		return res;
	caps = (caps | additional) & own.permitted;
	res = set_uid(ctx->uid);
	return res == 0 && caps ? set_effective(caps) : res;
}

int caller_become(fuse_req_t req)
{
	return become(req, 0);
}

int caller_become_creator(fuse_req_t req)
{
	set_umask(fuse_req_ctx(req)->umask);
	return become(req, 0);
}

/*
 * Mostly it is enough not to be root. Who exactly the caller is decides about set-id bits
 * only, which few files have.
 */
int caller_become_writer(fuse_req_t req, int fd)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct stat attr;

	if (!settings.as_caller)
		return 0;
	if (fstat(fd, &attr) < 0)
		return -errno;
	if (attr.st_mode & (S_ISUID | S_ISGID))
		return become(req, 0);
	return ctx->uid ? set_uid(ctx->uid) : 0;
}

/*
 * The kernel takes the identity that it uses on the file from the thread that hands the
 * file to it, which takes CAP_SYS_ADMIN. It is used for all who have the file open at the
 * same time, so it must not be one that keeps set-id bits: of root, that is.
 */
int caller_become_backer(fuse_req_t req)
{
	if (!settings.as_caller)
		return 0;
	if (fuse_req_ctx(req)->uid == 0)
		return set_effective(own.permitted & ~CAP_BIT(CAP_FSETID));
	return become(req, CAP_BIT(CAP_SYS_ADMIN));
}

void caller_end(void)
{
	int saved = errno, res = 0;

	/* This brings all capabilities back, which the rest needs. */
	if (changed.uid)
		res |= set_uid(0);
	if (changed.capabilities)
		res |= set_effective(own.effective);
	if (changed.groups)
		res |= set_groups(0, NULL);
	if (changed.gid)
		res |= set_gid(0);
	if (changed.umask)
		restore_umask();
	if (res) {
		fuse_log(FUSE_LOG_EMERG, "passthrough_hp: cannot become root again\n");
		abort();
	}
	changed.uid = changed.gid = changed.groups = changed.capabilities = false;
	errno = saved;
}

/* In a container root may not be allowed all this, and serves everybody as itself. */
void caller_start(void)
{
	settings.as_caller = geteuid() == 0 && get_capabilities(0, &own) == 0 &&
			     stat("/proc/self/ns/user", &own_namespace) == 0 &&
			     set_groups(0, NULL) == 0 && set_gid(0) == 0;
	changed.groups = changed.gid = false;
}
