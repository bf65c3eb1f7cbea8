// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Modules: filesystems that are put above another one. Two are built in; others are shared
 * objects, looked for in the folder that was configured, and where the dynamic linker looks
 * for libraries.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuse_config.h"
#include "modules/modules.h"
#include "path/path.h"

static const struct {
	const char *name;
	const fuse_module_factory_t *factory;
} built_in[] = {
	{ "subdir", &fuse_module_subdir_factory },
#ifdef HAVE_ICONV
	{ "iconv", &fuse_module_iconv_factory },
#endif
};

#define BUILT_IN (sizeof(built_in) / sizeof(built_in[0]))

/* Keeps the handle, to be closed when the filesystem is gone. */
static int keep_handle(struct fuse *f, void *handle)
{
	size_t size = (f->module_count + 1) * sizeof(*f->modules);
	void **more = realloc(f->modules, size);

	if (!more)
		return -1;
	f->modules = more;
	f->modules[f->module_count++] = handle;
	return 0;
}

static void *open_object(const char *name)
{
	char *path = NULL;
	void *handle;

	if (asprintf(&path, "%s/libfusemod_%s.so", FUSE_MODULE_DIR, name) < 0)
		return NULL;
	handle = dlopen(path, RTLD_NOW);
	if (!handle)
		handle = dlopen(strrchr(path, '/') + 1, RTLD_NOW);
	if (!handle)
		fuse_log(FUSE_LOG_ERR, "fuse: module '%s': neither %s nor: %s\n", name,
			 path, dlerror());
	free(path);
	return handle;
}

static fuse_module_factory_t load(const char *name, void **handle)
{
	fuse_module_factory_t *factory = NULL;
	char *symbol = NULL;

	*handle = open_object(name);
	if (!*handle)
		return NULL;
	if (asprintf(&symbol, "fuse_module_%s_factory", name) >= 0)
		factory = dlsym(*handle, symbol);
	free(symbol);
	if (factory && *factory)
		return *factory;
	fuse_log(FUSE_LOG_ERR, "fuse: module '%s' does not say how it is made\n", name);
	dlclose(*handle);
	*handle = NULL;
	return NULL;
}

/* The name becomes part of a path, and a symbol's. */
static bool is_name(const char *name)
{
	if (*name && !strchr(name, '/'))
		return true;
	fuse_log(FUSE_LOG_ERR, "fuse: option modules: '%s' is no module's name\n", name);
	return false;
}

/* A factory, and the handle if it had to be loaded. */
static fuse_module_factory_t find(const char *name, void **handle)
{
	*handle = NULL;
	for (size_t i = 0; i < BUILT_IN; i++) {
		if (!strcmp(built_in[i].name, name))
			return *built_in[i].factory;
	}
	return is_name(name) ? load(name, handle) : NULL;
}

static int push(struct fuse *f, const char *name, struct fuse_args *args)
{
	struct fuse_fs *below[] = { f->fs, NULL }, *fs;
	fuse_module_factory_t factory;
	void *handle;

	factory = find(name, &handle);
	if (!factory)
		return -1;
	fs = factory(args, below);
	if (!fs) {
		if (handle)
			dlclose(handle);
		return -1;
	}
	f->fs = fs;
	if (handle)
		keep_handle(f, handle);
	return 0;
}

int fuse_modules_push(struct fuse *f, struct fuse_args *args)
{
	char *list = f->conf.modules ? strdup(f->conf.modules) : NULL;
	char *rest = list;
	const char *name;
	int result = 0;

	if (f->conf.modules && !list)
		return -1;
	while (result == 0 && (name = strsep(&rest, ":")))
		if (*name)
			result = push(f, name, args);
	free(list);
	return result;
}

static void print_help(const char *name, fuse_module_factory_t factory)
{
	char program[] = "", help[] = "-h";
	char *argv[] = { program, help, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(2, argv);
	struct fuse_fs *none[] = { NULL };
	struct fuse_fs *fs;

	printf("\nOptions of the module %s:\n", name);
	fs = factory(&args, none);
	if (fs)
		fuse_fs_destroy(fs);
	fuse_opt_free_args(&args);
}

void fuse_modules_help(const char *list)
{
	char *copy = list ? strdup(list) : NULL;
	char *rest = copy;
	const char *name;
	void *handle;

	for (size_t i = 0; i < BUILT_IN; i++)
		print_help(built_in[i].name, *built_in[i].factory);
	while ((name = strsep(&rest, ":"))) {
		fuse_module_factory_t factory;

		if (!*name)
			continue;
		factory = find(name, &handle);
		if (factory && handle)
			print_help(name, factory);
		if (handle)
			dlclose(handle);
	}
	free(copy);
}

void fuse_modules_unload(struct fuse *f)
{
	while (f->module_count > 0)
		dlclose(f->modules[--f->module_count]);
	free(f->modules);
	f->modules = NULL;
}
