#include "base/outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* O_NONBLOCK on what was inherited would hold for everybody who writes there: the shell, other programs, our
 * own children. So it is opened once more, which those who may not (another user's pipe) do without. */
static void choose_way(struct outlet *o)
{
	struct stat st;
	char path[32];
	o->way = OUTLET_WRITE;
	o->own = -1;
	if (o->may_wait || fstat(o->fd, &st) || S_ISREG(st.st_mode))
		return;
	if (S_ISSOCK(st.st_mode)) {
		o->way = OUTLET_SOCKET;
		return;
	}
	snprintf(path, sizeof path, "/proc/self/fd/%d", o->fd);
	o->own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	o->way = o->own < 0 ? OUTLET_POLL : OUTLET_PIPE;
}

void outlet_init(struct outlet *o, int fd, bool may_wait, size_t kept_max)
{
	*o = (struct outlet){ .fd = fd, .may_wait = may_wait, .kept_max = kept_max };
	choose_way(o);
}

static void forget_kept(struct outlet *o)
{
	free(o->kept);
	o->kept = NULL;
	o->kept_bytes = 0;
}

void outlet_finish(struct outlet *o)
{
	forget_kept(o);
	if (o->own >= 0)
		close(o->own);
	o->own = -1;
}

/* The longest piece of whole lines of at most max bytes; without the end of a line among those, max bytes. */
static struct str whole_lines(struct str s, size_t max)
{
	if (s.len <= max)
		return s;
	const char *end = memrchr(s.ptr, '\n', max);
	return (struct str){ s.ptr, end ? (size_t)(end + 1 - s.ptr) : max };
}

static bool has_room(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	return poll(&p, 1, 0) != 0; /* an error is the write's to tell */
}

/* How many bytes were taken; -1 and errno. Into a pipe goes no more at once than it takes in one piece, so
 * that the lines of several programs do not mix. */
static ssize_t write_now(struct outlet *o, struct str s)
{
	struct str piece = whole_lines(s, PIPE_BUF);
	switch (o->way) {
	case OUTLET_WRITE:
		return write(o->fd, s.ptr, s.len);
	case OUTLET_PIPE:
		return write(o->own, piece.ptr, piece.len);
	case OUTLET_POLL:
		if (has_room(o->fd))
			return write(o->fd, piece.ptr, piece.len);
		errno = EAGAIN;
		return -1;
	case OUTLET_SOCKET:
		return send(o->fd, s.ptr, s.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	CHECK(false);
}

static void lose(struct outlet *o, struct str lines)
{
	for (size_t i = 0; i < lines.len; i++)
		o->lost += lines.ptr[i] == '\n';
}

static bool is_full(ssize_t taken)
{
	return taken < 0 && (errno == EAGAIN || errno == EINTR);
}

/* Returns what has to wait. */
static struct str write_some(struct outlet *o, struct str s)
{
	ssize_t n = o->torn ? write_now(o, STR("\n")) : 1; /* the next line begins on one of its own */
	if (n > 0)
		o->torn = false;
	while (s.len && n > 0) {
		n = write_now(o, s);
		if (n <= 0)
			break;
		o->mid_line = s.ptr[n - 1] != '\n';
		s = str_skip(s, (size_t)n);
	}
	if (is_full(n))
		return s;
	lose(o, s);
	o->torn |= o->mid_line;
	return (struct str){ NULL, 0 };
}

static void keep(struct outlet *o, struct str s)
{
	size_t room = o->kept_max - o->kept_bytes;
	struct str kept = s.len <= room ? s : whole_lines(s, room);
	if (kept.len && kept.ptr[kept.len - 1] != '\n')
		kept.len = 0;
	char *all = kept.len ? realloc(o->kept, o->kept_bytes + kept.len) : NULL;
	if (!all) {
		lose(o, s);
		o->torn |= o->mid_line && !o->kept;
		return;
	}
	memcpy(all + o->kept_bytes, kept.ptr, kept.len);
	o->kept = all;
	o->kept_bytes += kept.len;
	lose(o, str_skip(s, kept.len));
}

bool outlet_flush(struct outlet *o)
{
	if (!o->kept)
		return true;
	struct str rest = write_some(o, (struct str){ o->kept, o->kept_bytes });
	if (rest.len == 0) {
		forget_kept(o);
		return true;
	}
	memmove(o->kept, rest.ptr, rest.len);
	o->kept_bytes = rest.len;
	return false;
}

void outlet_turn(struct outlet *o, int fd)
{
	struct str rest = { o->kept, o->kept_bytes };
	if (o->kept && o->mid_line) {
		(void)str_cut(&rest, '\n');
		o->lost++;
		o->kept_bytes = rest.len;
		memmove(o->kept, rest.ptr, rest.len);
	}
	if (o->own >= 0)
		close(o->own);
	o->fd = fd;
	o->mid_line = o->torn = false;
	choose_way(o);
}

void outlet_put(struct outlet *o, struct str lines)
{
	if (outlet_flush(o))
		lines = write_some(o, lines);
	if (lines.len)
		keep(o, lines);
}
