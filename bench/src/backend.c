/* backend: a very cheap stand-in for many containers of one slot each.
 *
 *   backend [--free PATH]... PORT|FIRST-LAST...        (all on 127.0.0.1)
 *
 * A request holds its port's slot from its first byte until its answer is handed to the kernel. One that
 * comes while the slot is held is a violation: it is counted, and the first is described. A request's arrival
 * is the time at which the kernel queued its bytes (SO_TIMESTAMPNS), so that a backend that is late to run
 * neither blurs the gaps nor hides a violation.
 *
 * Of a request's target: seq=N is its place in an order that is watched, body=N asks for an answer of N
 * bytes, leave marks a client that means to leave before its turn.
 *
 * Paths that hold no slot: those of --free, /health (a proxy's probes), and
 *   /__stats   all counters, as one JSON object
 *   /__order   in what order the requests with seq=N started
 *   /__reset   sets the counters to 0
 *   /__set?service_us=U&jitter=PERCENT    answers are due U us ± PERCENT after the request is complete
 */
#include "clock.h"
#include "hist.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	READ_MAX = 1 << 18,
	HEAD_MAX = 1 << 15,
	EVENTS = 256,
	FREE_PATHS = 8,
};

enum state { IDLE, HEAD, BODY, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, SERVICE, SENDING };

struct port {
	int fd, number, in_flight;
	uint64_t done_ns; /* wall clock: when the last answer was sent; 0 before the first */
	uint64_t requests, violations, given_up, leavers, busy_ns, idle_ns;
	struct hist gap;
};

struct answer {
	char *bytes; /* owned */
	size_t len;
};

struct conn {
	int fd;
	enum state state;
	bool listener, close, holds_slot, is_free, waits_to_send, doomed;
	struct port *port; /* borrowed from ports */
	char *kept;        /* owned: bytes of what is incomplete */
	size_t kept_len, kept_cap;
	uint64_t left; /* bytes of the body or chunk */
	uint64_t first_ns, due_ns;
	size_t heap_index; /* while state is SERVICE */
	struct answer out; /* borrowed */
	size_t out_done;
	char target[128];
	struct conn *next_dead;
};

static int epoll_fd, n_ports;
static struct port *ports;
static struct conn **heap; /* by due_ns */
static size_t heap_len, heap_cap;
static uint64_t service_ns, jitter_percent, reset_ns, arrived_ns, random_state = 88172645463325252u;
static const char *free_paths[FREE_PATHS] = { "/health" };
static int n_free_paths = 1;
static struct answer small_answer, long_answer;
static char read_buffer[READ_MAX];
static struct conn *dead;
static char first_violation[128];
static struct {
	uint64_t seen, max, out_of_order, worst;
} order;

/* The clock of the kernel's time stamps. */
static uint64_t wall_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

