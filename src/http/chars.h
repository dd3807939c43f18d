/* chars: what each byte may be in a message, as one table of bits (RFC 9110 §5.6, RFC 3986 §2 and §3). */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum char_class {
	CHAR_TOKEN = 0x01,    /* tchar (RFC 9110 §5.6.2) */
	CHAR_REG_NAME = 0x02, /* unreserved and sub-delims (RFC 3986 §3.2.2) */
	CHAR_BLANK = 0x40,    /* OWS: space and HTAB */
	/* Bytes at which a scan stops. */
	STOP_NAME =
		0x04, /* all but letters, digits and '-': few names have anything else before their colon */
	STOP_VALUE = 0x08, /* control bytes except HTAB, DEL: CR and what must not be there */
	STOP_QUERY =
		0x20,     /* space, control bytes, '#' and bytes over 0x7e: the space after it and the like */
	STOP_PATH = 0x10, /* those, '?' and '\' */
};

extern const uint8_t http_char_class[256];

static inline bool char_is(char c, enum char_class class)
{
	return http_char_class[(unsigned char)c] & class;
}

/* 0..15, or -1. */
static inline int char_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
