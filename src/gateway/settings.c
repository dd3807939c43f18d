#include "gateway/settings.h"

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
		.jobs_max = 10000,
		.jobs_max_bytes = MIB(256),
		.jobs_max_age_us = SEC(3600),
		.drain_timeout_us = SEC(30),
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
