// SPDX-License-Identifier: GPL-2.0-only
/*
 * Inodes, but for what is in them.
 */
#include "memfs.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static ino_t last_ino;

struct inode *inode_new(mode_t mode, uid_t uid, gid_t gid)
{
	struct inode *inode = calloc(1, sizeof(*inode));

	if (!inode)
		return NULL;
	inode->ino = ++last_ino;
	inode->mode = mode;
	inode->uid = uid;
	inode->gid = gid;
	inode_touch(inode);
	inode->atime = inode->mtime;
	return inode;
}

static void free_if_unused(struct inode *inode)
{
	struct attribute *next;

	if (inode->nlink || inode->opens)
		return;
	if (S_ISREG(inode->mode))
		data_free(inode);
	else if (S_ISDIR(inode->mode))
		directory_free(inode);
	else if (S_ISLNK(inode->mode))
		free(inode->target);
	for (struct attribute *a = inode->attributes; a; a = next) {
		next = a->next;
		free(a->name);
		free(a->value);
		free(a);
	}
	free(inode);
}

void inode_unlink(struct inode *inode)
{
	inode->nlink--;
	inode_changed(inode);
	free_if_unused(inode);
}

void inode_close(struct inode *inode)
{
	inode->opens--;
	free_if_unused(inode);
}

/* The kernel leaves these bits to us, unless mem_init() gave up FUSE_CAP_HANDLE_KILLPRIV. */
void inode_written(struct inode *inode)
{
	inode->mode &= ~(mode_t)(S_ISUID | S_ISGID);
	inode_touch(inode);
}

void inode_touch(struct inode *inode)
{
	clock_gettime(CLOCK_REALTIME, &inode->mtime);
	inode->ctime = inode->mtime;
}

void inode_changed(struct inode *inode)
{
	clock_gettime(CLOCK_REALTIME, &inode->ctime);
}

void inode_get_attr(const struct inode *inode, struct stat *attr)
{
	memset(attr, 0, sizeof(*attr));
	attr->st_ino = inode->ino;
	attr->st_mode = inode->mode;
	attr->st_nlink = inode->nlink;
	attr->st_uid = inode->uid;
	attr->st_gid = inode->gid;
	attr->st_rdev = inode->rdev;
	attr->st_size = inode->size;
	attr->st_blksize = CHUNK;
	attr->st_atim = inode->atime;
	attr->st_mtim = inode->mtime;
	attr->st_ctim = inode->ctime;
	if (S_ISREG(inode->mode))
		attr->st_blocks = (blkcnt_t)data_chunks(inode) * (blkcnt_t)(CHUNK / 512);
}

struct attribute **inode_find_attribute(struct inode *inode, const char *name)
{
	struct attribute **link = &inode->attributes;

	while (*link && strcmp((*link)->name, name) != 0)
		link = &(*link)->next;
	return link;
}
