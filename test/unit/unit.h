/* unit: what the unit tests share, before cmocka's own header, which needs these. */
#pragma once
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Fails with both texts, at the line of the caller. */
#define assert_str(actual, expected)                                                                         \
	do {                                                                                                 \
		struct str unit_a = (actual), unit_e = str_of(expected);                                     \
		if (!str_eq(unit_a, unit_e))                                                                 \
			fail_msg(                                                                            \
				"\"" STR_FMT "\" is not \"" STR_FMT "\"", STR_ARG(unit_a), STR_ARG(unit_e)); \
	} while (0)

/* True in builds whose allocator aborts in place of returning NULL. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNIT_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UNIT_SANITIZED 1
#endif
#endif
#ifndef UNIT_SANITIZED
#define UNIT_SANITIZED 0
#endif
