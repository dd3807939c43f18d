#include "worker/health.h"

#include "base/str.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { PATIENCE_S = 4 };

/* Where it listens on every address, it is asked on loopback: that of IPv4, for a container may have no
 * other. */
static void make_reachable(struct io_addr *a)
{
	bool every4 = a->sa.sa_family == AF_INET && a->in.sin_addr.s_addr == htonl(INADDR_ANY);
	bool every6 = a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
	in_port_t port = every6 ? a->in6.sin6_port : a->in.sin_port;
	if (!every4 && !every6)
		return;
	*a = (struct io_addr){ .len = sizeof a->in };
	a->in.sin_family = AF_INET;
	a->in.sin_port = port;
	a->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

/* Sends the request and reads the first bytes of the answer: "HTTP/1.1 200". */
static ssize_t talk(int fd, const struct io_addr *addr, char *line, size_t size)
{
	static const char request[] =
		"GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	struct timeval patience = { .tv_sec = PATIENCE_S };
	size_t len = 0;
	ssize_t n = 0;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	if (connect(fd, &addr->sa, addr->len) || send(fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0)
		return -errno;
	while (len < size && (n = recv(fd, line + len, size - len, 0)) > 0)
		len += (size_t)n;
	return n < 0 ? -errno : (ssize_t)len;
}

bool health_ask(const struct io_addr *listen, struct why *why)
{
	struct io_addr addr = *listen;
	char where[IO_ADDR_TEXT], line[12];
	make_reachable(&addr);
	io_addr_print(&addr, true, where);
	int fd = socket(addr.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ssize_t n = fd < 0 ? -errno : talk(fd, &addr, line, sizeof line);
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return why_set(why, "%s: %s", where, strerror((int)-n));
	if (n < (ssize_t)sizeof line || memcmp(line, "HTTP/1.1 ", 9) != 0)
		return why_set(why, "%s: what answers there is no berth-worker", where);
	if (line[9] == '2')
		return true;
	return why_set(why, "%s: is not ready, status %.3s", where, line + 9);
}
