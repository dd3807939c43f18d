/* What an answer means. */
#include "fleet/aws.h"

#include <jansson.h>
#include <string.h>

/* Too much at once, or AWS's own trouble: any call may get these. */
#define THROTTLED                                                                                  \
	"RequestLimitExceeded Throttling ThrottlingException ThrottledException RequestThrottled " \
	"RequestThrottledException TooManyRequestsException SlowDown EC2ThrottledException "       \
	"BandwidthLimitExceeded "                                                                  \
	"PriorRequestNotComplete ConcurrentModification EntityTemporarilyUnmodifiable"
#define TROUBLE                                                                                             \
	"InternalError InternalFailure InternalServerError ServiceUnavailable ServiceUnavailableException " \
	"Unavailable RequestTimeout RequestTimeoutException ServiceFailure OperationAborted"

bool aws_code_is(const char *code, const char *list)
{
	struct str rest = str_of(list);
	while (*code && rest.ptr) {
		if (str_eq(str_cut(&rest, ' '), str_of(code)))
			return true;
	}
	return false;
}

static void set_error(struct aws_call *c, const char *code, const char *message)
{
	str_copy(c->code, sizeof c->code, str_of(code));
	str_copy(c->message, sizeof c->message, str_of(message));
}

/* <Response><Errors><Error> of EC2, <ErrorResponse><Error> of IAM and STS, <Error> of S3. */
static void read_xml_error(struct aws_call *c)
{
	const struct xml *e = xml_at(c->root, "Errors/Error");
	if (!e)
		e = xml_at(c->root, "Error");
	if (!e && c->root && !strcmp(c->root->name, "Error"))
		e = c->root;
	if (e)
		set_error(c, xml_text(e, "Code"), xml_text(e, "Message"));
}

/* {"__type": "prefix#Code", "message": …} */
static void read_json_error(struct aws_call *c)
{
	json_t *root = json_loadb(c->answer, c->answer_bytes, 0, NULL);
	const char *type = json_string_value(json_object_get(root, "__type"));
	const char *message = json_string_value(json_object_get(root, "message"));
	const char *hash = type ? strrchr(type, '#') : NULL;
	if (!message)
		message = json_string_value(json_object_get(root, "Message"));
	if (type)
		set_error(c, hash ? hash + 1 : type, message ? message : "");
	json_decref(root);
}

static void read_answer(struct aws_call *c)
{
	struct str text = { c->answer, c->answer_bytes };
	c->code[0] = c->message[0] = '\0';
	c->root = NULL;
	arena_reset(&c->arena);
	if (c->service == AWS_SSM) {
		if (c->status != 200)
			read_json_error(c);
	} else if (text.len && text.ptr[0] == '<') {
		c->root = xml_parse(text, &c->arena);
		read_xml_error(c);
	}
	if (c->status >= 300 && !c->code[0]) {
		char code[32];
		snprintf(code, sizeof code, c->status == 404 ? "NotFound" : "Status%d", c->status);
		set_error(c, code, "no word about it");
	}
}

/* Only a success that says what it did is one: a proxy between may answer anything. */
static bool is_success(const struct aws_call *c)
{
	bool page = c->root && str_eq_nocase(str_of(c->root->name), STR("html"));
	bool named = !c->answered_by[0] || (c->root && !strcmp(c->root->name, c->answered_by));
	return c->status >= 200 && c->status < 300 && !c->code[0] && named && !page;
}

enum aws_verdict aws_judge(struct aws_call *c, const char *problem)
{
	c->ok = false;
	if (problem) {
		c->status = 0;
		c->root = NULL;
		set_error(c, "NoAnswer", problem);
		c->unsure = true;
		return AWS_AGAIN;
	}
	read_answer(c);
	if (is_success(c) || aws_code_is(c->code, c->settled)) {
		c->ok = true;
		c->unsure = false;
		return AWS_OK;
	}
	if (!c->code[0])
		set_error(c, "NoAnswer", "what it answers is no answer of AWS");
	if (c->status >= 500 || aws_code_is(c->code, TROUBLE " NoAnswer")) {
		c->unsure = true;
		return AWS_AGAIN;
	}
	if (c->status == 429 || aws_code_is(c->code, THROTTLED))
		return AWS_AGAIN;
	/* A new profile is not known to EC2 for some seconds, and this is how it says so. */
	bool passes = aws_code_is(c->code, c->passing) ||
		(c->passing && !strcmp(c->code, "InvalidParameterValue") &&
			strcasestr(c->message, "profile"));
	return passes ? AWS_LATER : AWS_FAILED;
}

