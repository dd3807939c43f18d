/* berth store: looks after the database of background requests. */
#include "store/store.h"
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

enum { WHERE_BYTES = 4096 };

static void print_line(void *owner, struct str line)
{
	(void)owner;
	fwrite(line.ptr, 1, line.len, stdout);
	putchar('\n');
}

static int store(const struct command *cmd, const char *verb, const char *path)
{
	char where[WHERE_BYTES], why[STORE_WHY_BYTES];
	bool has_engine = !strncmp(path, "sqlite:", 7);
	if (snprintf(where, sizeof where, "%s%s", has_engine ? "" : "sqlite:", path) >= (int)sizeof where) {
		cli_complain(cmd, "the path is too long");
		return EXIT_SETUP;
	}
	int r = !strcmp(verb, "check") ? store_check(where, print_line, NULL, why)
				       : store_export(where, print_line, NULL, why);
	if (r < 0) {
		bool named = str_starts(str_of(why), STR("store: ")); /* as the command's name is */
		cli_complain(cmd, "%s", named ? why + strlen("store: ") : why);
		return EXIT_SETUP;
	}
	if (fflush(stdout) != 0 || ferror(stdout)) {
		cli_complain(cmd, "standard output takes no more");
		return EXIT_JOB;
	}
	return r ? EXIT_JOB : EXIT_DONE;
}

static int store_run(const struct command *cmd, int argc, char **argv)
{
	struct arena arena;
	int operands, code;
	arena_init(&arena, 1024, 1 << 20);
	bool ok = cli_parse(cmd, argc, argv, NULL, NULL, &arena, 2, &operands, &code);
	arena_finish(&arena);
	if (!ok)
		return code;
	const char *verb = operands < argc ? argv[operands] : "";
	if (strcmp(verb, "check") != 0 && strcmp(verb, "export") != 0)
		cli_complain(cmd, "expected check or export, found \"%s\" (berth store --help)", verb);
	else if (operands + 1 >= argc)
		cli_complain(cmd, "%s needs the path of a database", verb);
	else
		return store(cmd, verb, argv[operands + 1]);
	return EXIT_SETUP;
}

const struct command command_store = {
	.name = "store",
	.summary = "checks a database of background requests, or writes out what can be read of it",
	.synopsis = "check PATH | export PATH",
	.description = "For the database of store: sqlite:PATH, when a start refuses it or a disk is not to "
		       "be trusted. Both "
		       "read it as it was at one moment, also while Berth runs, and change nothing.\n"
		       "\n"
		       "  check     reads everything: a line for each thing that is wrong, then a summary\n"
		       "  export    a line of JSON for each job, with what is kept of its request or its "
		       "answer: the body\n"
		       "            in base64, or the name of its file; goes round what is damaged\n"
		       "\n"
		       "To go on with an empty database, move the old one, its -wal and its -files away.",
	.exit_status = "0 all is well, all was written; 1 something is wrong, or could not be read; 2 wrong "
		       "usage, or no such database.",
	.examples = "  berth store check /var/lib/berth/berth.db\n"
		    "  berth store export berth.db > jobs.jsonl",
	.own = NULL,
	.run = store_run,
};
