/* load: HTTP/1.1 clients for one core.
 *
 *   load --ports P[,P...] --conns C --seconds S [--warmup W] [--path /p] [--post BYTES]
 *        [--rate R | --once [--seq] [--hold]] [--stall N] [--deaf N] [--leave N]        (all on 127.0.0.1)
 *
 * Without --rate it is a closed loop: every connection sends its next request when it has the answer to the
 * last one. With --rate R requests arrive as a Poisson stream of R a second; one that finds no free
 * connection waits in here, and its latency is counted from its arrival (no coordinated omission).
 * --once      each connection sends one request, in their order, R a second; "sent" is printed when all are
 * out
 * --seq       adds ?seq=N to the path
 * --hold      prints "ready" when all answers are in, and keeps the connections until standard input closes
 * --stall N   N more connections send the head of a POST, one byte of its body, and then nothing
 * --deaf N    N more connections ask for an answer of 8 MiB and never read it
 * --leave N   N more clients, spread over the measured time, each connect, send a request (?leave=1), and are
 *             gone 10 ms later
 *
 * Prints "connected" when all connections are there, and in the end one JSON object: counts, requests a
 * second and latencies over the time after the warm-up, and how evenly the connections were served.
 */
#include "clock.h"
#include "hist.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
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
	EVENTS = 512,
	PORTS = 1024,
	WAITING = 1 << 21,
	LONG_ANSWER = 8 << 20,
	LINGER_NS = 2000000000, /* for answers that are still due at the end */
	TURN_MAX_NS = 10000000,
	LEAVE_AFTER_NS = 10000000,
};

struct message {
	char *bytes; /* owned */
	size_t len;
};

struct client {
	int fd, port, status;
	bool busy, up, close, chunked, last_chunk, in_head, framed;
	uint64_t left;          /* bytes of the body or chunk */
	uint64_t sent_ns, done; /* answers in the measured time */
	struct message out;     /* borrowed */
	size_t out_done;
	struct client *next_free;
	size_t kept_len;
	char kept[2048]; /* bytes of what is incomplete */
};

struct leaver {
	int fd;
	uint64_t due_ns;
};

static struct {
	int ports[PORTS], n_ports, conns, stall, deaf, leave;
	const char *path;
	double seconds, warmup, rate;
	size_t post;
	bool once, seq, hold;
} option = { .conns = 1, .path = "/run_model", .seconds = 5 };

static int epoll_fd;
static struct message request;
static struct client *clients, *free_first, **free_end = &free_first;
static struct leaver *leavers;
static int leavers_come, leavers_gone;
static uint64_t measure_ns, stop_ns, random_state = 0x9e3779b97f4a7c15u;
static uint64_t ok, dropped, reconnects, errors, sent, answered, measured;
static uint64_t *waiting, waiting_head, waiting_tail; /* arrivals that found no free connection */
static struct hist latency;
static char read_buffer[READ_MAX];

static struct message make_request(const char *path, size_t body)
{
	struct message m = { .bytes = malloc(strlen(path) + body + 256) };
	if (!m.bytes)
		die("malloc");
	int n = sprintf(m.bytes, "%s %s HTTP/1.1\r\nHost: bench\r\nUser-Agent: load\r\n",
		body ? "POST" : "GET", path);
	if (body)
		n += sprintf(m.bytes + n, "Content-Type: application/json\r\nContent-Length: %zu\r\n", body);
	n += sprintf(m.bytes + n, "\r\n");
	memset(m.bytes + n, '1', body);
	m.len = (size_t)n + body;
	return m;
}

/* ---- connections ---- */

