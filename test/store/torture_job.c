#include "torture.h"

#include <string.h>

static uint64_t mixed(uint64_t n)
{
	n = (n ^ n >> 31) * UINT64_C(0x7fb5d329728ea185);
	n = (n ^ n >> 27) * UINT64_C(0x81dadef4bc2dd44d);
	return n ^ n >> 33;
}

struct store_id torture_id(uint64_t n)
{
	struct store_id id;
	uint64_t scattered = mixed(n);
	memcpy(id.bytes, &scattered, 8);
	memcpy(id.bytes + 8, &n, 8); /* so that n can be told from it */
	return id;
}

const char *torture_pool(uint64_t n)
{
	static const char *const names[POOLS] = { "spam", "ham", "eggs" };
	return names[mixed(n) % POOLS];
}

uint64_t torture_body_bytes(uint64_t n, bool answer)
{
	uint64_t r = mixed(2 * n + answer);
	return r % 100 < 3 ? STORE_ROW_BODY_MAX + r % 90000 : r % 2500;
}

void torture_fill(char *into, uint64_t n, bool answer)
{
	uint64_t bytes = torture_body_bytes(n, answer), r = mixed(3 * n + answer);
	for (uint64_t i = 0; i < bytes; i++)
		into[i] = (char)(r + i * 17 + i / 4096);
}