static struct answer make_answer(const char *body, size_t len)
{
	struct answer a = { .bytes = malloc(len + 256) };
	if (!a.bytes)
		die("malloc");
	int head = sprintf(a.bytes,
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", len);
	a.len = (size_t)head + len;
	if (body)
		memcpy(a.bytes + head, body, len);
	else
		memset(a.bytes + head, '1', len);
	return a;
}

/* ---- answers that are not yet due ---- */

static void heap_put(size_t i, struct conn *c)
{
	heap[i] = c;
	c->heap_index = i;
}

static void heap_up(size_t i)
{
	struct conn *c = heap[i];
	for (; i && heap[(i - 1) / 2]->due_ns > c->due_ns; i = (i - 1) / 2)
		heap_put(i, heap[(i - 1) / 2]);
	heap_put(i, c);
}

static void heap_down(size_t i)
{
	struct conn *c = heap[i];
	for (size_t k; (k = 2 * i + 1) < heap_len; i = k) {
		if (k + 1 < heap_len && heap[k + 1]->due_ns < heap[k]->due_ns)
			k++;
		if (heap[k]->due_ns >= c->due_ns)
			break;
		heap_put(i, heap[k]);
	}
	heap_put(i, c);
}

static void heap_add(struct conn *c)
{
	if (heap_len == heap_cap) {
		heap_cap = heap_cap ? heap_cap * 2 : 64;
		heap = realloc(heap, heap_cap * sizeof *heap);
		if (!heap)
			die("realloc");
	}
	heap[heap_len] = c;
	heap_up(heap_len++);
}

static void heap_remove(struct conn *c)
{
	size_t i = c->heap_index;
	struct conn *last = heap[--heap_len];
	if (last == c)
		return;
	heap_put(i, last);
	heap_up(i);
	heap_down(last->heap_index);
}

/* ---- slots ---- */

static void slot_leave(struct conn *c, uint64_t t)
{
	struct port *p = c->port;
	c->holds_slot = false;
	p->in_flight--;
	p->busy_ns += t - c->first_ns;
	p->done_ns = t;
}

static void violation(const struct conn *c)
{
	struct port *p = c->port;
	p->violations++;
	if (!first_violation[0])
		snprintf(first_violation, sizeof first_violation,
			"port %d, %d in flight, %lld ns after the last answer", p->number, p->in_flight,
			(long long)(c->first_ns - p->done_ns));
}

static uint64_t argument(const char *target, const char *key, uint64_t otherwise)
{
	size_t n = strlen(key);
	for (const char *q = strchr(target, '?'); q; q = strchr(q, '&')) {
		q++;
		if (!strncmp(q, key, n) && q[n] == '=')
			return strtoull(q + n + 1, NULL, 10);
	}
	return otherwise;
}

static void watch_order(uint64_t seq)
{
	order.seen++;
	if (seq >= order.max) {
		order.max = seq;
		return;
	}
	order.out_of_order++;
	if (order.max - seq > order.worst)
		order.worst = order.max - seq;
}

/* The request line is known: is it one that takes the slot? */
static void slot_enter(struct conn *c)
{
	struct port *p = c->port;
	c->is_free = !strncmp(c->target, "/__", 3);
	for (int i = 0; i < n_free_paths; i++)
		c->is_free |= !strcmp(c->target, free_paths[i]);
	if (c->is_free)
		return;
	if (p->in_flight > 0 || c->first_ns < p->done_ns) {
		violation(c);
	} else if (p->done_ns) {
		uint64_t gap = c->first_ns - p->done_ns;
		hist_add(&p->gap, gap);
		p->idle_ns += gap;
	}
	c->holds_slot = true;
	p->in_flight++;
	uint64_t seq = argument(c->target, "seq", UINT64_MAX);
	if (seq != UINT64_MAX)
		watch_order(seq);
	if (argument(c->target, "leave", 0))
		p->leavers++;
}

/* ---- connections ---- */

static void conn_close(struct conn *c)
{
	if (c->doomed)
		return;
	if (c->state == SERVICE)
		heap_remove(c);
	if (c->holds_slot) {
		c->port->given_up++;
		slot_leave(c, wall_ns());
	}
	close(c->fd);
	free(c->kept);
	c->doomed = true;
	c->next_dead = dead;
	dead = c;
}

static void arm(struct conn *c, int op, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = c };
	if (epoll_ctl(epoll_fd, op, c->fd, &e))
		die("epoll_ctl");
}

/* Gives the kernel what it takes; the slot is free from just before the send that carries the last byte. */
static void send_rest(struct conn *c)
{
	uint64_t t = wall_ns();
	ssize_t n = send(c->fd, c->out.bytes + c->out_done, c->out.len - c->out_done, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN) {
		conn_close(c);
		return;
	}
	c->out_done += n > 0 ? (size_t)n : 0;
	bool done = c->out_done == c->out.len;
	if (c->waits_to_send == done) {
		c->waits_to_send = !done;
		arm(c, EPOLL_CTL_MOD, done ? EPOLLIN : EPOLLIN | EPOLLOUT);
	}
	if (!done)
		return;
	if (c->holds_slot) {
		c->port->requests++;
		slot_leave(c, t);
	}
	c->state = IDLE;
	if (c->close)
		conn_close(c);
}

static void respond(struct conn *c, struct answer a)
{
	c->out = a;
	c->out_done = 0;
	c->state = SENDING;
	send_rest(c);
}

/* ---- control ---- */

