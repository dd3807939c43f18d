#include "config_text.h"

#include "unit.h"

struct config *config_of(const char *text)
{
	struct config *c = config_create();
	assert_non_null(c);
	(void)config_read_text(c, "berth.yaml", text, strlen(text));
	return c;
}
