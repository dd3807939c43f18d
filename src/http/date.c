#include "http/date.h"

#include "base/check.h"

#include <string.h>

enum { DAY = 86400, DAYS_PER_400_YEARS = 146097 };

static char *put_digits(char *out, uint64_t v, int width)
{
	for (int i = width; i-- > 0; v /= 10)
		out[i] = (char)('0' + v % 10);
	return out + width;
}

static char *put_text(char *out, const char *text, size_t len)
{
	memcpy(out, text, len);
	return out + len;
}

void http_date(char out[HTTP_DATE_BYTES + 1], uint64_t seconds)
{
	static const char weekdays[7][4] = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue",
		"Wed" }; /* from the epoch's */
	static const char months[12][4] = { "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov",
		"Dec", "Jan", "Feb" };
	CHECK(seconds <= 253402300799); /* 9999-12-31 23:59:59 */
	/* Years from 1 March, so that a leap day is a year's last; 719468 days from 0000-03-01 to the epoch.
	 */
	uint64_t days = seconds / DAY, second = seconds % DAY, since = days + 719468;
	uint64_t cycle = since / DAYS_PER_400_YEARS, in_cycle = since % DAYS_PER_400_YEARS;
	uint64_t year = (in_cycle - in_cycle / 1460 + in_cycle / 36524 - in_cycle / 146096) / 365;
	uint64_t in_year = in_cycle - (365 * year + year / 4 - year / 100);
	uint64_t month = (5 * in_year + 2) / 153; /* 0 is March; five months are 153 days */
	uint64_t day = in_year - (153 * month + 2) / 5 + 1;

	char *p = put_text(out, weekdays[days % 7], 3);
	p = put_digits(put_text(p, ", ", 2), day, 2);
	p = put_text(put_text(p, " ", 1), months[month], 3);
	p = put_digits(put_text(p, " ", 1), year + cycle * 400 + (month >= 10), 4);
	p = put_digits(put_text(p, " ", 1), second / 3600, 2);
	p = put_digits(put_text(p, ":", 1), second / 60 % 60, 2);
	p = put_digits(put_text(p, ":", 1), second % 60, 2);
	put_text(p, " GMT", 5);
}
