/* config_text: a configuration from a text, for tests. */
#pragma once
#include "cli/config.h"

/* Read, not finished; named berth.yaml. */
struct config *config_of(const char *text);
