#include "platter.h"

#include "base/list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILES_MAX = 64, NAMES_MAX = 256 };

/* A write or a new length that is on its way to the disk. */
struct motion {
	struct motion *next; /* owned */
	uint64_t at, n;      /* a write's; a new length stands in `at` */
	bool is_length;
	char bytes[];
};

struct image {
	char *bytes; /* owned */
	uint64_t size, cap;
};

struct inode {
	struct list_node node; /* on platter.inodes */
	uint64_t number;
	bool is_directory, locked;
	struct image now, disk;
	struct motion *first, **last; /* owned */
};

struct name {
	char path[PLATTER_PATH];
	struct inode *inode; /* borrowed */
};

struct names {
	struct name list[NAMES_MAX];
	uint32_t n;
};

/* A change of a directory that is on its way: `gone` leads nowhere then, `path` to inode. */
struct renaming {
	struct renaming *next; /* owned */
	char gone[PLATTER_PATH], path[PLATTER_PATH];
	struct inode *inode; /* borrowed */
};

struct open_file {
	struct inode *inode; /* borrowed; NULL: this number is free */
	off_t place;
	char path[PLATTER_PATH];
};

static struct platter {
	bool begun, off;
	struct rand *rand; /* borrowed */
	struct platter_faults faults;
	uint64_t changes, removals, last_inode;
	struct list inodes;
	struct names now, disk;
	struct renaming *first, **last; /* owned */
	struct open_file files[FILES_MAX];
} p;

/* ---- images ---- */

static void image_resize(struct image *i, uint64_t size)
{
	if (size > i->cap) {
		i->cap = size + size / 2 + 4096;
		i->bytes = realloc(i->bytes, i->cap);
		CHECK(i->bytes);
	}
	if (size > i->size)
		memset(i->bytes + i->size, 0, size - i->size);
	i->size = size;
}

static void image_write(struct image *i, const char *from, uint64_t n, uint64_t at)
{
	if (at + n > i->size)
		image_resize(i, at + n);
	memcpy(i->bytes + at, from, n);
}

static void image_copy(struct image *to, const struct image *from)
{
	image_resize(to, from->size);
	if (from->size)
		memcpy(to->bytes, from->bytes, from->size);
}

/* ---- inodes and names ---- */

static struct inode *add_inode(bool is_directory)
{
	struct inode *i = calloc(1, sizeof *i);
	CHECK(i);
	i->number = ++p.last_inode;
	i->is_directory = is_directory;
	i->last = &i->first;
	list_push_back(&p.inodes, &i->node);
	return i;
}

static void forget_motions(struct inode *i)
{
	while (i->first) {
		struct motion *m = i->first;
		i->first = m->next;
		free(m);
	}
	i->last = &i->first;
}

static void free_inode(struct inode *i)
{
	forget_motions(i);
	free(i->now.bytes);
	free(i->disk.bytes);
	list_remove(&p.inodes, &i->node);
	free(i);
}

static struct name *find_name(struct names *names, const char *path)
{
	for (uint32_t k = 0; k < names->n; k++) {
		if (!strcmp(names->list[k].path, path))
			return &names->list[k];
	}
	return NULL;
}

static void unset_name(struct names *names, const char *path)
{
	struct name *name = find_name(names, path);
	if (name)
		*name = names->list[--names->n];
}

static void set_name(struct names *names, const char *path, struct inode *inode)
{
	unset_name(names, path);
	CHECK(names->n < NAMES_MAX);
	struct name *name = &names->list[names->n++];
	snprintf(name->path, sizeof name->path, "%s", path);
	name->inode = inode;
}

static struct inode *lookup(const char *path)
{
	const struct name *name = find_name(&p.now, path);
	return name ? name->inode : NULL;
}

/* Is path in dir itself? */
static bool is_in(const char *path, const char *dir)
{
	size_t n = strlen(dir);
	return !strncmp(path, dir, n) && path[n] == '/' && !strchr(path + n + 1, '/');
}

