/* floor: the cheapest epoll proxy that this machine allows: a yardstick, no product.
 *
 *   floor [--spin-us N] PORT BACKEND-PORT...        (all on 127.0.0.1)
 *
 * One thread, one kept-alive connection and one slot a backend, a FIFO queue. It finds where messages end
 * (Content-Length only) and forwards their bytes as they are: no header work, no limits, no time-outs, no
 * log, no retries. What it costs is what the kernel costs for four socket calls and a share of an epoll_wait.
 * When an answer is in, the next request in the queue is sent before the answer is passed on. With --spin-us
 * it polls for N us after the last event before it sleeps.
 */
#include "clock.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_MAX = 1 << 20, EVENTS = 256 };
enum kind { LISTENER, CLIENT, BACKEND };

struct peer {
	enum kind kind;
	int fd, port;
	bool gone, waits;
	char *kept; /* owned: bytes of a message that is incomplete or in the queue */
	size_t len, cap;
	struct peer *other; /* client and backend of a request in flight */
	struct peer *next;  /* queue, free list or graveyard */
};

static int epoll_fd;
static struct peer *idle, *queue_first, **queue_end = &queue_first, *dead;
static char read_buffer[READ_MAX], answer_buffer[READ_MAX];

static struct peer *add(enum kind kind, int fd)
{
	struct peer *p = calloc(1, sizeof *p);
	int one = 1;
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = p };
	if (!p)
		die("calloc");
	p->kind = kind;
	p->fd = fd;
	if (kind != LISTENER)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e))
		die("epoll_ctl");
	return p;
}

static struct peer *dial(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a))
		die("backend");
	struct peer *b = add(BACKEND, fd);
	b->port = port;
	return b;
}

/* ---- messages ---- */

/* The length of the message at the start of d, 0 while it is not all there. */
static size_t message_len(const char *d, size_t n)
{
	const char *end = memmem(d, n, "\r\n\r\n", 4);
	if (!end)
		return 0;
	size_t body = 0;
	for (const char *line = d; (line = memchr(line, '\n', (size_t)(end - line)));) {
		line++;
		if ((*line | 0x20) == 'c' && !strncasecmp(line, "content-length:", 15))
			body = strtoull(line + 15, NULL, 10);
	}
	size_t len = (size_t)(end - d) + 4 + body;
	return len <= n ? len : 0;
}

static void keep(struct peer *p, const char *d, size_t n)
{
	if (p->len + n > p->cap) {
		p->cap = p->len + n;
		p->kept = realloc(p->kept, p->cap);
		if (!p->kept)
			die("realloc");
	}
	memcpy(p->kept + p->len, d, n);
	p->len += n;
}

static void forget(struct peer *p)
{
	free(p->kept);
	p->kept = NULL;
	p->len = p->cap = 0;
}

static void put(int fd, const char *d, size_t n)
{
	while (n) {
		ssize_t k = send(fd, d, n, MSG_NOSIGNAL);
		if (k < 0)
			return; /* the reader finds out */
		d += k;
		n -= (size_t)k;
	}
}

/* Receives what follows what was kept; returns the bytes of an incomplete message, or of a whole one and
 * more, and their number, which is 0 at the stream's end. */
static const char *receive(struct peer *p, size_t *ret_len)
{
	ssize_t n = recv(p->fd, read_buffer, READ_MAX, 0);
	*ret_len = n > 0 ? (size_t)n : 0;
	if (n <= 0 || !p->len)
		return read_buffer;
	keep(p, read_buffer, (size_t)n);
	*ret_len = p->len;
	return p->kept;
}

/* ---- requests and answers ---- */

static void dispatch(struct peer *b, struct peer *c, const char *d, size_t n)
{
	b->other = c;
	c->other = b;
	put(b->fd, d, n);
	forget(c);
}

