/* Both names of each call are met here, so neither may stand for the other. */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE
#include "powerloss.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct power power = { .lock = PTHREAD_MUTEX_INITIALIZER };

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

void power_tick(void)
{
	if (++power.calls == power.after)
		lose_power();
}

struct file *power_file_of(int fd)
{
	return power.on && fd >= 0 && fd < FDS ? power.by_fd[fd] : NULL;
}

void power_remember(int fd, struct file *f, off_t at, off_t end)
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

void power_forget(int fd, struct file *f)
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

bool power_counts(int dirfd, const char *path, char full[PATH])
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

struct change *power_add_change(void)
{
	if (power.n_changes == CHANGES)
		abort();
	return &power.changes[power.n_changes++];
}

void power_track(int fd, const char *path, bool fresh)
{
	struct stat st;
	if (fd < 0 || fd >= FDS || fstat(fd, &st))
		return;
	power.by_fd[fd] = NULL;
	for (int i = 0; i < power.n_files; i++) {
		if (power.files[i].ino == st.st_ino && power.files[i].dev == st.st_dev) {
			power.by_fd[fd] = &power.files[i];
			if (fresh) {
				power_forget(fd, &power.files[i]);
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

static bool is_in(const char *path, const char *dir)
{
	size_t n = strlen(dir);
	return !strncmp(path, dir, n) && path[n] == '/' && !strchr(path + n + 1, '/');
}

void power_renamed(const char *from, const char *to)
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

void power_sync_directory(const char *dir)
{
	int left = 0;
	for (int i = 0; i < power.n_changes; i++) {
		struct change *c = &power.changes[i];
		if (!is_in(c->path, dir))
			power.changes[left++] = *c;
		else if (c->kind == REMOVED) {
			REAL(unlink)(c->other);
			power_renamed(c->other, NULL);
		}
	}
	power.n_changes = left;
}
