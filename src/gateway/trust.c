#include "gateway/trust.h"

#include "base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool network_parse(struct network *ret, const char *text)
{
	struct str bits = str_of(text), ip = str_cut(&bits, '/');
	char host[INET6_ADDRSTRLEN];
	struct network n = { .ip = { [10] = 0xff, [11] = 0xff } };
	uint64_t len;
	if (ip.len >= sizeof host)
		return false;
	str_copy(host, sizeof host, ip);
	bool v4 = inet_pton(AF_INET, host, n.ip + 12) == 1;
	if (!v4 && inet_pton(AF_INET6, host, n.ip) != 1)
		return false;
	unsigned max = v4 ? 32 : 128;
	if (!bits.ptr)
		len = max;
	else if (!str_to_u64(bits, &len) || len > max)
		return false;
	n.bits = (uint8_t)(len + 128 - max);
	*ret = n;
	return true;
}

int networks_create(struct networks *ret, const char *const *texts, size_t n, const char **ret_bad)
{
	struct network *list = calloc(n + 1, sizeof *list);
	*ret = (struct networks){ 0 };
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (network_parse(&list[i], texts[i]))
			continue;
		*ret_bad = texts[i];
		free(list);
		return -EINVAL;
	}
	*ret = (struct networks){ .list = list, .n = n };
	return 0;
}
