#include "http/chars.h"

#define IS_ALNUM(c) (((c) >= '0' && (c) <= '9') || ((c) >= 'A' && (c) <= 'Z') || ((c) >= 'a' && (c) <= 'z'))

#define IS_TCHAR(c)                                                                                          \
	(IS_ALNUM(c) || (c) == '!' || (c) == '#' || (c) == '$' || (c) == '%' || (c) == '&' || (c) == '\'' || \
		(c) == '*' || (c) == '+' || (c) == '-' || (c) == '.' || (c) == '^' || (c) == '_' ||          \
		(c) == '`' || (c) == '|' || (c) == '~')

#define IS_UNRESERVED(c) (IS_ALNUM(c) || (c) == '-' || (c) == '.' || (c) == '_' || (c) == '~')

#define IS_SUB_DELIM(c)                                                                                     \
	((c) == '!' || (c) == '$' || (c) == '&' || (c) == '\'' || (c) == '(' || (c) == ')' || (c) == '*' || \
		(c) == '+' || (c) == ',' || (c) == ';' || (c) == '=')

#define IS_NO_URI(c) ((c) <= ' ' || (c) >= 0x7f || (c) == '#')

#define CLASS(c)                                                                                             \
	((IS_TCHAR(c) ? CHAR_TOKEN : 0) | (IS_UNRESERVED(c) || IS_SUB_DELIM(c) ? CHAR_REG_NAME : 0) |        \
		((c) == ' ' || (c) == '\t' ? CHAR_BLANK : 0) | (IS_ALNUM(c) || (c) == '-' ? 0 : STOP_NAME) | \
		(((c) < ' ' && (c) != '\t') || (c) == 0x7f ? STOP_VALUE : 0) |                               \
		(IS_NO_URI(c) || (c) == '?' || (c) == '\\' ? STOP_PATH : 0) |                                \
		(IS_NO_URI(c) ? STOP_QUERY : 0))

#define ROW_4(c) CLASS(c), CLASS((c) + 1), CLASS((c) + 2), CLASS((c) + 3)
#define ROW(c)   ROW_4(c), ROW_4((c) + 4), ROW_4((c) + 8), ROW_4((c) + 12)

const uint8_t http_char_class[256] = { ROW(0x00), ROW(0x10), ROW(0x20), ROW(0x30), ROW(0x40), ROW(0x50),
	ROW(0x60), ROW(0x70), ROW(0x80), ROW(0x90), ROW(0xa0), ROW(0xb0), ROW(0xc0), ROW(0xd0), ROW(0xe0),
	ROW(0xf0) };
