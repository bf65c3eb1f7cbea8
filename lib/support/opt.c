// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The option parser.
 *
 * Every argument is looked at once. What stays is gathered twice: arguments in a new
 * argument list, parts of -o lists in one long -o list, which is put in front of them
 * at the end. The caller's list is replaced only when all went well.
 */
#include "fuse_opt.h"
#include "fuse_log.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parse {
	const struct fuse_args *in;
	int next; /* the argument to be looked at next */
	void *data;
	const struct fuse_opt *table;
	fuse_opt_proc_t proc;
	struct fuse_args out;
	char *list; /* parts of -o lists that stay, escaped; NULL if there are none */
	bool past_options; /* "--" was seen, */
	bool stays_behind; /* and an argument behind it stays */
};

static int out_of_memory(void)
{
	fuse_log(FUSE_LOG_ERR, "fuse: out of memory while parsing options\n");
	return -1;
}

/*
 * Argument lists.
 */

void fuse_opt_free_args(struct fuse_args *args)
{
	if (!args)
		return;
	if (args->allocated) {
		for (int i = 0; i < args->argc; i++)
			free(args->argv[i]);
		free(args->argv);
	}
	args->argc = 0;
	args->argv = NULL;
	args->allocated = 0;
}

static int own_arguments(struct fuse_args *args)
{
	struct fuse_args copy = FUSE_ARGS_INIT(0, NULL);

	if (args->allocated || !args->argv)
		return 0;
	for (int i = 0; i < args->argc; i++) {
		if (fuse_opt_add_arg(&copy, args->argv[i]) != 0) {
			fuse_opt_free_args(&copy);
			return -1;
		}
	}
	*args = copy;
	return 0;
}

int fuse_opt_insert_arg(struct fuse_args *args, int pos, const char *arg)
{
	size_t behind;
	char **argv;
	char *copy;

	if (pos < 0 || pos > args->argc || args->argc > INT_MAX - 2) {
		fuse_log(FUSE_LOG_ERR, "fuse: no place %d in a list of %d arguments\n",
			 pos, args->argc);
		return -1;
	}
	if (own_arguments(args) != 0)
		return -1;

	argv = realloc(args->argv, ((size_t)args->argc + 2) * sizeof(*argv));
	if (!argv)
		return out_of_memory();
	args->argv = argv;
	args->allocated = 1;
	argv[args->argc] = NULL;

	copy = strdup(arg);
	if (!copy)
		return out_of_memory();
	behind = (size_t)(args->argc - pos) + 1; /* with the NULL */
	memmove(&argv[pos + 1], &argv[pos], behind * sizeof(*argv));
	argv[pos] = copy;
	args->argc++;
	return 0;
}

int fuse_opt_add_arg(struct fuse_args *args, const char *arg)
{
	return fuse_opt_insert_arg(args, args->argc, arg);
}

/*
 * Option lists. A comma and a backslash are the characters that need a backslash.
 */

static int append_option(char **list, const char *option, bool escape)
{
	size_t used = *list ? strlen(*list) : 0;
	char *end = realloc(*list, used + 1 + 2 * strlen(option) + 1);

	if (!end)
		return out_of_memory();
	*list = end;
	end += used;
	if (used)
		*end++ = ',';
	for (; *option; option++) {
		if (escape && (*option == ',' || *option == '\\'))
			*end++ = '\\';
		*end++ = *option;
	}
	*end = '\0';
	return 0;
}

int fuse_opt_add_opt(char **opts, const char *opt)
{
	return append_option(opts, opt, false);
}

int fuse_opt_add_opt_escaped(char **opts, const char *opt)
{
	return append_option(opts, opt, true);
}

static bool is_octal(char c, char highest)
{
	return c >= '0' && c <= highest;
}

/* The byte that "ddd" behind a backslash stands for; 0 if it is not such an escape. */
static char octal_byte(const char *text)
{
	if (!is_octal(text[0], '3') || !is_octal(text[1], '7') || !is_octal(text[2], '7'))
		return 0;
	return (char)((text[0] - '0') * 64 + (text[1] - '0') * 8 + (text[2] - '0'));
}

