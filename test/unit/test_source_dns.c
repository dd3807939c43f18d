/* dns:NAME:PORT before a name server that answers as the test says, also what no real one can be made to say.
 * What a real one says: test/integration/test_discovery_dns.py. */
#include "source_rig.h"
#include "unit.h"

#include <arpa/inet.h>
#include <unistd.h>

enum { QUESTION_MAX = 512, RECORDS = 3, TYPE_A = 1, TYPE_AAAA = 28 };

enum rcode { NOERROR = 0, SERVFAIL = 2, NXDOMAIN = 3, REFUSED = 5, NONSENSE = 100, SILENCE = 101 };

/* What is answered to questions of one type. */
struct answer {
	enum rcode rcode;
	const char *ips[RECORDS + 1]; /* up to the first NULL */
	uint32_t ttl_s;
};

struct server {
	struct io_watch watch;
	struct io_addr addr;
	struct answer a, aaaa;
	unsigned questions;
};

static size_t put16(uint8_t *at, unsigned v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
	return 2;
}

/* RFC 1035 §4.1.3, the name as a pointer to the question's. */
static size_t put_record(uint8_t *at, unsigned type, const char *ip, uint32_t ttl_s)
{
	size_t n = put16(at, 0xc00c);
	n += put16(at + n, type);
	n += put16(at + n, 1);
	n += put16(at + n, ttl_s >> 16);
	n += put16(at + n, ttl_s & 0xffff);
	size_t bytes = type == TYPE_A ? 4 : 16;
	n += put16(at + n, (unsigned)bytes);
	assert_int_equal(inet_pton(type == TYPE_A ? AF_INET : AF_INET6, ip, at + n), 1);
	return n + bytes;
}

static void on_question(struct io_watch *w)
{
	struct server *s = CONTAINER_OF(w, struct server, watch);
	uint8_t m[2 * QUESTION_MAX];
	struct io_addr from = { .len = sizeof from.in };
	ssize_t got = recvfrom(w->fd, m, QUESTION_MAX, MSG_DONTWAIT, &from.sa, &from.len);
	if (got < 17)
		return;
	s->questions++;
	size_t end = 12;
	while (m[end])
		end += m[end] + 1u;
	unsigned type = (unsigned)m[end + 1] << 8 | m[end + 2], records = 0;
	size_t n = end + 5; /* without the question's additional records */
	const struct answer *answer = type == TYPE_A ? &s->a : &s->aaaa;
	if (answer->rcode == SILENCE)
		return;
	for (; answer->rcode == NOERROR && records < RECORDS && answer->ips[records]; records++)
		n += put_record(m + n, type, answer->ips[records], answer->ttl_s);
	put16(m + 2, 0x8180 | (answer->rcode == NONSENSE ? 0 : answer->rcode));
	put16(m + 6, answer->rcode == NONSENSE ? 7 : records); /* which are not there */
	put16(m + 8, 0);
	put16(m + 10, 0);
	(void)!sendto(w->fd, m, n, 0, &from.sa, from.len);
}

struct name {
	struct rig rig;
	struct server server;
	struct source *source;
};

static void name_init(struct name *n, uint64_t ttl_max_us, uint64_t grace_us)
{
	rig_init(&n->rig);
	n->server = (struct server){ .watch.on_ready = on_question };
	n->server.watch.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(io_addr_parse(&n->server.addr, "127.0.0.1:0"));
	assert_int_equal(bind(n->server.watch.fd, &n->server.addr.sa, n->server.addr.len), 0);
	assert_int_equal(getsockname(n->server.watch.fd, &n->server.addr.sa, &n->server.addr.len), 0);
	assert_int_equal(io_epoll_watch(n->rig.io, &n->server.watch), 0);
	const struct source_settings settings = {
		.dns_server = n->server.addr,
		.dns_ttl_min_us = 5000,
		.dns_ttl_max_us = ttl_max_us,
		.dns_timeout_us = 50000,
		.dns_grace_us = grace_us,
		.containers_max = 10,
	};
	n->source = source_create(n->rig.io, "dns:workers.test:5000", &settings, &rig_events, &n->rig);
	assert_non_null(n->source);
}

static void name_finish(struct name *n)
{
	source_destroy(n->source);
	io_epoll_unwatch(n->rig.io, &n->server.watch);
	close(n->server.watch.fd);
	rig_finish(&n->rig);
}

#define HOUR_US UINT64_C(3600000000)

static const char *const both[] = { "10.0.0.1:5000", "[fd00::1]:5000", NULL };
static const char *const v4_only[] = { "10.0.0.2:5000", NULL };
static const char *const v6_kept[] = { "10.0.0.2:5000", "[fd00::1]:5000", NULL };
static const char *const nothing[] = { NULL };

