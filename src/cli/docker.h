/* docker: the deployment on a Docker Engine; see deployment.h. */
#pragma once
#include "cli/deployment.h"

int docker_deployment_up(struct server *server, const struct deployment_options *options);
int docker_deployment_status(
	const struct command *cmd, struct config *config, const struct deployment_options *options);
int docker_deployment_down(
	const struct command *cmd, struct config *config, const struct deployment_options *options);
