#include "base/log.h"

#include "base/outlet.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { KEPT_MAX = 64 * 1024 };

static struct {
	const char *program; /* borrowed, static */
	enum log_level most;
	pthread_mutex_t lock; /* guards what follows */
	struct outlet outlet;
	uint64_t told;     /* lines that were lost, and whose loss was told */
	atomic_bool keeps; /* also read without the lock */
} logger = {
	.program = "berth",
	.most = LOG_INFO,
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.outlet = { .fd = STDERR_FILENO, .own = -1, .may_wait = true },
};

static void set_outlet(int fd, bool may_wait)
{
	uint64_t lost = logger.outlet.lost;
	outlet_finish(&logger.outlet);
	outlet_init(&logger.outlet, fd, may_wait, KEPT_MAX);
	logger.outlet.lost = lost;
}

void log_init(const char *program, enum log_level most, int fd)
{
	logger.program = program;
	logger.most = most;
	set_outlet(fd, true);
}

void log_never_wait(void)
{
	set_outlet(logger.outlet.fd, false);
}

uint64_t log_dropped(void)
{
	pthread_mutex_lock(&logger.lock);
	uint64_t lost = logger.outlet.lost;
	pthread_mutex_unlock(&logger.lock);
	return lost;
}

/* The reader is back: it hears how much it has missed. */
static void tell_losses(void)
{
	char line[160];
	struct outlet *o = &logger.outlet;
	unsigned long long lost = o->lost - logger.told;
	int n = snprintf(line, sizeof line,
		"%s: warning: %llu lines of this log were lost: nobody read them in time\n", logger.program,
		lost);
	outlet_put(o, (struct str){ line, (size_t)n });
}

/* After the outlet was used. A write that fails loses lines too, and then nobody would read of it either. */
static void settle(void)
{
	struct outlet *o = &logger.outlet;
	if (!o->kept && o->lost > logger.told) {
		if (logger.keeps)
			tell_losses();
		logger.told = o->lost;
	}
	atomic_store(&logger.keeps, o->kept != NULL);
}

bool log_flush(void)
{
	if (!atomic_load_explicit(&logger.keeps, memory_order_relaxed))
		return true;
	pthread_mutex_lock(&logger.lock);
	(void)outlet_flush(&logger.outlet);
	settle();
	bool is_taken = !logger.keeps;
	pthread_mutex_unlock(&logger.lock);
	return is_taken;
}

static void put(struct str line)
{
	pthread_mutex_lock(&logger.lock);
	outlet_put(&logger.outlet, line);
	settle();
	pthread_mutex_unlock(&logger.lock);
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
	put((struct str){ line, n });
	errno = saved;
}