static void reset(void)
{
	reset_ns = now_ns();
	for (int i = 0; i < n_ports; i++) {
		struct port *p = &ports[i];
		p->requests = p->violations = p->given_up = p->leavers = p->busy_ns = p->idle_ns = 0;
		memset(&p->gap, 0, sizeof p->gap);
	}
	memset(&order, 0, sizeof order);
	first_violation[0] = 0;
}

static int print_stats(char *to, size_t size)
{
	static struct port sum;
	memset(&sum, 0, sizeof sum);
	for (int i = 0; i < n_ports; i++) {
		const struct port *p = &ports[i];
		sum.requests += p->requests;
		sum.violations += p->violations;
		sum.given_up += p->given_up;
		sum.leavers += p->leavers;
		sum.busy_ns += p->busy_ns;
		sum.idle_ns += p->idle_ns;
		sum.in_flight += p->in_flight;
		hist_merge(&sum.gap, &p->gap);
	}
	return snprintf(to, size,
		"{\"elapsed_us\": %.0f, \"requests\": %lu, \"violations\": %lu, \"in_flight\": %d, "
		"\"given_up\": %lu, \"leavers\": %lu, \"busy_us\": %.0f, \"idle_us\": %.0f, "
		"\"gap_mean_us\": %.2f, \"gap_p50_us\": %.2f, \"gap_p99_us\": %.2f, \"first_violation\": "
		"\"%s\"}",
		(double)(now_ns() - reset_ns) / 1e3, sum.requests, sum.violations, sum.in_flight,
		sum.given_up, sum.leavers, (double)sum.busy_ns / 1e3, (double)sum.idle_ns / 1e3,
		hist_mean_us(&sum.gap), hist_percentile_us(&sum.gap, 50), hist_percentile_us(&sum.gap, 99),
		first_violation);
}

static void control(struct conn *c)
{
	static char body[1024];
	static struct answer a;
	int n = 0;
	if (!strncmp(c->target, "/__reset", 8)) {
		reset();
	} else if (!strncmp(c->target, "/__set", 6)) {
		service_ns = argument(c->target, "service_us", service_ns / 1000) * 1000;
		jitter_percent = argument(c->target, "jitter", jitter_percent);
	} else if (!strncmp(c->target, "/__order", 8)) {
		n = snprintf(body, sizeof body, "{\"seen\": %lu, \"out_of_order\": %lu, \"worst\": %lu}",
			order.seen, order.out_of_order, order.worst);
	} else {
		n = print_stats(body, sizeof body);
	}
	free(a.bytes);
	a = make_answer(body, (size_t)n);
	respond(c, a);
}

/* ---- requests ---- */

static struct answer answer_for(const struct conn *c)
{
	uint64_t len = argument(c->target, "body", 0);
	if (!len)
		return small_answer;
	if (!long_answer.bytes) /* one length is enough for every test */
		long_answer = make_answer(NULL, len);
	return long_answer;
}

static void complete(struct conn *c)
{
	if (!strncmp(c->target, "/__", 3)) {
		control(c);
		return;
	}
	if (c->is_free || !service_ns) {
		respond(c, answer_for(c));
		return;
	}
	uint64_t jitter = service_ns * jitter_percent / 100;
	c->due_ns = now_ns() + service_ns - jitter + next_random(&random_state) % (2 * jitter + 1);
	c->state = SERVICE;
	heap_add(c);
}

static void read_field(struct conn *c, const char *line, bool *ret_chunked)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	if (!strncasecmp(line, "content-length:", 15))
		c->left = strtoull(line + 15, NULL, 10);
	else if (!strncasecmp(line, "connection: close", 17))
		c->close = true;
	else if (!strncasecmp(line, "transfer-encoding:", 18))
		*ret_chunked = true;
	else if (!strncasecmp(line, "expect: 100", 11) &&
		send(c->fd, go_on, sizeof go_on - 1, MSG_NOSIGNAL) < 0)
		c->close = true;
}

