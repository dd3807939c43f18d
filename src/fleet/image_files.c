#include "fleet/image_files.h"

#include "base/str.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_BYTES = 256 << 10 };

static bool fail(char error[IMAGE_ERROR], const char *fmt, ...) PRINTF(2, 3);
static bool fail(char error[IMAGE_ERROR], const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(error, IMAGE_ERROR, fmt, ap);
	va_end(ap);
	return false;
}

/* ---- tarballs ---- */

struct archive *tar_open(int fd, char error[IMAGE_ERROR])
{
	struct archive *a = archive_write_new();
	if (a && archive_write_set_format_pax_restricted(a) == ARCHIVE_OK &&
		archive_write_add_filter_none(a) == ARCHIVE_OK && archive_write_open_fd(a, fd) == ARCHIVE_OK)
		return a;
	fail(error, "cannot write a tarball: %s", a ? archive_error_string(a) : "out of memory");
	archive_write_free(a);
	return NULL;
}

static bool add_header(struct archive *a, const char *path, unsigned type, unsigned mode, unsigned uid,
	int64_t size, char error[IMAGE_ERROR])
{
	struct archive_entry *e = archive_entry_new();
	if (!e)
		return fail(error, "out of memory");
	archive_entry_set_pathname(e, path);
	archive_entry_set_filetype(e, type);
	archive_entry_set_perm(e, mode);
	archive_entry_set_uid(e, uid);
	archive_entry_set_gid(e, uid);
	archive_entry_set_mtime(e, 0, 0);
	archive_entry_set_size(e, size);
	bool ok = archive_write_header(a, e) == ARCHIVE_OK;
	archive_entry_free(e);
	return ok ? true
		  : fail(error, "%s: cannot write it into the tarball: %s", path, archive_error_string(a));
}

static bool add_bytes(
	struct archive *a, const char *path, const void *bytes, size_t n, char error[IMAGE_ERROR])
{
	if (n == 0 || archive_write_data(a, bytes, n) == (la_ssize_t)n)
		return true;
	return fail(error, "%s: cannot write it into the tarball: %s", path, archive_error_string(a));
}

bool tar_add(struct archive *a, const char *path, const void *bytes, size_t n, unsigned uid,
	char error[IMAGE_ERROR])
{
	return add_header(a, path, AE_IFREG, 0644, uid, (int64_t)n, error) &&
		add_bytes(a, path, bytes, n, error);
}

/* The file's bytes from its start, exactly as many as it had. */
static bool copy(struct archive *a, const char *path, int from, int64_t bytes, char error[IMAGE_ERROR])
{
	char *buf = malloc(COPY_BYTES);
	int64_t at = 0;
	bool ok = buf;
	while (ok && at < bytes) {
		ssize_t n = pread(from, buf, COPY_BYTES, at);
		if (n <= 0)
			ok = fail(error, "%s: %s", path, n ? strerror(errno) : "has become shorter");
		else
			ok = add_bytes(a, path, buf, (size_t)(n < bytes - at ? n : bytes - at), error);
		at += n;
	}
	free(buf);
	return buf ? ok : fail(error, "out of memory");
}

bool tar_add_file(struct archive *a, const char *path, int from, unsigned mode, char error[IMAGE_ERROR])
{
	struct stat st;
	if (fstat(from, &st))
		return fail(error, "%s: %s", path, strerror(errno));
	return add_header(a, path, AE_IFREG, mode, 0, st.st_size, error) &&
		copy(a, path, from, st.st_size, error);
}

bool tar_close(struct archive *a, bool ok, char error[IMAGE_ERROR])
{
	if (ok && archive_write_close(a) != ARCHIVE_OK)
		ok = fail(error, "cannot write a tarball: %s", archive_error_string(a));
	archive_write_free(a);
	return ok;
}

/* ---- the list ---- */

void image_files_finish(struct image_files *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->list[i].path);
		free(f->list[i].from);
	}
	free(f->list);
	*f = (struct image_files){ 0 };
}

static struct image_file *find(const struct image_files *f, struct str path)
{
	for (size_t i = 0; i < f->n; i++) {
		if (str_eq(str_of(f->list[i].path), path))
			return &f->list[i];
	}
	return NULL;
}

