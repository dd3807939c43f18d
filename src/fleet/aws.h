/* aws: calls to AWS: signed (Signature Version 4), tried again while that helps, several at once.
 *
 *	struct aws_call call;
 *	aws_call_query(&call, AWS_EC2, "DescribeInstances");
 *	aws_call_add(&call, "Filter.1.Name", "tag:%s", key);
 *	if (aws_run(a, (struct aws_call *[]){ &call }, 1) == 0)
 *		… xml_at(call.root, "reservationSet/item") …
 *	aws_call_finish(&call);
 *
 * Tried again, with full jitter: throttling, 5xx, connections and answers that do not come, and codes that
 *the caller knows to pass by themselves. A call that may have taken effect although its answer was lost is
 *made again as it was; the caller names the codes that then mean that it is done.
 *
 * Never:  writes a secret into an error or a log.
 */
#pragma once
#include "base/arena.h"
#include "base/check.h"
#include "base/rand.h"
#include "fleet/aws_credentials.h"
#include "fleet/aws_xml.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum aws_service { AWS_EC2, AWS_ECR, AWS_IAM, AWS_S3, AWS_SSM, AWS_STS, AWS_SERVICES };

enum {
	AWS_PARALLEL = 12, /* calls under way at once */
	AWS_ATTEMPTS = 10,
	AWS_RESOLVES = 3,          /* of a host that has never answered and is not known */
	AWS_PASSING_S = 300,       /* for which a code that passes by itself is waited out */
	AWS_ANSWER_MAX = 32 << 20, /* bytes of an answer */
	AWS_CODE = 80,
};

struct aws {
	struct aws_credentials credentials;
	void *multi; /* owned; CURLM */
	struct rand rand;
	bool (*interrupted)(void *user); /* NULL: never. Once it is true no call is begun, those that send a
					    file are given up … */
	bool impatient;                  /* … and so are the others that are under way */
	void (*on_wait)(void *user, const char *text); /* NULL. Told once in aws_run who does not answer, and
							  once what is tried again for seconds */
	void (*on_sent)(void *user, uint64_t sent, uint64_t all); /* NULL. Bytes of the files, now and then */
	void *user;                                               /* of the functions */
	unsigned attempts;           /* AWS_ATTEMPTS: of a call that is throttled or not answered */
	bool answered[AWS_SERVICES]; /* at least once */
	char why[AWS_WHY];           /* what failed, one line */
};

struct aws_call {
	enum aws_service service;
	const char *what;   /* static: "RunInstances" */
	const char *method; /* static */
	char *path;         /* owned: "/", "/bucket/key?tagging=" */
	const char *type;   /* static: Content-Type; NULL without a body */
	char *body;         /* owned */
	size_t body_bytes;
	FILE *text; /* owned: the body while it is written */
	int file;   /* to be sent in place of the body, borrowed; -1: none */
	uint64_t file_bytes;
	char sha256[65];      /* hexadecimal, of the body or the file */
	bool checksum;        /* S3 wants x-amz-checksum-sha256 of the body, beside the signed hash */
	char *tagging;        /* owned: the tags of an object, "a=b&c=d"; NULL */
	char answered_by[64]; /* the answer's outermost element; "": any, or none */
	char *about;          /* owned: what it does, in words, for whoever waits for it; NULL */
	const char *settled;  /* static: codes, spaces between, that mean that it is done already; NULL */
	const char *passing;  /* static: codes that pass by themselves; NULL */

	bool ok;
	bool unsure; /* it may have taken effect although it is not ok */
	unsigned attempts;
	int status;            /* of the last answer; 0: none */
	char code[AWS_CODE];   /* of the error, also of one that is `settled`; "" without one */
	char message[AWS_WHY]; /* of the error */
	char *answer;          /* owned; NUL behind it */
	size_t answer_bytes;
	const struct xml *root; /* of an answer in XML; NULL */
	struct arena arena;     /* holds root */
};

/* profile and region: as aws_credentials_find. False with a->why. A struct aws that could not be opened needs
 * no aws_close. */
MUST_USE bool aws_open(struct aws *a, const char *profile, const char *region);
void aws_close(struct aws *a);

/* Runs the calls, AWS_PARALLEL at once, and returns when all have ended. 0 when all are ok; else -1, and
 * a->why is about the first that is not. */
MUST_USE int aws_run(struct aws *a, struct aws_call *const *calls, size_t n);

bool aws_is_interrupted(const struct aws *a);

/* Waits. False when it was interrupted. */
bool aws_pause(struct aws *a, uint64_t us);

/* ---- aws_call.c ---- */

/* A call of the Query API (EC2, IAM, STS): a form, answered in XML. */
void aws_call_query(struct aws_call *c, enum aws_service service, const char *action);
void aws_call_add(struct aws_call *c, const char *key, const char *fmt, ...) PRINTF(3, 4);

/* A call of S3. path: "/bucket/key", encoded already; body: NULL or a text that is copied. */
void aws_call_s3(
	struct aws_call *c, const char *what, const char *method, const char *path, const char *body);

/* A call of the JSON API (SSM). */
void aws_call_json(struct aws_call *c, enum aws_service service, const char *action, const char *body);

/* Sends a file in place of a body. sha256: of its contents. */
void aws_call_file(struct aws_call *c, int fd, uint64_t bytes, const char *sha256);

/* The body is written; false without memory. aws_run calls it. */
MUST_USE bool aws_call_seal(struct aws_call *c);
void aws_call_finish(struct aws_call *c);

/* Appends text as in a form: all but letters, digits and "-_.~" as %XX, a space as '+', and '/' as it is when
 * slashes is set. */
void aws_encode(FILE *to, const char *text, bool slashes);

/* ---- aws_error.c ---- */

enum aws_verdict { AWS_OK, AWS_AGAIN, AWS_LATER, AWS_FAILED };

/* Reads the answer, which sets all results of the call. problem: why there is no answer, or NULL. AWS_AGAIN:
 * after a short pause; AWS_LATER: it passes by itself. */
MUST_USE enum aws_verdict aws_judge(struct aws_call *c, const char *problem);

/* One line: what failed, why, and what to do. */
void aws_explain(const struct aws *a, const struct aws_call *c, char why[AWS_WHY]);

/* One line: what was answered, "iam DeleteRole: DeleteConflict: Cannot delete entity, …". */
void aws_describe(const struct aws_call *c, char text[AWS_WHY]);

/* True when the code is among those in the list, which may be NULL. */
bool aws_code_is(const char *code, const char *list);

/* ---- aws_endpoint.c ---- */

enum { AWS_URL = 256 };

/* "https://ec2.eu-central-1.amazonaws.com" or what AWS_ENDPOINT_URL_EC2 or AWS_ENDPOINT_URL says; without a
 * slash at its end. False with why when that is no http or https URL. */
MUST_USE bool aws_endpoint(
	enum aws_service service, const char *region, char url[AWS_URL], char why[AWS_WHY]);

/* The region that calls of this service are signed for. */
const char *aws_signing_region(enum aws_service service, const char *region);
const char *aws_service_name(enum aws_service service);

/* "aws", "aws-cn", "aws-us-gov": what an ARN begins with. */
const char *aws_partition(const char *region);