/* A head's length, or 0 while it is incomplete. */
static size_t read_head(struct conn *c, const char *d, size_t len)
{
	const char *end = memmem(d, len, "\r\n\r\n", 4);
	if (!end)
		return 0;
	bool chunked = false;
	for (const char *line = d; (line = memchr(line, '\n', (size_t)(end - line)));)
		read_field(c, ++line, &chunked);
	c->state = chunked ? CHUNK_SIZE : BODY;
	return (size_t)(end - d) + 4;
}

/* False while it is incomplete. */
static bool read_request_line(struct conn *c, const char *d, size_t len)
{
	const char *end = memchr(d, '\n', len);
	if (!end)
		return false;
	const char *from = memchr(d, ' ', (size_t)(end - d));
	const char *to = from ? memchr(from + 1, ' ', (size_t)(end - from - 1)) : NULL;
	if (!to) {
		conn_close(c);
		return false;
	}
	size_t n = (size_t)(to - from - 1);
	if (n >= sizeof c->target)
		n = sizeof c->target - 1;
	memcpy(c->target, from + 1, n);
	c->target[n] = 0;
	slot_enter(c); /* with the request line, whatever is still to come */
	return true;
}

static size_t consume_head(struct conn *c, const char *d, size_t len)
{
	if (c->state == IDLE) {
		c->first_ns = arrived_ns;
		c->close = false;
		c->left = 0;
		c->target[0] = 0;
		c->state = HEAD;
	}
	if (!c->target[0] && !read_request_line(c, d, len))
		return 0;
	size_t n = read_head(c, d, len);
	if (!n && len > HEAD_MAX)
		conn_close(c);
	return n;
}

/* One line of chunked framing. */
static size_t consume_framing(struct conn *c, const char *d, size_t len)
{
	const char *end = memchr(d, '\n', len);
	if (!end)
		return 0;
	if (c->state == CHUNK_END) {
		c->state = CHUNK_SIZE;
	} else if (c->state == CHUNK_SIZE) {
		c->left = strtoull(d, NULL, 16);
		c->state = c->left ? CHUNK_DATA : TRAILER;
	} else if (end - d <= 1) {
		c->state = BODY; /* left is 0: the request is complete */
	}
	return (size_t)(end - d) + 1;
}

static size_t consume_data(struct conn *c, size_t len)
{
	size_t n = len < c->left ? len : (size_t)c->left;
	c->left -= n;
	if (c->state == CHUNK_DATA && !c->left)
		c->state = CHUNK_END;
	return n;
}

/* Takes of the bytes at hand what it can; returns how many. */
static size_t consume(struct conn *c, const char *d, size_t len)
{
	size_t at = 0;
	while (!c->doomed && c->state != SERVICE && c->state != SENDING) {
		size_t n;
		if (c->state == BODY && !c->left) {
			complete(c);
			continue;
		}
		if (at == len)
			break;
		if (c->state == IDLE || c->state == HEAD)
			n = consume_head(c, d + at, len - at);
		else if (c->state == BODY || c->state == CHUNK_DATA)
			n = consume_data(c, len - at);
		else
			n = consume_framing(c, d + at, len - at);
		if (!n)
			break;
		at += n;
	}
	return at;
}

static void keep(struct conn *c, const char *d, size_t n)
{
	if (n > c->kept_cap) {
		c->kept_cap = n < 2048 ? 2048 : n * 2;
		char *bigger = malloc(c->kept_cap);
		if (!bigger)
			die("malloc");
		memcpy(bigger, d, n);
		free(c->kept);
		c->kept = bigger;
	} else {
		memmove(c->kept, d, n);
	}
	c->kept_len = n;
}

static void run_input(struct conn *c, const char *d, size_t n)
{
	size_t used = consume(c, d, n);
	if (c->doomed)
		return;
	if (used < n)
		keep(c, d + used, n - used);
	else
		c->kept_len = 0;
}

static uint64_t arrival_of(struct msghdr *m)
{
	struct cmsghdr *h = CMSG_FIRSTHDR(m);
	struct timespec t;
	if (!h || h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_TIMESTAMPNS)
		return wall_ns();
	memcpy(&t, CMSG_DATA(h), sizeof t);
	return clock_ns_of(&t);
}