static bool grow(struct image_files *f)
{
	if (f->n < f->cap)
		return true;
	size_t cap = f->cap ? 2 * f->cap : 64;
	struct image_file *list = realloc(f->list, cap * sizeof *list);
	if (!list)
		return false;
	f->list = list;
	f->cap = cap;
	return true;
}

static bool append(struct image_files *f, struct str path, const char *from, char error[IMAGE_ERROR])
{
	if (f->n == IMAGE_FILES_MAX)
		return fail(error, "%s: an image has at most %d files", from ? from : "directories",
			IMAGE_FILES_MAX);
	if (!grow(f))
		return fail(error, "out of memory");
	struct image_file file = { .path = strndup(path.ptr, path.len), .from = from ? strdup(from) : NULL };
	if (file.path && (file.from || !from)) {
		f->list[f->n++] = file;
		return true;
	}
	free(file.path);
	free(file.from);
	return fail(error, "out of memory");
}

/* With the directories above it. path: without the first '/'. */
static bool add(struct image_files *f, struct str path, const char *from, char error[IMAGE_ERROR])
{
	for (size_t i = 0; i < path.len; i++) {
		struct str parent = { path.ptr, i };
		if (path.ptr[i] == '/' && !find(f, parent) && !append(f, parent, NULL, error))
			return false;
	}
	return find(f, path) || append(f, path, from, error);
}

bool image_files_add(struct image_files *f, const char *path, const char *from, char error[IMAGE_ERROR])
{
	return add(f, str_of(path + 1), from, error);
}

bool image_files_add_directory(struct image_files *f, const char *path, bool of_user, char error[IMAGE_ERROR])
{
	if (!add(f, str_of(path + 1), NULL, error))
		return false;
	struct image_file *directory = find(f, str_of(path + 1));
	CHECK(directory);
	directory->of_user = of_user;
	return true;
}

static bool add_one_of_tree(
	struct image_files *f, const char *path, const char *from, const char *name, char error[IMAGE_ERROR])
{
	char inner[PATH_MAX], outer[PATH_MAX];
	struct stat st;
	if (snprintf(inner, sizeof inner, "%s/%s", path, name) >= (int)sizeof inner ||
		snprintf(outer, sizeof outer, "%s/%s", from, name) >= (int)sizeof outer)
		return fail(error, "%s: a path that is too long is below it", from);
	if (stat(outer, &st))
		return fail(error, "%s: %s", outer, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return image_files_add_tree(f, inner, outer, error);
	return !S_ISREG(st.st_mode) || image_files_add(f, inner, outer, error);
}

bool image_files_add_tree(struct image_files *f, const char *path, const char *from, char error[IMAGE_ERROR])
{
	struct dirent **names;
	int n = scandir(from, &names, NULL, NULL);
	if (n < 0)
		return fail(error, "%s: %s", from, strerror(errno));
	bool ok = image_files_add_directory(f, path, false, error);
	for (int i = 0; i < n; i++) {
		if (ok && names[i]->d_name[0] != '.')
			ok = add_one_of_tree(f, path, from, names[i]->d_name, error);
		free(names[i]);
	}
	free(names);
	return ok;
}

/* ---- the layer ---- */

static int compare(const void *a, const void *b)
{
	const struct image_file *x = a, *y = b;
	return strcmp(x->path, y->path);
}

static bool write_directory(struct archive *a, const struct image_file *file, char error[IMAGE_ERROR])
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/", file->path);
	return add_header(a, path, AE_IFDIR, 0755, file->of_user ? IMAGE_USER : 0, 0, error);
}

static bool write_file(struct archive *a, const struct image_file *file, char error[IMAGE_ERROR])
{
	int fd = open(file->from, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st)) {
		fail(error, "%s: %s", file->from, strerror(errno));
		if (fd >= 0)
			close(fd);
		return false;
	}
	bool ok = tar_add_file(a, file->path, fd, st.st_mode & S_IXUSR ? 0755 : 0644, error);
	close(fd);
	return ok;
}

bool image_files_write(struct image_files *f, int fd, char error[IMAGE_ERROR])
{
	struct archive *a = tar_open(fd, error);
	bool ok = a;
	if (f->n)
		qsort(f->list, f->n, sizeof *f->list, compare);
	for (size_t i = 0; ok && i < f->n; i++)
		ok = f->list[i].from ? write_file(a, &f->list[i], error)
				     : write_directory(a, &f->list[i], error);
	return tar_close(a, ok, error);
}