static void apply(struct names *names, const struct renaming *r)
{
	if (r->gone[0])
		unset_name(names, r->gone);
	if (r->path[0])
		set_name(names, r->path, r->inode);
}

/* gone, path: NULL for none. */
static void change_names(const char *gone, const char *path, struct inode *inode)
{
	struct renaming *r = calloc(1, sizeof *r);
	CHECK(r);
	snprintf(r->gone, sizeof r->gone, "%s", gone ? gone : "");
	snprintf(r->path, sizeof r->path, "%s", path ? path : "");
	r->inode = inode;
	*p.last = r;
	p.last = &r->next;
	apply(&p.now, r);
}

static void drop_renaming(struct renaming **at)
{
	struct renaming *r = *at;
	*at = r->next;
	if (p.last == &r->next)
		p.last = at;
	free(r);
}

/* ---- on and off ---- */

void platter_begin(struct rand *rand)
{
	platter_end();
	p = (struct platter){ .begun = true, .rand = rand };
	p.last = &p.first;
	list_init(&p.inodes);
	set_name(&p.now, PLATTER, add_inode(true));
	p.disk = p.now;
}

void platter_end(void)
{
	struct list_node *n;
	if (!p.begun)
		return;
	while ((n = list_first(&p.inodes)))
		free_inode(CONTAINER_OF(n, struct inode, node));
	while (p.first)
		drop_renaming(&p.first);
	p.begun = false;
}

void platter_switch_on(const struct platter_faults *faults)
{
	p.off = false;
	p.changes = p.removals = 0;
	p.faults = *faults;
}

void platter_switch_off(void)
{
	p.off = true;
}

bool platter_is_off(void)
{
	return p.off;
}

uint64_t platter_changes(void)
{
	return p.changes;
}

/* One more change: with false it is not made; with *ret_last it is the one during which the disk goes off. */
static bool may_change(bool *ret_last)
{
	*ret_last = false;
	if (p.off)
		return false;
	p.changes++;
	p.off = *ret_last = p.faults.off_at && p.changes >= p.faults.off_at;
	return true;
}

/* ---- what arrives ---- */

static void let_arrive(struct inode *i, const struct motion *m)
{
	if (m->is_length)
		image_resize(&i->disk, m->at);
	else
		image_write(&i->disk, m->bytes, m->n, m->at);
}

/* Each sector of a write by itself. arrives_ppm: the chance of each. */
static void let_sectors_arrive(struct inode *i, const struct motion *m, uint32_t arrives_ppm)
{
	if (m->is_length) {
		if (rand_chance(p.rand, arrives_ppm))
			let_arrive(i, m);
		return;
	}
	for (uint64_t at = m->at, end = m->at + m->n; at < end;) {
		uint64_t next = (at / PLATTER_SECTOR + 1) * PLATTER_SECTOR;
		uint64_t n = (next < end ? next : end) - at;
		if (rand_chance(p.rand, arrives_ppm))
			image_write(&i->disk, m->bytes + (at - m->at), n, at);
		at += n;
	}
}

/* All, nothing, or any subset. */
static uint32_t draw_arrival(void)
{
	static const uint32_t chances[] = { 0, 100000, 500000, 900000, 1000000 };
	return chances[rand_below(p.rand, ARRAY_LEN(chances))];
}

static void lose_power(void)
{
	list_for_each (n, &p.inodes) {
		struct inode *i = CONTAINER_OF(n, struct inode, node);
		uint32_t arrives_ppm = draw_arrival();
		for (const struct motion *m = i->first; m; m = m->next)
			let_sectors_arrive(i, m, arrives_ppm);
		forget_motions(i);
		image_copy(&i->now, &i->disk);
	}
	uint32_t arrives_ppm = draw_arrival();
	while (p.first) {
		if (rand_chance(p.rand, arrives_ppm))
			apply(&p.disk, p.first);
		drop_renaming(&p.first);
	}
	p.now = p.disk;
}

