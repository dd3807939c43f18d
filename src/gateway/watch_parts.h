/* watch_parts: what the files about watches have of each other. */
#pragma once
#include "gateway/watch.h"
#include "http/problem.h"

/* Off its job's list. */
void watch_unfollow(struct watch *w);

/* Nobody waits any more. */
void watch_retire(struct watch *w);

/* The client gets its answer now, and is its own again; returns it. */
struct client *watch_finish(struct watch *w);

void watch_problem(struct watch *w, enum problem p, const char *detail);

/* err: -errno, from the store. */
void watch_store_problem(struct watch *w, int err);

/* The head of a stream of events. */
void watch_begin_stream(struct watch *w);

/* The last event, from a record of a job that is over, and the stream's end. */
void watch_tell_end(struct watch *w, const struct store_record *rec);

/* The key was used before, by a job of which this is the record. */
void watch_reply_repeat(struct watch *w, const struct store_record *rec);
