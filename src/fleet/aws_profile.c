/* The two files of profiles: ~/.aws/credentials with sections [NAME], ~/.aws/config with [profile NAME] and
 * [default]. */
#include "base/str.h"
#include "fleet/aws_credentials.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = AWS_TOKEN + 256 };

struct reading {
	struct aws_credentials *c; /* borrowed */
	const char *profile;       /* borrowed */
	bool found;
	char unsupported[32]; /* the key that says how it gets its keys */
	const char *too_long; /* the key whose value has no room; NULL */
};

static bool path_of(char path[PATH_MAX], const char *variable, const char *name)
{
	const char *set = getenv(variable), *home = getenv("HOME");
	if (set && *set)
		return snprintf(path, PATH_MAX, "%s", set) < PATH_MAX;
	return home && snprintf(path, PATH_MAX, "%s/.aws/%s", home, name) < PATH_MAX;
}

/* "[profile blue]", "[blue]": is it this profile's? */
static bool is_section_of(struct str line, const char *profile)
{
	struct str name = str_trim((struct str){ line.ptr + 1, line.len - 2 });
	if (str_starts(name, STR("profile ")))
		name = str_trim(str_skip(name, 8));
	return str_eq(name, str_of(profile));
}

static void take(struct reading *r, const char *key, char *to, size_t size, struct str value)
{
	if (*to)
		return;
	if (value.len < size)
		str_copy(to, size, value);
	else
		r->too_long = key;
}

static void take_line(struct reading *r, struct str key, struct str value)
{
	static const char *const ways[] = { "role_arn", "credential_process", "sso_session", "sso_start_url",
		"web_identity_token_file", "login_session" };
	const struct taken {
		const char *key;
		char *to;
		size_t size;
	} all[] = { { "aws_access_key_id", r->c->access_key, sizeof r->c->access_key },
		{ "aws_secret_access_key", r->c->secret, sizeof r->c->secret },
		{ "aws_session_token", r->c->token, sizeof r->c->token },
		{ "region", r->c->region, sizeof r->c->region } };
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (str_eq(key, str_of(all[i].key)))
			take(r, all[i].key, all[i].to, all[i].size, value);
	}
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		if (str_eq(key, str_of(ways[i])))
			str_copy(r->unsupported, sizeof r->unsupported, key);
	}
}

static bool read_file(struct reading *r, const char *path, char why[AWS_WHY])
{
	char text[LINE];
	bool within = false;
	FILE *f = fopen(path, "re");
	if (!f && (errno == ENOENT || errno == ENOTDIR))
		return true;
	if (!f) {
		snprintf(why, AWS_WHY, "%.300s: %s", path, strerror(errno));
		return false;
	}
	while (fgets(text, sizeof text, f)) {
		struct str value = { text, strcspn(text, "\r\n") };
		bool nested = value.len && (*value.ptr == ' ' || *value.ptr == '\t'); /* of "s3 =" and such */
		value = str_trim(value);
		if (value.len > 2 && *value.ptr == '[') {
			within = is_section_of(value, r->profile);
			r->found |= within;
			continue;
		}
		if (!within || nested || !value.len || *value.ptr == '#' || *value.ptr == ';')
			continue;
		struct str key = str_cut(&value, '=');
		take_line(r, str_trim(key), str_trim(value));
	}
	explicit_bzero(text, sizeof text);
	fclose(f);
	return true;
}

int aws_profile_read(struct aws_credentials *c, const char *profile, char why[AWS_WHY])
{
	struct reading r = { .c = c, .profile = profile };
	char path[PATH_MAX];
	if (path_of(path, "AWS_SHARED_CREDENTIALS_FILE", "credentials") && !read_file(&r, path, why))
		return -1;
	if (path_of(path, "AWS_CONFIG_FILE", "config") && !read_file(&r, path, why))
		return -1;
	if (r.too_long) {
		snprintf(why, AWS_WHY, "the AWS profile \"%.60s\": the value of %s is too long", profile,
			r.too_long);
		return -1;
	}
	if (c->access_key[0] && c->secret[0]) {
		snprintf(c->origin, sizeof c->origin, "the profile \"%.100s\"", profile);
		return 1;
	}
	if (!r.unsupported[0])
		return 0;
	snprintf(why, AWS_WHY,
		"the AWS profile \"%.60s\" gets its keys by %s, which Berth does not do: eval \"$(aws "
		"configure "
		"export-credentials --profile %.60s --format env)\" puts them into the environment",
		profile, r.unsupported, profile);
	return -1;
}