/* Names in a directory that is not there lead nowhere. */
static bool has_parent(const char *path)
{
	char dir[PLATTER_PATH];
	snprintf(dir, sizeof dir, "%s", path);
	*strrchr(dir, '/') = '\0';
	return !strcmp(path, PLATTER) || lookup(dir);
}

static void drop_orphans(struct names *names)
{
	for (uint32_t k = names->n; k-- > 0;) {
		if (!has_parent(names->list[k].path))
			names->list[k] = names->list[--names->n];
	}
}

static bool is_named(const struct inode *i)
{
	bool named = false;
	for (uint32_t k = 0; k < p.now.n; k++)
		named |= p.now.list[k].inode == i;
	for (uint32_t k = 0; k < p.disk.n; k++)
		named |= p.disk.list[k].inode == i;
	for (const struct renaming *r = p.first; r; r = r->next)
		named |= r->inode == i;
	return named;
}

void platter_restart(bool power_lost)
{
	memset(p.files, 0, sizeof p.files);
	if (power_lost) {
		lose_power();
		drop_orphans(&p.now);
		p.disk = p.now;
	}
	list_for_each_safe (n, &p.inodes) {
		struct inode *i = CONTAINER_OF(n, struct inode, node);
		i->locked = false;
		if (!is_named(i))
			free_inode(i);
	}
}

/* ---- open files ---- */

static struct open_file *file_of(int fd)
{
	CHECK(fd >= 0 && fd < FILES_MAX && p.files[fd].inode);
	return &p.files[fd];
}

static int new_file(struct inode *i, const char *path)
{
	for (int fd = 0; fd < FILES_MAX; fd++) {
		if (p.files[fd].inode)
			continue;
		p.files[fd] = (struct open_file){ .inode = i };
		snprintf(p.files[fd].path, PLATTER_PATH, "%s", path);
		return fd;
	}
	return -EMFILE;
}

int platter_open(const char *path, int flags)
{
	struct inode *i = lookup(path);
	bool last;
	if (i && (flags & O_CREAT) && (flags & O_EXCL))
		return -EEXIST;
	if (i && !i->is_directory && (flags & O_DIRECTORY))
		return -ENOTDIR;
	if (!i && (!(flags & O_CREAT) || !has_parent(path)))
		return -ENOENT;
	if (!i) {
		if (!may_change(&last))
			return -EIO;
		i = add_inode(false);
		change_names(NULL, path, i);
	}
	int fd = new_file(i, path);
	if (fd >= 0 && (flags & O_TRUNC) && i->now.size) {
		int err = platter_truncate(fd, 0);
		if (err < 0) {
			platter_close(fd);
			return err;
		}
	}
	return fd;
}

void platter_close(int fd)
{
	struct open_file *f = file_of(fd);
	f->inode->locked = false; /* only the lock's file is ever locked, and opened once */
	f->inode = NULL;
}

ssize_t platter_read(int fd, void *into, size_t n, off_t at)
{
	const struct image *i = &file_of(fd)->inode->now;
	if (at < 0 || (uint64_t)at >= i->size)
		return 0;
	if (n > i->size - (uint64_t)at)
		n = i->size - (uint64_t)at;
	memcpy(into, i->bytes + at, n);
	return (ssize_t)n;
}

static void set_in_motion(struct inode *i, bool is_length, const char *from, uint64_t n, uint64_t at)
{
	struct motion *m = malloc(sizeof *m + n);
	CHECK(m);
	*m = (struct motion){ .at = at, .n = n, .is_length = is_length };
	if (n)
		memcpy(m->bytes, from, n);
	*i->last = m;
	i->last = &m->next;
}

ssize_t platter_write(int fd, const void *from, size_t n, off_t at)
{
	struct inode *i = file_of(fd)->inode;
	bool last;
	if (p.faults.full_ppm && !p.off && rand_chance(p.rand, p.faults.full_ppm))
		return -ENOSPC;
	if (!may_change(&last))
		return -EIO;
	size_t done = last ? (size_t)rand_below(p.rand, n + 1) : n;
	if (done) {
		set_in_motion(i, false, from, done, (uint64_t)at);
		image_write(&i->now, from, done, (uint64_t)at);
	}
	return last ? -EIO : (ssize_t)n;
}

