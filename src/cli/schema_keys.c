#include "cli/schema.h"

#include "gateway/settings.h"

/* Where a row's value is kept. */
#define AT(type, member) \
	.offset = offsetof(struct type, member), .bytes = sizeof(((struct type *)NULL)->member)
#define LIST(type, member, count) AT(type, member), .count_offset = offsetof(struct type, count)
#define TOP(kind, path, member)   SCOPE_TOP, KIND_##kind, path, AT(settings, member)
#define POOL(kind, path, member)  SCOPE_POOL, KIND_##kind, path, AT(pool_settings, member)
#define FLEET(kind, path, member) SCOPE_FLEET, KIND_##kind, path, AT(fleet_settings, member)
#define DURATION(from, to)        .least = (from), .most = (to), .arg = "TIME"
#define SIZE(from, to)            .least = (from), .most = (to), .arg = "SIZE"
#define NUMBER(from, to)          .least = (from), .most = (to), .arg = "N"

#define MS   1000ull
#define SEC  1000000ull
#define HOUR (3600 * SEC)
#define DAY  (24 * HOUR)
#define KIB  (1ull << 10)
#define MIB  (1ull << 20)
#define GIB  (1ull << 30)
#define TIB  (1ull << 40)

static const char *const retry_names[] = { "safe", "always", "never", NULL };
static const char *const leave_names[] = { "finish", "close", NULL };
static const char *const job_retry_names[] = { "always", "never", NULL };
static const char *const io_names[] = { "auto", "epoll", "uring", NULL };
static const char *const off_auto[] = { "off", "auto", NULL };
static const char *const half_close_names[] = { "leave", "wait", NULL };
static const char *const fleet_places[] = { "local", "docker", "aws", NULL };
static const char *const orchestrator_places[] = { "container", "host", NULL };
static const char *const no_yes[] = { "no", "yes", NULL };

