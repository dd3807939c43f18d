/* chars: what each byte may be in a message, as one table of bits (RFC 9110 §5.6, RFC 3986 §2 and §3). */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum char_class {
	CHAR_TOKEN = 0x01,    /* tchar (RFC 9110 §5.6.2) */
	CHAR_REG_NAME = 0x02, /* unreserved and sub-delims (RFC 3986 §3.2.2) */
	/* Bytes at which a scan stops. Those of a value: every control byte except HTAB. */
	STOP_NAME = 0x04,  /* ':', space and control bytes */
	STOP_VALUE = 0x08, /* CR, LF, other control bytes except HTAB, DEL */
	STOP_PATH = 0x10,  /* '?' and '\', and what ends or spoils a target as below */
	STOP_QUERY = 0x20, /* space, control bytes, DEL, bytes over 0x7e, '#' */
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
