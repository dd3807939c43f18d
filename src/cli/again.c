#include "cli/again.h"

#include "cli/value.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* "2" means seconds. */
static bool parse_interval(const char *watch, uint64_t *ret_us)
{
	uint64_t seconds;
	if (!str_to_u64(str_of(watch), &seconds))
		return value_duration(str_of(watch), ret_us) && *ret_us;
	return !__builtin_mul_overflow(seconds, (uint64_t)1000000, ret_us) && *ret_us;
}

int again(const struct command *cmd, const char *watch, again_fn *show, void *owner)
{
	uint64_t us;
	bool last = !watch;
	if (watch && !parse_interval(watch, &us)) {
		cli_complain(cmd, "--watch: expected a time (2, 500ms), found \"%s\"", watch);
		return EXIT_SETUP;
	}
	for (;;) {
		if (watch && isatty(STDOUT_FILENO))
			printf("\033[H\033[2J"); /* a clean screen, from the top */
		int code = show(owner, &last);
		if (code != EXIT_DONE || last)
			return code;
		fflush(stdout);
		struct timespec pause = { (time_t)(us / 1000000), (long)(us % 1000000) * 1000 };
		(void)nanosleep(&pause, NULL);
	}
}