static void test_both_families(void **state)
{
	struct name n;
	name_init(&n, 10000, HOUR_US);
	n.server.a = (struct answer){ .ips = { "10.0.0.1" } };
	n.server.aaaa = (struct answer){ .ips = { "fd00::1" } };
	rig_await_addrs(&n.rig, both);
	n.server.a = (struct answer){ .ips = { "10.0.0.2" } };
	n.server.aaaa.rcode = SERVFAIL; /* then its addresses stay … */
	rig_await_addrs(&n.rig, v6_kept);
	n.server.aaaa = (struct answer){ .ips = { NULL } }; /* … and go when it says that there is none */
	rig_await_addrs(&n.rig, v4_only);
	assert_int_equal(n.rig.failures, 0);
	name_finish(&n);
}

/* Whatever goes wrong, what is known stays; each is asked anew until it is well again. */
static void test_failures_keep_what_is_known(void **state)
{
	static const enum rcode codes[] = { SERVFAIL, REFUSED, NONSENSE, SILENCE };
	struct name n;
	name_init(&n, 10000, 0);
	n.server.a = (struct answer){ .ips = { "10.0.0.2" } };
	rig_await_addrs(&n.rig, v4_only);
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		unsigned lists = n.rig.lists;
		n.server.a.rcode = n.server.aaaa.rcode = codes[i];
		rig_await_failure(&n.rig, "asking for A records: ");
		assert_true(n.rig.lists <= lists + 1); /* one may have been under way */
		assert_int_equal(n.rig.n, 1);
		n.server.a.rcode = n.server.aaaa.rcode = NOERROR;
		rig_await_list(&n.rig, n.rig.lists + 1);
		assert_int_equal(n.rig.n, 1);
	}
	/* one family says that there is nothing, the other nothing at all: nobody knows */
	n.server.a.rcode = NXDOMAIN;
	n.server.aaaa.rcode = SERVFAIL;
	rig_await_failure(&n.rig, "asking for AAAA records: ");
	assert_int_equal(n.rig.n, 1);
	name_finish(&n);
}

static void test_a_name_without_addresses(void **state)
{
	struct name n;
	name_init(&n, 10000, HOUR_US);
	n.server.a = (struct answer){ .ips = { "10.0.0.2" } };
	rig_await_addrs(&n.rig, v4_only);
	n.server.a.rcode = n.server.aaaa.rcode = NXDOMAIN;
	rig_await_failure(&n.rig, "the name has no address");
	assert_int_equal(n.rig.n, 1);
	name_finish(&n);

	name_init(&n, 10000, 100000);
	n.server.a = (struct answer){ .ips = { "10.0.0.2" } };
	rig_await_addrs(&n.rig, v4_only);
	n.server.a = (struct answer){ .ips = { NULL } }; /* it is there, and has no record */
	rig_await_failure(&n.rig, "the name has no address");
	rig_await_addrs(&n.rig, nothing);
	n.server.a = (struct answer){ .ips = { "10.0.0.2" } };
	rig_await_addrs(&n.rig, v4_only);
	name_finish(&n);
}

/* The shortest time to live of an answer holds: with 0 s it is asked every 5 ms, the least. With an hour for
 * both, it is not asked again. */
static void test_times_to_live(void **state)
{
	struct name n;
	name_init(&n, HOUR_US, HOUR_US);
	n.server.a = (struct answer){ .ips = { "10.0.0.1" }, .ttl_s = 3000 };
	n.server.aaaa = (struct answer){ .ips = { "fd00::1" }, .ttl_s = 0 };
	rig_await_list(&n.rig, 5);
	n.server.aaaa.ttl_s = 3000;
	unsigned before;
	do {
		before = n.server.questions;
		rig_await_ticks(&n.rig, 100);
	} while (n.server.questions != before);
	assert_true(n.rig.lists >= 6);
	assert_true(n.rig.lists <= 8); /* the least pause would have made some 40 of it */
	name_finish(&n);
}

static bool has_been_asked(struct rig *r)
{
	return CONTAINER_OF(r, struct name, rig)->server.questions >= 2;
}

/* Before the first question, and with a question that waits for its answer. */
static void test_a_source_that_goes_early(void **state)
{
	struct name n;
	name_init(&n, HOUR_US, HOUR_US);
	name_finish(&n);
	name_init(&n, HOUR_US, HOUR_US);
	n.server.a.rcode = n.server.aaaa.rcode = SILENCE;
	rig_await(&n.rig, has_been_asked);
	name_finish(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_families),
		cmocka_unit_test(test_failures_keep_what_is_known),
		cmocka_unit_test(test_a_name_without_addresses),
		cmocka_unit_test(test_times_to_live),
		cmocka_unit_test(test_a_source_that_goes_early),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
