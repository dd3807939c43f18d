/* access_log: one JSON object a line for each exchange, to stderr or a file.
 *
 * Lines are gathered during a turn and written at its end. What cannot be written (a full disk, a pipe whose
 * reader has stopped) is dropped and counted: the log never holds up a request.
 */
#pragma once
#include "base/check.h"
#include "base/json.h"
#include "base/outlet.h"

#include <stdbool.h>
#include <stdint.h>

struct exchange;

struct access_log {
	char *path; /* owned; "stderr" */
	int fd;
	struct json lines; /* of this turn */
	struct outlet outlet;
	uint64_t told; /* lines that were lost, and whose loss was told */
};

/* NULL when the file cannot be opened: errno says why. */
struct access_log *access_log_create(const char *path);
void access_log_destroy(struct access_log *log);

/* After the file was renamed away. Keeps the old one when the new one cannot be opened. */
void access_log_reopen(struct access_log *log);

/* Writes what was gathered. False while the log's reader has stopped: what it has not read is kept, up to a
 * bound, and this shall be called again. */
bool access_log_flush(struct access_log *log);

void access_log_write(struct access_log *log, const struct exchange *ex, const char *outcome);

/* outcome: "answered", "left", or a problem's name. log may be NULL. */
static inline void access_log_exchange(struct access_log *log, const struct exchange *ex, const char *outcome)
{
	if (log)
		access_log_write(log, ex, outcome);
}
