/* Where new instances go and what they start from. */
#include "fleet/aws_deploy.h"

#include <jansson.h>
#include <string.h>

/* Debian publishes the newest image of each release here (wiki.debian.org/Cloud/AmazonEC2Image). */
#define DEBIAN_IMAGE "/aws/service/debian/release/13/latest/amd64"

static int fail(struct aws_deploy *d)
{
	str_copy(d->why, sizeof d->why, str_of(d->aws->why));
	return -1;
}

static void read_parameter(const struct aws_call *c, char ami[AWS_ID])
{
	json_t *root = json_loadb(c->answer, c->answer_bytes, 0, NULL);
	const char *value = json_string_value(json_object_get(json_object_get(root, "Parameter"), "Value"));
	str_copy(ami, AWS_ID, str_of(value ? value : ""));
	json_decref(root);
}

static int find_image(struct aws_deploy *d, const char *given)
{
	struct aws_call c;
	if (given) {
		str_copy(d->site.ami, AWS_ID, str_of(given));
		return 0;
	}
	aws_call_json(&c, AWS_SSM, "GetParameter", "{\"Name\":\"" DEBIAN_IMAGE "\"}");
	int r = aws_run(d->aws, (struct aws_call *[]){ &c }, 1);
	if (r == 0)
		read_parameter(&c, d->site.ami);
	aws_call_finish(&c);
	if (r == 0 && d->site.ami[0])
		return 0;
	snprintf(d->why, sizeof d->why, "cannot find Debian 13's image: %.300s; --ami names one",
		r ? d->aws->why : "the parameter " DEBIAN_IMAGE " has no value");
	return -1;
}

/* The VPC that the cluster's groups are in, "" without any. */
static const char *vpc_of(const struct aws_found *f)
{
	return f->groups[AWS_WORKER].vpc[0] ? f->groups[AWS_WORKER].vpc : f->groups[AWS_ORCHESTRATOR].vpc;
}

/* --subnet; else a default one, in the VPC of the groups. */
static void ask_for_subnet(struct aws_call *c, const struct aws_found *f, const char *given)
{
	const char *vpc = vpc_of(f);
	aws_call_query(c, AWS_EC2, "DescribeSubnets");
	if (given) {
		aws_call_add(c, "SubnetId.1", "%s", given);
		return;
	}
	aws_call_add(c, "Filter.1.Name", "default-for-az");
	aws_call_add(c, "Filter.1.Value.1", "true");
	if (!*vpc)
		return;
	aws_call_add(c, "Filter.2.Name", "vpc-id");
	aws_call_add(c, "Filter.2.Value.1", "%s", vpc);
}

/* The first in the order of zones, so that a fleet stays together and is found there again. */
static void take_subnet(struct aws_deploy *d, const struct xml *root)
{
	const char *best = "";
	for (const struct xml *s = xml_at(root, "subnetSet/item"); s; s = xml_next(s)) {
		const char *zone = xml_text(s, "availabilityZone");
		if (d->site.subnet[0] && strcmp(zone, best) >= 0)
			continue;
		best = zone;
		str_copy(d->site.subnet, AWS_ID, str_of(xml_text(s, "subnetId")));
		str_copy(d->site.vpc, AWS_ID, str_of(xml_text(s, "vpcId")));
	}
}

static int check_subnet(struct aws_deploy *d)
{
	const char *vpc = vpc_of(&d->found);
	if (!d->site.subnet[0])
		snprintf(d->why, sizeof d->why,
			"there is no default subnet in %s: --subnet names one, subnet-…", d->site.region);
	else if (*vpc && strcmp(d->site.vpc, vpc) != 0)
		snprintf(d->why, sizeof d->why,
			"the subnet %s is in %s, and this fleet's security groups are in %s: --subnet names "
			"one there; to move, take the fleet down first",
			d->site.subnet, d->site.vpc, vpc);
	else
		return 0;
	return -1;
}

static void ask_for_image(struct aws_call *c, const char *ami)
{
	aws_call_query(c, AWS_EC2, "DescribeImages");
	aws_call_add(c, "ImageId.1", "%s", ami);
}

static int check_image(struct aws_deploy *d, const struct xml *root)
{
	const struct xml *image = xml_at(root, "imagesSet/item");
	const char *architecture = xml_text(image, "architecture");
	if (!image)
		snprintf(d->why, sizeof d->why,
			"there is no image %s in %s: --ami names one of this region, ami-…", d->site.ami,
			d->site.region);
	else if (strcmp(architecture, "x86_64") != 0)
		snprintf(d->why, sizeof d->why,
			"the image %s is for %.20s: Berth's own are for x86_64 (--ami)", d->site.ami,
			architecture);
	else
		return 0;
	return -1;
}

int aws_choose_site(struct aws_deploy *d, const struct aws_wanted *w)
{
	struct aws_call subnet, image, key;
	if (find_image(d, w->settings->ami))
		return -1;
	ask_for_subnet(&subnet, &d->found, w->settings->subnet);
	ask_for_image(&image, d->site.ami);
	aws_call_query(&key, AWS_EC2, "DescribeKeyPairs");
	if (w->settings->key)
		aws_call_add(&key, "KeyName.1", "%s", w->settings->key);
	int r = aws_run(d->aws, (struct aws_call *[]){ &subnet, &image, &key }, w->settings->key ? 3 : 2);
	if (r)
		r = fail(d);
	else
		r = check_image(d, image.root);
	if (r == 0) {
		take_subnet(d, subnet.root);
		r = check_subnet(d);
	}
	aws_call_finish(&subnet);
	aws_call_finish(&image);
	aws_call_finish(&key);
	return r;
}
