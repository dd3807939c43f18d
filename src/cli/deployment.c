#include "cli/deployment.h"

#include "cli/aws_cli.h"
#include "cli/docker.h"

static const struct deployment docker = {
	.up = docker_deployment_up,
	.status = docker_deployment_status,
	.down = docker_deployment_down,
};

static const struct deployment aws = {
	.up = aws_cli_up,
	.status = aws_cli_status,
	.down = aws_cli_down,
};

const struct deployment *deployment_of(enum fleet_place place)
{
	switch (place) {
	case FLEET_DOCKER:
		return &docker;
	case FLEET_AWS:
		return &aws;
	case FLEET_LOCAL:
		break;
	}
	return NULL;
}
