/* check: assertions that stay on in release.
 *
 * CHECK is for our own bugs only. What the world does wrong is an error code; what is full is an answer.
 */
#pragma once

#define MUST_USE     __attribute__((warn_unused_result))
#define NORETURN     __attribute__((noreturn))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))
#define LIKELY(x)    __builtin_expect(!!(x), 1)
#define UNLIKELY(x)  __builtin_expect(!!(x), 0)
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define FALLTHROUGH  __attribute__((fallthrough))
/* For what a hot function seldom calls: the registers that it needs are then not saved each time. */
#define NOINLINE __attribute__((noinline))

/* The object of type `type` whose member `member` is at `ptr`. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr) - __builtin_offsetof(type, member)))

/* Prints the place and the condition on stderr, then aborts. */
NORETURN void check_failed(const char *file, int line, const char *func, const char *cond);

#define CHECK(cond)                                                        \
	do {                                                               \
		if (UNLIKELY(!(cond)))                                     \
			check_failed(__FILE__, __LINE__, __func__, #cond); \
	} while (0)
