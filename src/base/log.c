#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct {
	const char *program; /* borrowed, static */
	enum log_level most;
	int fd;
	atomic_ullong dropped;
} logger = { .program = "berth", .most = LOG_INFO, .fd = STDERR_FILENO };

void log_init(const char *program, enum log_level most, int fd)
{
	logger.program = program;
	logger.most = most;
	logger.fd = fd;
}

uint64_t log_dropped(void)
{
	return atomic_load(&logger.dropped);
}

/* A peer's bytes may be in a line: no line breaks and no terminal escapes, be they C0 or C1 (0xc2 0x80 to
 * 0xc2 0x9f in UTF-8). */
static void hide_controls(char *line, size_t len)
{
	unsigned char before = 0;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)line[i];
		if (c < 0x20 || c == 0x7f || (before == 0xc2 && c >= 0x80 && c < 0xa0))
			line[i] = '?';
		before = c;
	}
}

void log_write(enum log_level level, const char *fmt, ...)
{
	static const char *const prefix[] = { "error: ", "warning: ", "", "debug: " };
	char line[1024];
	if (level > logger.most)
		return;
	int saved = errno;
	size_t n = (size_t)snprintf(line, sizeof line, "%s: %s", logger.program, prefix[level]);
	va_list ap;
	va_start(ap, fmt);
	int m = vsnprintf(line + n, sizeof line - n - 1, fmt, ap);
	va_end(ap);
	if (m > 0)
		n += (size_t)m < sizeof line - n - 1 ? (size_t)m : sizeof line - n - 2;
	hide_controls(line, n);
	line[n++] = '\n';
	if (write(logger.fd, line, n) != (ssize_t)n)
		atomic_fetch_add(&logger.dropped, 1);
	errno = saved;
}
