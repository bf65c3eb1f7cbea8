// SPDX-License-Identifier: GPL-2.0-only
#include "handle.h"

#include <pthread.h>
#include <stddef.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct handle *handles;

void handle_add(struct handle *handle, void (*close)(struct handle *handle))
{
	handle->close = close;
	pthread_mutex_lock(&lock);
	handle->next = handles;
	handle->link = &handles;
	if (handles)
		handles->link = &handle->next;
	handles = handle;
	pthread_mutex_unlock(&lock);
}

void handle_remove(struct handle *handle)
{
	pthread_mutex_lock(&lock);
	*handle->link = handle->next;
	if (handle->next)
		handle->next->link = handle->link;
	pthread_mutex_unlock(&lock);
}

void handle_close_all(void)
{
	while (handles) {
		struct handle *handle = handles;

		handle_remove(handle);
		handle->close(handle);
	}
}
