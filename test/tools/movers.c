// SPDX-License-Identifier: GPL-2.0-only
/*
 * movers FOLDER LOG-FOLDER PROCESSES SECONDS
 *
 * Processes move directories about, into each other too, and at the same time work in them: all
 * of them in all directories, by descriptors that were opened at the start. Each directory
 * has a file `id`, so that whoever gets to a wrong one notices. A directory is moved by one
 * process only, which therefore knows where it is. Each goes on for SECONDS, and on a slow machine
 * until it has done enough to be worth a look.
 *
 * Every file that is made, or removed, is a line in the process's log: "+ DIRECTORY NAME" or
 * "- DIRECTORY NAME". A file's contents are "DIRECTORY NAME". Who calls this compares the logs with
 * what is there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	DIRECTORIES = 24,
	FILES = 64, /* that a process has at a time */
	NAME = 40,
	MOVES_MIN = 3,
	FILES_MIN = 13,
};

static int root;
static int directory[DIRECTORIES];

/* Where a directory is that this process moves. */
static struct {
	int parent; /* -1: the root */
	char name[NAME];
} place[DIRECTORIES];

static struct {
	int directory;
	char name[NAME];
} files[FILES];

static unsigned state;
static unsigned long moved, refused, made, removed, checked;

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *format, ...)
{
	int error = errno;
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, ": %s\n", strerror(error));
	_exit(1);
}

static int roll(int sides)
{
	state = state * 1103515245 + 12345;
	return (int)(state / 65536 % (unsigned)sides);
}

static int folder_fd(int i)
{
	return i < 0 ? root : directory[i];
}

static void make_file(int dir, const char *name, const char *contents)
{
	int fd = openat(dir, name, O_CREAT | O_EXCL | O_WRONLY, 0644);

	if (fd < 0)
		fail("creating %s", name);
	if (write(fd, contents, strlen(contents)) != (ssize_t)strlen(contents))
		fail("writing %s", name);
	if (close(fd) != 0)
		fail("closing %s", name);
}

static void check_file(int dir, const char *name, const char *contents)
{
	char found[128];
	int fd = openat(dir, name, O_RDONLY);
	ssize_t size;

	if (fd < 0)
		fail("opening %s for '%s'", name, contents);
	size = read(fd, found, sizeof(found) - 1);
	if (size < 0)
		fail("reading %s", name);
	found[size] = '\0';
	close(fd);
	if (strcmp(found, contents) != 0)
		fail("%s is '%s' and not '%s'", name, found, contents);
}

static void set_up(void)
{
	char contents[NAME];

	for (int i = 0; i < DIRECTORIES; i++) {
		place[i].parent = i % 3 ? i / 2 : -1;
		snprintf(place[i].name, NAME, "d%d", i);
		if (mkdirat(folder_fd(place[i].parent), place[i].name, 0755) != 0)
			fail("making %s", place[i].name);
		directory[i] = openat(folder_fd(place[i].parent), place[i].name,
				      O_RDONLY | O_DIRECTORY);
		if (directory[i] < 0)
			fail("opening %s", place[i].name);
		snprintf(contents, sizeof(contents), "%d", i);
		make_file(directory[i], "id", contents);
	}
}

/* ---- What a process does ---- */

static void check_directory(void)
{
	int i = roll(DIRECTORIES);
	char contents[NAME];

	snprintf(contents, sizeof(contents), "%d", i);
	check_file(directory[i], "id", contents);
	checked++;
}

static void move_directory(int me, int processes)
{
	int own = (DIRECTORIES - me + processes - 1) / processes;
	int i = me + processes * roll(own);
	int to = roll(4) ? roll(DIRECTORIES) : -1;
	char name[NAME];

	snprintf(name, sizeof(name), "%s%d-%lu", roll(2) ? "m" : "a-longer-name-", i,
		 moved);
	if (renameat(folder_fd(place[i].parent), place[i].name, folder_fd(to), name) !=
	    0) {
		/* Into itself. */
		if (errno != EINVAL)
			fail("moving %d from %d/%s to %d/%s", i, place[i].parent,
			     place[i].name, to, name);
		refused++;
		return;
	}
	place[i].parent = to;
	strcpy(place[i].name, name);
	moved++;
}

static void work_on_file(int me, FILE *log)
{
	int i = roll(FILES);
	char contents[2 * NAME];

	if (files[i].name[0]) {
		snprintf(contents, sizeof(contents), "%d %s", files[i].directory,
			 files[i].name);
		check_file(directory[files[i].directory], files[i].name, contents);
		if (unlinkat(directory[files[i].directory], files[i].name, 0) != 0)
			fail("removing %s", files[i].name);
		fprintf(log, "- %d %s\n", files[i].directory, files[i].name);
		files[i].name[0] = '\0';
		removed++;
		return;
	}
	files[i].directory = roll(DIRECTORIES);
	snprintf(files[i].name, NAME, "f%d-%lu", me, made);
	snprintf(contents, sizeof(contents), "%d %s", files[i].directory, files[i].name);
	make_file(directory[files[i].directory], files[i].name, contents);
	fprintf(log, "+ %d %s\n", files[i].directory, files[i].name);
	made++;
}

static int run(int me, int processes, int seconds, const char *log_folder)
{
	time_t end = time(NULL) + seconds;
	char path[4096];
	FILE *log;

	snprintf(path, sizeof(path), "%s/log-%d", log_folder, me);
	log = fopen(path, "w");
	if (!log)
		fail("%s", path);
	state = (unsigned)me + 1;
	while (time(NULL) < end || moved < MOVES_MIN || made < FILES_MIN) {
		switch (roll(6)) {
		case 0:
			move_directory(me, processes);
			break;
		case 1:
			check_directory();
			break;
		default:
			work_on_file(me, log);
		}
	}
	if (fclose(log) != 0)
		fail("%s", path);
	printf("process %d: moved %lu (refused %lu), made %lu, removed %lu, checked %lu\n",
	       me, moved, refused, made, removed, checked);
	return 0;
}

int main(int argc, char **argv)
{
	int processes = argc == 5 ? atoi(argv[3]) : 0;
	int failures = 0, status;

	if (processes < 1 || processes > DIRECTORIES) {
		fprintf(stderr, "usage: %s FOLDER LOG-FOLDER PROCESSES SECONDS\n",
			argv[0]);
		return 1;
	}
	root = open(argv[1], O_RDONLY | O_DIRECTORY);
	if (root < 0)
		fail("%s", argv[1]);
	set_up();
	for (int i = 0; i < processes; i++) {
		fflush(NULL);
		switch (fork()) {
		case -1:
			fail("fork");
		case 0:
			return run(i, processes, atoi(argv[4]), argv[2]);
		}
	}
	while (wait(&status) > 0)
		failures += status != 0;
	return failures != 0;
}
