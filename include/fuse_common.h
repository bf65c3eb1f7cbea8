/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the low-level and the high-level interface share: open files, connection features,
 * buffer vectors, signals, loop settings.
 *
 * Unless a function says otherwise it returns 0 or a positive result for success and a
 * negative errno value for failure.
 */
#if !defined(FUSE_H_) && !defined(FUSE_LOWLEVEL_H_)
#error "fuse_common.h is not for direct inclusion: include fuse.h or fuse_lowlevel.h"
#endif

#ifndef FUSE_COMMON_H_
#define FUSE_COMMON_H_

#include "libfuse_config.h"
#include "fuse_opt.h"
#include "fuse_log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** The number of an interface version, as FUSE_USE_VERSION and FUSE_VERSION hold it. */
/* clang-format off */
#define FUSE_MAKE_VERSION(maj, min) ((maj) * 100 + (min))
/* clang-format on */

/** The newest interface that this header describes. */
#define FUSE_VERSION FUSE_MAKE_VERSION(FUSE_MAJOR_VERSION, FUSE_MINOR_VERSION)

/*
 * A caller names the interface that it was written for, and is given that one. Versions
 * up to 3.9 are written with two digits (30, 35), later ones with three (312, 318).
 */
#if !defined(FUSE_USE_VERSION)
#error "FUSE_USE_VERSION is not defined: define it before including this header"
#elif FUSE_USE_VERSION < 30
#error "FUSE_USE_VERSION is too old: 30 is the oldest supported interface"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/**
 * What a filesystem says about zero-copy when it opens a file. Only where the session has it
 * (-o io_uring_zero_copy, and a kernel that can); ignored elsewhere.
 */
enum fuse_zero_copy {
	/** As the library sees fit. */
	FUSE_ZERO_COPY_DEFAULT = 0,

	/** Yes: its data lie in a descriptor that fuse_reply_read_fd() and the like can name. */
	FUSE_ZERO_COPY_ASK = 1,

	/** No: its data are computed, or have to be looked at. */
	FUSE_ZERO_COPY_DECLINE = 2
};

/**
 * An open file or directory.
 *
 * The filesystem sets members in open(), opendir() and create(); later operations on the
 * same open get the same fh back. A member that the text does not mention for an
 * operation says nothing there.
 */
struct fuse_file_info {
	/**
	 * open(2)'s flags. Set for open(), opendir(), create(), read(), write() and
	 * release().
	 */
	int32_t flags;

	/**
	 * write(): the data comes out of the page cache, some time after the process
	 * wrote it. The request's process, user and fh may then be another writer's.
	 */
	uint32_t writepage : 1;

	/** Answer of open() and create(): let reads and writes bypass the page cache. */
	uint32_t direct_io : 1;

	/** Answer of open(): what the page cache holds of the file is still right. */
	uint32_t keep_cache : 1;

	/** release(): behave as flush() too. Also set in flush(). */
	uint32_t flush : 1;

	/** Answer of open(): seeking is an error. */
	uint32_t nonseekable : 1;

	/** release(): drop the flock() locks that lock_owner holds. */
	uint32_t flock_release : 1;

	/** Answer of opendir(): the kernel may cache the entries that readdir() gives. */
	uint32_t cache_readdir : 1;

	/**
	 * Answer of open() and create(): closing the file needs no flush(). Since 3.11.
	 */
	uint32_t noflush : 1;

	/**
	 * Answer of open() and create(), together with direct_io: writes to the file may
	 * run at the same time. Since 3.15.
	 */
	uint32_t parallel_direct_writes : 1;

	/**
	 * write(), and open() or create() with O_TRUNC: clear set-user-ID and
	 * set-group-ID. Only with FUSE_CAP_HANDLE_KILLPRIV_V2. Since 3.18.
	 */
	uint32_t kill_suidgid : 1;

	/** Not in use. */
	uint32_t padding : 20;

	/**
	 * Answer of open() and create(), a value of enum fuse_zero_copy: whether reads and
	 * writes of this file shall be zero-copied. An addition of this library, at
	 * this end of the word because libfuse takes its bits from the other.
	 */
	uint32_t zero_copy : 2;
	uint32_t padding2 : 32;
	uint32_t padding3 : 32;

