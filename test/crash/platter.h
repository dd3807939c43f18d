/* platter: a file system in memory, below PLATTER, that forgets what was not synced when the power goes.
 *
 * What is written is read back at once, but is only on its way to the disk until the file is synced; the same
 * holds for names until their directory is synced. When the power goes, of all that was on its way any subset
 * has arrived: sector by sector of each write, each name by itself, and of the write that was under way a
 * piece that ends anywhere. When only the process dies, everything is there, and still on its way.
 *
 * The calls of C's library stand in platter_calls.c. One platter a process: it takes the place of the kernel.
 *
 * Errors:  as the system calls, -errno. Once it is off nothing changes any more, which is -EIO.
 */
#pragma once
#include "base/check.h"
#include "base/rand.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PLATTER "/platter"

enum { PLATTER_PATH = 128, PLATTER_SECTOR = 512 };

struct platter_faults {
	uint64_t off_at;         /* at so many changes from now it goes off; 0: not by itself */
	uint64_t off_at_removal; /* likewise, when so many names have been removed */
	uint32_t full_ppm;       /* a write finds the disk full */
	uint32_t sync_ppm;       /* a sync fails: what it is for stays on its way */
};

struct platter_stat {
	uint64_t inode, size;
	bool is_directory;
};

/* An empty disk; what it decides comes from rand (borrowed). Frees an earlier one. */
void platter_begin(struct rand *rand);
void platter_end(void);

/* On, as after a start of the machine or the program. */
void platter_switch_on(const struct platter_faults *faults);
void platter_switch_off(void);
bool platter_is_off(void);

/* Changes (writes, syncs, names) since it was switched on. */
uint64_t platter_changes(void);

/* What the next start finds, with all files closed: after a loss of power, or (power_lost false) after the
 * death of the process alone. */
void platter_restart(bool power_lost);

/* ---- calls; fd: of platter_open ---- */

/* flags: O_CREAT, O_EXCL, O_TRUNC, O_DIRECTORY. */
MUST_USE int platter_open(const char *path, int flags);
void platter_close(int fd);
MUST_USE ssize_t platter_read(int fd, void *into, size_t n, off_t at);
MUST_USE ssize_t platter_write(int fd, const void *from, size_t n, off_t at);
MUST_USE int platter_truncate(int fd, off_t size);
MUST_USE int platter_sync(int fd);
MUST_USE int platter_flock(int fd, bool lock);
MUST_USE int platter_stat(const char *path, struct platter_stat *ret);
void platter_fstat(int fd, struct platter_stat *ret);

/* Where read and write go on. */
off_t *platter_place(int fd);

/* "PATH/name" of what fd was opened as. */
void platter_path_at(int fd, const char *name, char ret_path[PLATTER_PATH]);

MUST_USE int platter_mkdir(const char *path);
MUST_USE int platter_unlink(const char *path);
MUST_USE int platter_rename(const char *from, const char *to);

/* The directory's first name in alphabetical order after this one; NULL: there is none. Good until a name
 * changes. */
const char *platter_next_name(int fd, const char *after);
