/* aws_flight: a call under way, over its attempts. Only aws_run.c and aws_send.c know of it. */
#pragma once
#include "fleet/aws.h"

#include <sys/types.h>

enum flight_state { FLIGHT_WAITING, FLIGHT_RUNNING, FLIGHT_DONE };

struct curl_slist;

struct flight {
	struct aws_call *call; /* borrowed */
	enum flight_state state;
	void *easy;                 /* owned while RUNNING; CURL */
	struct curl_slist *headers; /* owned while RUNNING */
	uint64_t begin_us;          /* not before */
	uint64_t passing_since_us;  /* 0: not yet */
	uint64_t again_since_us;    /* 0: not yet tried again */
	unsigned attempts, laters;
	off_t sent; /* of the file */
};

/* Makes the next attempt's request. NULL, or why it cannot be sent; flight_drop in any case. */
MUST_USE const char *flight_prepare(struct aws *a, struct flight *f);

/* Frees what is there of a request, answered or not. */
void flight_drop(struct aws *a, struct flight *f);