static int dial(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("socket");
	if (connect(fd, (struct sockaddr *)&a, sizeof a)) {
		close(fd);
		errors++;
		return -1;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

static void arm(struct client *c, int op, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = c };
	if (epoll_ctl(epoll_fd, op, c->fd, &e))
		die("epoll_ctl");
}

static bool connect_client(struct client *c)
{
	c->fd = dial(c->port);
	c->up = c->fd >= 0;
	c->busy = c->close = c->chunked = false;
	c->in_head = true;
	c->kept_len = 0;
	if (c->up)
		arm(c, EPOLL_CTL_ADD, EPOLLIN);
	return c->up;
}

static void hang_up(struct client *c)
{
	close(c->fd);
	c->up = false;
}

/* ---- requests ---- */

static void send_rest(struct client *c)
{
	ssize_t n = send(
		c->fd, c->out.bytes + c->out_done, c->out.len - c->out_done, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n > 0)
		c->out_done += (size_t)n;
	if (c->out_done < c->out.len)
		arm(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

static void fire(struct client *c, uint64_t since_ns, struct message m)
{
	c->busy = c->in_head = true;
	c->sent_ns = since_ns;
	c->out = m;
	c->out_done = 0;
	sent++;
	send_rest(c);
}

static void put_free(struct client *c)
{
	c->next_free = NULL;
	*free_end = c;
	free_end = &c->next_free;
}

static struct client *take_free(void)
{
	struct client *c = free_first;
	if (c && !(free_first = c->next_free))
		free_end = &free_first;
	return c;
}

static void next_request(struct client *c, uint64_t t)
{
	if (option.once || t >= stop_ns)
		return;
	if (option.rate == 0)
		fire(c, t, request);
	else if (waiting_head != waiting_tail)
		fire(c, waiting[waiting_head++ % WAITING], request);
	else
		put_free(c);
}

static void lost(struct client *c)
{
	bool busy = c->busy;
	hang_up(c);
	dropped += busy;
	if (option.once || now_ns() >= stop_ns)
		return;
	reconnects++;
	if (connect_client(c) && busy)
		next_request(c, now_ns());
}

/* ---- answers ---- */

static void finish_answer(struct client *c)
{
	uint64_t t = now_ns();
	c->busy = false;
	c->in_head = true;
	answered++;
	ok += c->status == 200;
	if (t >= measure_ns && t <= stop_ns) {
		measured++;
		c->done++;
		hist_add(&latency, t - c->sent_ns);
	}
	if (c->close) {
		hang_up(c);
		reconnects++;
		if (option.once || t >= stop_ns || !connect_client(c))
			return;
	}
	next_request(c, t);
}

static void read_field(struct client *c, const char *line)
{
	if (!strncasecmp(line, "content-length:", 15)) {
		c->left = strtoull(line + 15, NULL, 10);
		c->framed = true;
	} else if (!strncasecmp(line, "connection: close", 17)) {
		c->close = true;
	} else if (!strncasecmp(line, "transfer-encoding:", 18)) {
		c->chunked = c->framed = true;
	}
}

/* A head's length, or 0 while it is incomplete. */
static size_t consume_head(struct client *c, const char *d, size_t len)
{
	const char *end = memmem(d, len, "\r\n\r\n", 4);
	if (!end)
		return 0;
	c->status = len > 12 ? atoi(d + 9) : 0;
	c->left = 0;
	c->chunked = c->last_chunk = c->close = c->framed = false;
	for (const char *line = d; (line = memchr(line, '\n', (size_t)(end - line)));)
		read_field(c, ++line);
	c->in_head = c->status / 100 == 1;
	c->close |= !c->framed && !c->in_head;
	return (size_t)(end - d) + 4;
}

/* A size line with the chunk that it is of, or the empty line after it. */
static size_t consume_framing(struct client *c, const char *d, size_t len)
{
	const char *end = memchr(d, '\n', len);
	if (!end)
		return 0;
	if (end - d > 1) {
		c->left = strtoull(d, NULL, 16);
		c->last_chunk = !c->left;
	} else if (c->last_chunk) {
		c->chunked = false;
	}
	return (size_t)(end - d) + 1;
}

static size_t consume(struct client *c, const char *d, size_t len)
{
	if (c->in_head)
		return consume_head(c, d, len);
	if (!c->left)
		return c->chunked ? consume_framing(c, d, len) : 0;
	size_t n = len < c->left ? len : (size_t)c->left;
	c->left -= n;
	return n;
}

static void on_readable(struct client *c)
{
	size_t len = c->kept_len, at = 0, n;
	memcpy(read_buffer, c->kept, len);
	ssize_t got = recv(c->fd, read_buffer + len, READ_MAX - len, MSG_DONTWAIT);
	if (got <= 0) {
		if (got == 0 || errno != EAGAIN)
			lost(c);
		return;
	}
	len += (size_t)got;
	while (c->busy && at < len && (n = consume(c, read_buffer + at, len - at))) {
		at += n;
		if (!c->in_head && !c->left && !c->chunked)
			finish_answer(c);
		if (!c->up)
			return;
	}
	c->kept_len = c->busy ? len - at : 0;
	if (c->kept_len > sizeof c->kept) {
		fprintf(stderr, "load: the head of an answer is too long\n");
		exit(1);
	}
	memcpy(c->kept, read_buffer + at, c->kept_len);
}

/* ---- clients that misbehave ---- */

/* A further connection with a request on it, which nothing in here reads from; -1 when it fails. */
static int trouble(struct message m)
{
	int fd = dial(option.ports[0]);
	if (fd >= 0 && send(fd, m.bytes, m.len, MSG_NOSIGNAL) == (ssize_t)m.len)
		return fd;
	errors++;
	return fd;
}

static void start_trouble(void)
{
	char path[256];
	struct message upload = make_request(option.path, 4096);
	upload.len -= 4095;
	for (int i = 0; i < option.stall; i++)
		trouble(upload);
	snprintf(path, sizeof path, "%s?body=%d", option.path, LONG_ANSWER);
	struct message ask = make_request(path, 0);
	for (int i = 0; i < option.deaf; i++)
		trouble(ask);
	leavers = calloc((size_t)option.leave + 1, sizeof *leavers);
	if (!leavers)
		die("calloc");
}

static void come_and_leave(uint64_t t)
{
	static struct message ask;
	char path[256];
	if (!ask.bytes) {
		snprintf(path, sizeof path, "%s?leave=1", option.path);
		ask = make_request(path, 0);
	}
	uint64_t step = (stop_ns - measure_ns) / (uint64_t)(option.leave + 1);
	while (leavers_come < option.leave && measure_ns + step * (uint64_t)leavers_come <= t) {
		struct leaver *l = &leavers[leavers_come++];
		l->fd = trouble(ask);
		l->due_ns = now_ns() + LEAVE_AFTER_NS;
	}
	while (leavers_gone < leavers_come && leavers[leavers_gone].due_ns <= t)
		close(leavers[leavers_gone++].fd);
}

/* ---- the loop ---- */

static void turn(uint64_t wait_ns)
{
	struct epoll_event events[EVENTS];
	struct timespec wait = clock_timespec(wait_ns);
	int n = epoll_pwait2(epoll_fd, events, EVENTS, &wait, NULL);
	if (n < 0 && errno != EINTR)
		die("epoll_pwait2");
	for (int i = 0; i < n; i++) {
		struct client *c = events[i].data.ptr;
		if (!c->up)
			continue;
		if (events[i].events & EPOLLOUT) {
			arm(c, EPOLL_CTL_MOD, EPOLLIN);
			send_rest(c);
		}
		if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			on_readable(c);
	}
}

static void run_once(uint64_t start_ns)
{
	double gap_ns = option.rate > 0 ? 1e9 / option.rate : 0;
	for (int i = 0; i < option.conns; i++) {
		uint64_t due = start_ns + (uint64_t)(gap_ns * i), t;
		char path[256];
		while ((t = now_ns()) < due)
			turn(due - t);
		struct message m = request;
		if (option.seq) {
			snprintf(path, sizeof path, "%s?seq=%d", option.path, i);
			m = make_request(path, option.post);
		}
		if (clients[i].up)
			fire(&clients[i], now_ns(), m);
	}
	printf("sent\n");
	fflush(stdout);
	while (answered + dropped < sent && now_ns() < stop_ns + LINGER_NS)
		turn(TURN_MAX_NS);
}

/* Lets arrive what is due by t; returns when the next is. */
static uint64_t poisson_arrivals(uint64_t due, uint64_t t)
{
	while (due <= t) {
		double uniform = ((double)(next_random(&random_state) >> 11) + 0.5) / 9007199254740992.0;
		if (waiting_tail - waiting_head == WAITING) {
			fprintf(stderr, "load: too many wait\n");
			exit(1);
		}
		waiting[waiting_tail++ % WAITING] = due;
		due += (uint64_t)(-log(uniform) * 1e9 / option.rate);
	}
	struct client *c;
	while (waiting_head != waiting_tail && (c = take_free())) {
		if (c->up)
			fire(c, waiting[waiting_head++ % WAITING], request);
	}
	return due;
}

static void run_loop(uint64_t start_ns)
{
	uint64_t due = start_ns;
	for (int i = 0; i < option.conns; i++) {
		if (option.rate > 0)
			put_free(&clients[i]);
		else
			fire(&clients[i], now_ns(), request);
	}
	for (uint64_t t; (t = now_ns()) < stop_ns;) {
		uint64_t wait_ns = option.leave ? 1000000 : TURN_MAX_NS;
		if (option.rate > 0) {
			due = poisson_arrivals(due, t);
			if (due - t < wait_ns)
				wait_ns = due - t;
		}
		if (option.leave && t >= measure_ns)
			come_and_leave(t);
		turn(wait_ns);
	}
}

static void report(double span)
{
	uint64_t low = UINT64_MAX, high = 0;
	double sum = 0, squares = 0;
	for (int i = 0; i < option.conns; i++) {
		uint64_t done = clients[i].done;
		low = done < low ? done : low;
		high = done > high ? done : high;
		sum += (double)done;
		squares += (double)done * (double)done;
	}
	printf("{\"sent\": %lu, \"answered\": %lu, \"ok\": %lu, \"dropped\": %lu, \"errors\": %lu, "
	       "\"reconnects\": %lu, \"left\": %d, \"rps\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
	       "\"p999_us\": %.1f, \"conn_min\": %lu, \"conn_max\": %lu, \"jain\": %.4f}\n",
		sent, answered, ok, dropped, errors, reconnects, leavers_gone, (double)measured / span,
		hist_percentile_us(&latency, 50), hist_percentile_us(&latency, 99),
		hist_percentile_us(&latency, 99.9), low, high,
		squares > 0 ? sum * sum / (squares * option.conns) : 0.0);
	fflush(stdout);
}

/* ---- the command line ---- */

static void read_ports(const char *list)
{
	char *end;
	for (; *list && option.n_ports < PORTS; list = *end == ',' ? end + 1 : end) {
		option.ports[option.n_ports++] = (int)strtol(list, &end, 10);
		if (end == list)
			break;
	}
}

/* False: the option is none that takes a value. */
static bool read_valued(const char *name, const char *value)
{
	if (!strcmp(name, "--ports"))
		read_ports(value);
	else if (!strcmp(name, "--conns"))
		option.conns = atoi(value);
	else if (!strcmp(name, "--seconds"))
		option.seconds = atof(value);
	else if (!strcmp(name, "--warmup"))
		option.warmup = atof(value);
	else if (!strcmp(name, "--rate"))
		option.rate = atof(value);
	else if (!strcmp(name, "--post"))
		option.post = strtoull(value, NULL, 10);
	else if (!strcmp(name, "--path"))
		option.path = value;
	else if (!strcmp(name, "--stall"))
		option.stall = atoi(value);
	else if (!strcmp(name, "--deaf"))
		option.deaf = atoi(value);
	else if (!strcmp(name, "--leave"))
		option.leave = atoi(value);
	else
		return false;
	return true;
}

static void read_arguments(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--once")) {
			option.once = true;
		} else if (!strcmp(argv[i], "--seq")) {
			option.seq = true;
		} else if (!strcmp(argv[i], "--hold")) {
			option.hold = true;
		} else if (i + 1 >= argc || !read_valued(argv[i], argv[i + 1])) {
			fprintf(stderr, "load: %s: unknown, or without its value\n", argv[i]);
			exit(2);
		} else {
			i++;
		}
	}
	if (!option.n_ports || option.conns < 1) {
		fprintf(stderr, "load: which ports, and how many connections?\n");
		exit(2);
	}
}

static void connect_all(void)
{
	clients = calloc((size_t)option.conns, sizeof *clients);
	waiting = calloc(option.rate > 0 && !option.once ? WAITING : 1, sizeof *waiting);
	if (!clients || !waiting)
		die("calloc");
	for (int i = 0; i < option.conns; i++) {
		clients[i].port = option.ports[i % option.n_ports];
		if (!connect_client(&clients[i]))
			die("connect");
	}
	printf("connected\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char byte;
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_TIMERSLACK, 1ul, 0, 0, 0);
	read_arguments(argc, argv);
	request = make_request(option.path, option.post);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	connect_all();
	start_trouble();
	uint64_t start_ns = now_ns();
	measure_ns = start_ns + (uint64_t)(option.warmup * 1e9);
	stop_ns = measure_ns + (uint64_t)(option.seconds * 1e9);
	if (option.once)
		run_once(start_ns);
	else
		run_loop(start_ns);
	double span = option.once ? (double)(now_ns() - measure_ns) / 1e9 : option.seconds;
	if (option.hold) {
		printf("ready\n");
		fflush(stdout);
		while (read(0, &byte, 1) > 0)
			;
	}
	report(span);
	return 0;
}
