/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CUSE: a character device that a program serves, by the same means as a filesystem.
 *
 * A program fills in struct cuse_lowlevel_ops and struct cuse_info, and calls
 * cuse_lowlevel_main(). The operations are answered by the fuse_reply_ functions of
 * fuse_lowlevel.h; there is one device and so there are no inode numbers. The device is
 * there from the moment that the kernel has our answer to its first message until the
 * session is destroyed or the process ends.
 *
 * Needs a kernel with CONFIG_CUSE, and the right to open /dev/cuse.
 */
#ifndef CUSE_LOWLEVEL_H_
#define CUSE_LOWLEVEL_H_

#include "fuse_lowlevel.h"

#include <fcntl.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * For cuse_info.flags: ioctl() gets every number with nothing but the caller's pointer, and
 * says by fuse_reply_ioctl_retry() which memory of the caller it wants to read and write.
 * Otherwise the kernel goes by the size and direction that are encoded in the number.
 */
#define CUSE_UNRESTRICTED_IOCTL (1 << 0)

struct fuse_session;

/** What the device is. */
struct cuse_info {
	/** Its major number; 0: the kernel chooses one. */
	unsigned dev_major;

	/** Its minor number. */
	unsigned dev_minor;

	/** How many strings there are in dev_info_argv. */
	unsigned dev_info_argc;

	/**
	 * Strings "KEY=value". "DEVNAME=name" has to be among them: the device appears as
	 * /dev/name.
	 */
	const char **dev_info_argv;

	/** CUSE_UNRESTRICTED_IOCTL or 0. */
	unsigned flags;
};

/**
 * What the device can do. An operation that is NULL is answered with ENOSYS, except for
 * open() and release(), which then succeed. Each of the others is answered by exactly one
 * fuse_reply_ function, as its namesake in struct fuse_lowlevel_ops is.
 */
struct cuse_lowlevel_ops {
	/**
	 * The kernel is about to be told of the device. conn may be changed: max_read and
	 * max_write are the largest single read() and write() of the device.
	 */
	void (*init)(void *userdata, struct fuse_conn_info *conn);

	/** The kernel has been told. */
	void (*init_done)(void *userdata);

	/** The session is being destroyed. */
	void (*destroy)(void *userdata);

	/** Answer: fuse_reply_open(). */
	void (*open)(fuse_req_t req, struct fuse_file_info *fi);

	/** Answer: fuse_reply_buf(), fuse_reply_iov() or fuse_reply_data(). */
	void (*read)(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi);

	/** Answer: fuse_reply_write(). */
	void (*write)(fuse_req_t req, const char *buf, size_t size, off_t off,
		      struct fuse_file_info *fi);

	/** Answer: fuse_reply_err(). No kernel up to now sends it for a device. */
	void (*flush)(fuse_req_t req, struct fuse_file_info *fi);

	/** Answer: fuse_reply_err(). */
	void (*release)(fuse_req_t req, struct fuse_file_info *fi);

	/** Answer: fuse_reply_err(). No kernel up to now sends it for a device. */
	void (*fsync)(fuse_req_t req, int datasync, struct fuse_file_info *fi);

	/**
	 * Answer: fuse_reply_ioctl(), fuse_reply_ioctl_iov() or fuse_reply_ioctl_retry().
	 * flags has FUSE_IOCTL_COMPAT and FUSE_IOCTL_UNRESTRICTED.
	 */
	void (*ioctl)(fuse_req_t req, int cmd, void *arg, struct fuse_file_info *fi,
		      unsigned int flags, const void *in_buf, size_t in_bufsz,
		      size_t out_bufsz);

	/** Answer: fuse_reply_poll(). ph belongs to us, see fuse_pollhandle_destroy(). */
	void (*poll)(fuse_req_t req, struct fuse_file_info *fi,
		     struct fuse_pollhandle *ph);
};

/**
 * Makes the session of a device, which has no descriptor yet: cuse_lowlevel_setup() opens
 * /dev/cuse for it, fuse_session_custom_io() gives it anything else.
 *
 * @param args options; fuse_lowlevel_help() prints those that are known
 * @param ci what the device is; copied
 * @param clop what it can do; copied
 * @param userdata given to init(), init_done(), destroy() and fuse_req_userdata()
 * @return the session, or NULL after a message
 */
struct fuse_session *cuse_lowlevel_new(struct fuse_args *args, const struct cuse_info *ci,
				       const struct cuse_lowlevel_ops *clop,
				       void *userdata);

/**
 * Takes a command line with the options that filesystems have (fuse_cmdline_help()), makes the
 * session, opens /dev/cuse, installs signal handlers and goes to the background unless
 * the options say otherwise. The loop is left to the caller.
 *
 * @param multithreaded set to 1 if fuse_session_loop_mt() is asked for, otherwise to 0
 * @return the session, or NULL after a message
 */
struct fuse_session *cuse_lowlevel_setup(int argc, char *argv[],
					 const struct cuse_info *ci,
					 const struct cuse_lowlevel_ops *clop,
					 int *multithreaded, void *userdata);

/** Undoes what cuse_lowlevel_setup() did. The device disappears. */
void cuse_lowlevel_teardown(struct fuse_session *se);

/**
 * Sets a session up, runs its loop, and tears it down.
 *
 * @return the program's exit status: 0, or 1 if something failed
 */
int cuse_lowlevel_main(int argc, char *argv[], const struct cuse_info *ci,
		       const struct cuse_lowlevel_ops *clop, void *userdata);

#ifdef __cplusplus
}
#endif

#endif /* CUSE_LOWLEVEL_H_ */
