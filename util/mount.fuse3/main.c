// SPDX-License-Identifier: GPL-2.0-only

#include "fuse_config.h"
#include "mount.fuse3.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Exit statuses as mount(8) has them */
#define WRONG_CALL   1
#define NOT_RUN	     32

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

void say(const char *format, ...)
{
	va_list arguments;

	fputs(PROGRAM ": ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

static void print_usage(void)
{
	fputs("usage: " PROGRAM " PROGRAM[#SOURCE] MOUNTPOINT [options]\n"
	      "       " PROGRAM " SOURCE MOUNTPOINT -t fuse.PROGRAM [options]\n"
	      "\n"
	      "    -o OPTION,...      options, for the program but for these:\n"
	      "       setuid=USER     run the program as USER\n"
	      "       drop_privileges mount first, and run the program without privileges\n"
	      "       pass_fuse_fd    mount first, and give the program the open device\n"
	      "    -t TYPE            fuse.PROGRAM, fuseblk.PROGRAM or PROGRAM\n"
	      "    -f                 check only, do nothing\n"
	      "    -v                 show what is run\n"
	      "    -n                 leave /etc/mtab alone if this is who mounts\n"
	      "    -s                 for mount(8), no effect\n"
	      "    -h, --help         print this\n"
	      "    -V, --version      print the version\n"
	      "\n"
	      "It is meant to be run by mount(8): mount -t fuse3 PROGRAM#SOURCE MOUNTPOINT\n",
	      stdout);
}

/* ---- What is to be run ---- */

static const char *without_prefix(const char *text, const char *prefix)
{
	size_t length = strlen(prefix);

	return strncmp(text, prefix, length) == 0 ? text + length : NULL;
}

/* "fuse" alone, with any of its names, says nothing about the program. */
static const char *program_of_type(const char *type)
{
	static const char *const families[] = { "fuseblk", "fuse3", "fuse" };

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		const char *rest = without_prefix(type, families[i]);

		if (rest && *rest == '\0')
			return NULL;
		if (rest && *rest == '.')
			return rest + 1;
	}
	return type;
}

/* The name that we were called by may say it, too: a link mount.fuse.sshfs, say. */
static const char *program_of_call(const char *called)
{
	const char *slash = strrchr(called, '/');
	const char *type = without_prefix(slash ? slash + 1 : called, "mount.");

	return type && strncmp(type, "fuse", 4) == 0 ? program_of_type(type) : NULL;
}

static int set_text(char **field, const char *text)
{
	free(*field);
	*field = strdup(text);
	if (*field)
		return 0;
	say("out of memory");
	return -1;
}

/* The program is named by the type, or by what is in front of a '#' in the source. */
static int split_source(struct request *request, const char *type, const char *source)
{
	char *hash;

	if (type) {
		if (!*type) {
			say("the type names no program");
			return -1;
		}
		if (set_text(&request->type, type) != 0)
			return -1;
		return *source ? set_text(&request->source, source) : 0;
	}
	if (set_text(&request->type, source) != 0)
		return -1;
	hash = strchr(request->type, '#');
	if (hash) {
		*hash = '\0';
		if (set_text(&request->source, hash + 1) != 0)
			return -1;
	}
	if (*request->type)
		return 0;
	say("the source '%s' names no program, and there is no type that does", source);
	return -1;
}

/* An argument that begins with '-' would be taken for options, by us or by the program. */
static int check_source(const struct request *request)
{
	const char *source = request->source;

	if (!source || source[0] != '-')
		return 0;
	say("the source '%s' looks like an option; if it is a file, write './%s'", source,
	    source);
	return -1;
}

/* ---- The command line ---- */

/* What follows source and mount point, which come first. argv[0] is not looked at. */
static int parse_options(struct request *request, int argc, char **argv,
			 const char **type)
{
	int option;

	opterr = 0;
	while ((option = getopt(argc, argv, "o:t:N:fnsv")) != -1) {
		switch (option) {
		case 'o':
			if (options_parse(request, optarg) != 0)
				return -1;
			break;
		case 't':
			if (program_of_type(optarg))
				*type = program_of_type(optarg);
			break;
		case 'f':
			request->fake = true;
			break;
		case 'v':
			request->verbose = true;
			break;
		case 'n': /* should it be us who mount: not every program has such an option */
			request->no_mtab = true;
			break;
		case 's': /* which options are unknown, only the program can tell */
			break;
		case 'N':
			say("-N: mounting in other namespaces is not supported");
			return -1;
		default:
			if (optopt == 'o' || optopt == 't')
				say("-%c needs an argument", optopt);
			else
				say("unknown option '%s'", argv[optind - 1]);
			return -1;
		}
	}
	if (optind == argc)
		return 0;
	say("'%s' is one argument too many", argv[optind]);
	return -1;
}

static int parse_arguments(struct request *request, int argc, char **argv)
{
	const char *type = program_of_call(argv[0]);

	if (argc < 2 || argv[1][0] == '-') {
		say("%s, try --help", argc < 2 ? "the source is missing"
					       : "source and mount point come first");
		return -1;
	}
	if (argc < 3 || argv[2][0] == '-' || !argv[2][0]) {
		say("the mount point is missing, try --help");
		return -1;
	}
	if (parse_options(request, argc - 2, argv + 2, &type) != 0 ||
	    split_source(request, type, argv[1]) != 0 || check_source(request) != 0 ||
	    set_text(&request->mountpoint, argv[2]) != 0)
		return -1;
	return options_complete(request);
}

/* ---- Running it ---- */

static bool is_program(const char *path)
{
	struct stat status;

	if (stat(path, &status) != 0 || access(path, X_OK) != 0)
		return false;
	errno = EACCES; /* what execve(2) says of folders */
	return S_ISREG(status.st_mode);
}

/* Allocated; NULL: there is none, errno says why. The directories are those of PATH. */
static char *find_program(const char *name)
{
	const char *folders = getenv("PATH");
	char *path = NULL;

	if (strchr(name, '/'))
		return is_program(name) ? strdup(name) : NULL;
	if (!folders || !*folders)
		folders = DEFAULT_PATH;
	while (folders) {
		size_t length = strcspn(folders, ":");

		/* An empty entry would be the current directory, which nobody means here. */
		if (length > 0) {
			if (asprintf(&path, "%.*s/%s", (int)length, folders, name) < 0)
				return NULL;
			if (is_program(path))
				return path;
			free(path);
		}
		folders = folders[length] ? folders + length + 1 : NULL;
	}
	errno = ENOENT;
	return NULL;
}

static void show(char *const *command)
{
	fputs(PROGRAM ":", stdout);
	for (; *command; command++)
		printf(" '%s'", *command);
	putchar('\n');
	fflush(stdout);
}

#define COMMAND_MAX 6

static void make_command(char *command[COMMAND_MAX], const struct request *request,
			 char *mountpoint)
{
	*command++ = request->type;
	if (request->source)
		*command++ = request->source;
	*command++ = mountpoint;
	if (request->options) {
		*command++ = (char *)"-o";
		*command++ = request->options;
	}
	*command = NULL;
}

static int run_mounted(const struct request *request, const struct identity *identity,
		       const char *path)
{
	char mountpoint[sizeof("/dev/fd/-2147483648")];
	char *command[COMMAND_MAX];
	int device = device_mount(request, identity);

	if (device < 0)
		return NOT_RUN;
	snprintf(mountpoint, sizeof(mountpoint), "/dev/fd/%d", device);
	make_command(command, request, mountpoint);
	if (request->verbose)
		show(command);
	return device_serve(request, identity, device, path, command);
}

static int run_path(const struct request *request, const struct identity *identity,
		    const char *path)
{
	char *command[COMMAND_MAX];

	if (request->mounted && !request->fake)
		return run_mounted(request, identity, path);
	make_command(command, request, request->mountpoint);
	if (request->verbose)
		show(command);
	if (request->fake)
		return EXIT_SUCCESS;
	if (identity_assume(identity) == 0) {
		execv(path, command);
		say("cannot run '%s': %s", path, strerror(errno));
	}
	return NOT_RUN;
}

static int run(const struct request *request, const struct identity *identity)
{
	char *path = find_program(request->type);
	int status;

	if (!path) {
		say("cannot run '%s': %s%s", request->type, strerror(errno),
		    strchr(request->type, '/') ? "" : " (in no directory of PATH)");
		return NOT_RUN;
	}
	status = run_path(request, identity, path);
	free(path);
	return status;
}

/* Otherwise the device could become what messages are written to. */
static void open_stdio(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			_exit(EXIT_FAILURE);
	}
}

static void free_request(struct request *request)
{
	free(request->type);
	free(request->source);
	free(request->mountpoint);
	free(request->user);
	free(request->options);
	fuse_mount_spec_free(&request->spec);
}

int main(int argc, char **argv)
{
	struct request request = { .fake = false };
	struct identity identity = { .change = false };
	int status = WRONG_CALL;

	open_stdio();
	if (argc == 2 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"))) {
		print_usage();
		return EXIT_SUCCESS;
	}
	if (argc == 2 && (!strcmp(argv[1], "-V") || !strcmp(argv[1], "--version"))) {
		puts(PROGRAM " version: " PACKAGE_VERSION);
		return EXIT_SUCCESS;
	}
	fuse_mount_spec_init(&request.spec);
	if (argc > 0 && parse_arguments(&request, argc, argv) == 0 &&
	    identity_find(&identity, &request) == 0)
		status = run(&request, &identity);
	free_request(&request);
	free(identity.name);
	free(identity.home);
	return status;
}
