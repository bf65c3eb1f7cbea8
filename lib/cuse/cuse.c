// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A device's session, and its operations behind those of a filesystem: what a request says
 * of an inode is left out.
 */
#include <stdlib.h>
#include <string.h>

#include "cuse/cuse.h"

static const struct cuse_lowlevel_ops *ops_of(fuse_req_t req)
{
	return &req->protocol->session->cuse->ops;
}

static void cuse_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	ops_of(req)->open(req, fi);
}

static void cuse_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		      struct fuse_file_info *fi)
{
	ops_of(req)->read(req, size, off, fi);
}

static void cuse_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size,
		       off_t off, struct fuse_file_info *fi)
{
	ops_of(req)->write(req, buf, size, off, fi);
}

static void cuse_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	ops_of(req)->flush(req, fi);
}

static void cuse_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	ops_of(req)->release(req, fi);
}

static void cuse_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
		       struct fuse_file_info *fi)
{
	ops_of(req)->fsync(req, datasync, fi);
}

static void cuse_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
		       struct fuse_file_info *fi, unsigned int flags, const void *in_buf,
		       size_t in_bufsz, size_t out_bufsz)
{
	ops_of(req)->ioctl(req, (int)cmd, arg, fi, flags, in_buf, in_bufsz, out_bufsz);
}

static void cuse_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		      struct fuse_pollhandle *ph)
{
	ops_of(req)->poll(req, fi, ph);
}

/* What the device cannot do, protocol/ answers. */
static struct fuse_lowlevel_ops operations(const struct cuse_lowlevel_ops *clop)
{
	return (struct fuse_lowlevel_ops){
		.init = clop->init,
		.destroy = clop->destroy,
		.open = clop->open ? cuse_open : NULL,
		.read = clop->read ? cuse_read : NULL,
		.write = clop->write ? cuse_write : NULL,
		.flush = clop->flush ? cuse_flush : NULL,
		.release = clop->release ? cuse_release : NULL,
		.fsync = clop->fsync ? cuse_fsync : NULL,
		.ioctl = clop->ioctl ? cuse_ioctl : NULL,
		.poll = clop->poll ? cuse_poll : NULL,
	};
}

static size_t info_size(const struct cuse_info *ci)
{
	size_t size = 0;

	for (unsigned i = 0; i < ci->dev_info_argc; i++)
		size += strlen(ci->dev_info_argv[i]) + 1;
	return size;
}

/* The kernel would not say what is wrong. */
static bool has_name(const struct cuse_info *ci)
{
	static const char key[] = "DEVNAME=";

	for (unsigned i = 0; i < ci->dev_info_argc; i++) {
		const char *info = ci->dev_info_argv[i];

		if (!strncmp(info, key, sizeof(key) - 1) && info[sizeof(key) - 1])
			return true;
	}
	fuse_log(FUSE_LOG_ERR, "cuse: the device has no name: DEVNAME=... is missing\n");
	return false;
}

static struct fuse_cuse *make_cuse(const struct cuse_info *ci,
				   const struct cuse_lowlevel_ops *clop)
{
	size_t size = info_size(ci);
	struct fuse_cuse *cuse;
	char *end;

	if (!has_name(ci))
		return NULL;
	if (size > CUSE_INIT_INFO_MAX) {
		fuse_log(FUSE_LOG_ERR,
			 "cuse: the description of the device has %zu bytes, more than "
			 "%d\n",
			 size, CUSE_INIT_INFO_MAX);
		return NULL;
	}
	cuse = calloc(1, sizeof(*cuse) + size);
	if (!cuse) {
		fuse_log(FUSE_LOG_ERR, "cuse: no memory for a device\n");
		return NULL;
	}
	cuse->ops = *clop;
	cuse->major = ci->dev_major;
	cuse->minor = ci->dev_minor;
	cuse->flags = ci->flags;
	cuse->info_size = size;
	end = cuse->info;
	for (unsigned i = 0; i < ci->dev_info_argc; i++)
		end = stpcpy(end, ci->dev_info_argv[i]) + 1;
	return cuse;
}

/* Rings are for mounts: /dev/cuse does not offer them. False if they were insisted on. */
static bool do_without_rings(struct fuse_session *se)
{
	if (!fuse_rings_wanted(se))
		return true;
	fuse_rings_step_down(se, "the kernel has it for mounts, not for devices");
	return !se->options.io_uring_strict;
}

struct fuse_session *cuse_lowlevel_new(struct fuse_args *args, const struct cuse_info *ci,
				       const struct cuse_lowlevel_ops *clop,
				       void *userdata)
{
	const struct fuse_lowlevel_ops ops = operations(clop);
	struct fuse_cuse *cuse = make_cuse(ci, clop);
	struct fuse_session *se;

	if (!cuse)
		return NULL;
	se = fuse_session_new_versioned(args, &ops, sizeof(ops), NULL, userdata);
	if (!se) {
		free(cuse);
		return NULL;
	}
	cuse->hooks = *se->protocol.hooks;
	cuse->hooks.init = fuse_cuse_negotiate;
	se->cuse = cuse;
	se->protocol.hooks = &cuse->hooks;
	se->protocol.init_opcode = CUSE_INIT;
	if (!do_without_rings(se)) {
		fuse_session_destroy(se);
		return NULL;
	}
	return se;
}
