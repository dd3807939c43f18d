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
/* Both names of each call are defined here, so neither may stand for the other. */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 4096, FDS = 1024, FILES = 4096, CHANGES = 4096, PATH = 512 };

struct block {
	struct block *next; /* owned */
	off_t at;
	char old[BLOCK];
};

struct file {
	dev_t dev;
	ino_t ino;
	off_t synced_size;
	struct block *blocks; /* owned: not synced; newest first */
	char path[PATH];
};

/* What was done to a directory and is not synced. */
struct change {
	enum { CREATED, REMOVED, RENAMED, MADE } kind;
	char path[PATH], other[PATH]; /* REMOVED: where it is kept; RENAMED: what it was called */
};

static struct {
	pthread_mutex_t lock;
	bool on;
	char dir[PATH];
	uint64_t calls, after, random;
	struct file *by_fd[FDS]; /* borrowed from files */
	struct file files[FILES];
	int n_files;
	struct change changes[CHANGES];
	int n_changes;
	uint64_t removed;
} power = { .lock = PTHREAD_MUTEX_INITIALIZER };

#define REAL(name) ((__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name))

static uint64_t chance(uint64_t n)
{
	power.random ^= power.random << 13;
	power.random ^= power.random >> 7;
	power.random ^= power.random << 17;
	return (power.random >> 11) % n;
}

__attribute__((constructor)) static void start(void)
{
	const char *dir = getenv("POWERLOSS_DIR"), *after = getenv("POWERLOSS_AFTER");
	const char *seed = getenv("POWERLOSS_SEED");
	if (!dir || !after)
		return;
	snprintf(power.dir, sizeof power.dir, "%s", dir);
	power.after = strtoull(after, NULL, 10);
	power.random = (seed ? strtoull(seed, NULL, 10) : 1) * UINT64_C(0x9e3779b97f4a7c15) + 1;
	power.on = true;
}

/* ---- when the power goes ---- */

static void undo_blocks(int fd, const struct file *f)
{
	struct stat st;
	if (fstat(fd, &st))
		return;
	off_t size = st.st_size;
	if (size != f->synced_size) {
		off_t blocks =
			(size > f->synced_size ? size - f->synced_size : f->synced_size - size) / BLOCK + 1;
		off_t low = size < f->synced_size ? size : f->synced_size;
		off_t high = size < f->synced_size ? f->synced_size : size;
		size = low + BLOCK * (off_t)chance((uint64_t)blocks + 1);
		size = chance(3) == 0 ? low : chance(2) || size > high ? high : size;
	}
	for (const struct block *b = f->blocks; b; b = b->next) {
		if (chance(2))
			(void)!REAL(pwrite)(fd, b->old, BLOCK, b->at);
	}
	(void)!REAL(ftruncate)(fd, size);
}

static void undo_change(const struct change *c)
{
	switch (c->kind) {
	case CREATED:
		REAL(unlink)(c->path);
		break;
	case REMOVED:
		REAL(rename)(c->other, c->path);
		break;
	case RENAMED:
		REAL(rename)(c->path, c->other);
		break;
	case MADE:
		rmdir(c->path);
		break;
	}
}

