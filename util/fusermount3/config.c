// SPDX-License-Identifier: GPL-2.0-only

#include "fuse_config.h"
#include "fusermount3.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH		  "/etc/fuse.conf"
#define DEFAULT_MOUNT_MAX 1000

/*
 * *file is NULL if there is none. As root, since it need not be readable for all. A pipe put there
 * must not make it wait.
 */
static int open_config(const struct caller *caller, FILE **file)
{
	struct stat status;
	int error = 0, fd;

	*file = NULL;
	privileges_raise();
	fd = open(PATH, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &status) != 0)
		error = errno;
	else if (!S_ISREG(status.st_mode))
		say("ignoring " PATH ": not a regular file");
	else if (!(*file = fdopen(fd, "r")))
		error = errno;
	privileges_lower(caller);
	if (!*file && fd >= 0)
		close(fd);
	if (error == 0 || (error == ENOENT && fd < 0))
		return 0;
	say("cannot open " PATH ": %s", strerror(error));
	return -1;
}

/* Without comment and blanks around; in place */
static char *trim(char *line)
{
	size_t length;

	line[strcspn(line, "#\n")] = '\0';
	while (isspace((unsigned char)*line))
		line++;
	length = strlen(line);
	while (length > 0 && isspace((unsigned char)line[length - 1]))
		line[--length] = '\0';
	return line;
}

/* What follows "NAME =", or NULL if it is something else */
static const char *value_of(const char *line, const char *name)
{
	size_t length = strlen(name);

	if (strncmp(line, name, length) != 0)
		return NULL;
	line += length;
	line += strspn(line, " \t");
	if (*line++ != '=')
		return NULL;
	return line + strspn(line, " \t");
}

static const char *parse_line(struct config *config, const char *line)
{
	const char *value = value_of(line, "mount_max");
	char *end;
	long number;

	if (strcmp(line, "user_allow_other") == 0) {
		config->user_allow_other = true;
		return NULL;
	}
	if (!value)
		return "unknown setting";
	errno = 0;
	number = strtol(value, &end, 10);
	if (end == value || *end || errno || number < -1)
		return "not a number of mounts";
	config->mount_max = number;
	return NULL;
}

int config_read(struct config *config, const struct caller *caller)
{
	size_t size = 0;
	char *buffer = NULL;
	unsigned int number = 0;
	int result = 0;
	FILE *file;

	*config = (struct config){ .mount_max = DEFAULT_MOUNT_MAX };
	if (open_config(caller, &file) != 0)
		return -1;
	while (file && getline(&buffer, &size, file) > 0) {
		const char *line = trim(buffer);
		const char *reason = *line ? parse_line(config, line) : NULL;

		number++;
		/* Not what the line says: the caller may not be meant to read it. */
		if (reason)
			say("ignoring line %u of " PATH ": %s", number, reason);
	}
	if (file && !feof(file)) {
		say("cannot read " PATH ": %s", strerror(errno));
		result = -1;
	}
	free(buffer);
	if (file)
		fclose(file);
	return result;
}
