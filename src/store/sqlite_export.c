/* sqlite_export: every record that can still be read, as a line of JSON.
 *
 * Where a page is damaged, the walk goes on behind it: by one number at a time at first, then in growing
 * steps.
 */
#include "base/json.h"
#include "store/sqlite.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { SMALL_STEPS = 4096 };

struct exporter {
	struct sql q;
	struct json json;
	store_line_fn *fn;
	void *owner;
	bool lost; /* something could not be read */
};

static void key_u64(struct json *j, const char *key, uint64_t v)
{
	json_key(j, key);
	json_u64(j, v);
}

static void key_str(struct json *j, const char *key, struct str v)
{
	json_key(j, key);
	json_write_string(j, v);
}

/* RFC 4648 §4. */
static void key_base64(struct json *j, const char *key, struct str bytes)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	json_key(j, key);
	json_raw(j, STR("\""));
	for (size_t i = 0; i < bytes.len; i += 3) {
		uint32_t v = 0;
		for (size_t k = 0; k < 3; k++)
			v = v << 8 | (i + k < bytes.len ? (uint8_t)bytes.ptr[i + k] : 0u);
		char four[4] = { digits[v >> 18], digits[v >> 12 & 63], digits[v >> 6 & 63], digits[v & 63] };
		if (i + 1 >= bytes.len)
			four[2] = '=';
		if (i + 2 >= bytes.len)
			four[3] = '=';
		json_bytes(j, (struct str){ four, 4 });
	}
	json_bytes(j, STR("\""));
}

static void write_record(struct json *j, const struct store_record *r)
{
	char id[STORE_ID_CHARS + 1];
	key_str(j, "id", str_of(store_id_print(&r->id, id)));
	key_str(j, "state", str_of(store_state_name(r->state)));
	key_str(j, "pool", r->pool);
	key_u64(j, "number", r->number);
	key_u64(j, "epoch", r->epoch);
	key_u64(j, "flags", r->flags);
	key_u64(j, "created_us", r->created_us);
	key_u64(j, "deadline_us", r->deadline_us);
	key_u64(j, "started_us", r->started_us);
	key_u64(j, "finished_us", r->finished_us);
	key_u64(j, "attempts", r->attempts);
	key_u64(j, "status", r->status);
	key_str(j, "container", r->container);
	key_str(j, "reasons", r->reasons);
	if (r->key.len) {
		key_str(j, "key", r->key);
		key_base64(
			j, "payload_hash", (struct str){ (const char *)r->payload_hash, STORE_HASH_BYTES });
	}
}

/* "request" or "answer": {"head": …, "body": base64} or with "body_file". */
static void write_message(struct exporter *e, const struct sqlite_row *row)
{
	struct json *j = &e->json;
	sqlite3_stmt *st = sql_bind(&e->q, READ_MESSAGE, "u", row->seq);
	int r = sql_step(st);
	json_key(j, row->record.state == STORE_DONE ? "answer" : "request");
	if (r == 1) {
		json_open(j, '{');
		key_str(j, "head", sql_str(st, 0));
		if (row->file) {
			char name[STORE_FILE_NAME];
			sqlite_file_print((struct sqlite_file){ row->record.id, row->file }, name);
			json_key(j, "body_file");
			json_write_string(j, str_of(name));
		} else {
			key_base64(j, "body", sql_str(st, 1));
		}
		json_close(j, '}');
	} else {
		json_null(j);
		e->lost = true;
	}
	sqlite3_reset(st);
}

static int export_row(struct exporter *e, const struct sqlite_row *row)
{
	json_reset(&e->json);
	json_open(&e->json, '{');
	write_record(&e->json, &row->record);
	if (row->record.held)
		write_message(e, row);
	json_close(&e->json, '}');
	if (json_failed(&e->json))
		return -ENOMEM;
	e->fn(e->owner, json_str(&e->json));
	return 0;
}

/* The records from *seq on; *seq is behind the last that was read. */
static int export_from(struct exporter *e, uint64_t *seq)
{
	sqlite3_stmt *st = sql_bind(&e->q, READ_FROM, "u", *seq);
	struct sqlite_row row;
	int r;
	while ((r = sql_step(st)) == 1) {
		r = sqlite_read_row(st, &row);
		if (r)
			break;
		*seq = row.seq + 1;
		r = export_row(e, &row);
		if (r)
			break;
	}
	sqlite3_reset(st);
	return r;
}

static int export_all(struct exporter *e)
{
	int64_t max;
	uint64_t seq = 0, tries = 0, step = 1;
	if (sql_number(&e->q, "SELECT max(seq) FROM job", &max))
		max = INT64_MAX / 2;
	while (seq <= (uint64_t)max) {
		uint64_t before = seq;
		int r = export_from(e, &seq);
		if (r == 0)
			return 0;
		if (r == -ENOMEM)
			return r;
		e->lost = true;
		if (seq > before)
			tries = 0, step = 1;
		else if (++tries > SMALL_STEPS)
			step *= 2;
		seq += step;
	}
	return 0;
}

int store_export(const char *where, store_line_fn *fn, void *owner, char why[STORE_WHY_BYTES])
{
	const char *path = store_sqlite_path(where);
	if (!path) {
		store_refuse(why, "store: '%s' is no store that can be exported: write sqlite:PATH", where);
		return -EINVAL;
	}
	struct exporter e = { .fn = fn, .owner = owner };
	json_init(&e.json);
	int r = sqlite_open_read_only(&e.q, path, why);
	if (!r)
		r = sql_exec(&e.q, "BEGIN");
	if (!r) {
		r = sql_prepare(&e.q, sqlite_reads, READS);
		if (r)
			store_refuse(why, "store: %s: %s", path, sqlite3_errmsg(e.q.db));
	}
	if (!r) {
		r = export_all(&e);
		if (r)
			store_refuse(why, "store: %s: no memory", path);
	}
	sql_rollback(&e.q);
	sql_close(&e.q);
	json_finish(&e.json);
	return r ? r : e.lost;
}
