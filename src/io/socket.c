#include "io/socket.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	BACKLOG = 4096,
	VANISHED_MS = 30 * 1000, /* without an acknowledgement of what was sent */
};

/* Without delay; and a peer that has vanished while nothing is on its way to it is missed after half a
 * minute, as io.h says. */
static void set_tcp_options(int fd)
{
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &(int){ 15 }, sizeof(int));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &(int){ 5 }, sizeof(int));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &(int){ 3 }, sizeof(int));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(int){ 1 }, sizeof(int));
}

void socket_set_patience(int fd, uint32_t ms)
{
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}

int socket_connect(const struct io_addr *addr)
{
	int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (addr->sa.sa_family != AF_UNIX) {
		set_tcp_options(fd);
		/* not for clients: it would also end those that have not read for so long */
		socket_set_patience(fd, VANISHED_MS);
	}
	if (connect(fd, &addr->sa, addr->len) == 0 || errno == EINPROGRESS)
		return fd;
	int err = errno == EAGAIN ? ECONNREFUSED : errno; /* a unix socket whose backlog is full */
	close(fd);
	return -err;
}

/* A socket file that refuses connections is a leftover of a process that is gone. 0, or -ENOTSOCK when there
 * is something else. */
static int remove_stale_socket(const struct io_addr *addr)
{
	struct stat st;
	if (lstat(addr->un.sun_path, &st))
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return 0;
	if (connect(fd, &addr->sa, addr->len) && errno == ECONNREFUSED)
		unlink(addr->un.sun_path);
	close(fd);
	return 0;
}

int socket_listen(const struct io_addr *addr)
{
	int r = addr->sa.sa_family == AF_UNIX ? remove_stale_socket(addr) : 0;
	if (r < 0)
		return r;
	int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (addr->sa.sa_family != AF_UNIX)
		set_tcp_options(fd); /* inherited by what is accepted */
	if (addr->sa.sa_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ 0 }, sizeof(int));
	if (bind(fd, &addr->sa, addr->len) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	int err = errno;
	close(fd);
	return -err;
}
