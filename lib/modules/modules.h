/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The modules that are built in. A module knows the public interface only: it could as well
 * be a shared object of its own.
 */
#ifndef FUSE_MODULES_H
#define FUSE_MODULES_H

#include "fuse.h"

extern fuse_module_factory_t fuse_module_subdir_factory;
extern fuse_module_factory_t fuse_module_iconv_factory;

#endif
