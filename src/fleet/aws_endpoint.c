#include "fleet/aws.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

static const struct service {
	const char *name, *variable;
} services[] = {
	[AWS_EC2] = { "ec2", "AWS_ENDPOINT_URL_EC2" },
	[AWS_ECR] = { "ecr", "AWS_ENDPOINT_URL_ECR" },
	[AWS_IAM] = { "iam", "AWS_ENDPOINT_URL_IAM" },
	[AWS_S3] = { "s3", "AWS_ENDPOINT_URL_S3" },
	[AWS_SSM] = { "ssm", "AWS_ENDPOINT_URL_SSM" },
	[AWS_STS] = { "sts", "AWS_ENDPOINT_URL_STS" },
};

const char *aws_service_name(enum aws_service service)
{
	return services[service].name;
}

const char *aws_partition(const char *region)
{
	if (str_starts(str_of(region), STR("cn-")))
		return "aws-cn";
	return str_starts(str_of(region), STR("us-gov-")) ? "aws-us-gov" : "aws";
}

/* IAM is one for all regions of a partition. */
const char *aws_signing_region(enum aws_service service, const char *region)
{
	if (service != AWS_IAM)
		return region;
	if (str_starts(str_of(region), STR("cn-")))
		return "cn-north-1";
	return str_starts(str_of(region), STR("us-gov-")) ? "us-gov-west-1" : "us-east-1";
}

static void standard_url(enum aws_service service, const char *region, char url[AWS_URL])
{
	const char *name = services[service].name;
	bool china = str_starts(str_of(region), STR("cn-"));
	const char *domain = china ? "amazonaws.com.cn" : "amazonaws.com";
	if (service != AWS_IAM)
		snprintf(url, AWS_URL, "https://%s%s.%s.%s", service == AWS_ECR ? "api." : "", name, region,
			domain);
	else if (china)
		snprintf(url, AWS_URL, "https://iam.cn-north-1.%s", domain);
	else if (str_starts(str_of(region), STR("us-gov-")))
		snprintf(url, AWS_URL, "https://iam.us-gov.%s", domain);
	else
		snprintf(url, AWS_URL, "https://iam.%s", domain);
}

bool aws_endpoint(enum aws_service service, const char *region, char url[AWS_URL], char why[AWS_WHY])
{
	const char *variable = services[service].variable, *set = getenv(variable);
	if (!set || !*set) {
		variable = "AWS_ENDPOINT_URL";
		set = getenv(variable);
	}
	if (!set || !*set) {
		standard_url(service, region, url);
		return true;
	}
	struct str text = str_of(set);
	while (text.len && text.ptr[text.len - 1] == '/')
		text.len--;
	bool known = str_starts(text, STR("http://")) || str_starts(text, STR("https://"));
	if (!known || text.len >= AWS_URL || strpbrk(set, " \"'`$\\@?#\r\n")) {
		snprintf(why, AWS_WHY, "%s: expected a URL such as http://127.0.0.1:5000, found \"%.100s\"",
			variable, set);
		return false;
	}
	str_copy(url, AWS_URL, text);
	return true;
}
