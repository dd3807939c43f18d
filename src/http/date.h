/* date: IMF-fixdate, "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 §5.6.7). */
#pragma once
#include <stdint.h>

enum { HTTP_DATE_BYTES = 29 };

/* Writes HTTP_DATE_BYTES and a NUL. seconds: since the epoch, years 1970 to 9999. */
void http_date(char out[HTTP_DATE_BYTES + 1], uint64_t seconds);
