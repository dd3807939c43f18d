/* berth: one program, one command a job. */
#include "base/log.h"
#include "cli/cli.h"
#include "cli/suggest.h"

#include <stdio.h>

static const struct command *const commands[] = {
	&command_up,
	&command_down,
	&command_status,
	&command_serve,
	&command_load,
	&command_check,
	&command_image,
	&command_health,
	&command_jobs,
	&command_store,
};

static void print_help(FILE *to)
{
	fprintf(to,
		"NAME\n"
		"  berth - an exact, honest queue in front of the containers that run a model\n"
		"\n"
		"SYNOPSIS\n"
		"  berth COMMAND [OPTION]...\n"
		"  berth COMMAND --help\n"
		"  berth --version\n"
		"\n"
		"COMMANDS\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(to, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
	fprintf(to,
		"\n"
		"EXIT STATUS\n"
		"  0 done; 1 the job failed; 2 wrong usage or set-up\n"
		"\n"
		"EXAMPLES\n"
		"  berth up\n"
		"  berth load --wait\n"
		"  berth down\n");
}

static int complain_unknown(const char *word)
{
	const char *names[ARRAY_LEN(commands)];
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		names[i] = commands[i]->name;
	const char *near = suggest(str_of(word), names, ARRAY_LEN(names));
	if (near)
		cli_complain(NULL, "unknown command '%s': did you mean '%s'?", word, near);
	else
		cli_complain(NULL, "unknown command '%s' (berth --help lists them)", word);
	return EXIT_SETUP;
}

static const struct command *command_named(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (str_eq(str_of(word), str_of(commands[i]->name)))
			return commands[i];
	}
	return NULL;
}

/* berth help COMMAND is berth COMMAND --help. */
static int help(const char *word)
{
	const struct command *c = command_named(word);
	if (c)
		return c->run(c, 2, (char *[]){ (char[]){ "" }, (char[]){ "--help" }, NULL });
	if (*word)
		return complain_unknown(word);
	print_help(stdout);
	return EXIT_DONE;
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";
	const struct command *command = command_named(word);
	log_init("berth", LOG_INFO, 2);
	if (command)
		return command->run(command, argc - 1, argv + 1);
	if (str_eq(str_of(word), STR("--version"))) {
		printf("berth %s\n", BERTH_VERSION);
		return EXIT_DONE;
	}
	if (str_eq(str_of(word), STR("--help")) || str_eq(str_of(word), STR("-h")))
		return help("");
	if (str_eq(str_of(word), STR("help")))
		return help(argc > 2 ? argv[2] : "");
	if (*word)
		return complain_unknown(word);
	print_help(stderr);
	return EXIT_SETUP;
}
