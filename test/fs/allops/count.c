// SPDX-License-Identifier: GPL-2.0-only
#include "allops.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	size_t offset;
} operations[OP_COUNT] = {
#define ROW(name) [OP_##name] = { #name, offsetof(struct fuse_lowlevel_ops, name) },
	OPERATIONS(ROW)
#undef ROW
};

_Static_assert(sizeof(struct fuse_lowlevel_ops) == OP_COUNT * sizeof(void (*)(void)),
	       "OPERATIONS() has every operation");

static _Atomic uint64_t calls[OP_COUNT];
static _Atomic uint64_t mishaps;

void called(enum operation operation, fuse_ino_t ino)
{
	if (!is_special(ino))
		calls[operation]++;
}

void mishap(const char *what)
{
	fprintf(stderr, "allops: mishap: %s\n", what);
	mishaps++;
}

char *calls_text(void)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (unsigned i = 0; i < OP_COUNT; i++)
		fprintf(out, "%s %" PRIu64 "\n", operations[i].name, calls[i]);
	fprintf(out, "mishaps %" PRIu64 "\n", mishaps);
	fclose(out);
	return text;
}

static void print_node(const struct node *node, void *data)
{
	fprintf(data, "%ju %" PRIu64 " %ju %u\n", (uintmax_t)node->attr.st_ino,
		node->lookups, (uintmax_t)node->attr.st_nlink, node->opens);
}

char *nodes_text(void)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	pthread_mutex_lock(&lock);
	node_for_each(print_node, out);
	pthread_mutex_unlock(&lock);
	fclose(out);
	return text;
}

static bool leave_one_out(struct fuse_lowlevel_ops *ops, const char *name)
{
	for (unsigned i = 0; i < OP_COUNT; i++) {
		if (strcmp(operations[i].name, name) == 0) {
			memset((char *)ops + operations[i].offset, 0,
			       sizeof(void (*)(void)));
			return true;
		}
	}
	fprintf(stderr, "allops: there is no operation '%s'\n", name);
	return false;
}

bool leave_out(struct fuse_lowlevel_ops *ops, const char *list)
{
	char *copy = strdup(list), *rest = copy, *name;
	bool good = copy;

	while (good && (name = strsep(&rest, ":")))
		good = leave_one_out(ops, name);
	free(copy);
	return good;
}
