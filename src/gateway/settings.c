#include "gateway/settings.h"

#include <arpa/inet.h>
#include <string.h>

#define MS(n)  ((uint64_t)(n)*1000)
#define SEC(n) ((uint64_t)(n)*1000000)
#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

void settings_default(struct settings *s)
{
	*s = (struct settings){
		.max_connections = 50000,
		.max_head_bytes = KIB(16),
		.max_body_bytes = MIB(64),
		.body_memory_bytes = MIB(1),
		.memory_limit_bytes = GIB(1),
		.spool_max_bytes = GIB(4),
		.client_head_us = SEC(10),
		.client_body_us = SEC(30),
		.client_idle_us = SEC(75),
		.client_send_us = SEC(60),
		.client_body_rate = 500,
		.client_send_rate = 500,
		.jobs_max = 10000,
		.store = "memory",
		.jobs_max_records = 100000,
		.jobs_max_bytes = GIB(1),
		.jobs_max_result_bytes = MIB(64),
		.jobs_max_age_us = SEC(3600),
		.jobs_record_age_us = SEC(86400),
		.jobs_key_age_us = SEC(86400),
		.drain_timeout_us = SEC(30),
		.io = IO_EPOLL,
		.spin_share = 10,
		.sources = {
			.dns_ttl_min_us = SEC(1),
			.dns_ttl_max_us = SEC(60),
			.dns_timeout_us = SEC(2),
			.dns_grace_us = SEC(10),
			.containers_max = 1000,
		},
	};
}

void pool_settings_default(struct pool_settings *p)
{
	*p = (struct pool_settings){
		.name = "default",
		.host = "*",
		.path_prefix = "/",
		.submit_path = "/new_request",
		.submit_forward = "/run_model",
		.slots = 1,
		.queue_max = 10000,
		.queue_max_bytes = MIB(256),
		.queue_max_wait_us = SEC(60),
		.retry = RETRY_SAFE,
		.on_leave = LEAVE_FINISH,
		.job_attempts = 3,
		.zombie_timeout_us = SEC(60),
		.retry_percent = 20,
		.retry_min = 10,
		.retry_buffer_bytes = KIB(64),
		.health = {
			.interval_us = SEC(2),
			.timeout_us = SEC(1),
			.fall = 3,
			.rise = 1,
			.backoff_min_us = MS(100),
			.backoff_max_us = SEC(5),
		},
		.timeouts = {
			.connect_us = SEC(1),
			.first_byte_us = SEC(60),
			.idle_us = SEC(60),
			.total_us = SEC(600),
			.tunnel_us = SEC(3600),
		},
	};
}

static bool is_open_v4(uint32_t ip)
{
	return ip >> 16 != 0xa9fe && ip != 0x646464c8; /* 169.254.0.0/16; 100.100.100.200 */
}

bool container_addr_is_allowed(const struct io_addr *addr)
{
	static const uint8_t aws_metadata[16] = { 0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54 };
	const uint8_t *ip = addr->in6.sin6_addr.s6_addr;
	uint32_t v4;
	switch (addr->sa.sa_family) {
	case AF_UNIX:
		return true;
	case AF_INET:
		return addr->in.sin_port && is_open_v4(ntohl(addr->in.sin_addr.s_addr));
	case AF_INET6:
		memcpy(&v4, ip + 12, sizeof v4);
		if (!addr->in6.sin6_port || IN6_IS_ADDR_LINKLOCAL(&addr->in6.sin6_addr) ||
			!memcmp(ip, aws_metadata, 16))
			return false;
		return !IN6_IS_ADDR_V4MAPPED(&addr->in6.sin6_addr) || is_open_v4(ntohl(v4));
	default:
		return false;
	}
}

bool settings_store_header(const struct settings *s, struct str name)
{
	for (size_t i = 0; i < s->n_store_headers; i++) {
		if (str_eq_nocase(str_of(s->store_headers[i]), name))
			return true;
	}
	return false;
}
