/* file:PATH: a container a line, where all but the address may be missing:
 *
 *	10.0.0.7:5000 worker=worker1 name=container1 generation=v2 near=unix:/path draining
 *
 * It is watched through inotify. A file that is replaced by a rename is read at once, one that is written
 * over when its writer has closed it; changes that no event speaks of (another file system's, those behind a
 * symbolic link) are seen by a look each second, and read when nothing has changed since the look before. A
 * file that is not there, or that has a bad line, leaves what is known.
 */
#include "fleet/source_kinds.h"
#include "fleet/source_thread.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 1 << 20, LOOK_US = 1000000, EVENT_BYTES = 4096 };

struct file {
	char path[SOURCE_TEXT], directory[SOURCE_TEXT], name[SOURCE_TEXT];
	size_t containers_max;
	int inotify; /* owned; -1: the kernel has no more of them, and looks must do */
	int watch;   /* of the directory; -1: it is not there */
	bool has_told;
	struct stat told, seen; /* as it was when it was read; at the last look */
};

/* What has happened in the directory. */
enum hint { HINT_NONE, HINT_REPLACED, HINT_WRITTEN };

/* ---- what stands in it ---- */

/* The next word of a line; false at its end. */
static bool next_word(struct str *line, struct str *ret_word)
{
	size_t n = 0;
	*line = str_trim(*line);
	while (n < line->len && line->ptr[n] != ' ' && line->ptr[n] != '\t')
		n++;
	*ret_word = (struct str){ line->ptr, n };
	*line = str_skip(*line, n);
	return n > 0;
}

static bool take_word(struct source_container *c, struct str word)
{
	struct str value = word;
	struct str key = str_cut(&value, '=');
	char near[IO_ADDR_TEXT];
	if (str_eq(key, STR("near")))
		return value.ptr && value.len < sizeof near && !memchr(value.ptr, 0, value.len) &&
			io_addr_parse(&c->near, str_copy(near, sizeof near, value)) &&
			c->near.sa.sa_family == AF_UNIX;
	char *at = str_eq(key, STR("name"))      ? c->name
		: str_eq(key, STR("worker"))     ? c->worker
		: str_eq(key, STR("generation")) ? c->generation
						 : NULL;
	if (str_eq(word, STR("draining"))) {
		c->draining = true;
		return true;
	}
	if (!at || !str_is_name(value))
		return false;
	str_copy(at, SOURCE_NAME, value);
	return true;
}

/* False with what is wrong; a line without a container has *ret_any false. */
static bool parse_line(struct str line, struct source_container *ret, bool *ret_any, char *error, size_t size)
{
	char addr[IO_ADDR_TEXT];
	struct source_container c = { 0 };
	struct str text = str_cut(&line, '#'), word;
	*ret_any = next_word(&text, &word);
	if (!*ret_any)
		return true;
	if (word.len >= sizeof addr || memchr(word.ptr, 0, word.len) ||
		!io_addr_parse(&c.addr, str_copy(addr, sizeof addr, word))) {
		snprintf(error, size,
			"\"%.*s\" is no address like 10.0.0.7:5000, [fd00::7]:5000 or unix:/path",
			word.len > 60 ? 60 : (int)word.len, word.ptr);
		return false;
	}
	while (next_word(&text, &word)) {
		if (take_word(&c, word))
			continue;
		snprintf(error, size,
			"\"%.*s\": expected worker=, name= or generation= with up to %d letters, digits, "
			"'-', '_' and '.', near=unix:/path, or draining",
			word.len > 60 ? 60 : (int)word.len, word.ptr, SOURCE_NAME - 1);
		return false;
	}
	*ret = c;
	return true;
}

/* The containers of a text, into list[max]. -1 with the first line that is bad. */
static ssize_t parse(struct str text, struct source_container *list, size_t max, char error[SOURCE_ERROR])
{
	char what[SOURCE_ERROR - 32];
	size_t n = 0;
	for (size_t number = 1; text.ptr; number++) {
		bool any;
		struct str line = str_cut(&text, '\n');
		struct source_container c;
		if (line.len && line.ptr[line.len - 1] == '\r')
			line.len--;
		if (!parse_line(line, &c, &any, what, sizeof what)) {
			snprintf(error, SOURCE_ERROR, "line %zu: %s", number, what);
			return -1;
		}
		if (any && n == max) {
			snprintf(error, SOURCE_ERROR,
				"line %zu: more than discovery.max_containers (%zu) containers", number, max);
			return -1;
		}
		if (any)
			list[n++] = c;
	}
	return (ssize_t)n;
}

/* ---- reading it ---- */

