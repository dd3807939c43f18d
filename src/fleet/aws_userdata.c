#include "fleet/aws_userdata.h"

#include "fleet/aws_ecr.h"

#include <stdlib.h>
#include <string.h>

/* What both begin with. The metadata service answers on the host only: its hop limit keeps containers away.
 * The keys go to curl by its standard input, for a command line is seen by every process. */
static const char head[] =
	"set -euo pipefail\n"
	"patiently() { # COMMAND...: again until it succeeds, for some ten minutes\n"
	"	for _ in $(seq 120); do\n"
	"		\"$@\" && return\n"
	"		sleep 5\n"
	"	done\n"
	"	echo \"berth: gave up: $*\" >&2\n"
	"	return 1\n"
	"}\n"
	"metadata() { # PATH\n"
	"	local at=http://169.254.169.254/latest token\n"
	"	token=$(curl -fsS -m 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $at/api/token) "
	"&&\n"
	"		curl -fsS -m 5 -H \"X-aws-ec2-metadata-token: $token\" \"$at/meta-data/$1\"\n"
	"}\n"
	"field() { # NAME: of the JSON on standard input\n"
	"	sed -n \"s/.*\\\"$1\\\" *: *\\\"\\([^\\\"]*\\)\\\".*/\\1/p\"\n"
	"}\n"
	"signed() { # REGION:SERVICE CURL-OPTION...: a request by the machine's role\n"
	"	local role keys\n"
	"	role=$(metadata iam/security-credentials/) || return\n"
	"	keys=$(metadata \"iam/security-credentials/$role\") || return\n"
	"	curl -fsS -K - --aws-sigv4 \"aws:amz:$1\" \"${@:2}\" <<-END\n"
	"		user = \"$(field AccessKeyId <<<\"$keys\"):$(field SecretAccessKey <<<\"$keys\")\"\n"
	"		header = \"X-Amz-Security-Token: $(field Token <<<\"$keys\")\"\n"
	"	END\n"
	"}\n"
	"fetch() { # KEY SHA256 FILE\n"
	"	signed \"$region:s3\" -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' \\\n"
	"		-o \"$3\" \"$s3/$bucket/$1\" || return\n"
	"	sha256sum --check --quiet <<<\"$2  $3\"\n"
	"}\n"
	"install_docker() {\n"
	"	if command -v docker && command -v curl; then\n"
	"		return\n"
	"	elif command -v apt-get; then\n"
	"		apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy install "
	"--no-install-recommends \\\n"
	"			docker.io apparmor ca-certificates curl $(apt-cache -q pkgnames docker-cli | "
	"grep -x docker-cli || :)\n"
	"	else\n"
	"		dnf -qy install docker && systemctl enable --now docker\n"
	"	fi\n"
	"}\n"
	"load() { # KEY SHA256\n"
	"	patiently fetch \"$1\" \"$2\" /var/tmp/image.tar\n"
	"	docker load -qi /var/tmp/image.tar\n"
	"	rm /var/tmp/image.tar\n"
	"}\n"
	"start() { # DOCKER-OPTION...\n"
	"	docker run -d --restart always --tmpfs /tmp --cap-drop ALL \\\n"
	"		--security-opt no-new-privileges --log-opt max-size=10m --log-opt max-file=3 \"$@\"\n"
	"}\n"
	"patiently install_docker\n"
	"patiently docker info\n";

struct script {
	FILE *to;
	char *text; /* owned */
	size_t n;
};

static bool script_begin(struct script *s, const struct aws_wanted *w, enum aws_role role, const char *bucket,
	const char *region)
{
	char s3[AWS_URL], why[AWS_WHY];
	s->text = NULL;
	s->to = open_memstream(&s->text, &s->n);
	if (!s->to || !aws_endpoint(AWS_S3, region, s3, why))
		return false;
	fprintf(s->to,
		"#!/bin/bash\n"
		"# Berth: %s of the fleet %s. What it says is in /var/log/cloud-init-output.log.\n"
		"region='%s' bucket='%s' s3='%s'\n%s",
		aws_role_name(role), w->name, region, bucket, s3, head);
	return true;
}

static char *script_end(struct script *s)
{
	bool failed = !s->to || ferror(s->to);
	if (s->to && fclose(s->to))
		failed = true;
	if (failed) {
		free(s->text);
		return strdup("");
	}
	return s->text;
}

static const struct aws_object *object_of(const struct aws_wanted *w, enum aws_object_kind kind)
{
	for (size_t i = 0; i < w->n_objects; i++) {
		if (w->objects[i].kind == kind)
			return &w->objects[i];
	}
	return NULL;
}

/* A word of the shell, whatever is in it. */
static void print_word(FILE *to, const char *text)
{
	putc('\'', to);
	for (const char *p = text; *p; p++) {
		if (*p == '\'')
			fputs("'\\''", to);
		else
			putc(*p, to);
	}
	putc('\'', to);
}