/* A backend has nothing in flight. */
static void feed(struct peer *b)
{
	struct peer *c = queue_first;
	if (!c) {
		b->next = idle;
		idle = b;
		return;
	}
	queue_first = c->next;
	if (!queue_first)
		queue_end = &queue_first;
	c->waits = false;
	dispatch(b, c, c->kept, c->len);
}

static void withdraw(struct peer *c)
{
	struct peer **p = &queue_first;
	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	if (queue_end == &c->next)
		queue_end = p;
}

static void bury(struct peer *c)
{
	c->gone = true;
	close(c->fd);
	if (c->waits)
		withdraw(c);
	if (c->other)
		c->other->other = NULL; /* the answer will be thrown away */
	forget(c);
	c->next = dead;
	dead = c;
}

static void on_client(struct peer *c)
{
	size_t len;
	const char *d = receive(c, &len);
	if (!len || c->other || c->waits) { /* it has left, or pipelines, which is not for a yardstick */
		bury(c);
		return;
	}
	size_t n = message_len(d, len);
	if (n && idle) {
		struct peer *b = idle;
		idle = b->next;
		dispatch(b, c, d, n);
		return;
	}
	if (d == read_buffer)
		keep(c, d, len);
	if (!n)
		return;
	c->waits = true;
	c->next = NULL;
	*queue_end = c;
	queue_end = &c->next;
}

static void on_lost_backend(struct peer *b)
{
	struct peer *c = b->other;
	close(b->fd);
	b->other = NULL;
	b->gone = true;
	if (!c)
		die("an idle backend has closed");
	c->other = NULL;
	bury(c);
	feed(dial(b->port));
}

static void on_backend(struct peer *b)
{
	size_t len;
	const char *d = receive(b, &len);
	if (!len) {
		on_lost_backend(b);
		return;
	}
	size_t n = message_len(d, len);
	if (!n) {
		if (d == read_buffer)
			keep(b, d, len);
		return;
	}
	struct peer *c = b->other;
	b->other = NULL;
	if (d == b->kept) {
		if (n > sizeof answer_buffer)
			die("an answer is too long");
		memcpy(answer_buffer, d, n);
		d = answer_buffer;
		forget(b);
	}
	feed(b);
	if (c) {
		c->other = NULL;
		put(c->fd, d, n);
	}
}

static void on_accept(struct peer *l)
{
	for (int i = 0; i < 64; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			return;
		add(CLIENT, fd);
	}
}

/* ---- start, and the loop ---- */

static void listen_on(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 4096))
		die("listen");
	add(LISTENER, fd);
}

/* Returns how many events there were. */
static int turn(bool sleep)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(epoll_fd, events, EVENTS, sleep ? -1 : 0);
	for (int i = 0; i < n; i++) {
		struct peer *p = events[i].data.ptr;
		if (p->gone)
			continue;
		if (p->kind == CLIENT)
			on_client(p);
		else if (p->kind == BACKEND)
			on_backend(p);
		else
			on_accept(p);
	}
	while (dead) {
		struct peer *p = dead;
		dead = p->next;
		free(p);
	}
	return n;
}

int main(int argc, char **argv)
{
	uint64_t spin_ns = 0, last_ns = 0;
	signal(SIGPIPE, SIG_IGN);
	if (argc > 2 && !strcmp(argv[1], "--spin-us")) {
		spin_ns = strtoull(argv[2], NULL, 10) * 1000;
		argv += 2;
		argc -= 2;
	}
	if (argc < 3) {
		fprintf(stderr, "usage: floor [--spin-us N] PORT BACKEND-PORT...\n");
		return 2;
	}
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	listen_on(atoi(argv[1]));
	for (int i = 2; i < argc; i++)
		feed(dial(atoi(argv[i])));
	for (;;) {
		bool sleep = !spin_ns || now_ns() - last_ns >= spin_ns;
		if (turn(sleep) > 0 && spin_ns)
			last_ns = now_ns();
	}
}