	/**
	 * The filesystem's own name for this open, chosen in open(), opendir() or
	 * create().
	 */
	uint64_t fh;

	/**
	 * Who holds or asks for a lock. Set for locks and flush(), and with
	 * flock_release.
	 */
	uint64_t lock_owner;

	/** poll(): the events that the caller waits for, as in poll(2). */
	uint32_t poll_events;

	/**
	 * Answer of open() and create(): a number from fuse_passthrough_open(). The
	 * kernel then reads and writes that file itself. 0 for none. Since 3.17.
	 */
	int32_t backing_id;

	/** Spoken between versions of this library; leave it alone. */
	uint64_t compat_flags;

	/** Not in use. */
	uint64_t reserved[2];
};

/**
 * Settings of the multi-threaded loop.
 *
 * Callers of interfaces before 3.12 fill this structure in themselves, under the name
 * fuse_loop_config. For others fuse_loop_config has no public members: see
 * fuse_loop_cfg_create().
 */
#if FUSE_USE_VERSION < FUSE_MAKE_VERSION(3, 12)
struct fuse_loop_config_v1;
struct fuse_loop_config {
#else
struct fuse_loop_config;
struct fuse_loop_config_v1 {
#endif
	/** Not 0: every thread reads requests through a descriptor of its own. */
	int clone_fd;