static void lose_power(void)
{
	for (int i = 0; i < power.n_files; i++) {
		const struct file *f = &power.files[i];
		struct stat st;
		int fd = REAL(open)(f->path, O_RDWR);
		if (fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == f->ino)
			undo_blocks(fd, f);
	}
	int kept = (int)chance((uint64_t)power.n_changes + 1);
	while (power.n_changes > kept)
		undo_change(&power.changes[--power.n_changes]);
	for (int i = 0; i < power.n_changes; i++) {
		if (power.changes[i].kind == REMOVED)
			REAL(unlink)(power.changes[i].other);
	}
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

/* With the lock held: one call more. */
static void tick(void)
{
	if (++power.calls == power.after)
		lose_power();
}

/* ---- files ---- */

static struct file *file_of(int fd)
{
	return power.on && fd >= 0 && fd < FDS ? power.by_fd[fd] : NULL;
}

/* Remembers what stands in the blocks of [at, end), where that is not done yet. */
static void remember(int fd, struct file *f, off_t at, off_t end)
{
	for (off_t block = at / BLOCK * BLOCK; block < end; block += BLOCK) {
		struct block *b = f->blocks;
		while (b && b->at != block)
			b = b->next;
		if (b)
			continue;
		b = calloc(1, sizeof *b);
		if (!b)
			abort();
		b->at = block;
		(void)!pread(fd, b->old, BLOCK, block);
		b->next = f->blocks;
		f->blocks = b;
	}
}

static void forget(int fd, struct file *f)
{
	struct stat st;
	while (f->blocks) {
		struct block *b = f->blocks;
		f->blocks = b->next;
		free(b);
	}
	if (fstat(fd, &st) == 0)
		f->synced_size = st.st_size;
}

/* The path that (dirfd, path) names, when it is below POWERLOSS_DIR. */
static bool counts(int dirfd, const char *path, char full[PATH])
{
	char link[64], dir[PATH] = "";
	if (!power.on)
		return false;
	if (path[0] != '/' && dirfd != AT_FDCWD) {
		snprintf(link, sizeof link, "/proc/self/fd/%d", dirfd);
		ssize_t n = readlink(link, dir, sizeof dir - 1);
		dir[n > 0 ? n : 0] = '\0';
	}
	if ((size_t)snprintf(full, PATH, "%s%s%s", dir, *dir ? "/" : "", path) >= PATH)
		return false;
	return !strncmp(full, power.dir, strlen(power.dir)) && !strstr(full, "-shm") &&
		!strstr(full, ".lock");
}

static struct change *add_change(void)
{
	if (power.n_changes == CHANGES)
		abort();
	return &power.changes[power.n_changes++];
}

/* fresh: the file was made by this call, should its inode have been another's. */
static void track(int fd, const char *path, bool fresh)
{
	struct stat st;
	if (fd < 0 || fd >= FDS || fstat(fd, &st))
		return;
	power.by_fd[fd] = NULL;
	for (int i = 0; i < power.n_files; i++) {
		if (power.files[i].ino == st.st_ino && power.files[i].dev == st.st_dev) {
			power.by_fd[fd] = &power.files[i];
			if (fresh) {
				forget(fd, &power.files[i]);
				snprintf(power.files[i].path, PATH, "%s", path);
			}
			return;
		}
	}
	if (power.n_files == FILES)
		abort();
	power.by_fd[fd] = &power.files[power.n_files++];
	*power.by_fd[fd] = (struct file){ .dev = st.st_dev, .ino = st.st_ino, .synced_size = st.st_size };
	snprintf(power.by_fd[fd]->path, PATH, "%s", path);
}

static int open_counted(int dirfd, const char *path, int flags, mode_t mode)
{
	char full[PATH];
	if (!counts(dirfd, path, full)) {
		int fd = REAL(openat)(dirfd, path, flags, mode);
		if (power.on && fd >= 0 && fd < FDS)
			power.by_fd[fd] = NULL;
		return fd;
	}
	pthread_mutex_lock(&power.lock);
	tick();
	bool there = access(full, F_OK) == 0;
	int fd = REAL(openat)(dirfd, path, flags, mode), err = errno;
	if (fd >= 0)
		track(fd, full, !there);
	if (fd >= 0 && !there) {
		struct change *c = add_change();
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
	struct file *f = file_of(fd);
	if (!f)
		return;
	pthread_mutex_lock(&power.lock);
	tick();
	remember(fd, f, at, at + (off_t)n);
	pthread_mutex_unlock(&power.lock);
}

ssize_t write(int fd, const void *p, size_t n)
{
	if (file_of(fd))
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
	struct file *f = file_of(fd);
	struct stat st;
	if (f && fstat(fd, &st) == 0) {
		pthread_mutex_lock(&power.lock);
		tick();
		remember(fd, f, size, st.st_size);
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

static bool is_in(const char *path, const char *dir)
{
	size_t n = strlen(dir);
	return !strncmp(path, dir, n) && path[n] == '/' && !strchr(path + n + 1, '/');
}

/* The file that was called `from` is called `to`; NULL: it is gone, and its inode may be another's. */
static void renamed(const char *from, const char *to)
{
	for (int i = 0; i < power.n_files; i++) {
		struct file *f = &power.files[i];
		if (!f->ino || strcmp(f->path, from) != 0)
			continue;
		if (to)
			snprintf(f->path, PATH, "%s", to);
		else
			f->ino = 0;
	}
}

static void sync_directory(const char *dir)
{
	int left = 0;
	for (int i = 0; i < power.n_changes; i++) {
		struct change *c = &power.changes[i];
		if (!is_in(c->path, dir))
			power.changes[left++] = *c;
		else if (c->kind == REMOVED) {
			REAL(unlink)(c->other);
			renamed(c->other, NULL);
		}
	}
	power.n_changes = left;
}

static int sync_counted(int fd, int (*otherwise)(int))
{
	struct file *f = file_of(fd);
	struct stat st;
	if (!f)
		return otherwise(fd);
	pthread_mutex_lock(&power.lock);
	tick();
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		sync_directory(f->path);
	else
		forget(fd, f);
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
	if (!counts(dirfd, path, full) || access(full, F_OK))
		return REAL(unlinkat)(dirfd, path, flags);
	pthread_mutex_lock(&power.lock);
	tick();
	struct change *c = add_change();
	c->kind = REMOVED;
	snprintf(c->path, PATH, "%s", full);
	snprintf(c->other, PATH, "%.460s/.removed-%llu", power.dir, (unsigned long long)power.removed++);
	int r = REAL(rename)(full, c->other);
	renamed(full, c->other);
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
	if (!counts(AT_FDCWD, to, full) || !counts(AT_FDCWD, from, other))
		return REAL(rename)(from, to);
	pthread_mutex_lock(&power.lock);
	tick();
	struct change *c = add_change();
	c->kind = RENAMED;
	snprintf(c->path, PATH, "%s", full);
	snprintf(c->other, PATH, "%s", other);
	int r = REAL(rename)(from, to);
	renamed(other, full);
	pthread_mutex_unlock(&power.lock);
	return r;
}

int mkdir(const char *path, mode_t mode)
{
	char full[PATH];
	int r = REAL(mkdir)(path, mode);
	if (r || !counts(AT_FDCWD, path, full))
		return r;
	pthread_mutex_lock(&power.lock);
	tick();
	struct change *c = add_change();
	c->kind = MADE;
	snprintf(c->path, PATH, "%s", full);
	pthread_mutex_unlock(&power.lock);
	return r;
}
