// SPDX-License-Identifier: GPL-2.0-only
/*
 * The terminal as a screen: a page of its own, with the cursor hidden and keys as they are
 * pressed. All of it is taken back when we leave, and so is the page.
 *
 * A screen is put together in memory and written at once, so that it does not flicker.
 */
#include "fusestat.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define WIDTH_USUAL  80
#define HEIGHT_USUAL 24

/* What all terminals of the last decades obey */
#define PAGE_ENTER  "\033[?1049h\033[?25l"
#define PAGE_LEAVE  "\033[?25h\033[?1049l"
#define GO_HOME	    "\033[H"
#define CLEAR_REST  "\033[K"
#define CLEAR_BELOW "\033[J"

static struct termios former;
static bool has_former, entered;
static unsigned width, height, row;
static char screen[16384];
static size_t filled;

bool terminal_is_fit(void)
{
	const char *kind = getenv("TERM");

	return isatty(STDOUT_FILENO) && kind && *kind && strcmp(kind, "dumb") != 0;
}

static void put(const char *text, size_t size)
{
	if (size > sizeof(screen) - filled)
		size = sizeof(screen) - filled;
	memcpy(screen + filled, text, size);
	filled += size;
}

static void flush(void)
{
	size_t done = 0;

	while (done < filled) {
		ssize_t written = write(STDOUT_FILENO, screen + done, filled - done);

		if (written <= 0)
			break;
		done += (size_t)written;
	}
	filled = 0;
}

void terminal_enter(void)
{
	struct termios keys;

	if (entered)
		return;
	has_former = tcgetattr(STDIN_FILENO, &former) == 0;
	if (has_former) {
		keys = former;
		keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		keys.c_cc[VMIN] = 1;
		keys.c_cc[VTIME] = 0;
		tcsetattr(STDIN_FILENO, TCSADRAIN, &keys);
	}
	put(PAGE_ENTER, strlen(PAGE_ENTER));
	flush();
	entered = true;
}

bool terminal_leave(void)
{
	if (!entered)
		return false;
	put(PAGE_LEAVE, strlen(PAGE_LEAVE));
	flush();
	if (has_former)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &former);
	entered = false;
	return true;
}

static void measure(void)
{
	struct winsize size;

	width = WIDTH_USUAL;
	height = HEIGHT_USUAL;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row) {
		width = size.ws_col;
		height = size.ws_row;
	}
}

void terminal_begin(void)
{
	measure();
	row = 0;
	put(GO_HOME, strlen(GO_HOME));
}

void terminal_line(const char *format, ...)
{
	char line[512], fitting[512];
	va_list arguments;

	if (row >= height)
		return;
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	text_fit(fitting, sizeof(fitting), line, width);
	if (row++)
		put("\r\n", 2);
	put(fitting, strlen(fitting));
	/* Behind the last column there is nothing left, and some terminals clear that column. */
	if (strlen(fitting) < width)
		put(CLEAR_REST, strlen(CLEAR_REST));
}

void terminal_end(void)
{
	if (row < height) {
		put("\r\n", 2);
		put(CLEAR_BELOW, strlen(CLEAR_BELOW));
	}
	flush();
}
