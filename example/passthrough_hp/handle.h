/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Everything that is open. A session may end while clients have files open, by a signal
 * say: then nobody sends a release() for them any more.
 */
#ifndef PASSTHROUGH_HP_HANDLE_H
#define PASSTHROUGH_HP_HANDLE_H

struct handle {
	struct handle *next, **link;
	void (*close)(struct handle *handle); /* frees it too */
};

void handle_add(struct handle *handle, void (*close)(struct handle *handle));
void handle_remove(struct handle *handle);
/* Only once no operation runs any more. */
void handle_close_all(void);

#endif
