#include "io/io.h"

#include "base/str.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static bool parse_unix(struct io_addr *ret, const char *path)
{
	size_t n = strlen(path);
	struct io_addr a = { .un.sun_family = AF_UNIX };
	if (n == 0 || n >= sizeof a.un.sun_path)
		return false;
	memcpy(a.un.sun_path, path, n + 1);
	a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
	*ret = a;
	return true;
}

bool io_addr_parse(struct io_addr *ret_addr, const char *text)
{
	if (!strncmp(text, "unix:", 5))
		return parse_unix(ret_addr, text + 5);
	const char *colon = strrchr(text, ':');
	uint64_t port;
	char host[INET6_ADDRSTRLEN + 2];
	if (!colon || !str_to_u64(str_of(colon + 1), &port) || port > 65535)
		return false;
	struct str h = { text, (size_t)(colon - text) };
	bool v6 = h.len >= 2 && h.ptr[0] == '[' && h.ptr[h.len - 1] == ']';
	if (v6)
		h = (struct str){ h.ptr + 1, h.len - 2 };
	if (h.len >= sizeof host)
		return false;
	str_copy(host, sizeof host, h);

	struct io_addr a = { 0 };
	if (!v6 && h.len && inet_pton(AF_INET, host, &a.in.sin_addr) == 1) {
		a.in.sin_family = AF_INET;
		a.in.sin_port = htons((uint16_t)port);
		a.len = sizeof a.in;
	} else if ((!v6 && h.len == 0) || (v6 && inet_pton(AF_INET6, host, &a.in6.sin6_addr) == 1)) {
		a.in6.sin6_family = AF_INET6; /* all zeroes: every address of the machine */
		a.in6.sin6_port = htons((uint16_t)port);
		a.len = sizeof a.in6;
	} else {
		return false;
	}
	*ret_addr = a;
	return true;
}

static const char *print_ip(int family, const void *ip, unsigned port, bool with_port, char *text)
{
	char host[INET6_ADDRSTRLEN] = "?";
	inet_ntop(family, ip, host, sizeof host);
	if (!with_port)
		snprintf(text, IO_ADDR_TEXT, "%s", host);
	else
		snprintf(text, IO_ADDR_TEXT, family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, port);
	return text;
}

const char *io_addr_print(const struct io_addr *addr, bool with_port, char text[IO_ADDR_TEXT])
{
	switch (addr->len ? addr->sa.sa_family : AF_UNSPEC) {
	case AF_INET:
		return print_ip(AF_INET, &addr->in.sin_addr, ntohs(addr->in.sin_port), with_port, text);
	case AF_INET6:
		if (IN6_IS_ADDR_V4MAPPED(&addr->in6.sin6_addr))
			return print_ip(AF_INET, addr->in6.sin6_addr.s6_addr + 12, ntohs(addr->in6.sin6_port),
				with_port, text);
		return print_ip(AF_INET6, &addr->in6.sin6_addr, ntohs(addr->in6.sin6_port), with_port, text);
	case AF_UNIX:
		snprintf(text, IO_ADDR_TEXT, "unix:%s",
			addr->len > offsetof(struct sockaddr_un, sun_path) ? addr->un.sun_path : "");
		return text;
	default:
		snprintf(text, IO_ADDR_TEXT, "-");
		return text;
	}
}

/* What an address is compared by: IPv4 as it is mapped into IPv6. */
struct place {
	uint8_t ip[16];
	uint16_t port;
};

static struct place place_of(const struct io_addr *addr)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct place p;
	if (addr->sa.sa_family == AF_INET) {
		memcpy(p.ip, mapped, sizeof mapped);
		memcpy(p.ip + sizeof mapped, &addr->in.sin_addr, 4);
		p.port = ntohs(addr->in.sin_port);
	} else {
		memcpy(p.ip, &addr->in6.sin6_addr, sizeof p.ip);
		p.port = ntohs(addr->in6.sin6_port);
	}
	return p;
}

static bool is_ip(const struct io_addr *addr)
{
	return addr->len && (addr->sa.sa_family == AF_INET || addr->sa.sa_family == AF_INET6);
}

int io_addr_compare(const struct io_addr *a, const struct io_addr *b)
{
	if (!is_ip(a) || !is_ip(b)) {
		char text_a[IO_ADDR_TEXT], text_b[IO_ADDR_TEXT];
		return is_ip(a) != is_ip(b)
			? is_ip(a) - is_ip(b)
			: strcmp(io_addr_print(a, true, text_a), io_addr_print(b, true, text_b));
	}
	struct place x = place_of(a), y = place_of(b);
	int order = memcmp(x.ip, y.ip, sizeof x.ip);
	return order ? order : x.port - y.port;
}