/* ---- errors for people ---- */

static const struct advice {
	const char *codes, *text;
	bool credentials; /* it helps to know where they come from */
} advices[] = {
	{ "SignatureDoesNotMatch InvalidClientTokenId AuthFailure InvalidAccessKeyId "
	  "UnrecognizedClientException "
	  "IncompleteSignature",
		"the key or the secret is not right, or this machine's clock is wrong, "
		"or the region is not enabled for the account",
		true },
	{ "ExpiredToken ExpiredTokenException InvalidToken TokenRefreshRequired",
		"the session has ended: get new credentials", true },
	{ "RequestExpired", "the session has ended: get new credentials; or this machine's clock is wrong",
		true },
	{ "RequestTimeTooSkewed", "this machine's clock is wrong", false },
	{ "AccessDenied AccessDeniedException UnauthorizedOperation Status403",
		"these credentials may not do that; docs/aws.md has the policy that is needed", true },
	{ "InvalidAMIID.NotFound InvalidAMIID.Malformed InvalidAMIID.Unavailable",
		"--ami names an image of this region, ami-…" },
	{ "InvalidKeyPair.NotFound", "--key names a key pair of this region" },
	{ "InvalidSubnetID.NotFound InvalidSubnet", "--subnet names a subnet of this region, subnet-…" },
	{ "InstanceLimitExceeded VcpuLimitExceeded MaxSpotInstanceCountExceeded",
		"ask AWS for a higher limit, or take fewer workers (--workers)" },
	{ "InsufficientInstanceCapacity Unsupported",
		"another --instance-type, or a --subnet in another zone, may be there" },
	{ "OptInRequired", "this region or service has to be enabled for the account" },
	{ "NoSuchBucket", "--bucket names a bucket that is there, or is left out" },
	{ "BucketAlreadyExists", "the bucket's name is taken by somebody else: --bucket names one of yours" },
	{ "PermanentRedirect AuthorizationHeaderMalformed IllegalLocationConstraintException",
		"the bucket is in another region" },
};

static const struct advice *find_advice(const char *code)
{
	for (size_t i = 0; i < ARRAY_LEN(advices); i++) {
		if (aws_code_is(code, advices[i].codes))
			return &advices[i];
	}
	return NULL;
}

/* What is not answered: the region is a part of the host's name. */
static void advise_silence(const struct aws *a, const struct aws_call *c, char advice[AWS_WHY])
{
	char url[AWS_URL], ignored[AWS_WHY];
	if (!aws_endpoint(c->service, a->credentials.region, url, ignored))
		return;
	snprintf(advice, AWS_WHY, " (tried %u time%s); is the region right, and is %s within reach?",
		c->attempts, c->attempts == 1 ? "" : "s", url);
}

void aws_describe(const struct aws_call *c, char text[AWS_WHY])
{
	char message[280];
	str_copy(message, sizeof message, str_trim(str_of(c->message)));
	for (char *p = message; *p; p++) { /* one line, no terminal escapes */
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	}
	snprintf(text, AWS_WHY, "%s %s: %s: %s", aws_service_name(c->service), c->what, c->code, message);
}

void aws_explain(const struct aws *a, const struct aws_call *c, char why[AWS_WHY])
{
	const struct advice *known = find_advice(c->code);
	char what[AWS_WHY], advice[AWS_WHY] = "";
	aws_describe(c, what);
	if (known && known->credentials)
		snprintf(advice, sizeof advice, " (credentials of %s); %s", a->credentials.origin,
			known->text);
	else if (known)
		snprintf(advice, sizeof advice, "; %s", known->text);
	else if (!strcmp(c->code, "NoAnswer"))
		advise_silence(a, c, advice);
	snprintf(why, AWS_WHY, "%s%s", what, advice);
}