/* Take one part off a list; returns the rest behind the comma, NULL at the end. */
static const char *next_part(const char *list, char *part)
{
	while (*list && *list != ',') {
		char byte = *list++;

		if (byte == '\\' && *list) {
			byte = octal_byte(list);
			list += byte ? 2 : 0;
			byte = byte ? byte : *list;
			list++;
		}
		*part++ = byte;
	}
	*part = '\0';
	return *list ? list + 1 : NULL;
}

/*
 * Rows and what matches them.
 */

/* Where a template's parameter starts: at its '=' or ' '. 0 if it has none. */
static size_t separator(const char *templ)
{
	const char *at = strchr(templ, '=');

	if (!at)
		at = strchr(templ, ' ');
	if (!at || (at[1] != '\0' && at[1] != '%'))
		return 0;
	return (size_t)(at - templ);
}

/* The '=' has to be in the argument too; a ' ' stands for nothing, or for a new argument. */
static bool matches(const struct fuse_opt *row, const char *arg)
{
	size_t at = separator(row->templ);

	if (at && strncmp(arg, row->templ, at + (row->templ[at] == '=')) == 0)
		return true;
	return strcmp(arg, row->templ) == 0;
}

static const struct fuse_opt *first_match(const struct fuse_opt *row, const char *arg)
{
	for (; row && row->templ; row++) {
		if (matches(row, arg))
			return row;
	}
	return NULL;
}

int fuse_opt_match(const struct fuse_opt opts[], const char *opt)
{
	return first_match(opts, opt) != NULL;
}

/*
 * Parameters.
 */

static int bad_parameter(const char *arg, const char *why)
{
	fuse_log(FUSE_LOG_ERR, "fuse: option '%s': the parameter is %s\n", arg, why);
	return -1;
}

static int store_text(char **field, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return out_of_memory();
	free(*field);
	*field = copy;
	return 0;
}

static const struct length {
	char name[3];
	unsigned char integer; /* bytes of an integer with this modifier */
	unsigned char real;    /* bytes of a floating-point number, 0 if there is none */
} lengths[] = {
	/* a longer name comes before its beginning */
	{ "hh", sizeof(char), 0 },
	{ "h", sizeof(short), 0 },
	{ "ll", sizeof(long long), 0 },
	{ "l", sizeof(long), sizeof(double) },
	{ "L", sizeof(long long), sizeof(long double) },
	{ "q", sizeof(long long), 0 },
	{ "j", sizeof(intmax_t), 0 },
	{ "z", sizeof(size_t), 0 },
	{ "t", sizeof(ptrdiff_t), 0 },
	{ "", sizeof(int), sizeof(float) },
};

static const struct length *read_length(const char *text)
{
	const struct length *length = lengths;

	while (strncmp(text, length->name, strlen(length->name)) != 0)
		length++;
	return length;
}

static void store_integer(void *field, size_t size, uint64_t value)
{
	uint8_t byte = (uint8_t)value;
	uint16_t half = (uint16_t)value;
	uint32_t word = (uint32_t)value;

	switch (size) {
	case sizeof(byte):
		memcpy(field, &byte, size);
		break;
	case sizeof(half):
		memcpy(field, &half, size);
		break;
	case sizeof(word):
		memcpy(field, &word, size);
		break;
	default:
		memcpy(field, &value, sizeof(value));
	}
}

static int base_of(char conversion)
{
	switch (conversion) {
	case 'i':
		return 0;
	case 'o':
		return 8;
	case 'x':
	case 'X':
		return 16;
	default:
		return 10;
	}
}

/*
 * A minus sign is good for unsigned fields too, as far down as for a signed one of
 * the same size: "-1" is how users spell "no limit".
 */
