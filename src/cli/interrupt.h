/* interrupt: Ctrl-C and SIGTERM for commands that block: they are noted, and the command looks whether one
 * came. */
#pragma once
#include <stdbool.h>

/* From now on the first of these signals is noted; a second one ends the process. Calls that wait are
 * interrupted (EINTR). */
void interrupt_watch(void);
bool interrupt_came(void);
