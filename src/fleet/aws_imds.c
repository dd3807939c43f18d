/* The metadata service of an EC2 instance, version 2: a token first, which every question carries. */
#include "base/str.h"
#include "fleet/aws_credentials.h"
#include "fleet/curl_load.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEFAULT_ENDPOINT "http://169.254.169.254"
#define ROLE_PATH        "/latest/meta-data/iam/security-credentials/"

enum { TIMEOUT_MS = 1000 };

static bool is_disabled(void)
{
	const char *set = getenv("AWS_EC2_METADATA_DISABLED");
	return set && str_eq_nocase(str_of(set), STR("true"));
}

/* One question; header: what it carries. False with one phrase in why. */
static bool ask(
	const char *method, const char *path, const char *header, struct curl_text *ret, char why[AWS_WHY])
{
	const char *set = getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT");
	char url[512];
	int n = snprintf(url, sizeof url, "%s%s", set && *set ? set : DEFAULT_ENDPOINT, path);
	CURL *easy = curl_easy_init();
	struct curl_slist *headers = curl_slist_append(NULL, header);
	bool ok = easy && headers && n < (int)sizeof url;
	long status = 0;
	ret->len = 0;
	ret->text[0] = '\0';
	snprintf(why, AWS_WHY, "no question could be made");
	if (ok) {
		curl_easy_setopt(easy, CURLOPT_URL, url);
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
		curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
		curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
		curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
		curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
		curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, curl_text_add);
		curl_easy_setopt(easy, CURLOPT_WRITEDATA, ret);
		CURLcode r = curl_easy_perform(easy);
		curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
		ok = r == CURLE_OK && status == 200;
		if (r != CURLE_OK)
			snprintf(why, AWS_WHY, "%s", curl_easy_strerror(r));
		else
			snprintf(why, AWS_WHY, "status %ld", status);
	}
	curl_slist_free_all(headers);
	curl_easy_cleanup(easy);
	return ok;
}

/* The header that carries a fresh token. */
static bool make_header(char header[CURL_TEXT_MAX], char why[AWS_WHY])
{
	struct curl_text token;
	if (is_disabled()) {
		snprintf(why, AWS_WHY, "AWS_EC2_METADATA_DISABLED is true");
		return false;
	}
	if (!ask("PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 300", &token, why))
		return false;
	snprintf(header, CURL_TEXT_MAX, "X-aws-ec2-metadata-token: %.1000s", token.text);
	return true;
}

static const char *member(const json_t *root, const char *key)
{
	const char *text = json_string_value(json_object_get(root, key));
	return text ? text : "";
}

static uint64_t parse_time(const char *text)
{
	struct tm tm = { 0 };
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	return end ? (uint64_t)timegm(&tm) : 0;
}

bool aws_imds_credentials(struct aws_credentials *c, char why[AWS_WHY])
{
	struct curl_text role, keys;
	char header[CURL_TEXT_MAX], path[256];
	if (!make_header(header, why) || !ask("GET", ROLE_PATH, header, &role, why))
		return false;
	role.text[strcspn(role.text, "\r\n")] = '\0';
	snprintf(path, sizeof path, ROLE_PATH "%.128s", role.text);
	if (!ask("GET", path, header, &keys, why))
		return false;
	json_t *root = json_loadb(keys.text, keys.len, 0, NULL);
	bool ok = *member(root, "AccessKeyId") && *member(root, "SecretAccessKey");
	if (ok) {
		str_copy(c->access_key, sizeof c->access_key, str_of(member(root, "AccessKeyId")));
		str_copy(c->secret, sizeof c->secret, str_of(member(root, "SecretAccessKey")));
		str_copy(c->token, sizeof c->token, str_of(member(root, "Token")));
		snprintf(c->origin, sizeof c->origin, "the instance's role %.100s", role.text);
		c->expires_s = parse_time(member(root, "Expiration"));
		c->of_instance = true;
	} else {
		snprintf(why, AWS_WHY, "no keys in what it answers");
	}
	json_decref(root);
	explicit_bzero(keys.text, sizeof keys.text);
	return ok;
}

bool aws_imds_region(char region[AWS_REGION])
{
	struct curl_text found;
	char header[CURL_TEXT_MAX], why[AWS_WHY];
	if (!make_header(header, why) ||
		!ask("GET", "/latest/meta-data/placement/region", header, &found, why))
		return false;
	str_copy(region, AWS_REGION, str_trim((struct str){ found.text, strcspn(found.text, "\r\n") }));
	return *region != '\0';
}
