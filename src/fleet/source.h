/* source: an authority that knows which containers there are: DNS, a file, Docker, AWS.
 *
 * It is named by a text, "KIND:REST": dns:NAME:PORT, file:PATH, docker:KEY=VALUE,…, aws:KEY=VALUE,…; the
 * kinds are a table in source.c. A source lives on the loop and tells the whole list of containers at first
 * and whenever it has changed, or that it cannot reach its authority: then what is known stays.
 *
 * GET /berth/readyz counts what has come of it: {"ready": …, "containers": all, "up": …, "down": …,
 * "draining": …, "sources": {"all": …, "unheard": …, "unreachable": …}, "generations": {"GENERATION":
 * {"containers": …, "up": …}, …}, "workers": likewise}. A fleet of N containers of one generation is there
 * when containers, up and generations[it].up are N and draining is 0.
 *
 * Never:  blocks the loop (what blocks has a thread, source_thread.h); calls back from inside source_create
 * or source_destroy; calls back after source_destroy, which does not wait for anything.
 */
#pragma once
#include "base/check.h"
#include "base/str.h"
#include "io/io.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SOURCE_NAME = 64, SOURCE_TEXT = 256, SOURCE_ERROR = 256 };

/* A container as its source knows it. */
struct source_container {
	struct io_addr addr;
	struct io_addr near;      /* a unix socket of this machine that leads to it, too; len 0: none */
	char name[SOURCE_NAME];   /* 1 to 63 letters, digits, '-', '_' and '.'; "": named after its address */
	char worker[SOURCE_NAME]; /* the machine that it runs on; may be "" */
	char generation[SOURCE_NAME]; /* of what it was made from, for GET /berth/readyz; "": the source has
					 none */
	bool draining;                /* finishes what it has and gets nothing new */
};

/* What sources can be told, apart from their text; settings_default (gateway) has the values. No pointers: it
 * is copied. */
struct source_settings {
	struct io_addr dns_server; /* asked in place of those in /etc/resolv.conf; len 0: those */
	uint64_t dns_ttl_min_us;   /* 1 s: a record holds at least so long … */
	uint64_t dns_ttl_max_us;   /* 60 s: … and at most */
	uint64_t dns_timeout_us;   /* 2 s for an answer, then the next server is asked, then it has failed */
	uint64_t dns_grace_us;     /* 10 s for which a name may have no address before its containers leave */
	uint32_t containers_max;   /* 1000 of one source */
};

struct source;

struct source_events {
	/* These are all the containers that there are, n ≥ 0. list is good until the callback returns. */
	void (*on_list)(void *user, const struct source_container *list, size_t n);
	/* The authority cannot be reached, or what it says makes no sense. why: one phrase. May come again
	 * and again, with another phrase or the same; the next on_list ends it. */
	void (*on_unreachable)(void *user, const char *why);
};

/* ---- for those who use sources ---- */

/* True when text begins with the name of a kind and a colon; "unix:/path" is an address, no source. */
bool source_is_text(struct str text);

/* False with one phrase in `error` when no source can be made of the text. Looks at nothing but the text. */
MUST_USE bool source_check(struct str text, char error[SOURCE_ERROR]);

/* A source of a text that source_check takes. text and settings are copied, events are borrowed, static. NULL
 * without memory, descriptors or a thread (errno says which). */
MUST_USE struct source *source_create(struct io *io, const char *text, const struct source_settings *settings,
	const struct source_events *events, void *user);

/* NULL is allowed. */
void source_destroy(struct source *s);

/* ---- for those who write one ---- */

/* A source embeds this first. */
struct source {
	const struct source_kind *kind; /* borrowed, static */
	struct io *io;                  /* borrowed */
	char *text;                     /* owned by source.c: the whole text, "dns:NAME:PORT" */
	const char *rest;               /* within text: what stands behind the kind's colon */
	struct source_settings settings;
	const struct source_events *events; /* borrowed, static */
	void *user;                         /* borrowed */
};

/* One entry of the table in source.c. */
struct source_kind {
	const char *name; /* "dns" */
	/* Can a source be made of what stands behind the colon? If not, false and one phrase. */
	bool (*check)(const char *rest, char error[SOURCE_ERROR]);
	/* Allocates the kind's own struct, which begins with a copy of *base, and starts to work. NULL with
	 * errno. A kind that blocks returns source_thread_create's. */
	struct source *(*create)(const struct source *base);
	/* Frees what create has made, but not text. */
	void (*destroy)(struct source *s);
};

/* Cuts the next KEY=VALUE off a text of such with commas or spaces between. False at its end. A piece without
 * '=' has an empty value with ptr NULL. */
bool source_option(struct str *rest, struct str *ret_key, struct str *ret_value);
