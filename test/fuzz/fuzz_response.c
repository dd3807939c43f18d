#include "fuzz.h"
#include "heads.h"

/* The head is checked as the answer to each kind of request that has a say in its framing. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum http_method methods[] = { HTTP_GET, HTTP_HEAD, HTTP_CONNECT };
	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
		heads_check(&(struct heads_parser){ true, methods[i] }, (const char *)data, size);
	return 0;
}
