/* again: --watch, which shows something anew after so long. */
#pragma once
#include "cli/cli.h"

/* Shows it once; an exit code: EXIT_DONE to go on, or how to end. *ret_last is set when there is no more to
 * see. */
typedef int again_fn(void *owner, bool *ret_last);

/* watch: the time between ("2", "500ms"), or NULL: once. On a terminal each begins on a clean screen. */
MUST_USE int again(const struct command *cmd, const char *watch, again_fn *show, void *owner);
