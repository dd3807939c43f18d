/* image_files: the files of an image's one layer, and tarballs as Docker takes them. */
#pragma once
#include "base/check.h"
#include "fleet/image.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct archive;

enum { IMAGE_FILES_MAX = 10000 };

struct image_file {
	char *path; /* owned; in the image, without the first '/' */
	char *from; /* owned; on this machine; NULL: a directory */
	bool of_user;
};

struct image_files {
	struct image_file *list; /* owned */
	size_t n, cap;
};

void image_files_finish(struct image_files *f);

/* A file of this machine, with its parent directories. path: in the image, from '/' on. Of root, readable by
 * all, and executable if it is so here. */
MUST_USE bool image_files_add(
	struct image_files *f, const char *path, const char *from, char error[IMAGE_ERROR]);

/* All regular files of a directory, with those of the directories below it; names that begin with '.' are
 * left out. */
MUST_USE bool image_files_add_tree(
	struct image_files *f, const char *path, const char *from, char error[IMAGE_ERROR]);

/* A directory; of_user: IMAGE_USER may write there. */
MUST_USE bool image_files_add_directory(
	struct image_files *f, const char *path, bool of_user, char error[IMAGE_ERROR]);

/* Writes the sorted layer into fd. */
MUST_USE bool image_files_write(struct image_files *f, int fd, char error[IMAGE_ERROR]);

/* ---- tarballs ---- */

/* A writer into fd; NULL with one line in error. */
MUST_USE struct archive *tar_open(int fd, char error[IMAGE_ERROR]);

/* mode: 0644 …; of IMAGE_USER or of root. `bytes` in memory, or from a file. */
MUST_USE bool tar_add(struct archive *a, const char *path, const void *bytes, size_t n, unsigned uid,
	char error[IMAGE_ERROR]);
MUST_USE bool tar_add_file(
	struct archive *a, const char *path, int from, unsigned mode, char error[IMAGE_ERROR]);

/* Ends a tarball that all was well with, or gives it up; a may be NULL then. Returns whether it is whole. */
MUST_USE bool tar_close(struct archive *a, bool ok, char error[IMAGE_ERROR]);
