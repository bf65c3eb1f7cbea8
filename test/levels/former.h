// SPDX-License-Identifier: GPL-2.0-only
/*
 * For programs as they came out of earlier headers: calls go to the functions that had the plain
 * names at the versions which FORMER says, 30 or 32. Comes behind the library's headers.
 */
#ifndef FORMER_H
#define FORMER_H

#define BIND(name, version) __asm__(".symver former_" #name "," #name "@" version)

BIND(fuse_parse_cmdline, "FUSE_3.0");
int former_fuse_parse_cmdline(struct fuse_args *args, struct fuse_cmdline_opts *opts);
#define fuse_parse_cmdline former_fuse_parse_cmdline

#ifdef FUSE_H_
#undef fuse_new
#undef fuse_loop_mt
#define fuse_main_real former_fuse_main_real
#define fuse_new       former_fuse_new
#define fuse_loop_mt   former_fuse_loop_mt

BIND(fuse_main_real, "FUSE_3.0");
int former_fuse_main_real(int argc, char *argv[], const struct fuse_operations *op,
			  size_t op_size, void *user_data);
struct fuse *former_fuse_new(struct fuse_args *args, const struct fuse_operations *op,
			     size_t op_size, void *user_data);
#if FORMER == 30
BIND(fuse_new, "FUSE_3.0");
BIND(fuse_loop_mt, "FUSE_3.0");
int former_fuse_loop_mt(struct fuse *f, int clone_fd);
#else
BIND(fuse_new, "FUSE_3.1");
BIND(fuse_loop_mt, "FUSE_3.2");
int former_fuse_loop_mt(struct fuse *f, struct fuse_loop_config *config);
#endif

#else
#undef fuse_session_new
#undef fuse_session_loop_mt
#define fuse_session_new       former_fuse_session_new
#define fuse_session_loop_mt   former_fuse_session_loop_mt
#define fuse_session_custom_io former_fuse_session_custom_io

BIND(fuse_session_new, "FUSE_3.0");
struct fuse_session *former_fuse_session_new(struct fuse_args *args,
					     const struct fuse_lowlevel_ops *op,
					     size_t op_size, void *userdata);
BIND(fuse_session_custom_io, "FUSE_3.0");
int former_fuse_session_custom_io(struct fuse_session *se,
				  const struct fuse_custom_io *io, int fd);
#if FORMER == 30
BIND(fuse_session_loop_mt, "FUSE_3.0");
int former_fuse_session_loop_mt(struct fuse_session *se, int clone_fd);
#else
BIND(fuse_session_loop_mt, "FUSE_3.2");
int former_fuse_session_loop_mt(struct fuse_session *se, struct fuse_loop_config *config);
#endif
#endif

#endif
