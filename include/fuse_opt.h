/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Command-line option parsing.
 *
 * This header stands alone: it may be included without FUSE_USE_VERSION. The functions
 * keep no state of their own, so any thread may call them, each on its own argument list.
 */
#ifndef FUSE_OPT_H_
#define FUSE_OPT_H_

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * One row of an option table. The table ends with FUSE_OPT_END.
 *
 * The template says what the option looks like:
 *
 *   "-x"         exactly this argument
 *   "--name"     exactly this argument
 *   "name"       this word of an -o list
 *   "name=%u"    this word, with a parameter to convert
 *   "name="      this word, with a parameter that the callback gets along with it
 *   "-x %s"      a parameter behind the option ("-xVALUE"), or as the next argument
 *   "-x "        the same, for the callback
 *
 * "%s" stores a copy of the text, made with malloc(). What the field held before is
 * passed to free(), so start it at NULL or at memory from malloc().
 *
 * "%d", "%i", "%u", "%o", "%x", "%f" and their kind store a number, written as scanf()
 * reads it. The length modifier must fit the field: "%i" for an int, "%lu" for an
 * unsigned long, "%hhu" for an unsigned char. A number out of the field's range, and text
 * behind the number, are errors; "-1" is in the range of an unsigned field, as its
 * largest value.
 *
 * Any other conversion is left to sscanf().
 *
 * What a matching option does depends on the offset:
 *
 *   - a real offset without a conversion: value is stored there as an int;
 *   - a real offset with a conversion: the parameter is stored there, and value is unused;
 *   - -1U, as FUSE_OPT_KEY() writes it: the callback is called with value as its key.
 *
 * Every row that matches acts, in table order.
 */
struct fuse_opt {
	/** What the option looks like; NULL ends the table. */
	const char *templ;

	/**
	 * Where the result goes, in bytes from the data pointer given to
	 * fuse_opt_parse(), or -1U.
	 */
	unsigned long offset;

	/** The int to store, or the callback's key. */
	int value;
};

/* clang-format off */
/** A row that calls the callback with the given key. */
#define FUSE_OPT_KEY(templ, key) { templ, -1U, key }

/** The row that ends a table. */
#define FUSE_OPT_END { NULL, 0, 0 }
/* clang-format on */

/** An argument list that can grow. argv[argc] is NULL whenever the list is not empty. */
struct fuse_args {
	/** Number of arguments. */
	int argc;

	/** The arguments. */
	char **argv;

	/**
	 * Not zero if argv and its strings came from malloc() and belong to this list;
	 * zero for a list that FUSE_ARGS_INIT borrowed from the caller.
	 */
	int allocated;
};

/** Initializer of a list that borrows argc and argv, as main() gets them. */
/* clang-format off */
#define FUSE_ARGS_INIT(argc, argv) { argc, argv, 0 }
/* clang-format on */

/** Callback key: an option that no row matched. */
#define FUSE_OPT_KEY_OPT -1

/** Callback key: an argument that is no option, or any argument behind "--". */
#define FUSE_OPT_KEY_NONOPT -2

/** Row key: leave the option in the list; the callback is not called. */
#define FUSE_OPT_KEY_KEEP -3

/** Row key: take the option out of the list; the callback is not called. */
#define FUSE_OPT_KEY_DISCARD -4

/**
 * Callback of fuse_opt_parse().
 *
 * @param data the data pointer given to fuse_opt_parse()
 * @param arg the option with its parameter: "-x", "--name=value", "name=value" for a part
 *            of an -o list, or "-xVALUE" for a parameter that was an argument of its own.
 *            Valid during the call only.
 * @param key the row's value, FUSE_OPT_KEY_OPT or FUSE_OPT_KEY_NONOPT
 * @param outargs the list being made; the callback may add to it
 * @return -1 to fail the parse, 0 to take the argument out, 1 to leave it in
 */
typedef int (*fuse_opt_proc_t)(void *data, const char *arg, int key,
			       struct fuse_args *outargs);

/**
 * Parse an argument list and replace it by what was not consumed.
 *
 * The first argument is the program's name and stays. Lists behind "-o", as part
 * of it or as the next argument, are split at commas; empty parts are skipped. A backslash
 * stands for the character behind it, so that "\," does not split, and with three octal
 * digits for that byte. Parts that stay are gathered, escaped again, in one "-o" and its
 * list in front of all other arguments. "--" ends the options; it stays if anything
 * behind it does.
 *
 * @param args the list; NULL or empty parses nothing. On success it owns its memory, free
 *             it with fuse_opt_free_args(). On failure it holds what it held before.
 * @param data passed to the callback, and the base of the rows' offsets; may be NULL if
 *             no row has one
 * @param opts the table; NULL for none
 * @param proc the callback; NULL leaves everything in that no row consumes
 * @return 0, or -1 on failure, after an error was logged (unless the callback failed the
 *         parse: then the callback has said why)
 */
int fuse_opt_parse(struct fuse_args *args, void *data, const struct fuse_opt opts[],
		   fuse_opt_proc_t proc);

/**
 * Append an option to a comma-separated list.
 *
 * @param opts the list: NULL or memory from malloc(), which may be moved
 * @param opt the option, taken as it is
 * @return 0, or -1 if memory ran out; the list is then unchanged
 */
int fuse_opt_add_opt(char **opts, const char *opt);

/**
 * Append an option to a comma-separated list, with a backslash before every comma and
 * backslash of the option, so that parsing the list gives the option back.
 *
 * @param opts the list: NULL or memory from malloc(), which may be moved
 * @param opt the option
 * @return 0, or -1 if memory ran out; the list is then unchanged
 */
int fuse_opt_add_opt_escaped(char **opts, const char *opt);

/**
 * Append an argument.
 *
 * @param args the list; a borrowed one is copied first, and then owns its memory
 * @param arg the argument; it is copied
 * @return 0, or -1 if memory ran out; the list is then unchanged
 */
int fuse_opt_add_arg(struct fuse_args *args, const char *arg);

/**
 * Insert an argument.
 *
 * @param args the list; a borrowed one is copied first, and then owns its memory
 * @param pos where: 0 puts it first, args->argc last
 * @param arg the argument; it is copied
 * @return 0, or -1 if memory ran out or pos is out of range; the list is then unchanged
 */
int fuse_opt_insert_arg(struct fuse_args *args, int pos, const char *arg);

/**
 * Free what the list owns and leave it empty. A borrowed list is only forgotten.
 *
 * @param args the list; NULL does nothing
 */
void fuse_opt_free_args(struct fuse_args *args);

/**
 * Say whether an option is in a table.
 *
 * @param opts the table
 * @param opt the option with its parameter, as the callback gets it
 * @return 1 if a row matches, otherwise 0
 */
int fuse_opt_match(const struct fuse_opt opts[], const char *opt);

#ifdef __cplusplus
}
#endif

#endif /* FUSE_OPT_H_ */
