/* cli: what the commands of `berth` have in common.
 *
 * Exit codes: 0 done; 1 the command's job failed; 2 wrong usage or set-up, with one line on standard error
 * that says what, where and what to do.
 */
#pragma once
#include "base/check.h"
#include "cli/config.h"
#include "cli/schema.h"

enum { EXIT_DONE = 0, EXIT_JOB = 1, EXIT_SETUP = 2 };

struct command {
	const char *name;        /* "serve" */
	const char *summary;     /* half a sentence */
	const char *synopsis;    /* without "berth serve" */
	const char *description; /* paragraphs; lines that begin with a space are left as they are */
	const char *exit_status; /* what 0, 1 and 2 mean here */
	const char *examples;    /* lines */
	const struct key *own;   /* its own options, SCOPE_OWN */
	size_t n_own;
	const void *defaults; /* of the struct that `own` speaks of; borrowed, static */
	const enum scope
		*scopes; /* settings that are flags too; what comes first hides later ones of the same name */
	size_t n_scopes;
	bool locates; /* the settings that say where a fleet is are flags */
	int (*run)(const struct command *cmd, int argc, char **argv);
};

extern const struct command command_serve, command_up, command_down, command_status, command_load,
	command_check, command_image, command_health, command_jobs, command_store;

/* One line on standard error: "berth serve: …". */
void cli_complain(const struct command *cmd, const char *fmt, ...) PRINTF(2, 3);

/* Prints the command's help, in the order of a manual page. */
void cli_help(const struct command *cmd);

/* The flags of a command: its own, then its settings. */
struct flag_list {
	const struct key **keys; /* owned */
	size_t n;
};
MUST_USE bool flag_list_init(struct flag_list *f, const struct command *cmd);
void flag_list_finish(struct flag_list *f);

/* Reads the arguments: a command's own options into the struct at `own`, settings into config (NULL when it
 * has none). Strings are copied to arena. At most max_operands may follow the options; *ret_operands is the
 * index of the first. False when the command shall end with *ret_exit: after --help, or after a complaint. */
MUST_USE bool cli_parse(const struct command *cmd, int argc, char **argv, void *own, struct config *config,
	struct arena *arena, int max_operands, int *ret_operands, int *ret_exit);

/* Complains about what is wrong with the configuration: one line. */
void cli_complain_config(const struct command *cmd, const struct config *config);
