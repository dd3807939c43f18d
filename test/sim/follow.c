#include "follow.h"

#include "own.h"

#include <string.h>

struct str follow_cut(struct str text)
{
	const char *end = memmem(text.ptr, text.len, "\n\n", 2);
	return (struct str){ text.ptr, end ? (size_t)(end - text.ptr) + 2 : 0 };
}

/* The rest of the event's next line, which begins so. */
static bool take_line(struct str *event, struct str name, struct str *ret)
{
	struct str line = str_cut(event, '\n');
	*ret = str_skip(line, name.len);
	return str_starts(line, name);
}

/* 1: queued, 2: running, 3: over. */
static int stage_of(const char *state)
{
	return !*state ? 0 : !strcmp(state, "queued") ? 1 : !strcmp(state, "running") ? 2 : 3;
}

static const char *check_id(struct follow *f, struct str id, const struct own_answer *own, bool is_news)
{
	uint64_t epoch, changes, place;
	struct str first = str_cut(&id, '.'), second = str_cut(&id, '.');
	if (!str_to_u64(first, &epoch) || !str_to_u64(second, &changes) || !str_to_u64(id, &place))
		return "its id cannot be read";
	if (place != (own->position > 0 ? (uint64_t)own->position : 0))
		return "its id has another place";
	bool rises = epoch > f->epoch || (epoch == f->epoch && changes > f->changes);
	bool same = epoch == f->epoch && changes == f->changes;
	if (*f->id && !(is_news ? rises : same))
		return "its id does not fit the last one";
	f->epoch = epoch;
	f->changes = changes;
	return NULL;
}

const char *follow_event(struct follow *f, struct str event)
{
	struct str kind, id, data;
	struct own_answer own;
	if (str_starts(event, STR(":")))
		return NULL; /* a heartbeat */
	if (!take_line(&event, STR("event: "), &kind) || !take_line(&event, STR("id: "), &id) ||
		!take_line(&event, STR("data: "), &data) || !own_read(data.ptr, data.len, &own))
		return "it cannot be read";
	int stage = stage_of(own.state), before = stage_of(f->state);
	bool again = !strcmp(own.reason, "requeue"), is_over = stage == 3;
	bool is_place = str_eq(kind, STR("position"));
	int64_t place = own.position > 0 ? own.position : 0;
	if (f->over || id.len >= sizeof f->id)
		return "it comes after the end, or its id is too long";
	if (!is_place && !str_eq(kind, !strcmp(own.state, "done") ? STR("result") : STR("state")))
		return "it is of another kind";
	if (is_over != str_eq(id, STR("end")))
		return "its id does not fit its state";
	if (again != (before && place > f->place))
		return again ? "it tells a requeue that was none" : "its place rises without a reason";
	if (stage < before && !again)
		return "its state goes back without a reason";
	const char *wrong = is_over ? NULL : check_id(f, id, &own, !is_place);
	if (wrong)
		return wrong;
	str_copy(f->id, sizeof f->id, id);
	str_copy(f->state, sizeof f->state, str_of(own.state));
	f->place = place;
	f->over = is_over;
	return NULL;
}