	/** Threads with nothing to do, beyond this number, end. */
	unsigned int max_idle_threads;
};

/*
 * Features of a connection: bits of fuse_conn_info.capable_ext (what the kernel can do)
 * and of want_ext (what the filesystem asks for). "On" and "off" say what the library
 * asks for before init() is called, provided that the kernel can do it.
 */

/** Several reads of one file may be under way at once. On. */
#define FUSE_CAP_ASYNC_READ (1UL << 0)

/**
 * fcntl() locks are the filesystem's, through getlk() and setlk(). On if both are there.
 */
#define FUSE_CAP_POSIX_LOCKS (1UL << 1)

/** open() gets O_TRUNC and truncates; otherwise the kernel truncates separately. On. */
#define FUSE_CAP_ATOMIC_O_TRUNC (1UL << 3)

/** lookup() can answer "." and "..", so that NFS can export the filesystem. Off. */
#define FUSE_CAP_EXPORT_SUPPORT (1UL << 4)

/** The filesystem applies the umask (fuse_ctx.umask) to new files' modes itself. Off. */
#define FUSE_CAP_DONT_MASK (1UL << 6)

/** Replies may be spliced to the kernel. Off. */
#define FUSE_CAP_SPLICE_WRITE (1UL << 7)

/** Splicing a reply may move its pages rather than copy them. Off. */
#define FUSE_CAP_SPLICE_MOVE (1UL << 8)

/** Requests may be spliced from the kernel. On if write_buf() is there. */
#define FUSE_CAP_SPLICE_READ (1UL << 9)

/** flock() locks are the filesystem's, through flock(). On if that is there. */
#define FUSE_CAP_FLOCK_LOCKS (1UL << 10)

/** ioctl() on directories. On. */
#define FUSE_CAP_IOCTL_DIR (1UL << 11)

/**
 * The kernel drops cached data when it sees that size or modification time changed behind
 * its back, and asks for attributes more often to see it. On.
 */
#define FUSE_CAP_AUTO_INVAL_DATA (1UL << 12)

/** Directories may be read with readdirplus(). On if that is there. */
#define FUSE_CAP_READDIRPLUS (1UL << 13)

/** The kernel chooses between readdir() and readdirplus(). On if both are there. */
#define FUSE_CAP_READDIRPLUS_AUTO (1UL << 14)

/** Several direct reads and writes of one open may be under way at once. On. */
#define FUSE_CAP_ASYNC_DIO (1UL << 15)

/**
 * Writes go to the page cache and reach the filesystem later. It then sees reads on files
 * opened for writing only, and must leave O_APPEND to the kernel. Off.
 */
#define FUSE_CAP_WRITEBACK_CACHE (1UL << 16)

/** open() answered with ENOSYS means "no handle needed", for this and all later opens. */
#define FUSE_CAP_NO_OPEN_SUPPORT (1UL << 17)

/** lookup() and readdir() of one directory may be under way at once. On. */
#define FUSE_CAP_PARALLEL_DIROPS (1UL << 18)

/**
 * The kernel checks ACLs, which the filesystem stores as extended attributes, keeping
 * modes in step with them. Implies default_permissions. Off.
 */
#define FUSE_CAP_POSIX_ACL (1UL << 19)

/**
 * The filesystem clears set-user-ID and set-group-ID on write, truncate and chown. On.
 */
#define FUSE_CAP_HANDLE_KILLPRIV (1UL << 20)

/**
 * The same as FUSE_CAP_HANDLE_KILLPRIV, except that for write and truncate the kernel
 * says when it must be done. Off. Since 3.18.
 */
#define FUSE_CAP_HANDLE_KILLPRIV_V2 (1UL << 21)

/** The kernel caches what readlink() gives. Off. */
#define FUSE_CAP_CACHE_SYMLINKS (1UL << 23)

/** FUSE_CAP_NO_OPEN_SUPPORT's counterpart for opendir(). */
#define FUSE_CAP_NO_OPENDIR_SUPPORT (1UL << 24)

/**
 * The kernel drops cached data only when the filesystem says so.
 * FUSE_CAP_AUTO_INVAL_DATA, if asked for too, wins. Off.
 */
#define FUSE_CAP_EXPLICIT_INVAL_DATA (1UL << 25)

/** The kernel understands fuse_lowlevel_notify_expire_entry(). Nothing to ask for. */
#define FUSE_CAP_EXPIRE_ONLY (1UL << 26)

/** setxattr() gets the flags that the kernel adds to the caller's. Off. */
#define FUSE_CAP_SETXATTR_EXT (1UL << 27)

/** Files opened with direct_io may be mapped shared. Off. */
#define FUSE_CAP_DIRECT_IO_ALLOW_MMAP (1UL << 28)

/**
 * The kernel can read and write a file for us: fuse_passthrough_open(). Off. Since 3.17.
 */
#define FUSE_CAP_PASSTHROUGH (1UL << 29)

/** Files cannot be opened by handle, which tells NFS servers to keep out. Off. */
#define FUSE_CAP_NO_EXPORT_SUPPORT (1UL << 30)

/** Requests may travel over io_uring. On if the mount options ask for it. Since 3.18. */
#define FUSE_CAP_OVER_IO_URING (1UL << 31)

/**
 * An addition of this library: write_buf() copes with data that are in no memory, since they
 * are still the client's. It does if it hands its buffer vector to fuse_buf_copy() or the request to
 * fuse_reply_write_fd(), and gets at the bytes by fuse_req_get_payload() if at all; not if it
 * looks at buf[].mem or buf[].fd itself. Without this flag the library watches what the
 * handler does with the first write, whose data it fetches, and goes by that; write() gets
 * memory always.
 *
 * Offered when zero-copy was asked for and may come about. Off unless set.
 */
#define FUSE_CAP_ZERO_COPY_WRITE (1ULL << 62)

/* Flags of ioctl(). */

/** The caller is a 32-bit process on a 64-bit kernel. */
#define FUSE_IOCTL_COMPAT (1 << 0)

/** The ioctl's number does not tell its sizes: fuse_reply_ioctl_retry() may. */
#define FUSE_IOCTL_UNRESTRICTED (1 << 1)

/** In answer to fuse_reply_ioctl_retry(). */
#define FUSE_IOCTL_RETRY (1 << 2)

/** On a directory. */
#define FUSE_IOCTL_DIR (1 << 4)

/** The most ranges that fuse_reply_ioctl_retry() can name, in and out together. */
#define FUSE_IOCTL_MAX_IOV 256

/* Values of fuse_conn_info.max_backing_stack_depth. */

/**
 * Backing files lie on filesystems that are not stacked. A stacked one may then lie over
 * this one.
 */
#define FUSE_BACKING_STACKED_UNDER (0)

/** Backing files may lie on a stacked filesystem. None can then lie over this one. */
#define FUSE_BACKING_STACKED_OVER (1)

/**
 * What kernel and filesystem agree on, given to init(), which may change it.
 *
 * Numbers that the filesystem lowers stay lowered; numbers that it raises above what the
 * kernel offers are cut down again.
 */
struct fuse_conn_info {
	/** The protocol in use. Read only. */
	uint32_t proto_major;
	uint32_t proto_minor;