/* GetAuthorizationToken, which is base64 of AWS:PASSWORD. It holds for twelve hours, and is needed once. */
static const char login[] =
	"login() { # REGISTRY REGION URL\n"
	"	local token\n"
	"	token=$(signed \"$2:ecr\" -H 'Content-Type: application/x-amz-json-1.1' \\\n"
	"		-H 'X-Amz-Target: AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken' -d "
	"'{}' "
	"\"$3/\" |\n"
	"		field authorizationToken) && [ -n \"$token\" ] || return\n"
	"	base64 -d <<<\"$token\" | cut -d: -f2- | docker login -u AWS --password-stdin \"$1\"\n"
	"}\n";

static bool print_login(FILE *to, const struct aws_ecr *e)
{
	char region[64], url[AWS_URL], why[AWS_WHY];
	if (!aws_endpoint(AWS_ECR, str_copy(region, sizeof region, e->region), url, why))
		return false;
	fprintf(to, "%spatiently login " STR_FMT " %s '%s'\n", login, STR_ARG(e->registry), region, url);
	return true;
}

/* The image: from the bucket, or else from its registry. */
static void print_image(FILE *to, const struct aws_object *o, const char *image)
{
	struct aws_ecr ecr;
	if (o) {
		fprintf(to, "load '%s' '%s'\n", o->key, o->sha256);
		return;
	}
	bool private = aws_ecr_parse(image, &ecr) && print_login(to, &ecr);
	fputs("patiently docker pull -q ", to);
	print_word(to, image);
	putc('\n', to);
	if (private)
		fprintf(to, "docker logout " STR_FMT "\n", STR_ARG(ecr.registry));
}

char *aws_userdata_worker(const struct aws_wanted *w, const char *bucket, const char *region)
{
	struct script s;
	const struct aws_object *model = object_of(w, AWS_OBJECT_MODEL);
	if (!script_begin(&s, w, AWS_WORKER, bucket, region))
		return script_end(&s);
	print_image(s.to, object_of(w, AWS_OBJECT_WORKER), w->image);
	if (model)
		fprintf(s.to,
			"mkdir -p /var/lib/berth/model\n"
			"patiently fetch '%s' '%s' /var/lib/berth/model.tar\n"
			"tar -C /var/lib/berth/model -xf /var/lib/berth/model.tar --no-same-owner\n"
			"rm /var/lib/berth/model.tar\n",
			model->key, model->sha256);
	fprintf(s.to,
		"for i in $(seq 0 %u); do\n"
		"	start --name \"berth-worker-$i\" -p \"$((%u + i)):%u\" %s %s",
		w->containers - 1, w->base_port, w->container_port, w->options,
		model ? "-v /var/lib/berth/model:/model:ro " : "");
	print_word(s.to, w->image);
	fprintf(s.to, " %s\ndone\n", w->arguments);
	return script_end(&s);
}

/* Host networking: the front's port is the machine's, and the metadata service is one hop away. */
char *aws_userdata_orchestrator(
	const struct aws_wanted *w, const char *bucket, const char *region, const char *seed)
{
	struct script s;
	const char *ec2 = getenv("AWS_ENDPOINT_URL_EC2");
	if (!script_begin(&s, w, AWS_ORCHESTRATOR, bucket, region))
		return script_end(&s);
	print_image(s.to, object_of(w, AWS_OBJECT_ORCHESTRATOR), w->orchestrator);
	fprintf(s.to,
		"mkdir -p /etc/berth /var/lib/berth\n"
		"chown 65532 /var/lib/berth\n"
		"cat >/etc/berth/berth.yaml <<'END-OF-CONFIGURATION'\n"
		"%s\n"
		"END-OF-CONFIGURATION\n"
		"cat >/etc/berth/workers <<'END-OF-WORKERS'\n"
		"%s"
		"END-OF-WORKERS\n"
		"echo 'net.ipv4.ip_unprivileged_port_start = %d' >/etc/sysctl.d/60-berth.conf\n"
		"sysctl -q -p /etc/sysctl.d/60-berth.conf\n"
		"start --name berth --read-only --network host -v /etc/berth:/etc/berth:ro \\\n"
		"	-v /var/lib/berth:/var/lib/berth -e TMPDIR=/var/lib/berth \\\n"
		"	-e BERTH_HEALTH_URL=http://127.0.0.1:%d/berth/readyz ",
		w->config, seed, AWS_FRONT_PORT, AWS_FRONT_PORT);
	if (ec2 && *ec2) {
		char url[AWS_URL], why[AWS_WHY];
		if (aws_endpoint(AWS_EC2, region, url, why))
			fprintf(s.to, "-e AWS_ENDPOINT_URL_EC2='%s' ", url);
	}
	print_word(s.to, w->orchestrator);
	fputs(" serve --config /etc/berth/berth.yaml\n", s.to);
	return script_end(&s);
}
