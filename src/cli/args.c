#include "cli/cli.h"
#include "cli/suggest.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* getopt's values: a flag's place in the list comes after these. */
enum { GETOPT_HELP = 1000, GETOPT_KEYS };

void cli_complain(const struct command *cmd, const char *fmt, ...)
{
	char line[4 * CONFIG_LINE];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	fprintf(stderr, "berth%s%s: %s\n", cmd ? " " : "", cmd ? cmd->name : "", line);
}

void cli_complain_config(const struct command *cmd, const struct config *config)
{
	if (config->n_errors > 1)
		cli_complain(cmd, "%s (and %zu more: berth check)", config->errors[0], config->n_errors - 1);
	else
		cli_complain(cmd, "%s", config->errors[0]);
}

/* ---- the flags that there are ---- */

static bool has_flag(const struct flag_list *f, const struct key *key)
{
	char a[SCHEMA_FLAG], b[SCHEMA_FLAG];
	schema_flag(key, a);
	for (size_t i = 0; i < f->n; i++) {
		if (!strcmp(a, schema_flag(f->keys[i], b)))
			return true;
	}
	return false;
}

bool flag_list_init(struct flag_list *f, const struct command *cmd)
{
	size_t n_keys;
	const struct key *keys = schema_keys(&n_keys);
	f->n = 0;
	f->keys = calloc(cmd->n_own + n_keys, sizeof *f->keys);
	if (!f->keys)
		return false;
	for (size_t i = 0; i < cmd->n_own; i++)
		f->keys[f->n++] = &cmd->own[i];
	for (size_t s = 0; s < cmd->n_scopes; s++) {
		for (size_t i = 0; i < n_keys; i++) {
			if (keys[i].scope == cmd->scopes[s] && !has_flag(f, &keys[i]))
				f->keys[f->n++] = &keys[i];
		}
	}
	for (size_t i = 0; i < n_keys; i++) {
		if (cmd->locates && keys[i].locates && !has_flag(f, &keys[i]))
			f->keys[f->n++] = &keys[i];
	}
	return true;
}

void flag_list_finish(struct flag_list *f)
{
	free(f->keys);
}

/* ---- reading ---- */

struct parse {
	const struct command *cmd;
	struct flag_list flags;
	char (*names)[SCHEMA_FLAG]; /* owned; of flags, then "help" */
	struct option *options;     /* owned; getopt's, as many, then the end */
	void *own;
	struct config *config;
	struct arena *arena;
};

static void parse_finish(struct parse *p)
{
	flag_list_finish(&p->flags);
	free(p->names);
	free(p->options);
}

static bool parse_init(struct parse *p)
{
	if (!flag_list_init(&p->flags, p->cmd))
		return false;
	size_t n = p->flags.n;
	p->names = calloc(n + 1, sizeof *p->names);
	p->options = calloc(n + 2, sizeof *p->options);
	if (!p->names || !p->options)
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct key *key = p->flags.keys[i];
		p->options[i].name = schema_flag(key, p->names[i]);
		p->options[i].has_arg = key->kind == KIND_SWITCH ? no_argument
			: key->fallback                          ? optional_argument
								 : required_argument;
		p->options[i].val = GETOPT_KEYS + (int)i;
	}
	str_copy(p->names[n], SCHEMA_FLAG, STR("help"));
	p->options[n] = (struct option){ .name = p->names[n], .has_arg = no_argument, .val = GETOPT_HELP };
	return true;
}

static bool take_own(struct parse *p, const struct key *key, const char *value)
{
	char complaint[SCHEMA_COMPLAINT], flag[SCHEMA_FLAG];
	struct str text = str_of(value ? value : key->fallback ? key->fallback : "");
	size_t bad;
	if (schema_set(key, p->own, &text, 1, p->arena, complaint, &bad))
		return true;
	cli_complain(p->cmd, "--%s: %s", schema_flag(key, flag), complaint);
	return false;
}

static void complain_unknown(const struct parse *p, const char *argument)
{
	const char **names = calloc(p->flags.n + 1, sizeof *names);
	struct str rest = str_of(argument);
	struct str word = str_cut(&rest, '=');
	const char *near = NULL;
	for (size_t i = 0; names && i <= p->flags.n; i++)
		names[i] = p->names[i];
	if (names && str_starts(word, STR("--")))
		near = suggest(str_skip(word, 2), names, p->flags.n + 1);
	if (near)
		cli_complain(p->cmd, "unknown option " STR_FMT ": did you mean --%s?", STR_ARG(word), near);
	else
		cli_complain(
			p->cmd, "unknown option " STR_FMT " (berth %s --help)", STR_ARG(word), p->cmd->name);
	free(names);
}

/* getopt found something wrong with the argument before optind. */
static void complain_option(const struct parse *p, int found, char **argv)
{
	const char *argument = argv[optind - 1];
	if (found == ':')
		cli_complain(p->cmd, "%s needs a value", argument);
	else if (optopt >= GETOPT_HELP)
		cli_complain(p->cmd, "%s takes no value", argument);
	else
		complain_unknown(p, argument);
}

/* getopt takes the beginning of a name for the name, which a script would use until there are two such. */
static bool is_whole(const char *word, const char *name)
{
	size_t n = strlen(name);
	return !strncmp(word, "--", 2) && !strncmp(word + 2, name, n) && (!word[2 + n] || word[2 + n] == '=');
}

/* The loop over the arguments. */
static bool parse_run(struct parse *p, int argc, char **argv, int *ret_exit)
{
	int found, which = 0, at = 1;
	optind = 0; /* starts anew, and reads glibc's "+" again */
	opterr = 0;
	for (; (found = getopt_long(argc, argv, "+:h", p->options, &which)) != -1; at = optind) {
		if (found >= GETOPT_HELP && !is_whole(argv[at], p->options[which].name)) {
			complain_unknown(p, argv[at]);
			return false;
		}
		if (found == 'h' || found == GETOPT_HELP) {
			cli_help(p->cmd);
			*ret_exit = EXIT_DONE;
			return false;
		}
		if (found < GETOPT_KEYS) {
			complain_option(p, found, argv);
			return false;
		}
		const struct key *key = p->flags.keys[found - GETOPT_KEYS];
		if (key->scope != SCOPE_OWN)
			config_flag(p->config, key, optarg);
		else if (!take_own(p, key, optarg))
			return false;
	}
	return true;
}

bool cli_parse(const struct command *cmd, int argc, char **argv, void *own, struct config *config,
	struct arena *arena, int max_operands, int *ret_operands, int *ret_exit)
{
	struct parse p = { .cmd = cmd, .own = own, .config = config, .arena = arena };
	*ret_exit = EXIT_SETUP;
	bool ok = parse_init(&p) && parse_run(&p, argc, argv, ret_exit);
	parse_finish(&p);
	if (ok && argc - optind > max_operands) {
		cli_complain(cmd, "unexpected argument '%s' (berth %s --help)", argv[optind + max_operands],
			cmd->name);
		ok = false;
	}
	*ret_operands = optind;
	return ok;
}
