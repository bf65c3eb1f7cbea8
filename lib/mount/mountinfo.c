// SPDX-License-Identifier: LGPL-2.1-or-later

#include "mountinfo.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

int fuse_mount_table_open(struct fuse_mount_table *table)
{
	table->file = fopen("/proc/self/mountinfo", "re");
	return table->file ? 0 : -1;
}

void fuse_mount_table_close(struct fuse_mount_table *table)
{
	if (table->file)
		fclose(table->file);
	free(table->line);
	memset(table, 0, sizeof(*table));
}

static bool parse_number(const char **text, unsigned long limit, unsigned long *number)
{
	char *end;

	if (!*text || **text < '0' || **text > '9')
		return false;
	errno = 0;
	*number = strtoul(*text, &end, 10);
	*text = end;
	return errno == 0 && *number <= limit;
}

/* The kernel writes a blank, a tab, a newline, a backslash and a '#' as three octal digits. */
static void unescape(char *text)
{
	char *to = text;

	while (*text) {
		if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' &&
		    text[2] >= '0' && text[2] <= '7' && text[3] >= '0' &&
		    text[3] <= '7') {
			*to++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 |
				       (text[3] - '0'));
			text += 4;
		} else {
			*to++ = *text++;
		}
	}
	*to = '\0';
}

/* "MAJOR:MINOR", packed as the kernel numbers connections */
static bool parse_device(const char *text, unsigned int *device)
{
	unsigned long major, minor;

	if (!parse_number(&text, 0xfff, &major) || *text++ != ':' ||
	    !parse_number(&text, 0xfffff, &minor) || *text)
		return false;
	*device = (unsigned int)(major << 20 | minor);
	return true;
}

/*
 * id parent device root mountpoint flags [tag...] - type source options
 * A column may be empty, so blanks are counted one by one.
 */
static bool parse_line(char *line, struct fuse_mount_entry *entry)
{
	char *rest = line;
	const char *id = strsep(&rest, " ");
	const char *parent = strsep(&rest, " ");
	const char *column = strsep(&rest, " ");
	char *mountpoint, *root;
	unsigned long number, below;

	if (!parse_number(&id, INT_MAX, &number) || *id ||
	    !parse_number(&parent, INT_MAX, &below) || *parent || !column ||
	    !parse_device(column, &entry->connection))
		return false;
	entry->id = (int)number;
	entry->parent = (int)below;
	root = strsep(&rest, " ");
	mountpoint = strsep(&rest, " ");
	do {
		column = strsep(&rest, " ");
		if (!column)
			return false;
	} while (strcmp(column, "-") != 0);
	entry->type = strsep(&rest, " ");
	strsep(&rest, " ");
	entry->super_options = strsep(&rest, "\n");
	if (!entry->super_options)
		return false;
	unescape(root);
	entry->root = root;
	unescape(mountpoint);
	entry->mountpoint = mountpoint;
	return true;
}

bool fuse_mount_table_next(struct fuse_mount_table *table, struct fuse_mount_entry *entry)
{
	errno = 0;
	while (getline(&table->line, &table->size, table->file) > 0) {
		if (parse_line(table->line, entry))
			return true;
	}
	if (!feof(table->file))
		table->error = errno ? errno : EIO;
	return false;
}

static bool is_type(const char *type, const char *base)
{
	size_t length = strlen(base);

	return strncmp(type, base, length) == 0 &&
	       (type[length] == '\0' || type[length] == '.');
}

bool fuse_mount_entry_is_fuse(const struct fuse_mount_entry *entry)
{
	return is_type(entry->type, "fuse") || is_type(entry->type, "fuseblk");
}

bool fuse_mount_entry_owner(const struct fuse_mount_entry *entry, uid_t *owner)
{
	static const char key[] = "user_id=";
	const char *option = entry->super_options;
	unsigned long number;

	while (option) {
		if (strncmp(option, key, sizeof(key) - 1) == 0) {
			option += sizeof(key) - 1;
			if (!parse_number(&option, UINT_MAX, &number) ||
			    (*option != ',' && *option != '\0'))
				return false;
			*owner = (uid_t)number;
			return true;
		}
		option = strchr(option, ',');
		if (option)
			option++;
	}
	return false;
}

bool fuse_mount_lookup(int id, unsigned int *connection, uid_t *owner, char **mountpoint)
{
	struct fuse_mount_table table = { 0 };
	struct fuse_mount_entry entry;
	bool found = false;
	uid_t user;

	if (id < 0 || fuse_mount_table_open(&table) != 0)
		return false;
	while (!found && fuse_mount_table_next(&table, &entry)) {
		if (entry.id != id)
			continue;
		if (!fuse_mount_entry_is_fuse(&entry) ||
		    !fuse_mount_entry_owner(&entry, &user))
			break;
		if (connection)
			*connection = entry.connection;
		if (owner)
			*owner = user;
		if (mountpoint)
			*mountpoint = strdup(entry.mountpoint);
		found = true;
	}
	fuse_mount_table_close(&table);
	return found;
}

/* A line "KEY:<blanks>NUMBER" of the descriptor's fdinfo */
static bool fdinfo(int fd, const char *key, unsigned long *number)
{
	char path[sizeof("/proc/self/fdinfo/-2147483648")];
	size_t length = strlen(key);
	bool found = false;
	char line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "re");
	if (!file)
		return false;
	while (!found && fgets(line, sizeof(line), file)) {
		const char *value = line + length + 1;

		if (strncmp(line, key, length) != 0 || line[length] != ':')
			continue;
		value += strspn(value, " \t");
		found = parse_number(&value, UINT_MAX, number);
	}
	fclose(file);
	return found;
}

int fuse_fd_mount_id(int fd)
{
	unsigned long id;

	return fdinfo(fd, "mnt_id", &id) && id <= INT_MAX ? (int)id : -1;
}

unsigned int fuse_fd_connection(int fd)
{
	unsigned long connection;

	return fdinfo(fd, "fuse_connection", &connection) ? (unsigned int)connection : 0;
}
