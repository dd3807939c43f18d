#include "cli/load_check.h"

#include "http/parse.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

const char *acceptance_is_true(int status, const struct http_head *head, const json_t *body)
{
	const struct http_field *location = http_field_named(head, STR("Location"));
	const struct http_field *applied = http_field_named(head, STR("Preference-Applied"));
	const char *url = json_string_value(json_object_get(body, "status_url"));
	if (status != 202)
		return "Prefer: respond-async was answered with another status than 202";
	if (!applied || !str_eq(applied->value, STR("respond-async")))
		return "a 202 does not say that the preference was applied";
	if (!location || !url || !str_eq(location->value, str_of(url)))
		return "a 202's Location is not the job's address";
	if (!json_is_string(json_object_get(body, "state")))
		return "a 202 does not tell the job's state";
	return NULL;
}

/* ---- events ---- */

enum stage { STAGE_NONE, STAGE_QUEUED, STAGE_RUNNING, STAGE_OVER };

struct following {
	enum stage stage;
	uint64_t position;       /* the last that was told; 0: none */
	uint64_t epoch, changes; /* of the last id */
};

static enum stage stage_of(const char *state)
{
	if (!strcmp(state, "queued"))
		return STAGE_QUEUED;
	return strcmp(state, "running") ? STAGE_OVER : STAGE_RUNNING;
}

static const char *follow(struct following *f, const json_t *data)
{
	const char *state = json_string_value(json_object_get(data, "state"));
	const char *reason = json_string_value(json_object_get(data, "reason"));
	bool again = reason && !strcmp(reason, "requeue");
	json_int_t position = json_integer_value(json_object_get(data, "position"));
	if (!state)
		return "an event does not tell the job's state";
	enum stage stage = stage_of(state);
	if (f->stage == STAGE_OVER)
		return "an event came after the job's end";
	if (stage < f->stage && !again)
		return "a job's state went back without a word of a new attempt";
	if (stage == STAGE_QUEUED && position < 1)
		return "a queued job's event tells no place";
	if (stage == STAGE_QUEUED && f->position && (uint64_t)position > f->position && !again)
		return "a job's place in the queue has risen";
	f->stage = stage;
	f->position = stage == STAGE_QUEUED ? (uint64_t)position : 0;
	return NULL;
}

/* "1.4.17": a life of the store, changes of state in it, place. The end has no number. */
static const char *follow_id(struct following *f, struct str id)
{
	uint64_t epoch, changes;
	if (str_eq(id, STR("end")))
		return NULL;
	if (!str_to_u64(str_cut(&id, '.'), &epoch) || !str_to_u64(str_cut(&id, '.'), &changes))
		return "an event's id cannot be read";
	if (epoch < f->epoch || (epoch == f->epoch && changes < f->changes))
		return "an event's id goes back";
	f->epoch = epoch;
	f->changes = changes;
	return NULL;
}

/* One event: lines of fields (the standard of server-sent events, §9.2.6 of HTML). */
static const char *take_event(struct following *f, struct str event)
{
	const char *untrue = NULL;
	while (event.ptr && event.len && !untrue) {
		struct str value = str_cut(&event, '\n'), name = str_cut(&value, ':');
		value = str_trim(value);
		if (str_eq(name, STR("id"))) {
			untrue = follow_id(f, value);
		} else if (str_eq(name, STR("data"))) {
			json_t *data = json_loadb(value.ptr, value.len, 0, NULL);
			untrue = data ? follow(f, data) : "an event's data are no JSON";
			json_decref(data);
		}
	}
	return untrue;
}

const char *events_are_true(struct str stream)
{
	struct following f = { 0 };
	const char *untrue = NULL;
	while (stream.len && !untrue) {
		const char *end = memmem(stream.ptr, stream.len, "\n\n", 2);
		size_t n = end ? (size_t)(end - stream.ptr) + 2 : stream.len;
		untrue = take_event(&f, (struct str){ stream.ptr, n });
		stream = str_skip(stream, n);
	}
	return untrue ? untrue : f.stage == STAGE_OVER ? NULL : "a job's events ended before the job";
}
