/* aws_userdata: the script that an instance runs once, as root, when it starts for the first time: it
 * installs Docker, fetches what its role may read from the bucket, checks it, and starts the containers.
 *
 * Never:  contains a secret: anyone on the instance can read it. The instance's role is what lets it in.
 */
#pragma once
#include "fleet/aws_cluster.h"

/* A worker's, "" without memory; to be freed. bucket: where the objects are. */
char *aws_userdata_worker(const struct aws_wanted *w, const char *bucket, const char *region);

/* The orchestrator's; seed: the workers that its `aws:` source knows at first, a line "INDEX GENERATION
 * ADDRESS" each. */
char *aws_userdata_orchestrator(
	const struct aws_wanted *w, const char *bucket, const char *region, const char *seed);
