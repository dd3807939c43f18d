/* What a call is made of. */
#include "fleet/aws.h"

#include "fleet/digest.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void aws_encode(FILE *to, const char *text, bool slashes)
{
	for (const char *p = text; *p; p++) {
		unsigned char c = (unsigned char)*p;
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			strchr("-_.~", c) || (slashes && c == '/');
		if (plain)
			putc(c, to);
		else if (c == ' ')
			putc('+', to);
		else
			fprintf(to, "%%%02X", c);
	}
}

static void begin(struct aws_call *c, enum aws_service service, const char *what, const char *method)
{
	*c = (struct aws_call){ .service = service, .what = what, .method = method, .file = -1 };
	arena_init(&c->arena, 16 << 10, 4 * (size_t)AWS_ANSWER_MAX);
	c->text = open_memstream(&c->body, &c->body_bytes);
}

void aws_call_query(struct aws_call *c, enum aws_service service, const char *action)
{
	begin(c, service, action, "POST");
	c->path = strdup("/");
	c->type = "application/x-www-form-urlencoded; charset=utf-8";
	snprintf(c->answered_by, sizeof c->answered_by, "%sResponse", action);
	if (c->text)
		fprintf(c->text, "Action=%s&Version=%s", action,
			service == AWS_EC2           ? "2016-11-15"
				: service == AWS_IAM ? "2010-05-08"
						     : "2011-06-15");
}

void aws_call_add(struct aws_call *c, const char *key, const char *fmt, ...)
{
	va_list args;
	char *value;
	va_start(args, fmt);
	int n = vasprintf(&value, fmt, args);
	va_end(args);
	if (n < 0 || !c->text) {
		if (c->text)
			fclose(c->text);
		c->text = NULL;
		free(c->body);
		c->body = NULL; /* aws_call_seal reports it */
		return;
	}
	fprintf(c->text, "&%s=", key);
	aws_encode(c->text, value, false);
	free(value);
}

void aws_call_s3(struct aws_call *c, const char *what, const char *method, const char *path, const char *body)
{
	begin(c, AWS_S3, what, method);
	c->path = strdup(path);
	if (c->text && body)
		fputs(body, c->text);
	if (body)
		c->type = "application/xml";
}

void aws_call_json(struct aws_call *c, enum aws_service service, const char *action, const char *body)
{
	begin(c, service, action, "POST");
	c->path = strdup("/");
	c->type = "application/x-amz-json-1.1";
	if (c->text)
		fputs(body, c->text);
}

void aws_call_file(struct aws_call *c, int fd, uint64_t bytes, const char *sha256)
{
	c->file = fd;
	c->file_bytes = bytes;
	c->type = "application/octet-stream";
	snprintf(c->sha256, sizeof c->sha256, "%s", sha256);
}

bool aws_call_seal(struct aws_call *c)
{
	if (c->text) {
		bool failed = ferror(c->text);
		if (fclose(c->text) || failed) {
			free(c->body);
			c->body = NULL;
		}
		c->text = NULL;
	}
	if (!c->body || !c->path)
		return false;
	if (c->file < 0)
		digest_bytes((struct str){ c->body, c->body_bytes }, c->sha256);
	return true;
}

void aws_call_finish(struct aws_call *c)
{
	if (c->text)
		fclose(c->text);
	free(c->body);
	free(c->path);
	free(c->answer);
	free(c->tagging);
	free(c->about);
	arena_finish(&c->arena);
	*c = (struct aws_call){ .file = -1 };
}
