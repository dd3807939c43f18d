#include "cli/deployment.h"

const struct deployment *deployment_of(enum fleet_place place)
{
	switch (place) {
	case FLEET_LOCAL:
	case FLEET_DOCKER:
	case FLEET_AWS:
		break;
	}
	return NULL;
}
