/* powerloss: what a disk remembers of what was not synced, for the layer under a program's file calls.
 *
 * Everything but power_counts is called with power.lock held.
 */
#pragma once
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

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

struct power {
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
};

extern struct power power;

/* The call that this layer stands in front of. */
#define REAL(name) ((__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name))

/* One call more: at the chosen one the power goes, and this does not return. */
void power_tick(void);

/* The file behind a descriptor, when it counts, else NULL. */
struct file *power_file_of(int fd);

/* The path that (dirfd, path) names, in full; true when it counts. */
bool power_counts(int dirfd, const char *path, char full[PATH]);

/* fd has been opened. fresh: the file was made by this call, should its inode have been another's. */
void power_track(int fd, const char *path, bool fresh);

/* Remembers what stands in the blocks of [at, end), where that is not done yet. */
void power_remember(int fd, struct file *f, off_t at, off_t end);

/* The file is synced. */
void power_forget(int fd, struct file *f);

/* Room for one more change of a directory. */
struct change *power_add_change(void);

/* The file that was called `from` is called `to`; NULL: it is gone, and its inode may be another's. */
void power_renamed(const char *from, const char *to);
void power_sync_directory(const char *dir);
