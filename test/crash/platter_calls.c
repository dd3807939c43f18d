/* platter_calls: the file calls of the store and of SQLite, led to the platter where they concern it.
 *
 * The program's own definitions go before those of C's library, also for the libraries that it is linked
 * with. Descriptors of the platter begin at FD_BASE, beyond all of the kernel's. Memory that is mapped from a
 * file of the platter (the index of SQLite's log, which is made anew at each start) is memory and nothing
 * else.
 */
/* Both names of each call are met here, so neither may stand for the other. */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE
#include "platter.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FD_BASE = 1 << 20 };

/* The call that this one stands in front of. */
#define REAL(name) ((__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name))

static bool is_fd(int fd)
{
	return fd >= FD_BASE;
}

static bool is_path(const char *path)
{
	size_t n = strlen(PLATTER);
	return !strncmp(path, PLATTER, n) && (path[n] == '/' || !path[n]);
}

/* As a system call returns. */
static long result(long r)
{
	if (r >= 0)
		return r;
	errno = (int)-r;
	return -1;
}

/* ---- opening ---- */

/* The path in full, if it is one of the platter's, else NULL. */
static const char *path_at(int dirfd, const char *path, char into[PLATTER_PATH])
{
	if (is_path(path))
		return path;
	if (!is_fd(dirfd))
		return NULL;
	platter_path_at(dirfd - FD_BASE, path, into);
	return into;
}

static int open_at(int dirfd, const char *path, int flags, mode_t mode)
{
	char into[PLATTER_PATH];
	const char *full = path_at(dirfd, path, into);
	if (!full)
		return REAL(openat)(dirfd, path, flags, mode);
	int fd = platter_open(full, flags);
	return (int)result(fd < 0 ? fd : fd + FD_BASE);
}

#define OPENS(name, params, dirfd)                        \
	int name params;                                  \
	int name params                                   \
	{                                                 \
		mode_t mode = 0;                          \
		if (flags & (O_CREAT | O_TMPFILE)) {      \
			va_list args;                     \
			va_start(args, flags);            \
			mode = va_arg(args, mode_t);      \
			va_end(args);                     \
		}                                         \
		return open_at(dirfd, path, flags, mode); \
	}

OPENS(open, (const char *path, int flags, ...), AT_FDCWD)
OPENS(open64, (const char *path, int flags, ...), AT_FDCWD)
OPENS(openat, (int dirfd, const char *path, int flags, ...), dirfd)
OPENS(openat64, (int dirfd, const char *path, int flags, ...), dirfd)

int close(int fd)
{
	if (!is_fd(fd))
		return REAL(close)(fd);
	platter_close(fd - FD_BASE);
	return 0;
}

/* ---- bytes ---- */

ssize_t pread(int fd, void *into, size_t n, off_t at)
{
	return is_fd(fd) ? result(platter_read(fd - FD_BASE, into, n, at)) : REAL(pread)(fd, into, n, at);
}

ssize_t pwrite(int fd, const void *from, size_t n, off_t at)
{
	return is_fd(fd) ? result(platter_write(fd - FD_BASE, from, n, at)) : REAL(pwrite)(fd, from, n, at);
}

ssize_t pread64(int fd, void *into, size_t n, off_t at);
ssize_t pread64(int fd, void *into, size_t n, off_t at)
{
	return pread(fd, into, n, at);
}

ssize_t pwrite64(int fd, const void *from, size_t n, off_t at);
ssize_t pwrite64(int fd, const void *from, size_t n, off_t at)
{
	return pwrite(fd, from, n, at);
}

static ssize_t moved_on(int fd, ssize_t n)
{
	if (n > 0)
		*platter_place(fd) += n;
	return result(n);
}

ssize_t read(int fd, void *into, size_t n)
{
	int f = fd - FD_BASE;
	return is_fd(fd) ? moved_on(f, platter_read(f, into, n, *platter_place(f))) : REAL(read)(fd, into, n);
}

ssize_t write(int fd, const void *from, size_t n)
{
	int f = fd - FD_BASE;
	return is_fd(fd) ? moved_on(f, platter_write(f, from, n, *platter_place(f)))
			 : REAL(write)(fd, from, n);
}

int ftruncate(int fd, off_t size)
{
	return is_fd(fd) ? (int)result(platter_truncate(fd - FD_BASE, size)) : REAL(ftruncate)(fd, size);
}

int ftruncate64(int fd, off_t size);
int ftruncate64(int fd, off_t size)
{
	return ftruncate(fd, size);
}

int fsync(int fd)
{
	return is_fd(fd) ? (int)result(platter_sync(fd - FD_BASE)) : REAL(fsync)(fd);
}

int fdatasync(int fd)
{
	return is_fd(fd) ? (int)result(platter_sync(fd - FD_BASE)) : REAL(fdatasync)(fd);
}

