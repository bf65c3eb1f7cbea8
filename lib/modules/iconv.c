// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * iconv: the names of the filesystem below in another encoding.
 */
#include <errno.h>
#include <iconv.h>
#include <langinfo.h>
#include <locale.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "modules/modules.h"
#include "modules/rewrite.h"

struct encoding {
	struct fuse_rewrite rewrite;
	char *from_code;      /* of the filesystem below */
	char *to_code;	      /* of the callers */
	pthread_mutex_t lock; /* of the two converters, which have a state */
	iconv_t down, up;
};

enum key {
	KEY_HELP,
};

static const struct fuse_opt table[] = {
	FUSE_OPT_KEY("-h", KEY_HELP),
	FUSE_OPT_KEY("--help", KEY_HELP),
	{ "from_code=%s", offsetof(struct encoding, from_code), 0 },
	{ "to_code=%s", offsetof(struct encoding, to_code), 0 },
	FUSE_OPT_END,
};

static struct encoding *encoding_of(struct fuse_rewrite *rewrite)
{
	return (struct encoding *)((char *)rewrite - offsetof(struct encoding, rewrite));
}

/* More than any encoding makes of a byte, and room to get back to its initial state. */
#define ROOM_PER_BYTE 8
#define ROOM_AT_END   16

static int convert_locked(iconv_t converter, const char *text, char **result)
{
	size_t in_left = strlen(text);
	size_t out_left = ROOM_PER_BYTE * in_left + ROOM_AT_END;
	char *in = (char *)text, *out = malloc(out_left + 1);

	*result = out;
	if (!out)
		return -ENOMEM;
	iconv(converter, NULL, NULL, NULL, NULL);
	if (iconv(converter, &in, &in_left, &out, &out_left) == (size_t)-1 ||
	    iconv(converter, NULL, NULL, &out, &out_left) == (size_t)-1) {
		free(*result);
		*result = NULL;
		return -EILSEQ;
	}
	*out = '\0';
	return 0;
}

static int convert(struct encoding *encoding, iconv_t converter, const char *text,
		   char **result)
{
	int error;

	pthread_mutex_lock(&encoding->lock);
	error = convert_locked(converter, text, result);
	pthread_mutex_unlock(&encoding->lock);
	return error;
}

static int text_down(struct fuse_rewrite *rewrite, const char *text, char **result)
{
	return convert(encoding_of(rewrite), encoding_of(rewrite)->down, text, result);
}

static int text_up(struct fuse_rewrite *rewrite, const char *text, char **result)
{
	return convert(encoding_of(rewrite), encoding_of(rewrite)->up, text, result);
}

static int link_up(struct fuse_rewrite *rewrite, const char *path, const char *target,
		   char **result)
{
	(void)path;
	return text_up(rewrite, target, result);
}

static void destroy(struct fuse_rewrite *rewrite)
{
	struct encoding *encoding = encoding_of(rewrite);

	if (encoding->down != (iconv_t)-1)
		iconv_close(encoding->down);
	if (encoding->up != (iconv_t)-1)
		iconv_close(encoding->up);
	pthread_mutex_destroy(&encoding->lock);
	free(encoding->from_code);
	free(encoding->to_code);
	free(encoding);
}

/* The encoding of the user's locale, which is not the process's unless the program says so. */
static char *users_encoding(void)
{
	locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
	char *name;

	if (!locale)
		return strdup("UTF-8");
	name = strdup(nl_langinfo_l(CODESET, locale));
	freelocale(locale);
	return name;
}

static void print_help(void)
{
	char *usual = users_encoding();

	printf("    -o from_code=CHARSET   encoding of the names below (UTF-8)\n"
	       "    -o to_code=CHARSET     encoding of the names shown (%s)\n",
	       usual ? usual : "");
	free(usual);
}

static int take_option(void *data, const char *arg, int key, struct fuse_args *rest)
{
	(void)data;
	(void)arg;
	(void)rest;
	if (key != KEY_HELP)
		return 1;
	print_help();
	return -1;
}

static bool open_converters(struct encoding *encoding)
{
	if (!encoding->from_code)
		encoding->from_code = strdup("UTF-8");
	if (!encoding->to_code)
		encoding->to_code = users_encoding();
	if (!encoding->from_code || !encoding->to_code)
		return false;
	encoding->down = iconv_open(encoding->from_code, encoding->to_code);
	encoding->up = iconv_open(encoding->to_code, encoding->from_code);
	if (encoding->down != (iconv_t)-1 && encoding->up != (iconv_t)-1)
		return true;
	fuse_log(FUSE_LOG_ERR,
		 "fuse: module iconv: cannot convert between '%s' and '%s'\n",
		 encoding->from_code, encoding->to_code);
	return false;
}

static struct fuse_fs *iconv_new(struct fuse_args *args, struct fuse_fs *fs[])
{
	struct encoding *encoding = calloc(1, sizeof(*encoding));
	struct fuse_fs *made = NULL;

	if (!encoding) {
		fuse_log(FUSE_LOG_ERR, "fuse: module iconv: no memory\n");
		return NULL;
	}
	encoding->rewrite = (struct fuse_rewrite){
		.below = fs[0],
		.path_down = text_down,
		.name_up = text_up,
		.link_down = text_down,
		.link_up = link_up,
		.destroy = destroy,
	};
	encoding->down = encoding->up = (iconv_t)-1;
	pthread_mutex_init(&encoding->lock, NULL);
	if (fuse_opt_parse(args, encoding, table, take_option) == 0 && fs[0] &&
	    open_converters(encoding))
		made = fuse_rewrite_new(&encoding->rewrite);
	if (!made)
		destroy(&encoding->rewrite);
	return made;
}

FUSE_REGISTER_MODULE(iconv, iconv_new);
