/* The help of a command, in the order of a manual page. */
#include "cli/cli.h"

#include <stdio.h>

enum { WIDTH = 100, INDENT = 2, DOC_INDENT = 6, VALUE = 200 };

/* Prints the words of text from `column` on, with line breaks before WIDTH. */
static void print_words(struct str text, int indent)
{
	int column = 0;
	while (text.ptr && text.len) {
		struct str word = str_cut(&text, ' ');
		if (column && column + 1 + (int)word.len > WIDTH) {
			putchar('\n');
			column = 0;
		}
		column += column ? printf(" " STR_FMT, STR_ARG(word))
				 : printf("%*s" STR_FMT, indent, "", STR_ARG(word));
	}
	putchar('\n');
}

/* Paragraphs; lines that begin with a space stay as they are. */
static void print_paragraphs(const char *text)
{
	struct str rest = str_of(text);
	while (rest.ptr) {
		struct str line = str_cut(&rest, '\n');
		if (line.len && line.ptr[0] == ' ')
			printf("%*s" STR_FMT "\n", INDENT, "", STR_ARG(line));
		else
			print_words(line, INDENT);
	}
}

static const void *base_of(const struct command *cmd, const struct config *defaults,
	const struct pool_settings *pool, enum scope scope)
{
	switch (scope) {
	case SCOPE_TOP:
		return &defaults->settings;
	case SCOPE_POOL:
		return pool;
	case SCOPE_FLEET:
		return &defaults->fleet;
	case SCOPE_OWN:
		return cmd->defaults;
	}
	return NULL;
}

static void print_option(const struct key *key, const void *base)
{
	char flag[SCHEMA_FLAG], value[VALUE], range[VALUE], doc[3 * VALUE];
	const char *before = "", *after = "";
	if (key->arg) {
		before = key->fallback ? "[=" : " ";
		after = key->fallback ? "]" : "";
	}
	printf("%*s--%s%s%s%s\n", INDENT, "", schema_flag(key, flag), before, key->arg ? key->arg : "",
		after);
	schema_range(key, range, sizeof range);
	schema_print(key, base, value, sizeof value);
	if (*value)
		snprintf(doc, sizeof doc, "%s (%s%sdefault %s).", key->doc, range, *range ? ", " : "", value);
	else
		snprintf(doc, sizeof doc, "%s.", key->doc);
	print_words(str_of(doc), DOC_INDENT);
}

static void print_options(const struct command *cmd)
{
	struct flag_list flags;
	struct pool_settings pool;
	struct config *defaults = config_create();
	pool_settings_default(&pool);
	if (flag_list_init(&flags, cmd) && defaults) {
		for (size_t i = 0; i < flags.n; i++)
			print_option(flags.keys[i], base_of(cmd, defaults, &pool, flags.keys[i]->scope));
	}
	printf("%*s--help\n", INDENT, "");
	print_words(STR("this text."), DOC_INDENT);
	flag_list_finish(&flags);
	config_destroy(defaults);
}

void cli_help(const struct command *cmd)
{
	printf("NAME\n  berth %s - %s\n\nSYNOPSIS\n  berth %s %s\n\nDESCRIPTION\n", cmd->name, cmd->summary,
		cmd->name, cmd->synopsis);
	print_paragraphs(cmd->description);
	printf("\nOPTIONS\n");
	print_options(cmd);
	printf("\nEXIT STATUS\n");
	print_paragraphs(cmd->exit_status);
	printf("\nEXAMPLES\n");
	print_paragraphs(cmd->examples);
}