	/** The most data in one write, in bytes. */
	uint32_t max_write;

	/**
	 * The most data asked for in one read, in bytes; 0 for no limit. It must be the
	 * mount option max_read's value, which is where the kernel looks.
	 */
	uint32_t max_read;

	/** The most data read ahead, in bytes. */
	uint32_t max_readahead;

	/**
	 * The lower 32 bits of capable_ext and want_ext, as interfaces before 3.17 know
	 * them. What differs from the first suggestion counts, in whichever of
	 * want and want_ext it does.
	 */
	uint32_t capable;
	uint32_t want;

	/**
	 * The most background requests under way at once; 0 for the kernel's own choice.
	 */
	uint32_t max_background;

	/**
	 * With more of them the filesystem counts as congested; 0 for 3/4 of
	 * max_background.
	 */
	uint32_t congestion_threshold;

	/**
	 * The unit of timestamps, in nanoseconds: a power of 10 from 1 to 1000000000. 1
	 * at first.
	 */
	uint32_t time_gran;

	/**
	 * FUSE_BACKING_STACKED_UNDER (as at first) or _OVER. For passthrough. Since 3.17.
	 */
	uint32_t max_backing_stack_depth;

	/**
	 * Do not report interrupted callers: fuse_req_interrupted() is never true. Since
	 * 3.17.
	 */
	uint32_t no_interrupt : 1;

	/** Not in use. */
	uint32_t padding : 31;

	/** What the kernel can do. Read only; see fuse_get_feature_flag(). Since 3.17. */
	uint64_t capable_ext;

	/** What the filesystem wants; see fuse_set_feature_flag(). Since 3.17. */
	uint64_t want_ext;

	/**
	 * After this many seconds without a reply to a request the kernel ends the
	 * connection; 0 for never. Since 3.18.
	 */
	uint16_t request_timeout;

	/** Not in use. */
	uint16_t reserved[31];
};

struct fuse_session;
struct fuse_pollhandle;
struct fuse_conn_info_opts;

/** Which version of the library a program was compiled with. */
struct libfuse_version {
	uint32_t major;
	uint32_t minor;
	uint32_t hotfix;
	uint32_t padding;
};

/*
 * Features. For init(), on the structure that it was given.
 */

/**
 * Ask for a feature.
 *
 * @param conn init()'s argument
 * @param flag one FUSE_CAP_ bit
 * @return true if the kernel has it and it is now asked for; false, and no change, if not
 *
 * Since 3.17.3.
 */
bool fuse_set_feature_flag(struct fuse_conn_info *conn, uint64_t flag);

/**
 * Do without a feature.
 *
 * @param conn init()'s argument
 * @param flag one FUSE_CAP_ bit
 *
 * Since 3.17.3.
 */
void fuse_unset_feature_flag(struct fuse_conn_info *conn, uint64_t flag);

/**
 * Say whether the kernel has a feature.
 *
 * @param conn init()'s argument
 * @param flag one FUSE_CAP_ bit
 * @return true if it does
 *
 * Since 3.17.3.
 */
bool fuse_get_feature_flag(struct fuse_conn_info *conn, uint64_t flag);

/**
 * Take changes of conn->want over into conn->want_ext. For the library's own tests: what
 * it does may change.
 *
 * @return 0: bit by bit, the two cannot contradict each other
 *
 * Since 3.17.3.
 */
int fuse_convert_to_conn_want_ext(struct fuse_conn_info *conn);

/**
 * Take options about the connection ("max_write=N", "async_read", "no_splice_read", ...)
 * out of an argument list, for a filesystem that lets its users choose.
 *
 * @param args the list; the options found are removed
 * @return the options, to be freed with free(); NULL on failure, after a message
 */
struct fuse_conn_info_opts *fuse_parse_conn_info_opts(struct fuse_args *args);

/**
 * Apply those options. For init().
 *
 * @param opts from fuse_parse_conn_info_opts()
 * @param conn init()'s argument
 */
void fuse_apply_conn_info_opts(struct fuse_conn_info_opts *opts,
			       struct fuse_conn_info *conn);

/**
 * Go to the background: fork, give up the terminal, change to the root directory, connect
 * the standard streams to /dev/null. The first process exits with status 0 once this is
 * done. Call it before starting threads.
 *
 * @param foreground not 0: only change to the root directory
 * @return 0, or -1 on failure, after a message
 */
int fuse_daemonize(int foreground);

/**
 * The version of the library at run time.
 *
 * @return as FUSE_VERSION: 318 for 3.18
 */
int fuse_version(void);

/**
 * The library's version as text.
 *
 * @return a constant string: "3.18.3"
 */
const char *fuse_pkgversion(void);

/**
 * Free the handle that poll() was given, once nothing will be reported through it any
 * more.
 *
 * @param ph the handle; owned by the filesystem since poll() was called with it
 */
void fuse_pollhandle_destroy(struct fuse_pollhandle *ph);

/*
 * Buffer vectors: data in memory, in files and in pipes, under one roof.
 */

/** What a fuse_buf is. */
enum fuse_buf_flags {
	/** The data is in the file fd, not in the memory mem. */
	FUSE_BUF_IS_FD = (1 << 1),