void *mmap(void *at, size_t n, int protection, int flags, int fd, off_t from)
{
	if (!is_fd(fd))
		return REAL(mmap)(at, n, protection, flags, fd, from);
	return REAL(mmap)(at, n, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

void *mmap64(void *at, size_t n, int protection, int flags, int fd, off_t from);
void *mmap64(void *at, size_t n, int protection, int flags, int fd, off_t from)
{
	return mmap(at, n, protection, flags, fd, from);
}

/* ---- what a file is ---- */

static void fill(struct stat *to, const struct platter_stat *from)
{
	*to = (struct stat){
		.st_dev = 1,
		.st_ino = from->inode,
		.st_mode = from->is_directory ? S_IFDIR | 0700 : S_IFREG | 0600,
		.st_nlink = 1,
		.st_uid = geteuid(),
		.st_size = (off_t)from->size,
		.st_blksize = 4096,
	};
}

static int stat_at(int dirfd, const char *path, struct stat *ret, int flags)
{
	char into[PLATTER_PATH];
	struct platter_stat s;
	const char *full = path_at(dirfd, path, into);
	if (!full)
		return REAL(fstatat)(dirfd, path, ret, flags);
	int r = platter_stat(full, &s);
	if (r == 0)
		fill(ret, &s);
	return (int)result(r);
}

int fstat(int fd, struct stat *ret)
{
	struct platter_stat s;
	if (!is_fd(fd))
		return REAL(fstat)(fd, ret);
	platter_fstat(fd - FD_BASE, &s);
	fill(ret, &s);
	return 0;
}

int stat(const char *path, struct stat *ret)
{
	return stat_at(AT_FDCWD, path, ret, 0);
}

int lstat(const char *path, struct stat *ret)
{
	return stat_at(AT_FDCWD, path, ret, AT_SYMLINK_NOFOLLOW);
}

int fstatat(int dirfd, const char *path, struct stat *ret, int flags)
{
	return stat_at(dirfd, path, ret, flags);
}

/* Where long numbers have 64 bits, the two are laid out alike. */
_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "struct stat has two forms");

static struct stat *alike(struct stat64 *s)
{
	return (struct stat *)(void *)s;
}

int fstat64(int fd, struct stat64 *ret)
{
	return fstat(fd, alike(ret));
}

int stat64(const char *path, struct stat64 *ret)
{
	return stat(path, alike(ret));
}

int lstat64(const char *path, struct stat64 *ret)
{
	return lstat(path, alike(ret));
}

int fstatat64(int dirfd, const char *path, struct stat64 *ret, int flags)
{
	return fstatat(dirfd, path, alike(ret), flags);
}

int access(const char *path, int mode)
{
	struct platter_stat s;
	return is_path(path) ? (int)result(platter_stat(path, &s)) : REAL(access)(path, mode);
}

int fchmod(int fd, mode_t mode)
{
	return is_fd(fd) ? 0 : REAL(fchmod)(fd, mode);
}

int fchown(int fd, uid_t owner, gid_t group)
{
	return is_fd(fd) ? 0 : REAL(fchown)(fd, owner, group);
}

/* ---- locks: within the process SQLite sees to them itself ---- */

int flock(int fd, int operation)
{
	if (!is_fd(fd))
		return REAL(flock)(fd, operation);
	return (int)result(platter_flock(fd - FD_BASE, !(operation & LOCK_UN)));
}

int fcntl(int fd, int command, ...)
{
	va_list args;
	va_start(args, command);
	void *arg = va_arg(args, void *);
	va_end(args);
	if (!is_fd(fd))
		return REAL(fcntl)(fd, command, arg);
	if (command == F_GETLK)
		((struct flock *)arg)->l_type = F_UNLCK;
	return 0;
}

int fcntl64(int fd, int command, ...);
int fcntl64(int fd, int command, ...)
{
	va_list args;
	va_start(args, command);
	void *arg = va_arg(args, void *);
	va_end(args);
	return fcntl(fd, command, arg);
}

/* ---- names ---- */

int mkdir(const char *path, mode_t mode)
{
	return is_path(path) ? (int)result(platter_mkdir(path)) : REAL(mkdir)(path, mode);
}

int unlinkat(int dirfd, const char *path, int flags)
{
	char into[PLATTER_PATH];
	const char *full = path_at(dirfd, path, into);
	return full ? (int)result(platter_unlink(full)) : REAL(unlinkat)(dirfd, path, flags);
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int rename(const char *from, const char *to)
{
	return is_path(from) ? (int)result(platter_rename(from, to)) : REAL(rename)(from, to);
}

/* ---- directories: one is read at a time ---- */

static struct {
	int fd; /* 0: none */
	union {
		struct dirent entry;
		struct dirent64 entry64;
	};
} reading;

static DIR *as_dir(void)
{
	return (DIR *)(void *)&reading;
}

DIR *fdopendir(int fd)
{
	if (!is_fd(fd))
		return REAL(fdopendir)(fd);
	CHECK(!reading.fd);
	reading.fd = fd;
	reading.entry.d_name[0] = '\0';
	return as_dir();
}

struct dirent *readdir(DIR *dir)
{
	if (dir != as_dir())
		return REAL(readdir)(dir);
	const char *name = platter_next_name(reading.fd - FD_BASE, reading.entry.d_name);
	if (!name)
		return NULL;
	snprintf(reading.entry.d_name, sizeof reading.entry.d_name, "%s", name);
	return &reading.entry;
}

struct dirent64 *readdir64(DIR *dir)
{
	return (struct dirent64 *)(void *)readdir(dir); /* which are laid out alike as well */
}

int closedir(DIR *dir)
{
	if (dir != as_dir())
		return REAL(closedir)(dir);
	int fd = reading.fd;
	reading.fd = 0;
	return close(fd);
}
