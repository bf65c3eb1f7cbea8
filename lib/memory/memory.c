// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Which memory there is, by what names, and when it goes.
 */
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuse_log.h"
#include "memory/memory.h"

#define SEALS_READING (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)

void fuse_memories_init(struct fuse_memories *memories)
{
	memset(memories, 0, sizeof(*memories));
	pthread_mutex_init(&memories->lock, NULL);
}

/* ---- One piece ---- */

static int compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int compare_files(const void *one, const void *other)
{
	const struct fuse_memory *a = one, *b = other;
	int order = compare(a->dev, b->dev);

	return order ? order : compare(a->ino, b->ino);
}

static int compare_ids(const void *one, const void *other)
{
	const struct fuse_memory_id *a = one, *b = other;

	return compare(a->id, b->id);
}

static void free_memory(struct fuse_memory *memory)
{
	munmap(memory->base, memory->size);
	close(memory->fd);
	free(memory);
}

void fuse_memory_put(struct fuse_memory *memory)
{
	if (atomic_fetch_sub(&memory->references, 1) == 1)
		free_memory(memory);
}

/* The same under the lock: giving back much memory takes time, and requests wait for the lock. */
static void drop(struct fuse_memories *memories, struct fuse_memory *memory)
{
	if (atomic_fetch_sub(&memory->references, 1) > 1)
		return;
	memory->next = memories->dead;
	memories->dead = memory;
}

static void unlock(struct fuse_memories *memories)
{
	struct fuse_memory *dead = memories->dead, *next;

	memories->dead = NULL;
	pthread_mutex_unlock(&memories->lock);
	for (; dead; dead = next) {
		next = dead->next;
		free_memory(dead);
	}
}

/* Whether it can be mapped for good, and how; 0 or a negative errno. */
static int examine(struct fuse_memory *memory, int fd)
{
	int flags = fcntl(fd, F_GETFL);
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (flags < 0)
		return -errno;
	if ((flags & O_PATH) || (flags & O_ACCMODE) == O_WRONLY)
		return -EBADF;
	if (seals < 0)
		return errno == EINVAL ? -EOPNOTSUPP : -errno;
	if ((seals & FUSE_MEMORY_SEALS) != FUSE_MEMORY_SEALS)
		return -EPERM;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size <= 0 || (uint64_t)st.st_size > SIZE_MAX)
		return -EINVAL;
	memory->dev = st.st_dev;
	memory->ino = st.st_ino;
	memory->size = (size_t)st.st_size;
	memory->writable = (flags & O_ACCMODE) == O_RDWR && !(seals & SEALS_READING);
	return 0;
}

static int map(struct fuse_memory *memory, int fd)
{
	int access = memory->writable ? PROT_READ | PROT_WRITE : PROT_READ;

	memory->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (memory->fd < 0)
		return -errno;
	memory->base = mmap(NULL, memory->size, access, MAP_SHARED, memory->fd, 0);
	if (memory->base == MAP_FAILED) {
		int error = -errno;

		close(memory->fd);
		return error;
	}
	return 0;
}

static int open_memory(int fd, struct fuse_memory **result)
{
	struct fuse_memory *memory = calloc(1, sizeof(*memory));
	int error;

	if (!memory)
		return -ENOMEM;
	atomic_init(&memory->references, 1);
	error = examine(memory, fd);
	if (!error)
		error = map(memory, fd);
	if (error)
		free(memory);
	else
		*result = memory;
	return error;
}

/* ---- The kernel ---- */

/* Returns false if there can be no more numbers. */
static bool has_numbers(struct fuse_memories *memories)
{
	if (!memories->by_number)
		memories->by_number =
			calloc(FUSE_MEMORY_NUMBERS + 1, sizeof(*memories->by_number));
	return memories->by_number;
}

static void complain(struct fuse_memories *memories, int error)
{
	if (!memories->complained)
		fuse_log(FUSE_LOG_WARNING,
			 "fuse: the kernel does not take shared memory, which will be "
			 "copied: %s\n",
			 strerror(error));
	memories->complained = true;
}

/* What the kernel does not take is copied, as without its support. */
static void tell_of(struct fuse_memories *memories, struct fuse_memory *memory)
{
	int number;

	if (!memories->kernel || memory->number || !has_numbers(memories))
		return;
	number = memories->kernel->add(memories->context, memory->fd, memory->writable);
	if (number <= 0 || number > FUSE_MEMORY_NUMBERS) {
		complain(memories, number < 0 ? -number : EPROTO);
		return;
	}
	memory->number = (unsigned)number;
	memories->by_number[number] = memory;
	atomic_fetch_add(&memory->references, 1);
}

/* Returns true if no request can name it any more. */
static bool is_gone(struct fuse_memories *memories, struct fuse_memory *memory)
{
	if (!memory->number)
		return true;
	if (!memories->kernel ||
	    memories->kernel->remove(memories->context, memory->number) == -EBUSY)
		return false;
	memories->by_number[memory->number] = NULL;
	memory->number = 0;
	drop(memories, memory);
	return true;
}

static void try_again(struct fuse_memories *memories)
{
	struct fuse_memory **link = &memories->lingering;

	while (*link) {
		struct fuse_memory *memory = *link, *next = memory->next;

		/* Its last reference may be the kernel's. */
		if (is_gone(memories, memory)) {
			*link = next;
			atomic_fetch_sub(&memories->lingerers, 1);
		} else {
			link = &memory->next;
		}
	}
}

