/* log: one line an event on stderr, for people: "berth: warning: …".
 *
 * Never:  fails its caller. A line that cannot be written is dropped and counted. From any thread.
 */
#pragma once
#include "base/check.h"

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* Set once, before threads start. program: static string. fd: where lines go (stderr by default). */
void log_init(const char *program, enum log_level most, int fd);

void log_write(enum log_level level, const char *fmt, ...) PRINTF(2, 3);

/* From now on a reader that has stopped is not waited for: 64 KiB of lines are kept for it, later ones are
 * dropped, and once it reads again a line tells how many. For servers, whose loop calls log_flush. */
void log_never_wait(void);

/* Tries to write what is kept. Costs next to nothing while nothing is. True when nothing is kept any more. */
bool log_flush(void);

/* Lines that were dropped so far. */
uint64_t log_dropped(void);

#define log_error(...)   log_write(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_info(...)    log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_DEBUG, __VA_ARGS__)
