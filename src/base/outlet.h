/* outlet: where the lines of a log go: a file, a pipe, a socket, a terminal, whose reader may have stopped.
 *
 * Owns:   the lines that were not taken yet, up to a bound; past it, lines are lost whole, and counted, as
 *         they are when the write fails (a full disk, nobody at the other end).
 * Never:  waits for the reader, but where it was told that it may; changes the flags of a descriptor that
 *         other programs share.
 */
#pragma once
#include "base/check.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum outlet_way {
	OUTLET_WRITE,  /* as it is: a file, or the caller may wait */
	OUTLET_PIPE,   /* an open file of its own that does not wait */
	OUTLET_POLL,   /* as it is, when there is room: it cannot be opened once more */
	OUTLET_SOCKET, /* each send is told not to wait */
};

struct outlet {
	int fd;  /* borrowed */
	int own; /* owned: fd, opened once more; -1: none */
	bool may_wait;
	enum outlet_way way;
	char *kept; /* owned; NULL while nothing is kept */
	size_t kept_bytes, kept_max;
	uint64_t lost; /* lines, so far */
	bool mid_line; /* the last byte that was taken ends no line */
	bool torn;     /* and the rest of that line is lost */
};

/* may_wait: writes block, as they do by default. kept_max: bytes that are kept at most. */
void outlet_init(struct outlet *o, int fd, bool may_wait, size_t kept_max);

/* What is still kept is lost. fd stays open. */
void outlet_finish(struct outlet *o);

/* Whole lines, each with its '\n'. */
void outlet_put(struct outlet *o, struct str lines);

/* Tries to write what is kept; true when nothing is any more. */
bool outlet_flush(struct outlet *o);

/* From now on lines go there. What is kept of a line that was begun is lost. */
void outlet_turn(struct outlet *o, int fd);