void fuse_memories_answered(struct fuse_memories *memories)
{
	if (!atomic_load(&memories->lingerers))
		return;
	pthread_mutex_lock(&memories->lock);
	try_again(memories);
	unlock(memories);
}

static void tell_of_node(const void *node, VISIT visit, void *memories)
{
	if (visit == preorder || visit == leaf)
		tell_of(memories, *(struct fuse_memory *const *)node);
}

void fuse_memories_attach(struct fuse_memories *memories,
			  const struct fuse_memory_kernel_ops *ops, void *context)
{
	pthread_mutex_lock(&memories->lock);
	memories->kernel = ops;
	memories->context = context;
	try_again(memories);
	twalk_r(memories->by_file, tell_of_node, memories);
	unlock(memories);
}

void fuse_memories_detach(struct fuse_memories *memories)
{
	pthread_mutex_lock(&memories->lock);
	memories->kernel = NULL;
	unlock(memories);
}

struct fuse_memory *fuse_memories_get(struct fuse_memories *memories, uint64_t number,
				      uint64_t off, size_t size, bool writable)
{
	struct fuse_memory *memory = NULL;

	pthread_mutex_lock(&memories->lock);
	if (memories->by_number && number <= FUSE_MEMORY_NUMBERS)
		memory = memories->by_number[number];
	if (memory && (off > memory->size || size > memory->size - off ||
		       (writable && !memory->writable)))
		memory = NULL;
	if (memory)
		atomic_fetch_add(&memory->references, 1);
	unlock(memories);
	return memory;
}

/* ---- Names ---- */

uint64_t fuse_memories_id_of(struct fuse_memories *memories,
			     const struct fuse_memory *memory)
{
	uint64_t id;

	pthread_mutex_lock(&memories->lock);
	id = memory->ids ? memory->ids->id : 0;
	unlock(memories);
	return id;
}

/* The one that is known already, if there is one; otherwise this one. NULL: no memory. */
static struct fuse_memory *settle_file(struct fuse_memories *memories,
				       struct fuse_memory *memory)
{
	struct fuse_memory **node = tsearch(memory, &memories->by_file, compare_files);

	return node ? *node : NULL;
}

static int add_id(struct fuse_memories *memories, struct fuse_memory_id *name,
		  struct fuse_memory *memory)
{
	struct fuse_memory *known = settle_file(memories, memory);

	if (!known)
		return -ENOMEM;
	name->id = ++memories->last_id;
	if (!tsearch(name, &memories->by_id, compare_ids)) {
		if (known == memory)
			tdelete(memory, &memories->by_file, compare_files);
		return -ENOMEM;
	}
	name->memory = known;
	name->next = known->ids;
	known->ids = name;
	tell_of(memories, known);
	return 0;
}

int fuse_memories_add(struct fuse_memories *memories, int fd, uint64_t *id)
{
	struct fuse_memory_id *name = malloc(sizeof(*name));
	struct fuse_memory *memory;
	int error;

	if (!name)
		return -ENOMEM;
	error = open_memory(fd, &memory);
	if (error) {
		free(name);
		return error;
	}
	pthread_mutex_lock(&memories->lock);
	error = add_id(memories, name, memory);
	if (!error)
		*id = name->id;
	/* Another one that was added before has its place. */
	if (error || name->memory != memory)
		drop(memories, memory);
	unlock(memories);
	if (error)
		free(name);
	return error;
}

/* The last of its names has gone. */
static void let_go(struct fuse_memories *memories, struct fuse_memory *memory)
{
	tdelete(memory, &memories->by_file, compare_files);
	atomic_fetch_add(&memories->lingerers, 1);
	if (is_gone(memories, memory)) {
		atomic_fetch_sub(&memories->lingerers, 1);
	} else {
		memory->next = memories->lingering;
		memories->lingering = memory;
	}
	drop(memories, memory);
}

static void remove_id(struct fuse_memories *memories, struct fuse_memory_id *name)
{
	struct fuse_memory *memory = name->memory;
	struct fuse_memory_id **link = &memory->ids;

	while (*link != name)
		link = &(*link)->next;
	*link = name->next;
	tdelete(name, &memories->by_id, compare_ids);
	free(name);
	if (!memory->ids)
		let_go(memories, memory);
}

int fuse_memories_remove(struct fuse_memories *memories, uint64_t id)
{
	const struct fuse_memory_id wanted = { .id = id };
	struct fuse_memory_id **node;

	pthread_mutex_lock(&memories->lock);
	node = tfind(&wanted, &memories->by_id, compare_ids);
	if (node)
		remove_id(memories, *node);
	unlock(memories);
	return node ? 0 : -ENOENT;
}

/* ---- The end ---- */

void fuse_memories_destroy(struct fuse_memories *memories)
{
	pthread_mutex_lock(&memories->lock);
	memories->kernel = NULL;
	while (memories->by_id)
		remove_id(memories, *(struct fuse_memory_id **)memories->by_id);
	/* Nobody can send requests any more. */
	while (memories->lingering) {
		struct fuse_memory *memory = memories->lingering;

		memories->lingering = memory->next;
		drop(memories, memory);
	}
	unlock(memories);
	free(memories->by_number);
	pthread_mutex_destroy(&memories->lock);
}
