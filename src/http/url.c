#include "http/url.h"

#include "http/chars.h"

#include <arpa/inet.h>

/* The byte that the escape at s[at] stands for, or -1. */
static int unescape(struct str s, size_t at)
{
	if (s.len - at < 3 || s.ptr[at] != '%')
		return -1;
	int high = char_hex(s.ptr[at + 1]), low = char_hex(s.ptr[at + 2]);
	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

bool url_decode(struct str in, char *out, size_t cap, size_t *ret_len)
{
	size_t n = 0;
	for (size_t i = 0; i < in.len; i++) {
		int c = (unsigned char)in.ptr[i];
		if (c == '%') {
			c = unescape(in, i);
			i += 2;
		}
		if (c <= 0 || n == cap)
			return false;
		out[n++] = (char)c;
	}
	*ret_len = n;
	return true;
}

struct str url_param(struct str query, struct str name)
{
	while (query.ptr) {
		struct str value = str_cut(&query, '&');
		struct str key = str_cut(&value, '=');
		if (str_eq(key, name))
			return value.ptr ? value : (struct str){ key.ptr + key.len, 0 };
	}
	return (struct str){ NULL, 0 };
}

struct str url_host(struct str authority)
{
	size_t n = 0;
	bool bracket = authority.len && authority.ptr[0] == '[';
	while (n < authority.len && authority.ptr[n] != (bracket ? ']' : ':'))
		n++;
	return (struct str){ authority.ptr, n + (bracket && n < authority.len) };
}

/* Empty, or ":" and up to five digits that make at most 65535. */
static bool is_port(const char *at, const char *end)
{
	unsigned port = 0;
	if (at == end)
		return true;
	if (*at != ':' || end - at > 6)
		return false;
	while (++at < end) {
		unsigned digit = (unsigned)(unsigned char)*at - '0';
		if (digit > 9)
			return false;
		port = port * 10 + digit;
	}
	return port <= UINT16_MAX;
}

/* An address in brackets and perhaps a port; neither a zone nor the IPvFuture form, which nobody uses. */
NOINLINE static bool is_ip_literal_authority(struct str s)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;
	struct str host = url_host(s);
	if (host.len < 2 || host.ptr[host.len - 1] != ']')
		return false;
	str_copy(text, sizeof text, (struct str){ host.ptr + 1, host.len - 2 });
	/* Shorter, when it has a NUL or does not fit. */
	return strlen(text) == host.len - 2 && inet_pton(AF_INET6, text, &address) == 1 &&
		is_port(s.ptr + host.len, s.ptr + s.len);
}

/* The host is an address in brackets, an IPv4 address or a name. Percent escapes, which a reg-name may have
 * and no DNS name has, are refused: they would hide one name behind another. */
bool url_is_authority(struct str s)
{
	if (s.len == 0)
		return false;
	if (s.ptr[0] == '[')
		return is_ip_literal_authority(s);
	const char *at = s.ptr, *end = s.ptr + s.len;
	while (at < end && char_is(*at, CHAR_REG_NAME))
		at++;
	return at > s.ptr && is_port(at, end);
}

/* The character at s[*at], its escape undone if it is a dot or ends a segment; steps over it. */
static char path_char(struct str s, size_t *at)
{
	int c = unescape(s, *at);
	if (c == '.' || c == '/' || c == '\\' || c == ';') {
		*at += 3;
		return (char)c;
	}
	return s.ptr[(*at)++];
}

bool url_has_dot_segment(struct str path)
{
	enum { NO_DOTS = 3 };
	if (path.len == 0 || (!memchr(path.ptr, '.', path.len) && !memchr(path.ptr, '%', path.len)))
		return false; /* nearly all paths */
	unsigned dots = 0;    /* of the segment, which has nothing else so far */
	size_t at = 0;
	while (at < path.len) {
		char c = path_char(path, &at);
		bool ends = c == '/' || c == '\\' || c == ';';
		if (ends && (dots == 1 || dots == 2))
			return true;
		if (c == '/' || c == '\\')
			dots = 0;
		else if (c != '.' || dots == NO_DOTS)
			dots = NO_DOTS;
		else
			dots++;
	}
	return dots == 1 || dots == 2;
}

/* Has nothing that would end or spoil a request target. */
static bool is_target(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (char_is(s.ptr[i], STOP_QUERY))
			return false;
	}
	return true;
}

bool url_parse(struct str s, struct url *ret)
{
	enum { SCHEME = 7 };
	uint64_t port = 80;
	if (s.len < SCHEME || !str_eq_nocase((struct str){ s.ptr, SCHEME }, STR("http://")))
		return false;
	struct str rest = str_skip(s, SCHEME);
	const char *slash = memchr(rest.ptr, '/', rest.len);
	struct str authority = { rest.ptr, slash ? (size_t)(slash - rest.ptr) : rest.len };
	struct str host = url_host(authority), path = str_skip(rest, authority.len);
	if (!url_is_authority(authority) || !is_target(path))
		return false;
	if (authority.len > host.len + 1 &&
		(!str_to_u64(str_skip(authority, host.len + 1), &port) || port == 0))
		return false;
	if (host.ptr[0] == '[')
		host = (struct str){ host.ptr + 1, host.len - 2 };
	*ret = (struct url){
		.scheme = { s.ptr, 4 },
		.authority = authority,
		.host = host,
		.port = (uint16_t)port,
		.path = path.len ? path : STR("/"),
	};
	return true;
}
