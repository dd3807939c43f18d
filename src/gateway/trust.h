/* trust: sets of networks, "10.0.0.0/8", "2001:db8::/32", or single addresses. */
#pragma once
#include "base/check.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct network {
	uint8_t ip[16]; /* IPv6, or IPv4 mapped into it */
	uint8_t bits;   /* 0..128 of the IPv6 form */
};

struct networks {
	struct network *list; /* owned */
	size_t n;
};

MUST_USE bool network_parse(struct network *ret, const char *text);

/* From texts[0..n). 0, -ENOMEM, or -EINVAL with the bad text in *ret_bad; *ret is empty then. */
MUST_USE int networks_create(struct networks *ret, const char *const *texts, size_t n, const char **ret_bad);

/* ip: 16 bytes, as in struct network. */
static inline bool networks_have(const struct networks *ns, const uint8_t ip[16])
{
	for (size_t i = 0; i < ns->n; i++) {
		unsigned whole = ns->list[i].bits / 8u, rest = ns->list[i].bits % 8u;
		if (__builtin_memcmp(ns->list[i].ip, ip, whole) != 0)
			continue;
		if (rest == 0 || (ns->list[i].ip[whole] ^ ip[whole]) >> (8 - rest) == 0)
			return true;
	}
	return false;
}
