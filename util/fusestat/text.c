// SPDX-License-Identifier: GPL-2.0-only
/*
 * Text that comes from elsewhere, for terminals; and numbers that can be read.
 */
#include "fusestat.h"

#include <string.h>
#include <wchar.h>

#define TEXT_MAX 8192

/* Bytes of the first character and its columns; 0 bytes: none that should reach a terminal. */
static size_t take_character(const char *text, unsigned *columns)
{
	mbstate_t state = { 0 };
	wchar_t character;
	size_t size = mbrtowc(&character, text, strlen(text), &state);
	int shown;

	if (size == 0 || size == (size_t)-1 || size == (size_t)-2)
		return 0;
	shown = wcwidth(character);
	if (shown < 0)
		return 0;
	*columns = (unsigned)shown;
	return size;
}

void text_fit(char *to, size_t size, const char *from, unsigned width)
{
	const char *end = to + size - 1;

	while (*from) {
		unsigned columns = 1;
		size_t bytes = take_character(from, &columns);
		const char *what = bytes ? from : "?";
		size_t length = bytes ? bytes : 1;

		if (columns > width || length > (size_t)(end - to))
			break;
		memcpy(to, what, length);
		to += length;
		from += length;
		width -= columns;
	}
	*to = '\0';
}

void text_print_list(FILE *out, const char *format, va_list arguments)
{
	char text[TEXT_MAX], fitting[TEXT_MAX];

	vsnprintf(text, sizeof(text), format, arguments);
	text_fit(fitting, sizeof(fitting), text, TEXT_MAX);
	fputs(fitting, out);
}

void text_print(FILE *out, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	text_print_list(out, format, arguments);
	va_end(arguments);
}

const char *text_number(char to[32], uint64_t number)
{
	char digits[24];
	size_t length = (size_t)snprintf(digits, sizeof(digits), "%llu",
					 (unsigned long long)number);
	char *end = to;

	for (size_t i = 0; i < length; i++) {
		if (i && (length - i) % 3 == 0)
			*end++ = ',';
		*end++ = digits[i];
	}
	*end = '\0';
	return to;
}
