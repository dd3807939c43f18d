#include "cli/image_berth.h"

#include "cli/surroundings.h"
#include "worker/runtime.h"

bool image_berth(
	const struct command *cmd, enum image_what what, const char *model, bool cloud, struct image *ret)
{
	struct surroundings s;
	struct image_settings settings = { .what = what, .cloud = cloud };
	char runtime[RUNTIME_PATH], error[IMAGE_ERROR];
	struct why why;
	if (!surroundings_find(&s, cmd))
		return false;
	settings.program = what == IMAGE_WORKER ? s.program : s.self;
	settings.runtime = runtime;
	settings.model = model ? surroundings_model(&s, model) : NULL;
	if (what == IMAGE_WORKER && model && !surroundings_check_model(cmd, settings.model))
		return false;
	if (what == IMAGE_WORKER && !runtime_find_file(s.directory, runtime, &why)) {
		cli_complain(cmd, "%s", why.text);
		return false;
	}
	if (image_make(&settings, ret, error))
		return true;
	cli_complain(cmd, "cannot make the image: %s", error);
	return false;
}
