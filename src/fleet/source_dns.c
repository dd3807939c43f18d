/* dns:NAME:PORT: the addresses that a name has, A and AAAA, each a container.
 *
 *   timer ──▶ both queries ──▶ conclude ──▶ timer, when the shortest time to live is over
 *
 * Each family keeps what it knows while its queries fail. A name without any address (NXDOMAIN, or no such
 * record) keeps its containers for dns.grace, for an answer may be empty for a moment while everything behind
 * the name is replaced. /etc/resolv.conf and /etc/hosts are read anew for each round.
 *
 * c-ares sends and receives; its sockets stand in an epoll of their own, which the loop watches like one
 * descriptor.
 */
#include "fleet/source_kinds.h"

#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { FAMILIES = 2, TRIES = 2, EVENTS = 16 };

enum outcome { OUTCOME_PENDING, OUTCOME_FOUND, OUTCOME_NONE, OUTCOME_FAILED };

/* What is known of one kind of record. */
struct family {
	struct dns *dns; /* borrowed: the owner */
	int af;
	enum outcome outcome;   /* of the round */
	int status;             /* c-ares's, where it has failed */
	uint64_t ttl_us;        /* of the round, the shortest */
	struct in6_addr *addrs; /* owned; an IPv4 address fills the first 4 bytes */
	size_t n;
};

struct dns {
	struct source source;
	char name[SOURCE_TEXT];
	uint16_t port;
	struct io_watch watch; /* of an epoll, owned, that holds c-ares's sockets */
	struct io_timer timer; /* the next round, or c-ares's next time-out */
	ares_channel channel;  /* owned; NULL between rounds */
	struct family families[FAMILIES];
	uint64_t empty_since_us; /* no address since then; 0: it has one */
	uint64_t pause_us;       /* before the next round after one that found nothing; doubles */
};

/* ---- telling ---- */

static void make_addr(struct io_addr *ret, const struct family *f, size_t i)
{
	uint16_t port = htons(f->dns->port);
	*ret = (struct io_addr){ 0 };
	if (f->af == AF_INET) {
		ret->in.sin_family = AF_INET;
		ret->in.sin_port = port;
		memcpy(&ret->in.sin_addr, &f->addrs[i], sizeof ret->in.sin_addr);
		ret->len = sizeof ret->in;
	} else {
		ret->in6.sin6_family = AF_INET6;
		ret->in6.sin6_port = port;
		ret->in6.sin6_addr = f->addrs[i];
		ret->len = sizeof ret->in6;
	}
}

static void tell(struct dns *d)
{
	const struct source_events *events = d->source.events;
	size_t n = d->families[0].n + d->families[1].n, at = 0;
	struct source_container *list = calloc(n ? n : 1, sizeof *list);
	if (!list) {
		events->on_unreachable(d->source.user, "out of memory");
		return;
	}
	for (int k = 0; k < FAMILIES; k++) {
		for (size_t i = 0; i < d->families[k].n; i++)
			make_addr(&list[at++].addr, &d->families[k], i);
	}
	events->on_list(d->source.user, list, n);
	free(list);
}

/* ---- the end of a round ---- */

static uint64_t within(uint64_t us, uint64_t least, uint64_t most)
{
	return us < least ? least : us > most ? most : us;
}

static uint64_t next_pause_us(struct dns *d)
{
	const struct source_settings *s = &d->source.settings;
	uint64_t us = within(d->pause_us, s->dns_ttl_min_us, s->dns_ttl_max_us);
	d->pause_us = us * 2;
	return us;
}

/* Some address was found; the family that failed keeps what it had, the one that has none has none. */
static uint64_t conclude_found(struct dns *d)
{
	uint64_t ttl_us = UINT64_MAX;
	for (int k = 0; k < FAMILIES; k++) {
		struct family *f = &d->families[k];
		if (f->outcome == OUTCOME_NONE)
			f->n = 0;
		if (f->outcome == OUTCOME_FOUND && f->ttl_us < ttl_us)
			ttl_us = f->ttl_us;
	}
	d->empty_since_us = d->pause_us = 0;
	tell(d);
	return within(ttl_us, d->source.settings.dns_ttl_min_us, d->source.settings.dns_ttl_max_us);
}

static uint64_t conclude_none(struct dns *d)
{
	uint64_t now_us = d->source.io->now_us, grace_us = d->source.settings.dns_grace_us;
	if (!d->empty_since_us)
		d->empty_since_us = now_us;
	if (now_us - d->empty_since_us < grace_us) {
		d->source.events->on_unreachable(d->source.user, "the name has no address");
		uint64_t left_us = d->empty_since_us + grace_us - now_us, us = next_pause_us(d);
		return us < left_us ? us : left_us;
	}
	d->families[0].n = d->families[1].n = 0;
	tell(d);
	return next_pause_us(d);
}