	/** At pos of the file; without this, at the file's own position, which moves. */
	FUSE_BUF_FD_SEEK = (1 << 2),

	/**
	 * Go on after a short read or write until everything is moved, the file ends or
	 * an error occurs; without this, a short read or write ends the copy.
	 */
	FUSE_BUF_FD_RETRY = (1 << 3)
};

/** How to copy. Between two descriptors only: otherwise there is nothing to splice. */
enum fuse_buf_copy_flags {
	/** Read and write; do not use splice(2). */
	FUSE_BUF_NO_SPLICE = (1 << 1),

	/** Use splice(2) or fail: one of the two must be a pipe. */
	FUSE_BUF_FORCE_SPLICE = (1 << 2),

	/** Let splice(2) move pages rather than copy them, where it can. */
	FUSE_BUF_SPLICE_MOVE = (1 << 3),

	/**
	 * Do not let splice(2) wait for a pipe. The files' own O_NONBLOCK still counts.
	 */
	FUSE_BUF_SPLICE_NONBLOCK = (1 << 4)
};

/** One piece of data. */
struct fuse_buf {
	/** Its size, in bytes. */
	size_t size;

	/** What it is. */
	enum fuse_buf_flags flags;

	/** Where, unless FUSE_BUF_IS_FD is set. */
	void *mem;

	/** Where, if FUSE_BUF_IS_FD is set. */
	int fd;

	/** Where in the file, if FUSE_BUF_FD_SEEK is set too. */
	off_t pos;

	/**
	 * How much memory mem has, in bytes; 0 if not known. For
	 * fuse_session_receive_buf(), which fills and reuses mem. Since 3.17.
	 */
	size_t mem_size;
};

/**
 * A row of buffers, and a place in it. Allocate more room behind it for count above 1.
 */
struct fuse_bufvec {
	/** Number of buffers. */
	size_t count;

	/** The place: the current buffer, */
	size_t idx;

	/** and the bytes of it that are done with. */
	size_t off;

