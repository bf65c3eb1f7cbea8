/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The objects of a store: files with checksums in two folders, DATA with what they contain and
 * SUMS with the sums. All functions may be called by several threads.
 */
#ifndef EXAMPLE_OBJECTS_H
#define EXAMPLE_OBJECTS_H

#include "checked_file.h"

#include <stdint.h>
#include <sys/stat.h>

struct object {
	struct checked_file file;
	struct object *next;
	char *name;	  /* NULL: removed */
	uint64_t lookups; /* how often it was found and not forgotten */
};

/* Makes the folders if they are not there. These return 0 or an errno. */
int objects_open(const char *folder);
int objects_find(const char *name, struct object **object);
/* Finds the object if it is there already, unless `only_new`. */
int objects_create(const char *name, int only_new, struct object **object);
int objects_remove(const char *name);

void objects_forget(struct object *object, uint64_t lookups);
int objects_get_attr(struct object *object, struct stat *attr);

/* A new descriptor of the folder whose files have the objects' names; or -1. */
int objects_open_list(void);

#endif
