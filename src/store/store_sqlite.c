/* store_sqlite: the durable engine: SQLite with a write-ahead log, synced at every commit. */
#include "store/sqlite.h"

#include <stdlib.h>
#include <string.h>

static void sqlite_submit(struct store *store, struct store_op *op)
{
	struct sqlite_store *s = CONTAINER_OF(store, struct sqlite_store, store);
	store_thread_submit(store_op_is_read(op) ? &s->reader : &s->committer, op);
}

static void sqlite_close(struct store *store)
{
	struct sqlite_store *s = CONTAINER_OF(store, struct sqlite_store, store);
	store_thread_stop(&s->committer);
	store_thread_stop(&s->reader);
	sqlite_shut(s);
	store_finish(store);
	free(s->doomed);
	free(s->kept);
	free(s->batch);
	free(s->body);
	free(s->path);
	free(s);
}

static const struct store_engine sqlite_engine = {
	.submit = sqlite_submit,
	.load = sqlite_load,
	.close = sqlite_close,
};

struct store *store_sqlite_create(const char *path, const struct store_settings *settings, struct io *io,
	store_post_fn *post, char why[STORE_WHY_BYTES])
{
	struct sqlite_store *s = calloc(1, sizeof *s);
	if (!s)
		return store_refuse(why, "store: %s: no memory", path);
	store_init(&s->store, &sqlite_engine, settings, io, post);
	s->lock_fd = s->files_fd = -1;
	s->path = strdup(path);
	s->body = malloc(STORE_ROW_BODY_MAX);
	s->batch = malloc(STORE_BATCH_MAX * sizeof(struct store_op *));
	bool ok = s->path && s->body && s->batch;
	if (!ok)
		store_refuse(why, "store: %s: no memory", path);
	ok = ok && sqlite_open_all(s, why);
	if (ok &&
		(store_thread_start(&s->committer, sqlite_commit_all, s) ||
			store_thread_start(&s->reader, sqlite_read_all, s))) {
		store_refuse(why, "store: %s: no thread to be had: raise the limit of processes", path);
		ok = false;
	}
	if (ok)
		return &s->store;
	sqlite_close(&s->store);
	return NULL;
}