static void on_readable(struct conn *c)
{
	size_t had = c->kept_len;
	union {
		char space[CMSG_SPACE(sizeof(struct timespec))];
		struct cmsghdr align;
	} stamp;
	struct iovec v = { read_buffer + had, READ_MAX - had };
	struct msghdr m = { .msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = stamp.space,
		.msg_controllen = sizeof stamp.space };
	if (had)
		memcpy(read_buffer, c->kept, had);
	ssize_t n = recvmsg(c->fd, &m, 0);
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			conn_close(c);
		return;
	}
	arrived_ns = arrival_of(&m);
	if (c->state == SERVICE || c->state == SENDING)
		violation(c); /* pipelined into a slot that is held */
	run_input(c, read_buffer, had + (size_t)n);
}

static void answer_due(void)
{
	for (uint64_t t = now_ns(); heap_len && heap[0]->due_ns <= t;) {
		struct conn *c = heap[0];
		heap_remove(c);
		respond(c, answer_for(c));
		if (c->state != IDLE || c->doomed || !c->kept_len)
			continue;
		memcpy(read_buffer, c->kept, c->kept_len);
		run_input(c, read_buffer, c->kept_len);
	}
}

/* ---- start, and the loop ---- */

static struct conn *conn_create(int fd, struct port *p, bool listener)
{
	struct conn *c = calloc(1, sizeof *c);
	if (!c)
		die("calloc");
	c->fd = fd;
	c->port = p;
	c->listener = listener;
	arm(c, EPOLL_CTL_ADD, EPOLLIN);
	return c;
}

static void on_accept(struct conn *l)
{
	for (int i = 0; i < 64; i++) {
		int one = 1, fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one);
		conn_create(fd, l->port, false);
	}
}

static void open_port(int number)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)number),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ports = realloc(ports, (size_t)(n_ports + 1) * sizeof *ports);
	if (fd < 0 || !ports)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 4096)) {
		fprintf(stderr, "backend: port %d: %s\n", number, strerror(errno));
		exit(1);
	}
	memset(&ports[n_ports], 0, sizeof *ports);
	ports[n_ports].number = number;
	ports[n_ports++].fd = fd;
}

static void read_arguments(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--free") && i + 1 < argc && n_free_paths < FREE_PATHS) {
			free_paths[n_free_paths++] = argv[++i];
			continue;
		}
		char *end;
		long first = strtol(argv[i], &end, 10),
		     last = *end == '-' ? strtol(end + 1, &end, 10) : first;
		if (*end || first < 1 || last > 65535) {
			fprintf(stderr, "usage: backend [--free PATH]... PORT|FIRST-LAST...\n");
			exit(2);
		}
		for (long n = first; n <= last; n++)
			open_port((int)n);
	}
}

static int wait_for_events(struct epoll_event *events)
{
	if (!heap_len)
		return epoll_wait(epoll_fd, events, EVENTS, -1);
	uint64_t t = now_ns();
	struct timespec wait = clock_timespec(heap[0]->due_ns > t ? heap[0]->due_ns - t : 0);
	return epoll_pwait2(epoll_fd, events, EVENTS, &wait, NULL);
}

static void turn(void)
{
	struct epoll_event events[EVENTS];
	int n = wait_for_events(events);
	if (n < 0 && errno != EINTR)
		die("epoll_wait");
	for (int i = 0; i < n; i++) {
		struct conn *c = events[i].data.ptr;
		if (c->doomed)
			continue;
		if (c->listener) {
			on_accept(c);
			continue;
		}
		if ((events[i].events & EPOLLOUT) && c->state == SENDING)
			send_rest(c);
		if (!c->doomed && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
			on_readable(c);
	}
	answer_due();
	while (dead) {
		struct conn *c = dead;
		dead = c->next_dead;
		free(c);
	}
}

int main(int argc, char **argv)
{
	static const char body[] = "{\"message\":\"ok\",\"output\":[0.12,0.88],\"label\":\"positive\"}";
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_TIMERSLACK, 1ul, 0, 0, 0);
	small_answer = make_answer(body, sizeof body - 1);
	read_arguments(argc, argv);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < n_ports; i++)
		conn_create(ports[i].fd, &ports[i], true);
	reset();
	for (;;)
		turn();
}
