#include "worker/why.h"

#include <stdarg.h>
#include <stdio.h>

bool why_set(struct why *why, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	/* cppcheck-suppress ctuuninitvar ; it is written here */
	vsnprintf(why->text, sizeof why->text, fmt, ap);
	va_end(ap);
	for (char *p = why->text; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	}
	return false;
}
