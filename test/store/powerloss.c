/* powerloss: a layer under a program's file calls that takes the power away. For LD_PRELOAD.
 *
 *   POWERLOSS_DIR    files below this path count
 *   POWERLOSS_AFTER  the call (write, sync, unlink, …) at which it goes
 *   POWERLOSS_SEED   decides what is lost
 *
 * A write goes to the file at once, but what stood there is remembered for each block of 4 KiB until the file
 * is synced (which then costs nothing: the disk is never asked). When the power goes, each block that was not
 * synced is kept or put back, at random; so is the file's length. Of what was done to directories and not
 * synced, the last part is undone, for that much order a journal keeps. Then the process is killed.
 */
/* Both names of each call are met here, so neither may stand for the other. */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE
#include "powerloss.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_counted(int dirfd, const char *path, int flags, mode_t mode)
{
	char full[PATH];
	if (!power_counts(dirfd, path, full)) {
		int fd = REAL(openat)(dirfd, path, flags, mode);
		if (power.on && fd >= 0 && fd < FDS)
			power.by_fd[fd] = NULL;
		return fd;
	}
	pthread_mutex_lock(&power.lock);
	power_tick();
	bool there = access(full, F_OK) == 0;
	int fd = REAL(openat)(dirfd, path, flags, mode), err = errno;
	if (fd >= 0)
		power_track(fd, full, !there);
	if (fd >= 0 && !there) {
		struct change *c = power_add_change();
		c->kind = CREATED;
		snprintf(c->path, PATH, "%s", full);
	}
	pthread_mutex_unlock(&power.lock);
	errno = err;
	return fd;
}

#define OPENS(name, params, dirfd)                             \
	int name params;                                       \
	int name params                                        \
	{                                                      \
		mode_t mode = 0;                               \
		if (flags & (O_CREAT | O_TMPFILE)) {           \
			va_list args;                          \
			va_start(args, flags);                 \
			mode = va_arg(args, mode_t);           \
			va_end(args);                          \
		}                                              \
		return open_counted(dirfd, path, flags, mode); \
	}
OPENS(open, (const char *path, int flags, ...), AT_FDCWD)
OPENS(open64, (const char *path, int flags, ...), AT_FDCWD)
OPENS(openat, (int at, const char *path, int flags, ...), at)
OPENS(openat64, (int at, const char *path, int flags, ...), at)

int close(int fd)
{
	if (power.on && fd >= 0 && fd < FDS) {
		pthread_mutex_lock(&power.lock);
		power.by_fd[fd] = NULL;
		pthread_mutex_unlock(&power.lock);
	}
	return REAL(close)(fd);
}

static void before_write(int fd, off_t at, size_t n)
{
	struct file *f = power_file_of(fd);
	if (!f)
		return;
	pthread_mutex_lock(&power.lock);
	power_tick();
	power_remember(fd, f, at, at + (off_t)n);
	pthread_mutex_unlock(&power.lock);
}

ssize_t write(int fd, const void *p, size_t n)
{
	if (power_file_of(fd))
		before_write(fd, lseek(fd, 0, SEEK_CUR), n);
	return REAL(write)(fd, p, n);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	before_write(fd, at, n);
	return REAL(pwrite)(fd, p, n, at);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off_t at);
ssize_t pwrite64(int fd, const void *p, size_t n, off_t at)
{
	return pwrite(fd, p, n, at);
}

int ftruncate(int fd, off_t size)
{
	struct file *f = power_file_of(fd);
	struct stat st;
	if (f && fstat(fd, &st) == 0) {
		pthread_mutex_lock(&power.lock);
		power_tick();
		power_remember(fd, f, size, st.st_size);
		pthread_mutex_unlock(&power.lock);
	}
	return REAL(ftruncate)(fd, size);
}

int ftruncate64(int fd, off_t size);
int ftruncate64(int fd, off_t size)
{
	return ftruncate(fd, size);
}

/* ---- syncs ---- */

static int sync_counted(int fd, int (*otherwise)(int))
{
	struct file *f = power_file_of(fd);
	struct stat st;
	if (!f)
		return otherwise(fd);
	pthread_mutex_lock(&power.lock);
	power_tick();
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		power_sync_directory(f->path);
	else
		power_forget(fd, f);
	pthread_mutex_unlock(&power.lock);
	return 0;
}

int fsync(int fd)
{
	return sync_counted(fd, REAL(fsync));
}

int fdatasync(int fd)
{
	return sync_counted(fd, REAL(fdatasync));
}

/* ---- directories ---- */

int unlinkat(int dirfd, const char *path, int flags)
{
	char full[PATH];
	if (!power_counts(dirfd, path, full) || access(full, F_OK))
		return REAL(unlinkat)(dirfd, path, flags);
	pthread_mutex_lock(&power.lock);
	power_tick();
	struct change *c = power_add_change();
	c->kind = REMOVED;
	snprintf(c->path, PATH, "%s", full);
	snprintf(c->other, PATH, "%.460s/.removed-%llu", power.dir, (unsigned long long)power.removed++);
	int r = REAL(rename)(full, c->other);
	power_renamed(full, c->other);
	pthread_mutex_unlock(&power.lock);
	return r;
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int rename(const char *from, const char *to)
{
	char full[PATH], other[PATH];
	if (!power_counts(AT_FDCWD, to, full) || !power_counts(AT_FDCWD, from, other))
		return REAL(rename)(from, to);
	pthread_mutex_lock(&power.lock);
	power_tick();
	struct change *c = power_add_change();
	c->kind = RENAMED;
	snprintf(c->path, PATH, "%s", full);
	snprintf(c->other, PATH, "%s", other);
	int r = REAL(rename)(from, to);
	power_renamed(other, full);
	pthread_mutex_unlock(&power.lock);
	return r;
}

int mkdir(const char *path, mode_t mode)
{
	char full[PATH];
	int r = REAL(mkdir)(path, mode);
	if (r || !power_counts(AT_FDCWD, path, full))
		return r;
	pthread_mutex_lock(&power.lock);
	power_tick();
	struct change *c = power_add_change();
	c->kind = MADE;
	snprintf(c->path, PATH, "%s", full);
	pthread_mutex_unlock(&power.lock);
	return r;
}
