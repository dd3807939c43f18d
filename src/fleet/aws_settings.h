/* aws_settings: what berth.yaml's fleet section says about AWS. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct aws_settings {
	const char *region, *profile; /* NULL: as AWS's own tools find them */
	const char *instance_type;    /* of every instance */
	const char *ami;              /* NULL: Debian 13's own */
	const char *subnet;           /* NULL: a default one of the default VPC */
	const char *key;              /* a key pair's name, NULL: none */
	const char *bucket;           /* NULL: one is made */
	const char **admin_cidrs;     /* who may reach the front */
	size_t n_admin_cidrs;
	bool open_to_all; /* 0.0.0.0/0 and ::/0 are allowed among them */
};
