/* The images that a fleet on Docker is made of: how they get to the engine. */
#include "cli/docker_up.h"
#include "cli/image_berth.h"

#include <stdio.h>
#include <string.h>

static void on_layers(struct docker *d, const char *name, size_t done, size_t all)
{
	docker_up_tell(
		CONTAINER_OF(d, struct docker_up, docker), "pulling %s: %zu of %zu layers", name, done, all);
}

static bool load(struct docker_up *u, const struct image *image, char ret_id[DOCKER_ID])
{
	if (!docker_find_image(&u->docker, image->tag, ret_id))
		return false;
	if (ret_id[0])
		return true;
	if (u->options->dry_run) {
		docker_up_would(u, "load the image %s", image->tag);
		str_copy(ret_id, DOCKER_ID, str_of(image->id));
		return true;
	}
	docker_up_tell(u, "loading %s (%.1f MB)", image->tag, (double)image->bytes / 1e6);
	return docker_load_image(&u->docker, image->tag, image->fd, image->bytes) &&
		docker_find_image(&u->docker, image->tag, ret_id);
}

/* Berth's own: made anew, for only then its id is known; that is a matter of tenths of a second. */
static bool own_image(struct docker_up *u, enum image_what what, char tag[IMAGE_TAG], char ret_id[DOCKER_ID])
{
	struct image image;
	docker_up_tell(u, "making the image");
	if (!image_berth(u->server->cmd, what, what == IMAGE_WORKER ? u->fleet->model : NULL, false, &image))
		return false;
	str_copy(tag, IMAGE_TAG, str_of(image.tag));
	bool ok = load(u, &image, ret_id);
	image_close(&image);
	if (ok && ret_id[0])
		return true;
	if (ok)
		snprintf(u->docker.error, sizeof u->docker.error,
			"the Docker Engine has loaded the image %s and does not have it", tag);
	return docker_up_complain(u);
}

static bool users_image(struct docker_up *u)
{
	struct docker *d = &u->docker;
	const char *name = u->fleet->image;
	u->recipe.image = name;
	if (!docker_find_image(d, name, d->image_id))
		return docker_up_complain(u);
	if (d->image_id[0])
		return true;
	if (u->options->dry_run) {
		docker_up_would(u, "pull the image %s", name);
		return true; /* it is another than any container's */
	}
	docker_up_tell(u, "pulling %s", name);
	if (!docker_pull_image(d, name, on_layers) || !docker_find_image(d, name, d->image_id))
		return docker_up_complain(u);
	return true;
}

/* What berth-worker is told beside the model, which the image names. */
static void set_command(struct docker_up *u)
{
	const struct fleet_settings *f = u->fleet;
	snprintf(u->words[0], sizeof u->words[0], ":%u", f->base_port);
	snprintf(u->words[1], sizeof u->words[1], "%u", f->slots);
	snprintf(u->words[2], sizeof u->words[2], "%u", f->delay_ms);
	const char *command[] = { "--listen", u->words[0], "--slots", u->words[1], "--delay-ms", u->words[2],
		NULL };
	const char *health[] = { "CMD", IMAGE_WORKER_PROGRAM, "--health", "--listen", u->words[0], NULL };
	_Static_assert(
		ARRAY_LEN(command) <= DOCKER_WORDS_MAX && ARRAY_LEN(health) <= DOCKER_WORDS_MAX, "fit");
	memcpy(u->command, command, sizeof command);
	memcpy(u->health, health, sizeof health);
	u->recipe.command = u->command;
	u->recipe.health = u->health;
}

static bool workers_image(struct docker_up *u)
{
	if (u->fleet->image)
		return users_image(u);
	set_command(u);
	u->recipe.image = u->tag;
	return own_image(u, IMAGE_WORKER, u->tag, u->docker.image_id);
}

bool docker_up_images(struct docker_up *u)
{
	u->recipe.port = (uint16_t)u->fleet->base_port;
	return workers_image(u) &&
		(u->fleet->orchestrator == FLEET_ON_HOST ||
			own_image(u, IMAGE_ORCHESTRATOR, u->orchestrator_tag, u->orchestrator_id));
}