static uint64_t conclude_failed(struct dns *d, const struct family *f)
{
	char why[SOURCE_ERROR];
	snprintf(why, sizeof why, "asking for %s records: %s", f->af == AF_INET ? "A" : "AAAA",
		ares_strerror(f->status));
	d->source.events->on_unreachable(d->source.user, why);
	return next_pause_us(d);
}

static uint64_t conclude(struct dns *d)
{
	const struct family *failed = NULL;
	for (int k = 0; k < FAMILIES; k++) {
		if (d->families[k].outcome == OUTCOME_FOUND)
			return conclude_found(d);
		if (d->families[k].outcome == OUTCOME_FAILED && !failed)
			failed = &d->families[k];
	}
	return failed ? conclude_failed(d, failed) : conclude_none(d);
}

/* ---- the round ---- */

static void keep_answer(struct family *f, const struct ares_addrinfo *answer)
{
	size_t n = 0;
	f->ttl_us = UINT64_MAX;
	for (const struct ares_addrinfo_node *a = answer->nodes; a; a = a->ai_next)
		n += a->ai_family == f->af;
	struct in6_addr *addrs = calloc(n ? n : 1, sizeof *addrs);
	if (!addrs) {
		f->outcome = OUTCOME_FAILED;
		f->status = ARES_ENOMEM;
		return;
	}
	free(f->addrs);
	f->addrs = addrs;
	f->n = 0;
	for (const struct ares_addrinfo_node *a = answer->nodes; a; a = a->ai_next) {
		uint64_t ttl_us = a->ai_ttl > 0 ? (uint64_t)a->ai_ttl * 1000000 : 0;
		if (a->ai_family != f->af)
			continue;
		if (f->af == AF_INET)
			memcpy(&addrs[f->n++],
				&((const struct sockaddr_in *)(const void *)a->ai_addr)->sin_addr, 4);
		else
			addrs[f->n++] = ((const struct sockaddr_in6 *)(const void *)a->ai_addr)->sin6_addr;
		f->ttl_us = ttl_us < f->ttl_us ? ttl_us : f->ttl_us;
	}
	f->outcome = n ? OUTCOME_FOUND : OUTCOME_NONE;
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *answer)
{
	struct family *f = arg;
	f->status = status;
	switch (status) {
	case ARES_SUCCESS:
		keep_answer(f, answer);
		break;
	case ARES_ENODATA:
	case ARES_ENOTFOUND: /* NXDOMAIN */
		f->outcome = OUTCOME_NONE;
		break;
	default: /* also ARES_EDESTRUCTION, which nobody looks at any more */
		f->outcome = OUTCOME_FAILED;
		break;
	}
	if (answer)
		ares_freeaddrinfo(answer);
}

static void on_socket(void *data, ares_socket_t fd, int readable, int writable)
{
	struct dns *d = data;
	struct epoll_event ev = { .events = (readable ? (uint32_t)EPOLLIN : 0) |
			(writable ? (uint32_t)EPOLLOUT : 0),
		.data.fd = fd };
	if (!ev.events)
		(void)epoll_ctl(d->watch.fd, EPOLL_CTL_DEL, fd, NULL);
	else if (epoll_ctl(d->watch.fd, EPOLL_CTL_MOD, fd, &ev) < 0)
		(void)epoll_ctl(d->watch.fd, EPOLL_CTL_ADD, fd, &ev); /* if it fails, the time-out ends it */
}

/* 0 or c-ares's error. */
static int open_channel(struct dns *d)
{
	char lookups_hosts_too[] = "fb", lookups[] = "b", server[IO_ADDR_TEXT];
	const struct io_addr *other = &d->source.settings.dns_server;
	struct ares_options options = {
		.timeout = (int)(d->source.settings.dns_timeout_us / 1000),
		.tries = TRIES,
		.lookups = other->len ? lookups : lookups_hosts_too,
		.sock_state_cb = on_socket,
		.sock_state_cb_data = d,
	};
	int status = ares_init_options(&d->channel, &options,
		ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB);
	if (status == ARES_SUCCESS && other->len)
		status = ares_set_servers_ports_csv(d->channel, io_addr_print(other, true, server));
	return status;
}

static void close_channel(struct dns *d)
{
	if (d->channel)
		ares_destroy(d->channel);
	d->channel = NULL;
}

