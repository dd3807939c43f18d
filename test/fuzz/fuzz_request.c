#include "fuzz.h"
#include "heads.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	heads_check(&(struct heads_parser){ .is_response = false }, (const char *)data, size);
	return 0;
}
