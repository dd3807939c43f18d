/* url: small readers for targets, and what may be in them (RFC 3986, RFC 9110 §4). */
#pragma once
#include "base/check.h"
#include "base/str.h"

#include <stdbool.h>

/* Decodes %XX into out[0..cap). False on a bad escape, a NUL, or when it does not fit; *ret_len untouched
 * then. '+' stays '+'. */
MUST_USE bool url_decode(struct str in, char *out, size_t cap, size_t *ret_len);

/* Value of the first parameter `name` in a query string, undecoded; ptr NULL when it is not there. */
struct str url_param(struct str query, struct str name);

/* "example.org:80", "[::1]", "1.2.3.4": RFC 3986 host, optional port up to 65535, which may be empty; no
 * userinfo, no empty host, no percent escapes, no zone and no IPvFuture in brackets. */
bool url_is_authority(struct str s);

/* The host part of an authority, brackets included, without the port. */
struct str url_host(struct str authority);

/* True for a path with "." or ".." segments, also when they hide behind escapes (%2e, %2f, %5c) or stand
 * before a ';'. A backslash counts as a slash. Berth matches prefixes on paths, so it refuses those. */
bool url_has_dot_segment(struct str path);

/* A URL taken apart, for programs that send requests. */
struct url {
	struct str scheme;    /* "http" */
	struct str authority; /* "127.0.0.1:8080" */
	struct str host;      /* brackets removed */
	uint16_t port;        /* 80 when not said */
	struct str path;      /* with query; "/" when empty */
};

/* "http://host[:port][/path[?query]]" only; false for everything else and for port 0. */
MUST_USE bool url_parse(struct str s, struct url *ret);
