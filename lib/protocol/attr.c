// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Attributes and cache times, between what the C library's types say and what travels.
 */
#include <string.h>
#include <sys/stat.h>

#include "protocol/protocol.h"

#define NSEC_PER_SEC 1000000000

void fuse_attr_from_stat(struct fuse_attr *attr, const struct stat *stat)
{
	*attr = (struct fuse_attr){
		.ino = stat->st_ino,
		.size = (uint64_t)stat->st_size,
		.blocks = (uint64_t)stat->st_blocks,
		.atime = (uint64_t)stat->st_atim.tv_sec,
		.mtime = (uint64_t)stat->st_mtim.tv_sec,
		.ctime = (uint64_t)stat->st_ctim.tv_sec,
		.atimensec = (uint32_t)stat->st_atim.tv_nsec,
		.mtimensec = (uint32_t)stat->st_mtim.tv_nsec,
		.ctimensec = (uint32_t)stat->st_ctim.tv_nsec,
		.mode = stat->st_mode,
		.nlink = (uint32_t)stat->st_nlink,
		.uid = stat->st_uid,
		.gid = stat->st_gid,
		/* the low 32 bits of a dev_t are laid out as the kernel has them */
		.rdev = (uint32_t)stat->st_rdev,
		.blksize = (uint32_t)stat->st_blksize,
	};
}

void fuse_attr_to_stat(struct stat *stat, const struct fuse_setattr_in *in)
{
	memset(stat, 0, sizeof(*stat));
	stat->st_mode = in->mode;
	stat->st_uid = in->uid;
	stat->st_gid = in->gid;
	stat->st_size = (off_t)in->size;
	stat->st_atim.tv_sec = (time_t)in->atime;
	stat->st_mtim.tv_sec = (time_t)in->mtime;
	stat->st_ctim.tv_sec = (time_t)in->ctime;
	stat->st_atim.tv_nsec = in->atimensec;
	stat->st_mtim.tv_nsec = in->mtimensec;
	stat->st_ctim.tv_nsec = in->ctimensec;
}

static struct fuse_sx_time sx_time(const struct statx_timestamp *stamp)
{
	return (struct fuse_sx_time){ .tv_sec = stamp->tv_sec,
				      .tv_nsec = stamp->tv_nsec };
}

void fuse_statx_from_libc(struct fuse_statx *out, const struct statx *statx)
{
	*out = (struct fuse_statx){
		.mask = statx->stx_mask,
		.blksize = statx->stx_blksize,
		.attributes = statx->stx_attributes,
		.nlink = statx->stx_nlink,
		.uid = statx->stx_uid,
		.gid = statx->stx_gid,
		.mode = statx->stx_mode,
		.ino = statx->stx_ino,
		.size = statx->stx_size,
		.blocks = statx->stx_blocks,
		.attributes_mask = statx->stx_attributes_mask,
		.atime = sx_time(&statx->stx_atime),
		.btime = sx_time(&statx->stx_btime),
		.ctime = sx_time(&statx->stx_ctime),
		.mtime = sx_time(&statx->stx_mtime),
		.rdev_major = statx->stx_rdev_major,
		.rdev_minor = statx->stx_rdev_minor,
		.dev_major = statx->stx_dev_major,
		.dev_minor = statx->stx_dev_minor,
	};
}

void fuse_timeout_split(double timeout, uint64_t *sec, uint32_t *nsec)
{
	double rest;

	*sec = 0;
	*nsec = 0;
	if (!(timeout > 0)) /* not a number is no time either */
		return;
	if (timeout >= 0x1p64) {
		*sec = UINT64_MAX;
		return;
	}
	*sec = (uint64_t)timeout;
	rest = (timeout - (double)*sec) * NSEC_PER_SEC;
	*nsec = rest < NSEC_PER_SEC - 1 ? (uint32_t)rest : NSEC_PER_SEC - 1;
}

void fuse_entry_from_param(struct fuse_entry_out *out,
			   const struct fuse_entry_param *param)
{
	memset(out, 0, sizeof(*out));
	out->nodeid = param->ino;
	out->generation = param->generation;
	fuse_timeout_split(param->entry_timeout, &out->entry_valid,
			   &out->entry_valid_nsec);
	fuse_timeout_split(param->attr_timeout, &out->attr_valid, &out->attr_valid_nsec);
	fuse_attr_from_stat(&out->attr, &param->attr);
}