static void begin_round(struct dns *d)
{
	int status = open_channel(d);
	for (int k = 0; k < FAMILIES; k++) {
		struct family *f = &d->families[k];
		struct ares_addrinfo_hints hints = { .ai_family = f->af, .ai_flags = ARES_AI_NOSORT };
		f->outcome = status == ARES_SUCCESS ? OUTCOME_PENDING : OUTCOME_FAILED;
		f->status = status;
		if (status == ARES_SUCCESS)
			ares_getaddrinfo(d->channel, d->name, NULL, &hints, on_answer, f);
	}
}

/* After anything that may have brought the last answer. */
static void go_on(struct dns *d)
{
	struct io *io = d->source.io;
	struct timeval longest = { .tv_sec = 60 }, wait;
	if (d->families[0].outcome == OUTCOME_PENDING || d->families[1].outcome == OUTCOME_PENDING) {
		const struct timeval *t = ares_timeout(d->channel, &longest, &wait);
		io_timer_set(
			io, &d->timer, io->now_us + (uint64_t)t->tv_sec * 1000000 + (uint64_t)t->tv_usec + 1);
		return;
	}
	close_channel(d);
	io_timer_set(io, &d->timer, io->now_us + conclude(d));
}

static void on_timer(struct io_timer *t)
{
	struct dns *d = CONTAINER_OF(t, struct dns, timer);
	if (d->channel)
		ares_process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	else
		begin_round(d);
	go_on(d);
}

static void on_ready(struct io_watch *w)
{
	struct dns *d = CONTAINER_OF(w, struct dns, watch);
	struct epoll_event events[EVENTS];
	int n = epoll_wait(w->fd, events, EVENTS, 0);
	for (int i = 0; i < n && d->channel; i++) {
		bool readable = events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP);
		bool writable = events[i].events & EPOLLOUT;
		ares_process_fd(d->channel, readable ? events[i].data.fd : ARES_SOCKET_BAD,
			writable ? events[i].data.fd : ARES_SOCKET_BAD);
	}
	if (d->channel)
		go_on(d);
}

/* ---- the kind ---- */

/* "NAME:PORT" */
static bool split(const char *rest, char name[SOURCE_TEXT], uint16_t *ret_port)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
	const char *colon = strrchr(rest, ':');
	uint64_t port;
	size_t n = colon ? (size_t)(colon - rest) : 0;
	if (!n || strspn(rest, allowed) != n || !str_to_u64(str_of(colon + 1), &port) || port < 1 ||
		port > 65535)
		return false;
	str_copy(name, SOURCE_TEXT, (struct str){ rest, n });
	*ret_port = (uint16_t)port;
	return true;
}

static bool check(const char *rest, char error[SOURCE_ERROR])
{
	char name[SOURCE_TEXT];
	uint16_t port;
	if (split(rest, name, &port))
		return true;
	snprintf(error, SOURCE_ERROR, "expected dns:NAME:PORT, as in dns:workers.internal:5000");
	return false;
}

static void destroy(struct source *source)
{
	struct dns *d = CONTAINER_OF(source, struct dns, source);
	close_channel(d);
	io_timer_stop(source->io, &d->timer);
	io_epoll_unwatch(source->io, &d->watch);
	close(d->watch.fd);
	for (int k = 0; k < FAMILIES; k++)
		free(d->families[k].addrs);
	free(d);
	ares_library_cleanup();
}

static struct source *create(const struct source *base)
{
	static const int afs[FAMILIES] = { AF_INET, AF_INET6 };
	struct dns *d = calloc(1, sizeof *d);
	if (!d)
		return NULL;
	d->source = *base;
	bool ok = split(base->rest, d->name, &d->port);
	CHECK(ok);
	for (int k = 0; k < FAMILIES; k++)
		d->families[k] = (struct family){ .dns = d, .af = afs[k] };
	d->watch = (struct io_watch){ .fd = epoll_create1(EPOLL_CLOEXEC), .on_ready = on_ready };
	d->timer.on_timer = on_timer;
	int err = d->watch.fd < 0 ? -errno : io_epoll_watch(base->io, &d->watch);
	if (err == 0 && ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
		io_epoll_unwatch(base->io, &d->watch);
		err = -ENOMEM;
	}
	if (err < 0) {
		if (d->watch.fd >= 0)
			close(d->watch.fd);
		free(d);
		errno = -err;
		return NULL;
	}
	io_timer_set(base->io, &d->timer, base->io->now_us);
	return &d->source;
}

const struct source_kind source_dns = {
	.name = "dns",
	.check = check,
	.create = create,
	.destroy = destroy,
};