/* The whole file into text[FILE_BYTES_MAX + 1]; its length, or -1 with why. */
static ssize_t read_whole(struct file *f, char *text, char error[SOURCE_ERROR])
{
	ssize_t n = 0, got = 1;
	int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO shall not hold the thread up */
	if (fd < 0 || fstat(fd, &f->told) < 0) {
		snprintf(error, SOURCE_ERROR, "cannot read it: %s", strerror(errno));
		n = -1;
	} else if (!S_ISREG(f->told.st_mode)) {
		snprintf(error, SOURCE_ERROR, "cannot read it: it is no regular file");
		n = -1;
	}
	while (n >= 0 && got > 0 && n <= FILE_BYTES_MAX) {
		got = read(fd, text + n, (size_t)(FILE_BYTES_MAX + 1 - n));
		n += got;
	}
	if (got < 0) {
		snprintf(error, SOURCE_ERROR, "cannot read it: %s", strerror(errno));
		n = -1;
	} else if (n > FILE_BYTES_MAX) {
		snprintf(error, SOURCE_ERROR, "longer than 1 MiB: is this a list of containers?");
		n = -1;
	}
	if (fd >= 0)
		close(fd);
	return n;
}

static void read_and_tell(struct source_thread *t, struct file *f)
{
	char error[SOURCE_ERROR] = "out of memory";
	char *text = malloc(FILE_BYTES_MAX + 1);
	struct source_container *list = calloc(f->containers_max, sizeof *list);
	ssize_t n = text && list ? read_whole(f, text, error) : -1;
	if (n >= 0)
		n = parse((struct str){ text, (size_t)n }, list, f->containers_max, error);
	if (n >= 0)
		source_tell(t, list, (size_t)n);
	else
		source_tell_unreachable(t, error);
	f->has_told = true;
	free(text);
	free(list);
}

/* ---- watching it ---- */

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
		a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void look(struct source_thread *t, struct file *f, enum hint hint)
{
	struct stat now, before = f->seen;
	if (stat(f->path, &now) < 0) {
		char error[SOURCE_ERROR];
		snprintf(error, sizeof error, "cannot read it: %s", strerror(errno));
		source_tell_unreachable(t, error);
		f->has_told = false;
		memset(&f->seen, 0, sizeof f->seen);
		return;
	}
	f->seen = now;
	if (hint != HINT_WRITTEN && f->has_told && is_same(&now, &f->told))
		return;
	bool replaced = !f->has_told || now.st_ino != f->told.st_ino || now.st_dev != f->told.st_dev;
	if (hint == HINT_WRITTEN || (hint == HINT_REPLACED && replaced) || is_same(&now, &before))
		read_and_tell(t, f);
}

/* The directory may have been replaced too: the same one keeps its number. */
static void watch_directory(struct file *f)
{
	int watch = inotify_add_watch(f->inotify, f->directory, IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR);
	if (watch != f->watch && f->watch >= 0)
		(void)inotify_rm_watch(f->inotify, f->watch);
	f->watch = watch;
}

/* A rename within the directory may concern a link on the way to the file: Kubernetes swaps ..data. */
static enum hint read_events(struct file *f)
{
	_Alignas(struct inotify_event) char events[EVENT_BYTES];
	enum hint hint = HINT_NONE;
	ssize_t n;
	while ((n = read(f->inotify, events, sizeof events)) > 0) {
		for (char *at = events; at < events + n;) {
			const struct inotify_event *e = (const void *)at;
			bool own = e->len && !strcmp(e->name, f->name);
			if (own)
				hint = HINT_WRITTEN;
			else if ((e->mask & (IN_MOVED_TO | IN_Q_OVERFLOW)) && hint == HINT_NONE)
				hint = HINT_REPLACED;
			at += sizeof *e + e->len;
		}
	}
	return hint;
}

static void run(struct source_thread *t, void *state)
{
	struct file *f = state;
	struct pollfd fds[2] = { { source_over_fd(t), POLLIN, 0 }, { f->inotify, POLLIN, 0 } };
	enum hint hint = HINT_WRITTEN;
	watch_directory(f); /* before the first look, so that nothing is missed */
	while (!source_is_over(t)) {
		look(t, f, hint);
		int n = poll(fds, ARRAY_LEN(fds), LOOK_US / 1000);
		hint = n > 0 && fds[1].revents ? read_events(f) : HINT_NONE;
		watch_directory(f);
	}
}

/* ---- the kind ---- */

static bool check(const char *path, char error[SOURCE_ERROR])
{
	if (path[0] && path[strlen(path) - 1] != '/')
		return true;
	snprintf(error, SOURCE_ERROR, "expected file:PATH");
	return false;
}

static void free_state(void *state)
{
	struct file *f = state;
	if (f->inotify >= 0)
		close(f->inotify);
	free(f);
}

static const struct source_thread_ops thread_ops = { .run = run, .free_state = free_state };

static struct source *create(const struct source *base)
{
	char copy[SOURCE_TEXT];
	struct file *f = calloc(1, sizeof *f);
	if (!f)
		return NULL;
	f->watch = -1;
	f->containers_max = base->settings.containers_max;
	str_copy(f->path, sizeof f->path, str_of(base->rest));
	str_copy(copy, sizeof copy, str_of(base->rest));
	str_copy(f->directory, sizeof f->directory, str_of(dirname(copy)));
	str_copy(copy, sizeof copy, str_of(base->rest));
	str_copy(f->name, sizeof f->name, str_of(basename(copy)));
	f->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	return source_thread_create(base, &thread_ops, f);
}

const struct source_kind source_file = {
	.name = "file",
	.check = check,
	.create = create,
	.destroy = source_thread_destroy,
};
