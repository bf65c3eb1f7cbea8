// SPDX-License-Identifier: GPL-2.0-only
/*
 * Directories.
 */
#include "memfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_AT_FIRST ((size_t)16)

static size_t hash(const char *name, size_t length)
{
	uint64_t value = 0xcbf29ce484222325;

	for (size_t i = 0; i < length; i++)
		value = (value ^ (unsigned char)name[i]) * 0x100000001b3;
	return (size_t)(value ^ value >> 32);
}

int directory_init(struct inode *inode, struct inode *parent)
{
	struct directory *directory = calloc(1, sizeof(*directory));

	if (!directory)
		return -ENOMEM;
	directory->bucket = calloc(BUCKETS_AT_FIRST, sizeof(*directory->bucket));
	if (!directory->bucket) {
		free(directory);
		return -ENOMEM;
	}
	directory->buckets = BUCKETS_AT_FIRST;
	directory->parent = parent;
	inode->directory = directory;
	return 0;
}

/* Only an empty one goes, except at the end of all. */
void directory_free(struct inode *inode)
{
	struct directory *directory = inode->directory;

	if (!directory)
		return;
	for (size_t i = 0; i < directory->slots; i++) {
		struct entry *entry = directory->slot[i];

		if (!entry)
			continue;
		if (S_ISDIR(entry->inode->mode))
			entry->inode->nlink = 1;
		directory_remove(inode, entry);
	}
	free(directory->slot);
	free(directory->bucket);
	free(directory);
	inode->directory = NULL;
}

struct entry *directory_find(const struct inode *inode, const char *name, size_t length)
{
	const struct directory *directory = inode->directory;
	struct entry *entry =
		directory->bucket[hash(name, length) & (directory->buckets - 1)];

	while (entry && (strncmp(entry->name, name, length) != 0 || entry->name[length]))
		entry = entry->next;
	return entry;
}

static struct entry **bucket_of(const struct directory *directory, const char *name)
{
	return &directory->bucket[hash(name, strlen(name)) & (directory->buckets - 1)];
}

/* If there is no memory, chains get longer. */
static void grow_table(struct directory *directory)
{
	struct entry **larger = calloc(2 * directory->buckets, sizeof(*larger));

	if (!larger)
		return;
	free(directory->bucket);
	directory->bucket = larger;
	directory->buckets *= 2;
	for (size_t i = 0; i < directory->slots; i++) {
		struct entry *entry = directory->slot[i];

		if (!entry)
			continue;
		entry->next = *bucket_of(directory, entry->name);
		*bucket_of(directory, entry->name) = entry;
	}
}

static void close_gaps(struct directory *directory)
{
	size_t to = 0;

	for (size_t i = 0; i < directory->slots; i++) {
		struct entry *entry = directory->slot[i];

		if (!entry)
			continue;
		entry->slot = to;
		directory->slot[to++] = entry;
	}
	directory->slots = to;
}

static int make_room(struct inode *inode)
{
	struct directory *directory = inode->directory;
	size_t room = directory->slot_room ? 2 * directory->slot_room : 16;
	struct entry **larger;

	if (directory->slots < directory->slot_room)
		return 0;
	if (!inode->opens && directory->entries < directory->slots / 2) {
		close_gaps(directory);
		return 0;
	}
	larger = realloc(directory->slot, room * sizeof(*larger));
	if (!larger)
		return -ENOMEM;
	directory->slot = larger;
	directory->slot_room = room;
	return 0;
}

int directory_add(struct inode *inode, const char *name, struct inode *what)
{
	struct directory *directory = inode->directory;
	struct entry *entry;

	if (make_room(inode) != 0)
		return -ENOMEM;
	entry = malloc(sizeof(*entry) + strlen(name) + 1);
	if (!entry)
		return -ENOMEM;
	strcpy(entry->name, name);
	entry->inode = what;
	entry->slot = directory->slots++;
	directory->slot[entry->slot] = entry;
	entry->next = *bucket_of(directory, name);
	*bucket_of(directory, name) = entry;
	directory->entries++;
	what->nlink++;
	if (S_ISDIR(what->mode)) {
		inode->nlink++; /* its ".." */
		what->directory->parent = inode;
	}
	inode_touch(inode);
	if (directory->entries > directory->buckets)
		grow_table(directory);
	return 0;
}

void directory_remove(struct inode *inode, struct entry *entry)
{
	struct directory *directory = inode->directory;
	struct entry **link = bucket_of(directory, entry->name);

	while (*link != entry)
		link = &(*link)->next;
	*link = entry->next;
	directory->slot[entry->slot] = NULL;
	directory->entries--;
	if (S_ISDIR(entry->inode->mode))
		inode->nlink--;
	inode_touch(inode);
	inode_unlink(entry->inode);
	free(entry);
}
