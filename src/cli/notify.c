#include "cli/notify.h"

#include "gateway/gateway.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { STATUS_US = 2 * 1000 * 1000, STOP_MARGIN_US = 15 * 1000 * 1000 };

static uint64_t watchdog_of_environment(void)
{
	uint64_t us, pid;
	const char *for_pid = getenv("WATCHDOG_PID");
	if (for_pid && (!str_to_u64(str_of(for_pid), &pid) || pid != (uint64_t)getpid()))
		return 0;
	return str_to_u64(str_of(getenv("WATCHDOG_USEC")), &us) ? us : 0;
}

/* "/run/systemd/notify", or with '@' in front a name in the abstract namespace. */
static bool parse_socket(struct io_addr *ret, const char *name)
{
	size_t n = strlen(name);
	struct io_addr a = { .un.sun_family = AF_UNIX };
	if ((name[0] != '/' && name[0] != '@') || n < 2 || n >= sizeof a.un.sun_path)
		return false;
	memcpy(a.un.sun_path, name, n);
	if (name[0] == '@')
		a.un.sun_path[0] = '\0';
	a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (name[0] == '/'));
	*ret = a;
	return true;
}

bool notify_init(struct notify *n, char *error, size_t error_size)
{
	const char *name = getenv("NOTIFY_SOCKET");
	*n = (struct notify){ .watchdog_us = watchdog_of_environment() };
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	if (!name)
		return true;
	bool ok = parse_socket(&n->to, name);
	if (ok)
		n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	else
		snprintf(error, error_size, "NOTIFY_SOCKET: \"%.60s\" is no socket's path", name);
	if (ok && n->fd < 0) {
		snprintf(error, error_size, "NOTIFY_SOCKET: cannot make a socket: %s", strerror(errno));
		n->to.len = 0;
		ok = false;
	}
	unsetenv("NOTIFY_SOCKET");
	return ok;
}

/* What cannot be sent is lost: the service manager has time-outs for that. */
static void tell(const struct notify *n, const char *fmt, ...) PRINTF(2, 3);
static void tell(const struct notify *n, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	if (!n->to.len)
		return;
	va_start(ap, fmt);
	int len = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (len > 0 && (size_t)len < sizeof text)
		(void)!sendto(n->fd, text, (size_t)len, MSG_NOSIGNAL, &n->to.sa, n->to.len);
}

static void tell_status(struct notify *n)
{
	char now[sizeof n->status];
	reactor_summary(n->reactor, now, sizeof now);
	if (!strcmp(now, n->status))
		return;
	memcpy(n->status, now, sizeof now);
	tell(n, "STATUS=%s\n", now);
}

static void on_timer(struct io_timer *t)
{
	struct notify *n = CONTAINER_OF(t, struct notify, timer);
	uint64_t us = STATUS_US;
	tell_status(n);
	if (n->watchdog_us) {
		tell(n, "WATCHDOG=1\n");
		us = n->watchdog_us / 2 < us ? n->watchdog_us / 2 : us;
	}
	io_timer_set(n->io, t, n->io->now_us + us);
}

void notify_ready(struct notify *n, struct io *io, const struct reactor *reactor)
{
	if (!n->to.len)
		return;
	n->io = io;
	n->reactor = reactor;
	n->timer.on_timer = on_timer;
	tell(n, "READY=1\n");
	io_timer_set(io, &n->timer, io->now_us + 1);
}

void notify_reloading(const struct notify *n)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	tell(n, "RELOADING=1\nMONOTONIC_USEC=%llu\n",
		(unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
}

void notify_reloaded(const struct notify *n)
{
	tell(n, "READY=1\n");
}

void notify_stopping(const struct notify *n, uint64_t patience_us)
{
	tell(n, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu\n", (unsigned long long)(patience_us + STOP_MARGIN_US));
}

void notify_forget(struct notify *n)
{
	if (n->io)
		io_timer_stop(n->io, &n->timer);
	n->io = NULL;
	n->reactor = NULL;
}

void notify_finish(struct notify *n)
{
	notify_forget(n);
	if (n->to.len)
		close(n->fd);
	n->to.len = 0;
}
