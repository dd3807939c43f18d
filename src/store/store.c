#include "store/store.h"

#include "store/engine.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#define HOUR_US (UINT64_C(3600) * 1000 * 1000)

bool store_id_parse(struct str text, struct store_id *ret_id)
{
	struct store_id id;
	if (text.len != STORE_ID_CHARS)
		return false;
	for (size_t i = 0; i < STORE_ID_CHARS; i++) {
		char c = text.ptr[i];
		bool digit = c >= '0' && c <= '9';
		if (!digit && !(c >= 'a' && c <= 'f'))
			return false;
		int v = digit ? c - '0' : c - 'a' + 10;
		id.bytes[i / 2] = (uint8_t)(i % 2 ? id.bytes[i / 2] | v : v << 4);
	}
	*ret_id = id;
	return true;
}

const char *store_id_print(const struct store_id *id, char text[STORE_ID_CHARS + 1])
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < sizeof id->bytes; i++) {
		text[2 * i] = digits[id->bytes[i] >> 4];
		text[2 * i + 1] = digits[id->bytes[i] & 15];
	}
	text[STORE_ID_CHARS] = '\0';
	return text;
}

const char *store_state_name(enum store_state s)
{
	static const char *const names[STORE_STATES] = { "queued", "running", "done", "failed", "cancelled",
		"expired" };
	CHECK(s < STORE_STATES);
	return names[s];
}

const char *store_sqlite_path(const char *where)
{
	static const struct str scheme = { "sqlite:", 7 };
	return str_starts(str_of(where), scheme) && where[scheme.len] ? where + scheme.len : NULL;
}

void store_settings_default(struct store_settings *s, const char *where)
{
	*s = (struct store_settings){ .max_pending = 65536, .wal_pages = 4000 };
	if (store_sqlite_path(where)) {
		s->max_records = 1000 * 1000;
		s->max_bytes = UINT64_C(16) << 30;
		s->result_age_us = s->key_age_us = 24 * HOUR_US;
		s->record_age_us = 7 * 24 * HOUR_US;
	} else {
		s->max_records = 10000;
		s->max_bytes = UINT64_C(256) << 20;
		s->result_age_us = s->key_age_us = s->record_age_us = HOUR_US;
	}
}

void *store_refuse(char why[STORE_WHY_BYTES], const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	vsnprintf(why, STORE_WHY_BYTES, fmt, args);
	va_end(args);
	return NULL;
}

struct store *store_open(const char *where, const struct store_settings *settings, struct io *io,
	store_post_fn *post, char why[STORE_WHY_BYTES])
{
	struct store_settings defaults;
	if (!settings) {
		store_settings_default(&defaults, where);
		settings = &defaults;
	}
	const char *path = store_sqlite_path(where);
	if (path)
		return store_sqlite_create(path, settings, io, post, why);
	if (!strcmp(where, "memory"))
		return store_memory_create(settings, io, post, why);
	return store_refuse(why, "store: '%s' is no store: write sqlite:PATH or memory", where);
}

void store_set_limits(struct store *s, const struct store_settings *settings)
{
	struct store_settings *to = &s->settings, kept = *to;
	pthread_mutex_lock(&s->lock);
	*to = *settings;
	to->max_pending = kept.max_pending;
	to->wal_pages = kept.wal_pages;
	pthread_mutex_unlock(&s->lock);
}

struct store_settings store_limits(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	struct store_settings limits = s->settings;
	pthread_mutex_unlock(&s->lock);
	return limits;
}

void store_close(struct store *s)
{
	if (s)
		s->engine->close(s);
}

uint32_t store_pending(const struct store *s)
{
	return s->pending;
}

uint64_t store_epoch(const struct store *s)
{
	return s->epoch;
}

int store_load(struct store *s, struct str pool, store_record_fn *fn, void *owner)
{
	return s->engine->load(s, pool, fn, owner);
}

/* ---- callbacks ---- */

static void on_delivered(struct io_message *m)
{
	struct store *s = CONTAINER_OF(m, struct store, message);
	pthread_mutex_lock(&s->lock);
	struct store_op *op = s->delivered;
	s->delivered = NULL;
	s->last = &s->delivered;
	s->posted = false;
	pthread_mutex_unlock(&s->lock);
	while (op) {
		struct store_op *next = op->next;
		s->pending--;
		if (op->verb == STORE_ENQUEUE)
			s->pending_enqueues--;
		if (op->done)
			op->done(op->owner, &op->reply);
		store_op_free(op);
		op = next;
	}
	pthread_mutex_lock(&s->lock);
	s->calling_back = s->posted;
	pthread_cond_signal(&s->caught_up);
	pthread_mutex_unlock(&s->lock);
}

void store_await_callbacks(struct store *s, uint64_t most_us)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	uint64_t ns = (uint64_t)until.tv_nsec + most_us * 1000;
	until.tv_sec += (time_t)(ns / 1000000000);
	until.tv_nsec = (long)(ns % 1000000000);
	pthread_mutex_lock(&s->lock);
	while (s->calling_back && pthread_cond_timedwait(&s->caught_up, &s->lock, &until) == 0)
		;
	pthread_mutex_unlock(&s->lock);
}

void store_deliver(struct store *s, struct store_op *first, struct store_op *last)
{
	last->next = NULL;
	pthread_mutex_lock(&s->lock);
	*s->last = first;
	s->last = &last->next;
	bool post = !s->posted;
	s->posted = s->calling_back = true;
	pthread_mutex_unlock(&s->lock);
	if (post)
		s->post(s->io, &s->message);
}

void store_init(struct store *s, const struct store_engine *engine, const struct store_settings *settings,
	struct io *io, store_post_fn *post)
{
	*s = (struct store){ .engine = engine, .settings = *settings, .epoch = 1, .io = io, .post = post };
	s->message.on_message = on_delivered;
	s->last = &s->delivered;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_t attributes;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&s->caught_up, &attributes);
	pthread_condattr_destroy(&attributes);
}

void store_finish(struct store *s)
{
	while (s->delivered) {
		struct store_op *op = s->delivered;
		s->delivered = op->next;
		store_op_free(op);
	}
	pthread_cond_destroy(&s->caught_up);
	pthread_mutex_destroy(&s->lock);
}