static int convert_integer(void *field, size_t size, char conversion, const char *text,
			   const char *arg)
{
	bool is_signed = conversion == 'd' || conversion == 'i';
	int base = base_of(conversion);
	uint64_t highest = UINT64_MAX >> (64 - 8 * size + (is_signed ? 1 : 0));
	int64_t lowest = (int64_t)(UINT64_MAX << (8 * size - 1));
	uint64_t value;
	bool fits;
	char *end;

	while (isspace((unsigned char)*text))
		text++;
	errno = 0;
	if (*text == '-') {
		int64_t negative = strtoll(text, &end, base);

		fits = negative >= lowest;
		value = (uint64_t)negative;
	} else {
		value = strtoull(text, &end, base);
		fits = value <= highest;
	}
	if (end == text || *end)
		return bad_parameter(arg, "not a number");
	if (!fits || errno == ERANGE)
		return bad_parameter(arg, "out of range");
	store_integer(field, size, value);
	return 0;
}

static int convert_real(void *field, size_t size, const char *text, const char *arg)
{
	long double extended = 0;
	double normal = 0;
	float single = 0;
	void *value = &extended;
	char *end;

	errno = 0;
	if (size == sizeof(float)) {
		extended = single = strtof(text, &end);
		value = &single;
	} else if (size == sizeof(double)) {
		extended = normal = strtod(text, &end);
		value = &normal;
	} else {
		extended = strtold(text, &end);
	}
	if (end == text || *end)
		return bad_parameter(arg, "not a number");
	/* ERANGE with a small number says that it is nearly zero, which will do. */
	if (errno == ERANGE && (extended > 1 || extended < -1))
		return bad_parameter(arg, "out of range");
	memcpy(field, value, size);
	return 0;
}

/*
 * The numbers that sscanf() converts, but without its silence about overflow and about
 * what is behind the number. Formats that are more than one plain conversion keep it.
 */
static int store_parameter(void *field, const char *format, const char *text,
			   const char *arg)
{
	const struct length *length;
	char conversion;

	if (strcmp(format, "%s") == 0)
		return store_text(field, text);

	length = read_length(format + 1);
	conversion = format[1 + strlen(length->name)];
	if (conversion && !format[1 + strlen(length->name) + 1]) {
		if (strchr("diuoxX", conversion))
			return convert_integer(field, length->integer, conversion, text,
					       arg);
		if (strchr("fFeEgGaA", conversion) && length->real)
			return convert_real(field, length->real, text, arg);
	}
	if (sscanf(text, format, field) != 1)
		return bad_parameter(arg, "not valid");
	return 0;
}

/*
 * Parsing.
 */

static const char *next_argument(struct parse *p)
{
	if (p->next >= p->in->argc)
		return NULL;
	return p->in->argv[p->next++];
}

static const char *need_argument(struct parse *p, const char *option)
{
	const char *arg = next_argument(p);

	if (!arg)
		fuse_log(FUSE_LOG_ERR, "fuse: option '%s' needs a parameter\n", option);
	return arg;
}

/* What becomes of an argument: -1 the parse fails, 0 it goes, above 0 it stays. */
static int ask(struct parse *p, const char *arg, int key)
{
	if (key == FUSE_OPT_KEY_DISCARD)
		return 0;
	if (key == FUSE_OPT_KEY_KEEP || !p->proc)
		return 1;
	return p->proc(p->data, arg, key, &p->out);
}

static int keep(struct parse *p, const char *arg, bool in_list)
{
	return in_list ? fuse_opt_add_opt_escaped(&p->list, arg)
		       : fuse_opt_add_arg(&p->out, arg);
}

/* One row acts on an argument that it matches; the result is ask()'s. */
static int apply_row(struct parse *p, const struct fuse_opt *row, const char *arg)
{
	size_t at = separator(row->templ);
	char *field;

	if (row->offset == -1U)
		return ask(p, arg, row->value);

	field = (char *)p->data + row->offset;
	if (at && row->templ[at + 1])
		return store_parameter(field, row->templ + at + 1,
				       arg + at + (row->templ[at] == '='), arg);
	store_integer(field, sizeof(int), (uint64_t)(int64_t)row->value);
	return 0;
}

/* Whether the row wants a parameter that is not part of the argument. */
static bool wants_next(const struct fuse_opt *row, const char *arg)
{
	size_t at = separator(row->templ);

	return at && row->templ[at] == ' ' && arg[at] == '\0';
}

