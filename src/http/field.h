/* field: knows the names of the fields that Berth itself looks at. Inline, for it runs on every line. */
#pragma once
#include "http/parse.h"

struct http_field_slot {
	uint8_t id;  /* enum http_field_id; FIELD_OTHER where the slot is empty */
	uint8_t len; /* of the name */
};

extern const struct http_field_slot http_field_slots[128];

/* In lower case; "" for FIELD_OTHER. */
extern const char http_field_names[FIELD_COUNT][32];

/* Length and first letter tell the names apart; with these small factors no two names share a slot. */
#define HTTP_FIELD_SLOT(len, first) (((len)*7u + ((unsigned)(first)&31) * 6u) & 127)

/* True when the 4 or 8 bytes at `in` are those at `name`, but for the case of letters, which alone have bit
 * 0x40 in our names. */
static inline bool field_same_4(const char *in, const char *name)
{
	uint32_t a, b;
	memcpy(&a, in, sizeof a);
	memcpy(&b, name, sizeof b);
	return (a | ((b & 0x40404040u) >> 1)) == b;
}

static inline bool field_same_8(const char *in, const char *name)
{
	uint64_t a, b;
	memcpy(&a, in, sizeof a);
	memcpy(&b, name, sizeof b);
	return (a | ((b & 0x4040404040404040u) >> 1)) == b;
}

static inline bool field_same(const char *in, const char *name, size_t len)
{
	if (len < 4) {
		for (size_t i = 0; i < len; i++) {
			if (ascii_lower(in[i]) != name[i])
				return false;
		}
		return true;
	}
	if (len < 8)
		return field_same_4(in, name) && field_same_4(in + (len - 4), name + (len - 4));
	for (size_t i = 0; i + 8 < len; i += 8) {
		if (!field_same_8(in + i, name + i))
			return false;
	}
	return field_same_8(in + (len - 8), name + (len - 8));
}

/* name: not empty. FIELD_OTHER when it is none of those that we know. */
static inline enum http_field_id http_field_id(struct str name)
{
	struct http_field_slot slot =
		http_field_slots[HTTP_FIELD_SLOT((unsigned)name.len, (unsigned char)name.ptr[0])];
	return slot.len == name.len && field_same(name.ptr, http_field_names[slot.id], name.len)
		? slot.id
		: FIELD_OTHER;
}