	/** The buffers. */
	struct fuse_buf buf[1];
};

/** Initializer: one buffer of the given size in memory that is yet to be named. */
/* clang-format off */
#define FUSE_BUFVEC_INIT(size__)				\
	((struct fuse_bufvec) {					\
		1,						\
		0,						\
		0,						\
		{ {						\
			(size__),				\
			(enum fuse_buf_flags) 0,		\
			NULL,					\
			-1,					\
			0,					\
			0,					\
		} }						\
	})
/* clang-format on */

/**
 * Add up the sizes of all buffers, whatever the place is.
 *
 * @param bufv the vector
 * @return the sum in bytes; SIZE_MAX if it is that or more
 */
size_t fuse_buf_size(const struct fuse_bufvec *bufv);

/**
 * Copy from one vector to another, each from its place on, until one of them is used up.
 * Both places move on by what was copied. Memory that overlaps is copied correctly. A
 * signal does not end the copy.
 *
 * @param dst where to
 * @param src where from; if this is dst, nothing is done and its size returned
 * @param flags how; may be 0
 * @return the number of bytes copied, which is less than asked for at the end of a file,
 *         at a short read or write, or at an error after some data was copied; or a
 *         negative errno value if nothing was copied because of an error
 *
 * Any thread may call it, on vectors that no other thread uses meanwhile.
 */
ssize_t fuse_buf_copy(struct fuse_bufvec *dst, struct fuse_bufvec *src,
		      enum fuse_buf_copy_flags flags);

/*
 * Signals.
 */

/**
 * End the session's loop at SIGHUP, SIGINT or SIGTERM, and let SIGPIPE do nothing, in
 * this program: one that it starts has SIGPIPE's default again. Signals that the program
 * handles or ignores itself already are left alone. One session of a process can have
 * this.
 *
 * @param se the session
 * @return 0, or -1 on failure, after a message
 */
int fuse_set_signal_handlers(struct fuse_session *se);

/**
 * At a signal that says the program is broken (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT,
 * ...), log it, with a backtrace where there is one, and end the session's loop before
 * the signal does its work. For debugging.
 *
 * @param se the session
 * @return 0, or -1 on failure, after a message
 *
 * Since 3.17.
 */
int fuse_set_fail_signal_handlers(struct fuse_session *se);

/**
 * Undo fuse_set_signal_handlers() and fuse_set_fail_signal_handlers(). What the program
 * has set itself, before or since, stays.
 *
 * @param se the session that it was called with
 */
void fuse_remove_signal_handlers(struct fuse_session *se);

/*
 * Settings of the multi-threaded loop. Since 3.12.
 */

/**
 * Make settings, with the library's defaults.
 *
 * @return the settings, to be freed with fuse_loop_cfg_destroy(); NULL if memory ran out
 */
struct fuse_loop_config *fuse_loop_cfg_create(void);

/**
 * Free settings.
 *
 * @param config the settings; no loop may still run on them
 */
void fuse_loop_cfg_destroy(struct fuse_loop_config *config);

/**
 * Let threads end when they have nothing to do. They are dear to start again, so this is
 * off at first.
 *
 * @param config the settings
 * @param value how many idle threads stay; UINT_MAX keeps all
 */
void fuse_loop_cfg_set_idle_threads(struct fuse_loop_config *config, unsigned int value);

/**
 * Limit the number of threads.
 *
 * @param config the settings
 * @param value the most threads; at least 1, and 10 at first
 */
void fuse_loop_cfg_set_max_threads(struct fuse_loop_config *config, unsigned int value);

/**
 * Choose whether each thread reads requests through a descriptor of its own.
 *
 * @param config the settings
 * @param value 0 for no (as at first), 1 for yes
 */
void fuse_loop_cfg_set_clone_fd(struct fuse_loop_config *config, unsigned int value);

/**
 * Take settings over from the structure of older interfaces.
 *
 * @param config the settings
 * @param v1_conf the older structure
 */
void fuse_loop_cfg_convert(struct fuse_loop_config *config,
			   struct fuse_loop_config_v1 *v1_conf);

#ifdef __cplusplus
}
#endif

/* A 32-bit off_t would silently change every structure and prototype above. */
#if !defined(__cplusplus)
_Static_assert(sizeof(off_t) == 8,
	       "libfuse needs a 64-bit off_t: define _FILE_OFFSET_BITS=64");
#elif __cplusplus >= 201103L
static_assert(sizeof(off_t) == 8,
	      "libfuse needs a 64-bit off_t: define _FILE_OFFSET_BITS=64");
#else
typedef char fuse_off_t_must_have_64_bits_[sizeof(off_t) == 8 ? 1 : -1];
#endif

#endif /* FUSE_COMMON_H_ */
