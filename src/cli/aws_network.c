#include "cli/aws_cli.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* Clears what stands behind the first `bits`. */
static void mask(unsigned char *address, size_t bytes, uint64_t bits)
{
	for (size_t i = 0; i < bytes; i++) {
		uint64_t kept = bits > 8 * i ? bits - 8 * i : 0;
		if (kept < 8)
			address[i] = (unsigned char)(address[i] & (0xff00 >> kept));
	}
}

bool aws_network(const char *text, char ret[AWS_IP], bool *ret_all)
{
	struct str rest = str_of(text), host = str_cut(&rest, '/');
	unsigned char address[sizeof(struct in6_addr)];
	char name[INET6_ADDRSTRLEN];
	int family = memchr(host.ptr, ':', host.len) ? AF_INET6 : AF_INET;
	size_t bytes = family == AF_INET6 ? 16 : 4;
	uint64_t bits = 8 * bytes;
	if (host.len >= sizeof name || inet_pton(family, str_copy(name, sizeof name, host), address) != 1)
		return false;
	if (rest.ptr && (!str_to_u64(rest, &bits) || bits > 8 * bytes))
		return false;
	mask(address, bytes, bits);
	if (!inet_ntop(family, address, name, sizeof name))
		return false;
	*ret_all = bits == 0;
	return snprintf(ret, AWS_IP, "%s/%u", name, (unsigned)bits) < AWS_IP;
}
