#include "gateway/access_log.h"

#include "base/log.h"
#include "gateway/client.h"
#include "gateway/exchange.h"
#include "gateway/reactor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FLUSH_BYTES = 64 * 1024, KEPT_MAX = 1024 * 1024 };

static int open_log(const char *path)
{
	if (!strcmp(path, "stderr"))
		return STDERR_FILENO;
	const int flags = O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK;
	int fd = open(path, O_WRONLY | flags, 0640);
	return fd < 0 && errno == ENXIO ? open(path, O_RDWR | flags, 0640)
					: fd; /* a FIFO whose reader has yet to come */
}

struct access_log *access_log_create(const char *path)
{
	struct access_log *log = calloc(1, sizeof *log);
	if (!log)
		return NULL;
	log->path = strdup(path);
	log->fd = log->path ? open_log(path) : -1;
	if (log->fd < 0) {
		free(log->path);
		free(log);
		return NULL;
	}
	json_init(&log->lines);
	outlet_init(&log->outlet, log->fd, false, KEPT_MAX);
	return log;
}

void access_log_destroy(struct access_log *log)
{
	if (!log)
		return;
	(void)access_log_flush(log);
	json_finish(&log->lines);
	outlet_finish(&log->outlet);
	if (log->fd != STDERR_FILENO)
		close(log->fd);
	free(log->path);
	free(log);
}

void access_log_reopen(struct access_log *log)
{
	if (!log || log->fd == STDERR_FILENO)
		return;
	int fd = open_log(log->path);
	if (fd < 0)
		return;
	(void)access_log_flush(log);
	outlet_turn(&log->outlet, fd);
	close(log->fd);
	log->fd = fd;
}

static void tell_losses(struct access_log *log)
{
	uint64_t lost = log->outlet.lost - log->told;
	log->told = log->outlet.lost;
	log_warning("access_log: %llu lines for %s were lost: nobody read them in time",
		(unsigned long long)lost, log->path);
}

bool access_log_flush(struct access_log *log)
{
	if (!log)
		return true;
	bool had_stopped = log->outlet.kept;
	struct str lines = json_str(&log->lines);
	if (json_failed(&log->lines)) /* without memory */
		log->outlet.lost++;
	else if (lines.len)
		outlet_put(&log->outlet, lines);
	json_reset(&log->lines);
	bool is_taken = outlet_flush(&log->outlet);
	if (had_stopped && is_taken && log->outlet.lost > log->told)
		tell_losses(log);
	return is_taken;
}

/* RFC 3339, UTC, with microseconds. */
static struct str wall_time(uint64_t wall_us, char text[40])
{
	time_t s = (time_t)(wall_us / 1000000);
	struct tm tm;
	gmtime_r(&s, &tm);
	size_t n = strftime(text, 40, "%Y-%m-%dT%H:%M:%S", &tm);
	n += (size_t)snprintf(text + n, 40 - n, ".%06uZ", (unsigned)(wall_us % 1000000));
	return (struct str){ text, n };
}

/* As the container gets it; empty when it is not in memory. */
static struct str request_head(const struct exchange *ex)
{
	const struct request *q = ex->request;
	return q ? (struct str){ q->text, q->head_bytes } : STR("");
}

/* Of the request line, without the version. */
static struct str request_target(const struct exchange *ex)
{
	struct str line = request_head(ex);
	line = str_cut(&line, '\r');
	(void)str_cut(&line, ' ');
	return str_cut(&line, ' ');
}

static struct str request_method(const struct exchange *ex)
{
	struct str line = request_head(ex);
	return str_cut(&line, ' ');
}

static void key_ms(struct json *j, const char *key, uint64_t us)
{
	json_key(j, key);
	json_double(j, (double)us / 1000);
}

void access_log_write(struct access_log *log, const struct exchange *ex, const char *outcome)
{
	const struct reactor *r = ex->route->reactor;
	const struct ticket *t = &ex->ticket;
	struct json *j = &log->lines;
	char time_text[40], ip_text[48], job_text[STORE_ID_CHARS + 1];
	uint64_t now_us = r->io->now_us;
	json_open(j, '{');
	json_key(j, "time");
	json_string(j, wall_time(r->io->wall_us, time_text));
	json_key(j, "pool");
	json_string(j, str_of(ex->route->settings->name));
	json_key(j, "client");
	json_string(j, ex->client ? client_ip(ex->client, ip_text) : STR(""));
	json_key(j, "method");
	json_string(j, request_method(ex));
	json_key(j, "target");
	json_string(j, request_target(ex));
	json_key(j, "outcome");
	json_string(j, str_of(outcome));
	json_key(j, "status");
	json_u64(j, ex->status);
	json_key(j, "bytes");
	json_u64(j, ex->request ? ex->request->answer_bytes : 0);
	json_key(j, "attempts");
	json_u64(j, t->attempts);
	key_ms(j, "queue_ms",
		t->state == TICKET_NEW ? 0 : (t->attempts ? t->dispatched_us : now_us) - t->admitted_us);
	key_ms(j, "upstream_ms", t->attempts ? now_us - t->dispatched_us : 0);
	if (ex->job) {
		json_key(j, "job");
		json_string(j, str_of(store_id_print(&ex->job->id, job_text)));
	}
	json_close(j, '}');
	json_bytes(j, STR("\n"));
	j->comma = false;
	if (j->len > FLUSH_BYTES)
		(void)access_log_flush(log);
}