static const struct key keys[] = {
	{ SCOPE_TOP, KIND_ADDRS, "listen", LIST(settings, listen, n_listen), .arg = "ADDR",
		.only = ON_LOCAL | ON_DOCKER,
		.doc = "where clients come in: 127.0.0.1:8080, [::]:80, :80 (every address of the machine) "
		       "or unix:/path; port 0 lets the kernel choose" },
	{ TOP(ADDR_OFF, "admin", admin), .arg = "ADDR", .only = ON_LOCAL | ON_DOCKER,
		.doc = "where /status and /metrics are: loopback or unix:/path only, or off" },
	{ SCOPE_TOP, KIND_TEXTS, "admin_hosts", LIST(settings, admin_hosts, n_admin_hosts), .arg = "NAME",
		.doc = "further names that a request to the admin listener may call it by" },
	{ TOP(TEXT_OFF, "status_file", status_file), .arg = "FILE",
		.doc = "JSON report of the containers, replaced after every change, or off" },
	{ TOP(TEXT_OFF, "access_log", access_log), .arg = "FILE",
		.doc = "a JSON line for each request: stderr or a file, which SIGUSR1 reopens, or off" },
	{ SCOPE_TOP, KIND_NETWORKS, "trusted_proxies", LIST(settings, trusted_proxies, n_trusted_proxies),
		.arg = "NET", .doc = "addresses or networks whose X-Forwarded-For is believed" },
	{ TOP(NUMBER, "limits.connections", max_connections), NUMBER(1, 10000000),
		.doc = "clients connected at once" },
	{ TOP(NUMBER, "limits.connections_per_address", max_connections_per_address), NUMBER(0, 10000000),
		.doc = "of one address, an IPv6 /64 being one (429 above it); 0: no limit of its own" },
	{ TOP(SIZE, "limits.head", max_head_bytes), SIZE(KIB, HEAD_BYTES_MAX),
		.doc = "longest head of a request (431 above it)" },
	{ TOP(SIZE, "limits.body", max_body_bytes), SIZE(0, TIB),
		.doc = "longest body of a request (413 above it)" },
	{ TOP(SIZE, "limits.body_memory", body_memory_bytes), SIZE(4 * KIB, GIB),
		.doc = "a longer body is kept in a spool file" },
	{ TOP(SIZE, "limits.memory", memory_limit_bytes), SIZE(MIB, 16 * TIB),
		.doc = "bytes of requests and answers in memory, all together" },
	{ TOP(SIZE, "limits.spool", spool_max_bytes), SIZE(0, 1024 * TIB),
		.doc = "bytes in spool files, all together" },
	{ TOP(DURATION, "client_timeouts.head", client_head_us), DURATION(MS, DAY),
		.doc = "for a request's head, from its first byte" },
	{ TOP(DURATION, "client_timeouts.body", client_body_us), DURATION(MS, DAY),
		.doc = "between two pieces of a request's body" },
	{ TOP(DURATION, "client_timeouts.idle", client_idle_us), DURATION(MS, DAY),
		.doc = "between two requests of a connection" },
	{ TOP(DURATION, "client_timeouts.send", client_send_us), DURATION(MS, DAY),
		.doc = "for which a client may take nothing of its answer" },
	{ TOP(SIZE, "client_timeouts.body_rate", client_body_rate), SIZE(0, MIB),
		.doc = "bytes a second that a body comes with at least, over client_timeouts.body (408 below "
		       "it); 0: as slow as it likes" },
	{ TOP(SIZE, "client_timeouts.send_rate", client_send_rate), SIZE(0, MIB),
		.doc = "bytes a second that a client takes at least, over client_timeouts.send; 0: as slowly "
		       "as it likes" },
	{ TOP(TEXT, "store", store), .arg = "WHERE",
		.doc = "where background requests are kept: memory, or sqlite:PATH, which survives a crash; "
		       "auto: "
		       "berth up has a database for each fleet's name in $XDG_STATE_HOME/berth, berth serve "
		       "memory" },
	{ SCOPE_TOP, KIND_TEXTS, "store_headers", LIST(settings, store_headers, n_store_headers),
		.arg = "NAME",
		.doc = "of Authorization and Cookie, those that background requests keep, in the store and "
		       "on the way to a container" },
	{ TOP(NUMBER, "jobs.max", jobs_max), NUMBER(1, 100000000),
		.doc = "background requests that are not over (503 above it)" },
	{ TOP(NUMBER, "jobs.max_records", jobs_max_records), NUMBER(1, 1000000000),
		.doc = "kept in all; the oldest finished give way" },
	{ TOP(SIZE, "jobs.max_bytes", jobs_max_bytes), SIZE(MIB, 16 * TIB),
		.doc = "bytes of requests and results that are kept; likewise" },
	{ TOP(SIZE, "jobs.max_result_bytes", jobs_max_result_bytes), SIZE(KIB, TIB),
		.doc = "bytes of one result" },
	{ TOP(DURATION, "jobs.max_age", jobs_max_age_us), DURATION(SEC, 365 * DAY),
		.doc = "a result is kept for so long after its end; at most jobs.record_age" },
	{ TOP(DURATION, "jobs.record_age", jobs_record_age_us), DURATION(SEC, 3650 * DAY),
		.doc = "what became of a request is kept for so long after its end" },
	{ TOP(DURATION, "jobs.key_age", jobs_key_age_us), DURATION(SEC, 3650 * DAY),
		.doc = "an Idempotency-Key holds for so long after its end; likewise" },
	{ TOP(DURATION, "drain_timeout", drain_timeout_us), DURATION(0, DAY),
		.doc = "what runs or waits may take so long after SIGTERM" },
	{ TOP(ADDR_OFF, "dns.server", sources.dns_server), .arg = "ADDR",
		.doc = "the DNS server that containers: dns:… asks, 10.0.0.2:53; off: those of "
		       "/etc/resolv.conf, and /etc/hosts" },
	{ TOP(DURATION, "dns.ttl_min", sources.dns_ttl_min_us), DURATION(10 * MS, DAY),
		.doc = "a name is asked again when its time to live is over, and not before this" },
	{ TOP(DURATION, "dns.ttl_max", sources.dns_ttl_max_us), DURATION(10 * MS, DAY),
		.doc = "a name is asked again after this at the latest" },
	{ TOP(DURATION, "dns.timeout", sources.dns_timeout_us), DURATION(10 * MS, HOUR),
		.doc = "for a server's answer; each is asked twice" },
	{ TOP(DURATION, "dns.grace", sources.dns_grace_us), DURATION(0, DAY),
		.doc = "for which a name may have no address before its containers leave" },
	{ TOP(NUMBER, "discovery.max_containers", sources.containers_max), NUMBER(1, 100000),
		.doc = "containers that one source may know" },
	{ TOP(CHOICE, "io", io), .choices = io_names, .arg = "auto|epoll|uring",
		.doc = "how bytes come in: by epoll, by io_uring (Linux 6.1), or auto: by io_uring where "
		       "kernel "
		       "and container allow it" },
	{ TOP(CHOICE, "spin", spin), .choices = off_auto, .arg = "off|auto",
		.doc = "auto: while requests wait and a slot is about to become free, polls instead of "
		       "sleeping, which halves the time that the slot lies idle" },
	{ TOP(NUMBER, "spin_share", spin_share), NUMBER(1, 100),
		.doc = "percent of a core that spin may take" },
	{ TOP(CHOICE, "half_close", half_close_waits), .choices = half_close_names, .arg = "leave|wait",
		.doc = "a client that shuts its sending side down after a whole request has left, or waits "
		       "for the answer" },

	{ POOL(TEXT, "name", name), .arg = "NAME", .doc = "the pool's name in metrics and reports" },
	{ POOL(TEXT, "match.host", host), .arg = "HOST",
		.doc = "requests for this host: a name, *.example.org, or * for all" },
	{ POOL(TEXT, "match.path_prefix", path_prefix), .arg = "PATH",
		.doc = "requests whose path begins so; the longest prefix wins" },
	{ POOL(TEXT_OFF, "submit.path", submit_path), .arg = "PATH",
		.doc = "requests to this path are answered at once and run in the background, or off" },
	{ POOL(TEXT, "submit.forward", submit_forward), .arg = "PATH",
		.doc = "the containers' path that they go to" },
	{ SCOPE_POOL, KIND_CONTAINERS, "containers", LIST(pool_settings, containers, n_containers),
		.arg = "ADDR",
		.doc = "the containers: 127.0.0.1:5000, [::1]:5000 or unix:/path; or who knows them: "
		       "dns:NAME:PORT, file:PATH, docker:fleet=NAME, aws:cluster=NAME,ports=FROM-TO" },
	{ POOL(NUMBER, "slots", slots), NUMBER(1, POOL_SLOTS_MAX),
		.doc = "requests that a container may have in flight" },
	{ POOL(NUMBER, "queue.max", queue_max), NUMBER(0, 10000000),
		.doc = "requests that may wait (503 above it)" },
	{ POOL(SIZE, "queue.max_bytes", queue_max_bytes), SIZE(0, 16 * TIB),
		.doc = "bytes of the requests that wait" },
	{ POOL(DURATION, "queue.max_wait", queue_max_wait_us), DURATION(MS, 7 * DAY),
		.doc = "longest wait in the queue (503 after it)" },
	{ POOL(CHOICE, "retry", retry), .choices = retry_names, .arg = "safe|always|never",
		.doc = "whether a request goes to another container when its own fails; safe: never "
		       "delivered, or idempotent; after a time-out of its answer none does" },
	{ POOL(CHOICE, "on_leave", on_leave), .choices = leave_names, .arg = "finish|close",
		.doc = "a running request whose client has left is read to its end, or its connection is "
		       "closed" },
	{ POOL(NUMBER, "retry_budget.percent", retry_percent), NUMBER(0, 100),
		.doc = "requests that may be tried again within 10 s, as a share of the requests" },
	{ POOL(NUMBER, "retry_budget.min", retry_min), NUMBER(0, 1000000), .doc = "so many may in any case" },
	{ POOL(SIZE, "retry_buffer", retry_buffer_bytes), SIZE(0, 64 * MIB),
		.doc = "with retry: always, so much of an answer is held back until it is whole" },
	{ POOL(TEXT_OFF, "idle_probe.path", idle_probe.path), .arg = "PATH",
		.doc = "a GET of this path tells whether a container has nothing in flight, or off" },
	{ POOL(TEXT_OFF, "idle_probe.expect", idle_probe.expect), .arg = "TEXT",
		.doc = "what the answer's body contains then, or off: any 2xx" },
	{ POOL(DURATION, "zombie_timeout", zombie_timeout_us), DURATION(MS, 7 * DAY),
		.doc = "a given-up request that is not over by then takes its container out" },
	{ POOL(CHOICE, "job.retry", job_retry), .choices = job_retry_names, .arg = "always|never",
		.doc = "a background request runs at least once, or at most once" },
	{ POOL(NUMBER, "job.attempts", job_attempts), NUMBER(1, 100),
		.doc = "runs of a background request, before it has failed" },
	{ POOL(DURATION, "job.ttl", job_ttl_us), DURATION(0, 365 * DAY),
		.doc = "a background request that waits longer expires; 0s: never" },
	{ POOL(NUMBER, "busy_status", busy_status), NUMBER(0, 599),
		.doc = "an answer of this status means that the container is busy, and the request is queued "
		       "again; 0: none" },
	{ POOL(TEXT_OFF, "busy_header", busy_header), .arg = "NAME",
		.doc = "only when the answer has this field too, or off" },
	{ POOL(TEXT_OFF, "health.path", health.path), .arg = "PATH",
		.doc = "a GET of this path tells whether a container is up; off: connects and the requests "
		       "tell" },
	{ POOL(DURATION, "health.interval", health.interval_us), DURATION(10 * MS, DAY),
		.doc = "between two probes of a container" },
	{ POOL(DURATION, "health.timeout", health.timeout_us), DURATION(MS, HOUR),
		.doc = "for a probe's answer" },
	{ POOL(NUMBER, "health.fall", health.fall), NUMBER(1, 1000),
		.doc = "failures in a row that take a container out" },
	{ POOL(NUMBER, "health.rise", health.rise), NUMBER(1, 1000),
		.doc = "successes in a row that bring it back" },
	{ POOL(DURATION, "health.backoff_min", health.backoff_min_us), DURATION(MS, HOUR),
		.doc = "first pause before a lost container is tried again; it doubles" },
	{ POOL(DURATION, "health.backoff_max", health.backoff_max_us), DURATION(MS, DAY),
		.doc = "longest such pause" },
	{ POOL(DURATION, "timeouts.connect", timeouts.connect_us), DURATION(MS, HOUR),
		.doc = "for a connection to a container" },
	{ POOL(DURATION, "timeouts.first_byte", timeouts.first_byte_us), DURATION(MS, 7 * DAY),
		.doc = "until the answer begins, from the dispatch or the last interim answer (1xx)" },
	{ POOL(DURATION, "timeouts.idle", timeouts.idle_us), DURATION(MS, 7 * DAY),
		.doc = "between two pieces of an answer that has begun" },
	{ POOL(DURATION, "timeouts.total", timeouts.total_us), DURATION(MS, 7 * DAY),
		.doc = "for the whole answer, from the dispatch; event streams may last" },
	{ POOL(DURATION, "timeouts.tunnel", timeouts.tunnel_us), DURATION(MS, 365 * DAY),
		.doc = "in which nothing passes after a switch of protocols (WebSocket)" },

	{ FLEET(TEXT, "name", name), .arg = "NAME", .locates = true,
		.doc = "the fleet's name, by which berth status and berth down find it" },
	{ FLEET(CHOICE, "on", on), .choices = fleet_places, .arg = "local|docker|aws", .locates = true,
		.doc = "where the containers run: as processes of this machine, on a Docker Engine "
		       "(DOCKER_HOST), or on AWS EC2" },
	{ FLEET(NUMBER, "workers", workers), NUMBER(1, FLEET_WORKERS_MAX),
		.doc = "workers; on this machine, worker k is at 127.0.1.k" },
	{ FLEET(NUMBER, "containers", containers), NUMBER(1, FLEET_CONTAINERS_MAX),
		.doc = "containers of each worker" },
	{ FLEET(TEXT, "model", model), .arg = "PATH",
		.doc = "the model that they run: a directory or an .onnx file" },
	{ FLEET(NUMBER, "base_port", base_port), NUMBER(0, 65535),
		.doc = "port of a worker's first container, the others follow; 0 lets the kernel choose; on "
		       "Docker, "
		       "every container's port at its own address" },
	{ FLEET(CHOICE, "sockets", sockets), .choices = off_auto, .arg = "off|auto",
		.only = ON_LOCAL | ON_DOCKER,
		.doc = "on this machine and on Docker: Berth's own containers are reached by unix sockets, "
		       "which costs a third less than TCP; off: by TCP only" },
	{ FLEET(NUMBER, "delay_ms", delay_ms), NUMBER(0, 3600000),
		.doc = "slows each run by so many milliseconds, to see the queue" },
	{ FLEET(TEXT_OFF, "image", image), .arg = "NAME", .only = ON_DOCKER | ON_AWS,
		.doc = "on Docker and AWS: an image of your own, with any HTTP server on base_port, which is "
		       "pulled when it is not there; off: Berth's own, made of the model" },
	{ FLEET(CHOICE, "orchestrator", orchestrator), .choices = orchestrator_places,
		.arg = "container|host", .only = ON_DOCKER,
		.doc = "on Docker: the queue runs in a container, too, or as this process, in the "
		       "foreground" },
	{ FLEET(SIZE, "memory", memory_bytes), SIZE(16 * MIB, 16 * TIB), .only = ON_DOCKER | ON_AWS,
		.doc = "on Docker and AWS: a container that takes more is killed and started again" },
	{ FLEET(NUMBER, "cpu_percent", cpu_percent), NUMBER(0, 100000), .only = ON_DOCKER | ON_AWS,
		.doc = "on Docker and AWS: of one core, for each container; 0: no limit" },
	{ FLEET(NUMBER, "pids", pids), NUMBER(1, 4000000), .only = ON_DOCKER | ON_AWS,
		.doc = "on Docker and AWS: processes and threads of a container" },
	{ FLEET(CHOICE, "writable_root", writable_root), .choices = no_yes, .arg = "no|yes",
		.only = ON_DOCKER | ON_AWS,
		.doc = "on Docker and AWS: a container may write to its own files, and not to /tmp only" },
	{ FLEET(DURATION, "ready_timeout", ready_timeout_us), DURATION(SEC, DAY), .only = ON_DOCKER | ON_AWS,
		.doc = "elsewhere than on this machine: all must be ready by then, or berth up has failed" },
	{ FLEET(TEXT_OFF, "region", aws.region), .arg = "REGION", .locates = true, .only = ON_AWS,
		.doc = "on AWS: eu-central-1, …; off: AWS_REGION, the profile's, or the instance's own" },
	{ FLEET(TEXT_OFF, "profile", aws.profile), .arg = "NAME", .locates = true, .only = ON_AWS,
		.doc = "on AWS: the profile of ~/.aws whose keys are used; off: those of the environment "
		       "first" },
	{ FLEET(TEXT_OFF, "bucket", aws.bucket), .arg = "NAME", .locates = true, .only = ON_AWS,
		.doc = "on AWS: a bucket of yours that images go to; off: one is made, and removed with the "
		       "fleet" },
	{ FLEET(TEXT, "instance_type", aws.instance_type), .arg = "TYPE", .only = ON_AWS,
		.doc = "on AWS: of every machine" },
	{ FLEET(TEXT_OFF, "ami", aws.ami), .arg = "ID", .only = ON_AWS,
		.doc = "on AWS: the machines' image, with apt or dnf; off: Debian 13's newest" },
	{ FLEET(TEXT_OFF, "subnet", aws.subnet), .arg = "ID", .only = ON_AWS,
		.doc = "on AWS: where the machines are; off: a default subnet of the default VPC" },
	{ FLEET(TEXT_OFF, "key", aws.key), .arg = "NAME", .only = ON_AWS,
		.doc = "on AWS: a key pair for SSH; no rule lets SSH in, though" },
	{ SCOPE_FLEET, KIND_NETWORKS, "admin_cidr", LIST(fleet_settings, aws.admin_cidrs, aws.n_admin_cidrs),
		.arg = "NET", .only = ON_AWS,
		.doc = "on AWS: the addresses or networks that may reach the front" },
	{ FLEET(TEXT, "log", log), .arg = "FILE", .only = ON_LOCAL,
		.doc = "on this machine: where the containers' output goes, each line with its container's "
		       "name: stderr or a file, which SIGUSR1 reopens" },
};

const struct key *schema_keys(size_t *ret_n)
{
	*ret_n = ARRAY_LEN(keys);
	return keys;
}

const struct key *schema_key(enum scope scope, struct str path)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (keys[i].scope == scope && str_eq(str_of(keys[i].path), path))
			return &keys[i];
	}
	return NULL;
}

bool schema_is_mapping(enum scope scope, struct str path)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct str p = str_of(keys[i].path);
		if (keys[i].scope == scope && str_starts(p, path) && p.len > path.len &&
			p.ptr[path.len] == '.')
			return true;
	}
	return false;
}
