/* image_berth: Berth's own images, made of the programs and libraries that run here. */
#pragma once
#include "cli/cli.h"
#include "fleet/image.h"

/* model: the worker's, NULL: none; looked for as berth up does. cloud: see image.h. False after a complaint.
 */
MUST_USE bool image_berth(
	const struct command *cmd, enum image_what what, const char *model, bool cloud, struct image *ret);