int platter_truncate(int fd, off_t size)
{
	struct inode *i = file_of(fd)->inode;
	bool last;
	if (!may_change(&last))
		return -EIO;
	set_in_motion(i, true, NULL, 0, (uint64_t)size);
	image_resize(&i->now, (uint64_t)size);
	return last ? -EIO : 0;
}

static void sync_names(const char *dir)
{
	for (struct renaming **at = &p.first; *at;) {
		struct renaming *r = *at;
		if (is_in(r->path[0] ? r->path : r->gone, dir)) {
			apply(&p.disk, r);
			drop_renaming(at);
		} else {
			at = &r->next;
		}
	}
}

int platter_sync(int fd)
{
	struct open_file *f = file_of(fd);
	bool last;
	if (p.faults.sync_ppm && !p.off && rand_chance(p.rand, p.faults.sync_ppm))
		return -EIO;
	if (!may_change(&last) || last) /* how far it has come by then is drawn when the power has gone */
		return -EIO;
	if (f->inode->is_directory) {
		sync_names(f->path);
		return 0;
	}
	for (const struct motion *m = f->inode->first; m; m = m->next)
		let_arrive(f->inode, m);
	forget_motions(f->inode);
	return 0;
}

int platter_flock(int fd, bool lock)
{
	struct inode *i = file_of(fd)->inode;
	if (lock && i->locked)
		return -EWOULDBLOCK;
	i->locked = lock;
	return 0;
}

static void describe(const struct inode *i, struct platter_stat *ret)
{
	*ret = (struct platter_stat){ i->number, i->now.size, i->is_directory };
}

int platter_stat(const char *path, struct platter_stat *ret)
{
	const struct inode *i = lookup(path);
	if (!i)
		return -ENOENT;
	describe(i, ret);
	return 0;
}

void platter_fstat(int fd, struct platter_stat *ret)
{
	describe(file_of(fd)->inode, ret);
}

off_t *platter_place(int fd)
{
	return &file_of(fd)->place;
}

void platter_path_at(int fd, const char *name, char ret_path[PLATTER_PATH])
{
	const char *dir = file_of(fd)->path;
	if (!strcmp(name, "."))
		snprintf(ret_path, PLATTER_PATH, "%s", dir);
	else
		CHECK(snprintf(ret_path, PLATTER_PATH, "%s/%s", dir, name) < PLATTER_PATH);
}

/* ---- names ---- */

int platter_mkdir(const char *path)
{
	bool last;
	if (lookup(path))
		return -EEXIST;
	if (!may_change(&last))
		return -EIO;
	change_names(NULL, path, add_inode(true));
	return last ? -EIO : 0;
}

int platter_unlink(const char *path)
{
	bool last;
	if (!lookup(path))
		return -ENOENT;
	if (!may_change(&last))
		return -EIO;
	change_names(path, NULL, NULL);
	p.off = last = last || ++p.removals == p.faults.off_at_removal;
	return last ? -EIO : 0;
}

int platter_rename(const char *from, const char *to)
{
	struct inode *i = lookup(from);
	bool last;
	if (!i)
		return -ENOENT;
	if (!may_change(&last))
		return -EIO;
	change_names(from, to, i);
	return last ? -EIO : 0;
}

const char *platter_next_name(int fd, const char *after)
{
	const char *dir = file_of(fd)->path, *next = NULL;
	for (uint32_t k = 0; k < p.now.n; k++) {
		const char *path = p.now.list[k].path, *name = strrchr(path, '/') + 1;
		if (is_in(path, dir) && strcmp(name, after) > 0 && (!next || strcmp(name, next) < 0))
			next = name;
	}
	return next;
}
