#include "worker/options.h"

#include "base/str.h"

#include <getopt.h>
#include <string.h>

const char options_help[] =
	"usage: berth-worker --model DIR|FILE.onnx [OPTION]...\n"
	"\n"
	"Serves an ONNX model over HTTP: POST /run_model for text models, the Open Inference Protocol V2 "
	"under /v2\n"
	"for all. More in docs/worker.md.\n"
	"\n"
	"  --model PATH         a directory with model.onnx and model.json, or an .onnx file\n"
	"  --listen ADDRESS     127.0.0.1:5000 by default; [::1]:5000, :5000 for everyone, unix:/path; port "
	"0: any;\n"
	"                       may be given up to four times\n"
	"  --slots N            requests in flight at once, 1 by default; above it the answer is 503, "
	"Berth-Busy: 1\n"
	"  --name NAME          under which /v2/models serves it; by default the model's own\n"
	"  --max-body SIZE      longest request body, 64MiB by default\n"
	"  --delay-ms MS        delays each run, for demonstrations\n"
	"  --delay-jitter PCT   varies that delay at random by up to PCT per cent\n"
	"  --health             asks the worker at --listen whether it is ready: exit code 0, or 1 and why "
	"not\n"
	"  --help, --version\n"
	"\n"
	"The model runtime is looked for in $BERTH_ORT, in node_modules of the program's directory and its "
	"parents,\n"
	"in /usr/lib/berth, and where the loader looks for libonnxruntime.so.\n"
	"Exit codes: 0 after SIGTERM or SIGINT, 1 when it failed while it ran, 2 when it could not start.\n";

/* "64MiB", "10kB" or plain bytes. */
static bool parse_size(const char *text, uint64_t *ret)
{
	static const struct {
		const char *suffix;
		uint64_t factor;
	} units[] = { { "", 1 }, { "B", 1 }, { "kB", 1000 }, { "KiB", 1 << 10 }, { "MB", 1000000 },
		{ "MiB", 1 << 20 }, { "GB", 1000000000 }, { "GiB", 1 << 30 } };
	size_t digits = strspn(text, "0123456789");
	uint64_t n;
	if (!str_to_u64((struct str){ text, digits }, &n))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (strcmp(text + digits, units[i].suffix) == 0)
			return !__builtin_mul_overflow(n, units[i].factor, ret);
	}
	return false;
}

static bool parse_number(
	const char *option, const char *text, uint64_t least, uint64_t most, uint64_t *ret, struct why *why)
{
	uint64_t n;
	if (!str_to_u64(str_of(text), &n) || n < least || n > most)
		return why_set(why, "--%s %s: must be a whole number from %llu to %llu", option, text,
			(unsigned long long)least, (unsigned long long)most);
	*ret = n;
	return true;
}

enum {
	OPT_MODEL = 1,
	OPT_LISTEN,
	OPT_SLOTS,
	OPT_NAME,
	OPT_MAX_BODY,
	OPT_DELAY,
	OPT_JITTER,
	OPT_HEALTH,
	OPT_HELP,
	OPT_VERSION
};

static const struct option long_options[] = {
	{ "model", required_argument, NULL, OPT_MODEL },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "slots", required_argument, NULL, OPT_SLOTS },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "max-body", required_argument, NULL, OPT_MAX_BODY },
	{ "delay-ms", required_argument, NULL, OPT_DELAY },
	{ "delay-jitter", required_argument, NULL, OPT_JITTER },
	{ "health", no_argument, NULL, OPT_HEALTH },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

static bool take(struct options *o, int option, const char *value, struct why *why)
{
	uint64_t n = 0;
	switch (option) {
	case OPT_MODEL:
		o->model = value;
		return true;
	case OPT_LISTEN:
		if (o->n_listen == LISTEN_MAX)
			return why_set(why, "--listen %s: may be given %d times at most", value, LISTEN_MAX);
		if (!io_addr_parse(&o->listen[o->n_listen], value))
			return why_set(why,
				"--listen %s: must be ADDRESS:PORT, [ADDRESS]:PORT, :PORT or unix:/path",
				value);
		o->n_listen++;
		return true;
	case OPT_SLOTS:
		if (!parse_number("slots", value, 1, SLOTS_MAX, &n, why))
			return false;
		o->slots = (uint32_t)n;
		return true;
	case OPT_NAME:
		if (!*value || strlen(value) > 200)
			return why_set(why, "--name %s: must have 1 to 200 bytes", value);
		o->name = value;
		return true;
	case OPT_MAX_BODY:
		if (!parse_size(value, &o->max_body) || o->max_body == 0 || o->max_body > (uint64_t)1 << 31)
			return why_set(
				why, "--max-body %s: must be a size from 1B to 2GiB, such as 64MiB", value);
		return true;
	case OPT_DELAY:
		if (!parse_number("delay-ms", value, 0, 600000, &n, why))
			return false;
		o->delay_us = n * 1000;
		return true;
	case OPT_JITTER:
		if (!parse_number("delay-jitter", value, 0, 100, &n, why))
			return false;
		o->delay_jitter = (uint32_t)n;
		return true;
	case OPT_HEALTH:
		o->health = true;
		return true;
	case OPT_HELP:
		o->help = true;
		return true;
	case OPT_VERSION:
		o->version = true;
		return true;
	default:
		break;
	}
	return why_set(why, "unknown option");
}

bool options_read(struct options *o, int argc, char **argv, struct why *why)
{
	int option;
	*o = (struct options){ .slots = 1, .max_body = 64 << 20 };
	optind = 1;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
		const char *word = argv[optind - 1];
		if (option == '?')
			return why_set(why, "%s: unknown option; berth-worker --help lists them", word);
		if (option == ':')
			return why_set(why, "%s: needs a value; berth-worker --help tells which", word);
		if (!take(o, option, optarg, why))
			return false;
	}
	if (o->n_listen == 0)
		CHECK(io_addr_parse(&o->listen[o->n_listen++], "127.0.0.1:5000"));
	if (o->help || o->version)
		return true;
	if (optind < argc)
		return why_set(why, "%s: not an option; berth-worker --help lists them", argv[optind]);
	if (!o->model && !o->health)
		return why_set(why, "--model is missing: a directory with model.onnx, or an .onnx file");
	return true;
}
