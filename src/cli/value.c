#include "cli/value.h"

#include <arpa/inet.h>
#include <stdio.h>

struct unit {
	const char *name;
	uint64_t factor;
};

/* Largest first within a system of units, so that printing finds the largest that fits. */
static const struct unit duration_units[] = {
	{ "d", 86400000000 },
	{ "h", 3600000000 },
	{ "m", 60000000 },
	{ "s", 1000000 },
	{ "ms", 1000 },
	{ "us", 1 },
};

static const struct unit bytes_units[] = {
	{ "TiB", 1ull << 40 },
	{ "GiB", 1ull << 30 },
	{ "MiB", 1ull << 20 },
	{ "KiB", 1ull << 10 },
	{ "TB", 1000000000000 },
	{ "GB", 1000000000 },
	{ "MB", 1000000 },
	{ "kB", 1000 },
	{ "KB", 1000 },
	{ "B", 1 },
	{ "", 1 },
};

/* Digits, then one of the units. */
static bool with_unit(struct str text, const struct unit *units, size_t n, uint64_t *ret)
{
	size_t digits = 0;
	uint64_t number, product;
	while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
		digits++;
	if (!str_to_u64((struct str){ text.ptr, digits }, &number))
		return false;
	struct str name = str_skip(text, digits);
	for (size_t i = 0; i < n; i++) {
		if (!str_eq(name, str_of(units[i].name)))
			continue;
		if (__builtin_mul_overflow(number, units[i].factor, &product))
			return false;
		*ret = product;
		return true;
	}
	return false;
}

static const char *print_unit(uint64_t value, const struct unit *units, size_t n, char *text)
{
	for (size_t i = 0; i < n; i++) {
		if (value && value % units[i].factor == 0) {
			snprintf(text, VALUE_TEXT, "%llu%s", (unsigned long long)(value / units[i].factor),
				units[i].name);
			return text;
		}
	}
	snprintf(text, VALUE_TEXT, "0");
	return text;
}

bool value_duration(struct str text, uint64_t *ret_us)
{
	if (str_eq(text, STR("0"))) {
		*ret_us = 0;
		return true;
	}
	return with_unit(text, duration_units, ARRAY_LEN(duration_units), ret_us);
}

bool value_bytes(struct str text, uint64_t *ret_bytes)
{
	return with_unit(text, bytes_units, ARRAY_LEN(bytes_units), ret_bytes);
}

const char *value_duration_print(uint64_t us, char text[VALUE_TEXT])
{
	return print_unit(us, duration_units, ARRAY_LEN(duration_units), text);
}

const char *value_bytes_print(uint64_t bytes, char text[VALUE_TEXT])
{
	return print_unit(bytes, bytes_units, ARRAY_LEN(bytes_units), text);
}

/* Why io_addr_parse refused the text. */
static const char *addr_complaint(struct str text)
{
	struct str rest = text;
	uint64_t port;
	if (text.len == 0)
		return "expected an address, found nothing";
	if (str_starts(text, STR("unix:")))
		return "the path of a unix socket has 1 to 107 bytes";
	if (memchr(text.ptr, '[', text.len)) {
		while (rest.len && *rest.ptr != ']')
			rest = str_skip(rest, 1);
		rest = str_skip(rest, 1);
	}
	(void)str_cut(&rest, ':');
	if (!rest.ptr)
		return str_to_u64(text, &port) ? "an address stands before a port, as in 127.0.0.1:8080"
					       : "the port is missing";
	if (!str_to_u64(rest, &port) || port > 65535)
		return "a port is a number from 0 to 65535, and an IPv6 address stands in brackets";
	return "host names are not resolved: write the address itself (127.0.0.1:5000, [::1]:5000, "
	       "unix:/path)";
}

const char *value_addr(struct str text, struct io_addr *ret_addr)
{
	char buf[256];
	if (text.len < sizeof buf && !memchr(text.ptr, 0, text.len) &&
		io_addr_parse(ret_addr, str_copy(buf, sizeof buf, text)))
		return NULL;
	return addr_complaint(text);
}

bool value_is_network(struct str text)
{
	char host[INET6_ADDRSTRLEN];
	struct in6_addr ip;
	uint64_t bits = 0;
	struct str rest = text;
	struct str address = str_cut(&rest, '/');
	if (address.len >= sizeof host || (rest.ptr && !str_to_u64(rest, &bits)))
		return false;
	str_copy(host, sizeof host, address);
	if (inet_pton(AF_INET, host, &ip) == 1)
		return bits <= 32;
	return inet_pton(AF_INET6, host, &ip) == 1 && bits <= 128;
}