static char *join(const char *option, const char *parameter)
{
	char *joined = malloc(strlen(option) + strlen(parameter) + 1);

	if (!joined)
		out_of_memory();
	else
		strcpy(stpcpy(joined, option), parameter);
	return joined;
}

/*
 * Let every row act that matches. They share one following argument, taken when the
 * first of them wants it; if one says so, the option stays, once.
 */
static int apply_table(struct parse *p, const struct fuse_opt *row, const char *arg,
		       bool in_list)
{
	char *joined = NULL;
	bool stays = false;
	int result = -1;

	for (; row; row = first_match(row + 1, arg)) {
		bool split = wants_next(row, arg);
		int answer;

		if (split && !joined) {
			const char *parameter = need_argument(p, arg);

			joined = parameter ? join(arg, parameter) : NULL;
			if (!joined)
				return -1;
		}
		answer = apply_row(p, row, split ? joined : arg);
		if (answer == -1)
			goto out;
		stays |= answer != 0;
	}
	result = stays ? keep(p, joined ? joined : arg, in_list) : 0;
out:
	free(joined);
	return result;
}

static int parse_unknown(struct parse *p, const char *arg, int key, bool in_list)
{
	int answer = ask(p, arg, key);

	if (answer == 0 || answer == -1)
		return answer;
	return keep(p, arg, in_list);
}

static int parse_option(struct parse *p, const char *arg, bool in_list)
{
	const struct fuse_opt *row = first_match(p->table, arg);

	if (row)
		return apply_table(p, row, arg, in_list);
	return parse_unknown(p, arg, FUSE_OPT_KEY_OPT, in_list);
}

static int parse_list(struct parse *p, const char *list)
{
	char *part = malloc(strlen(list) + 1);
	int result = 0;

	if (!part)
		return out_of_memory();
	while (list && result == 0) {
		list = next_part(list, part);
		if (*part)
			result = parse_option(p, part, true);
	}
	free(part);
	return result;
}

static int parse_non_option(struct parse *p, const char *arg)
{
	int before = p->out.argc;
	int result = parse_unknown(p, arg, FUSE_OPT_KEY_NONOPT, false);

	if (p->past_options && p->out.argc > before)
		p->stays_behind = true;
	return result;
}

static int parse_argument(struct parse *p, const char *arg)
{
	if (p->past_options || arg[0] != '-')
		return parse_non_option(p, arg);
	if (strcmp(arg, "--") == 0) {
		p->past_options = true;
		return fuse_opt_add_arg(&p->out, arg);
	}
	if (arg[1] == 'o') {
		const char *list = arg[2] ? arg + 2 : need_argument(p, "-o");

		return list ? parse_list(p, list) : -1;
	}
	return parse_option(p, arg, false);
}

static int parse_arguments(struct parse *p)
{
	const char *arg = next_argument(p);
	int result = fuse_opt_add_arg(&p->out, arg);

	while (result == 0 && (arg = next_argument(p)))
		result = parse_argument(p, arg);
	return result;
}

/* Put the list in front, and drop a "--" that has nothing to protect. */
static int finish(struct parse *p)
{
	char **last = &p->out.argv[p->out.argc - 1];

	if (p->past_options && !p->stays_behind && strcmp(*last, "--") == 0) {
		free(*last);
		*last = NULL;
		p->out.argc--;
	}
	if (!p->list)
		return 0;
	if (fuse_opt_insert_arg(&p->out, 1, "-o") != 0)
		return -1;
	return fuse_opt_insert_arg(&p->out, 2, p->list);
}

int fuse_opt_parse(struct fuse_args *args, void *data, const struct fuse_opt opts[],
		   fuse_opt_proc_t proc)
{
	struct parse p = { .in = args, .data = data, .table = opts, .proc = proc };
	int result;

	if (!args || !args->argv || args->argc < 1 || !args->argv[0])
		return 0;

	result = parse_arguments(&p);
	if (result == 0)
		result = finish(&p);
	if (result == 0) {
		struct fuse_args old = *args;

		*args = p.out;
		p.out = old;
	}
	fuse_opt_free_args(&p.out);
	free(p.list);
	return result;
}
