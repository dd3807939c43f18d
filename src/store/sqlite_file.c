/* sqlite_file: the bodies that are too long for a row, a file each. */
#include "store/sqlite.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_BYTES = 64 * 1024 };

int sqlite_files_open(const char *path, bool make)
{
	char *dir;
	if (asprintf(&dir, "%s-files", path) < 0)
		return -ENOMEM;
	int r = 0;
	if (make) {
		(void)!mkdir(dir, 0700);
		r = sqlite_sync_parent(dir); /* also for one that died before it came to this */
	}
	if (!r) {
		r = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (r < 0)
			r = -errno;
	}
	free(dir);
	return r;
}

void sqlite_file_print(struct sqlite_file f, char name[STORE_FILE_NAME])
{
	char id[STORE_ID_CHARS + 1];
	snprintf(name, STORE_FILE_NAME, "%s.%llu", store_id_print(&f.id, id), (unsigned long long)f.number);
}

bool sqlite_file_parse(struct str name, struct sqlite_file *ret_f)
{
	struct sqlite_file f;
	struct str id = str_cut(&name, '.');
	if (!store_id_parse(id, &f.id) || !str_to_u64(name, &f.number) || !f.number || name.ptr[0] == '0')
		return false;
	*ret_f = f;
	return true;
}

/* A full disk has several names. */
static int write_error(void)
{
	return errno == EDQUOT || errno == EFBIG ? -ENOSPC : -errno;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t k = write(fd, p, n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k < 0 ? write_error() : -ENOSPC;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

static int copy_range(int to, const struct store_message *m)
{
	char *buf = malloc(COPY_BYTES);
	if (!buf)
		return -ENOMEM;
	int r = 0;
	for (uint64_t done = 0; !r && done < m->file_bytes;) {
		uint64_t left = m->file_bytes - done;
		ssize_t n =
			pread(m->fd, buf, left < COPY_BYTES ? left : COPY_BYTES, (off_t)(m->file_at + done));
		if (n < 0 && errno == EINTR)
			continue;
		r = n <= 0 ? -EIO : write_all(to, buf, (size_t)n);
		done += n > 0 ? (uint64_t)n : 0;
	}
	free(buf);
	return r;
}

int sqlite_file_write(int files_fd, struct sqlite_file f, const struct store_message *m)
{
	char name[STORE_FILE_NAME];
	sqlite_file_print(f, name);
	int fd = openat(files_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return write_error();
	int r = 0;
	for (int i = 0; !r && i < m->n_slices; i++)
		r = write_all(fd, m->slices[i].iov_base, m->slices[i].iov_len);
	if (!r && m->file_bytes)
		r = copy_range(fd, m);
	if (!r && fdatasync(fd))
		r = write_error();
	close(fd);
	if (r)
		unlinkat(files_fd, name, 0);
	return r;
}

int sqlite_file_read(int files_fd, struct sqlite_file f, uint64_t at, char *into, size_t n)
{
	char name[STORE_FILE_NAME];
	sqlite_file_print(f, name);
	int fd = openat(files_fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = 0;
	for (size_t done = 0; !r && done < n;) {
		ssize_t k = pread(fd, into + done, n - done, (off_t)(at + done));
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			r = k < 0 ? -errno : -EUCLEAN;
		else
			done += (size_t)k;
	}
	close(fd);
	return r;
}

int sqlite_file_bytes(int files_fd, struct sqlite_file f, uint64_t *ret_bytes)
{
	char name[STORE_FILE_NAME];
	struct stat st;
	sqlite_file_print(f, name);
	if (fstatat(files_fd, name, &st, 0))
		return -errno;
	*ret_bytes = (uint64_t)st.st_size;
	return 0;
}

void sqlite_file_remove(int files_fd, struct sqlite_file f)
{
	char name[STORE_FILE_NAME];
	sqlite_file_print(f, name);
	unlinkat(files_fd, name, 0); /* what stays, the next start sweeps away */
}

int sqlite_files_each(int files_fd, sqlite_file_fn *fn, void *owner)
{
	int fd = openat(files_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	int r = 0;
	struct dirent *e;
	while (!r && (errno = 0, e = readdir(dir))) {
		struct sqlite_file f;
		if (sqlite_file_parse(str_of(e->d_name), &f))
			r = fn(owner, f);
	}
	if (!r)
		r = -errno;
	closedir(dir);
	return r;
}
