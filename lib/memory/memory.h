/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory that clients share with this process.
 *
 * A memfd is mapped once, however often it was added, and as long as a request may point into it.
 * Its references: one while it has an id, one while the kernel may send requests that name it, and
 * one of each request that is here.
 *
 * The kernel says that a removed one is still in use as long as a request has it that was not
 * answered. Such memory *lingers*: whoever has answered a request of the kind asks again.
 *
 * Lock: fuse_memories.lock guards everything but the references, and is held while the kernel
 * is told of an addition: a request that names the new number may arrive before that returns, and then
 * waits in fuse_memories_get().
 */
#ifndef FUSE_MEMORY_H
#define FUSE_MEMORY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * What memory has to be sealed with, so that its size stays: touching what is not there any more
 * would be SIGBUS. Of fcntl.h.
 */
#define FUSE_MEMORY_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

/* The kernel's numbers are from 1 to here. */
#define FUSE_MEMORY_NUMBERS 65535

/* Another name by which it was added. */
struct fuse_memory_id {
	uint64_t id;
	struct fuse_memory *memory;
	struct fuse_memory_id *next; /* of the same memory */
};

struct fuse_memory {
	_Atomic unsigned references;

	/* Constant. */
	char *base;
	size_t size;
	int fd;
	bool writable;
	dev_t dev;
	ino_t ino;

	/* Guarded by the lock. */
	struct fuse_memory_id *ids; /* none: it lingers */
	unsigned number;	    /* the kernel's; 0: it does not know it */
	struct fuse_memory *next;   /* among those that linger, or that are dead */
};

/* How the kernel is told; called under the lock, so they may not wait for a request. */
struct fuse_memory_kernel_ops {
	/* Returns its number, or a negative errno. */
	int (*add)(void *context, int fd, bool writable);
	/* Returns 0, or -EBUSY: requests name it that have not been answered. */
	int (*remove)(void *context, unsigned number);
};

struct fuse_memories {
	pthread_mutex_t lock;
	void *by_file; /* of tsearch(3): struct fuse_memory */
	void *by_id;   /* struct fuse_memory_id */
	uint64_t last_id;
	struct fuse_memory *
		*by_number; /* FUSE_MEMORY_NUMBERS + 1; NULL before the first */
	const struct fuse_memory_kernel_ops *kernel; /* NULL: nobody to be told */
	void *context;
	bool complained; /* that the kernel took one not */
	struct fuse_memory *lingering;
	struct fuse_memory *dead; /* to be freed when the lock is */
	/*
	 * Of those. Counted before the kernel is asked, and looked at after it has taken a reply:
	 * so one of the two sides notices the other.
	 */
	_Atomic unsigned lingerers;
};

void fuse_memories_init(struct fuse_memories *memories);
/* Memory that requests still point to goes with the last of them. */
void fuse_memories_destroy(struct fuse_memories *memories);

/* What the public functions do. */
int fuse_memories_add(struct fuse_memories *memories, int fd, uint64_t *id);
int fuse_memories_remove(struct fuse_memories *memories, uint64_t id);

/* The kernel can be told from now on, and is: of all that there is. */
void fuse_memories_attach(struct fuse_memories *memories,
			  const struct fuse_memory_kernel_ops *ops, void *context);
void fuse_memories_detach(struct fuse_memories *memories);

/*
 * The memory that a request names, if it has so many bytes there, and may be written if
 * that is what is wanted. NULL: what the request says cannot be. To be given back with fuse_memory_put().
 */
struct fuse_memory *fuse_memories_get(struct fuse_memories *memories, uint64_t number,
				      uint64_t off, size_t size, bool writable);
void fuse_memory_put(struct fuse_memory *memory);

/* One of its ids; 0 if it has none any more. */
uint64_t fuse_memories_id_of(struct fuse_memories *memories,
			     const struct fuse_memory *memory);

/* Replies have been taken by the kernel that concerned such memory. */
void fuse_memories_answered(struct fuse_memories *memories);

#endif
