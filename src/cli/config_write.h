/* config_write: settings as a configuration, for an orchestrator that runs elsewhere. */
#pragma once
#include "gateway/settings.h"

/* All of them, also those that are as by default, as JSON, which is YAML too; to be freed, NULL without
 * memory. What it says is read back as the same settings. */
char *config_write(const struct settings *s);
