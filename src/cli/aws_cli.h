/* aws_cli: what the commands share that deal with a fleet on EC2. */
#pragma once
#include "cli/deployment.h"
#include "fleet/aws_deploy.h"
#include "fleet/image.h"

/* What a fleet is made of, with what it is borrowed from. */
struct aws_making {
	struct aws_wanted wanted;
	struct aws_settings settings;
	const char **networks;   /* owned, to a NULL: the settings' admin_cidrs as AWS writes them */
	char (*texts)[AWS_IP];   /* owned: what those point to */
	char tags[2][IMAGE_TAG]; /* of Berth's own images, by enum image_what */
	char options[160], arguments[160];
	char *config; /* owned */
};

/* Connects to AWS for the fleet of config, and prepares d. False after a complaint. */
MUST_USE bool aws_cli_open(
	const struct command *cmd, const struct config *config, struct aws *aws, struct aws_deploy *d);
void aws_cli_close(struct aws *aws, struct aws_deploy *d);

/* ---- aws_making.c ---- */

/* Makes the images and the configuration of the fleet. False after a complaint. aws_making_finish in any
 * case. */
MUST_USE bool aws_making_make(struct aws_making *m, const struct command *cmd, const struct config *config,
	const char *region, bool open_to_all);
void aws_making_finish(struct aws_making *m);

/* ---- aws_network.c ---- */

/* "10.1.2.3" is written as "10.1.2.3/32", "10.1.2.3/8" as "10.0.0.0/8". False when it is no network.
 * *ret_all: it is every address there is. */
MUST_USE bool aws_network(const char *text, char ret[AWS_IP], bool *ret_all);

/* ---- the commands ---- */

int aws_cli_up(struct server *server, const struct deployment_options *options);
int aws_cli_status(
	const struct command *cmd, struct config *config, const struct deployment_options *options);
int aws_cli_down(const struct command *cmd, struct config *config, const struct deployment_options *options);
