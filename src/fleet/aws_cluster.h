/* aws_cluster: a fleet on EC2: what it shall be made of, what there is of it, and how both are named.
 *
 * Everything carries the tag berth:cluster=NAME from the call that makes it (the bucket: from the one after
 * it), and is found by it; roles, profiles and the bucket, which are not found by tag, have a name that
 * follows from the cluster's and the region's, and are checked for the tag. So nothing depends on a file of
 * this machine.
 *
 * Instances carry berth:role, berth:index (a worker's number), berth:generation (which rises with each run
 * that starts instances) and berth:spec (a digest of what they were made from); berth:state=draining takes a
 * worker's containers out of the rotation.
 */
#pragma once
#include "fleet/aws.h"
#include "fleet/aws_settings.h"

#define AWS_TAG_CLUSTER    "berth:cluster"
#define AWS_TAG_ROLE       "berth:role"
#define AWS_TAG_INDEX      "berth:index"
#define AWS_TAG_GENERATION "berth:generation"
#define AWS_TAG_SPEC       "berth:spec"
#define AWS_TAG_STATE      "berth:state"
#define AWS_TAG_BUCKET     "berth:bucket"
#define AWS_DRAINING       "draining"
#define AWS_POLICY         "berth" /* within each role */

enum aws_role { AWS_WORKER, AWS_ORCHESTRATOR, AWS_ROLES };

enum {
	AWS_CLUSTER_MAX = 30, /* characters of a cluster's name, for a role's has 64 at most */
	AWS_BUCKET_MAX = 63,  /* likewise, as S3 has it */
	AWS_ID = 32,
	AWS_NAME = 96,
	AWS_IP = 48,
	AWS_SPEC = 17,
	AWS_OBJECTS_MAX = 3,
	AWS_KEY_PATH = 160, /* of an object in the bucket */
	AWS_USER_DATA_MAX = 16 << 10,
	AWS_FRONT_PORT = 80,
};

/* ---- names ---- */

/* NULL, or what is wrong with the name of a cluster. */
const char *aws_bad_name(const char *name);

const char *aws_role_name(enum aws_role role); /* "worker" */

/* The name of a role and of its profile: "berth-NAME-REGION-worker". */
const char *aws_iam_name(const char *cluster, const char *region, enum aws_role role, char name[AWS_NAME]);

/* The name of a security group: "berth-NAME-worker". */
const char *aws_group_name(const char *cluster, enum aws_role role, char name[AWS_NAME]);

/* What the keys of the cluster's objects begin with, and its slash. */
const char *aws_prefix(const char *cluster, char prefix[AWS_NAME]);

/* The bucket that is made for the cluster. */
const char *aws_bucket_name(
	const char *cluster, const char *region, const char *account, char name[AWS_NAME]);

/* ---- what there is ---- */

enum aws_state { AWS_PENDING, AWS_RUNNING, AWS_ENDING, AWS_STOPPED, AWS_TERMINATED };

struct aws_instance {
	char id[AWS_ID];
	enum aws_role role;
	uint32_t index;      /* of a worker, from 1 */
	uint32_t generation; /* from 1 */
	char spec[AWS_SPEC];
	char private_ip[AWS_IP], public_ip[AWS_IP]; /* "" where there is none (yet) */
	char type[AWS_ID];
	char reason[160]; /* why it ended, "" */
	enum aws_state state;
	int64_t launched_s; /* since the epoch; 0: EC2 does not say */
	bool draining;
	bool broken; /* it runs, and none of its containers does: set by aws_find_broken only */
};

/* What an ingress rule admits. */
struct aws_rule {
	char id[AWS_ID]; /* "" of one that is wanted */
	enum aws_role to;
	uint32_t from_port, to_port;
	char source[AWS_IP]; /* a network, or a group's id; "" when it is unlike any that is made here */
};

struct aws_group {
	char id[AWS_ID]; /* "": there is none */
	char vpc[AWS_ID];
};

struct aws_names {
	const char **names;
	size_t n;
};

/* A role and its instance profile. */
struct aws_iam {
	bool role, profile; /* there are such, and they are this cluster's */
	bool foreign;       /* one of the name is somebody else's */
	bool attached;      /* the profile has the role */
	const char *policy; /* of the role, "" without one */
	/* Filled by aws_look_for_policies: */
	struct aws_names own_policies;      /* the names of those within the role, `policy` among them */
	struct aws_names attached_policies; /* the ARNs of managed ones */
};

struct aws_found {
	struct arena arena; /* holds what the pointers below point to */
	struct aws_instance *instances;
	size_t n_instances;
	struct aws_group groups[AWS_ROLES];
	struct aws_rule *rules;
	size_t n_rules;
	struct aws_iam iam[AWS_ROLES];
	char account[AWS_ID];
	char bucket[AWS_NAME]; /* the one that the roles' tags name, else that of the settings, else that
				  which is made; "" when only instances were looked for */
	bool bucket_there;
	bool bucket_ours;     /* made for this cluster: goes with it */
	bool bucket_tagged;   /* says so */
	const char **objects; /* keys */
	size_t n_objects;
};

void aws_found_init(struct aws_found *f);
void aws_found_finish(struct aws_found *f);

/* Looks for everything of the cluster. bucket: that of the settings, or NULL. 0 or -1 with a->why. */
MUST_USE int aws_look(struct aws *a, const char *cluster, const char *bucket, struct aws_found *f);

/* Looks for the instances only; the rest stays as it was. */
MUST_USE int aws_look_for_instances(struct aws *a, const char *cluster, struct aws_found *f);

/* Likewise, of the groups. */
MUST_USE int aws_look_for_groups(struct aws *a, const char *cluster, struct aws_found *f);

/* Looks what is in and on the roles that were found and are not among `kept` (NULL: nothing is). */
MUST_USE int aws_look_for_policies(
	struct aws *a, const char *cluster, const struct aws_found *kept, struct aws_found *f);

/* The instances of an answer to DescribeInstances, or the one of RunInstances' (path "instancesSet/item"). */
void aws_read_instance(const struct xml *item, struct aws_instance *ret);

static inline bool aws_is_live(const struct aws_instance *i)
{
	return i->state == AWS_PENDING || i->state == AWS_RUNNING;
}

const char *aws_state_name(enum aws_state state);

/* How an instance is called among people: "worker 3", "orchestrator". */
const char *aws_instance_name(const struct aws_instance *i, char name[AWS_NAME]);

/* ---- what it shall be ---- */

enum aws_object_kind { AWS_OBJECT_WORKER, AWS_OBJECT_ORCHESTRATOR, AWS_OBJECT_MODEL };

const char *aws_object_name(enum aws_object_kind kind); /* "worker image" */

/* A file that instances fetch, named after its contents. */
struct aws_object {
	enum aws_object_kind kind;
	int fd; /* owned by who made it */
	uint64_t bytes;
	char sha256[65];
	char key[AWS_KEY_PATH]; /* in the bucket */
};

struct aws_wanted {
	const char *name; /* of the cluster */
	const struct aws_settings *settings;
	uint32_t workers, containers, base_port;
	uint64_t ready_us;        /* until all containers are ready, or what leaves is at rest */
	uint32_t container_port;  /* that each listens on within */
	const char *image;        /* of the containers: as docker run names it */
	const char *options;      /* of docker run, before it */
	const char *arguments;    /* what it is run with */
	const char *orchestrator; /* image, likewise */
	const char *config;       /* the orchestrator's berth.yaml */
	struct aws_object objects[AWS_OBJECTS_MAX];
	size_t n_objects;
};
