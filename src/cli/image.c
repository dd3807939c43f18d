/* berth image: a container image as a file, without Docker. */
#include "cli/image_berth.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

struct options {
	enum image_what what;
	const char *output, *model;
	bool cloud;
};

#define OWN(kind, path, member)                                                   \
	SCOPE_OWN, KIND_##kind, path, .offset = offsetof(struct options, member), \
				      .bytes = sizeof(((struct options *)NULL)->member)

static const char *const whats[] = { "worker", "orchestrator", NULL };

static const struct key options[] = {
	{ OWN(CHOICE, "what", what), .choices = whats, .arg = "worker|orchestrator", .doc = "which image" },
	{ OWN(TEXT, "output", output), .arg = "FILE",
		.doc = "where it is written, - for standard output; without it berth-worker.tar or "
		       "berth.tar" },
	{ OWN(TEXT_OFF, "model", model), .arg = "PATH",
		.doc = "the model that the worker's image holds, a directory or an .onnx file; off: none, to "
		       "be "
		       "mounted at /model" },
	{ OWN(SWITCH, "cloud", cloud),
		.doc = "the orchestrator's image holds libcurl and this machine's certificates too: for "
		       "containers "
		       "that are found by aws: or docker:" },
};

static const struct options defaults = { .model = "models/spam" };

static int send_all(int to, const struct image *image)
{
	off_t at = 0;
	while ((uint64_t)at < image->bytes) {
		ssize_t n = sendfile(to, image->fd, &at, image->bytes - (uint64_t)at);
		if (n < 0 && errno != EINTR)
			return -errno;
	}
	return 0;
}

/* Into a file beside it first, so that no half of an image is ever found under its name. */
static int save(const char *path, const struct image *image)
{
	char beside[PATH_MAX];
	if (snprintf(beside, sizeof beside, "%s.XXXXXX", path) >= (int)sizeof beside)
		return -ENAMETOOLONG;
	int fd = mkostemp(beside, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = send_all(fd, image);
	mode_t mask = umask(0);
	umask(mask);
	if (r == 0 && (fchmod(fd, 0666 & ~mask) || rename(beside, path)))
		r = -errno;
	close(fd);
	if (r < 0)
		(void)unlink(beside);
	return r;
}

static int image(const struct command *cmd, const struct options *own)
{
	struct image image;
	if (own->cloud && own->what != IMAGE_ORCHESTRATOR) {
		cli_complain(cmd, "--cloud: means nothing to the worker's image");
		return EXIT_SETUP;
	}
	const char *output = own->output    ? own->output
		: own->what == IMAGE_WORKER ? "berth-worker.tar"
					    : "berth.tar";
	bool to_stdout = !strcmp(output, "-");
	if (to_stdout && isatty(STDOUT_FILENO)) {
		cli_complain(cmd,
			"--output -: standard output is a terminal; berth image --output - | docker load");
		return EXIT_SETUP;
	}
	if (!image_berth(cmd, own->what, own->model, own->cloud, &image))
		return EXIT_SETUP;
	int r = to_stdout ? send_all(STDOUT_FILENO, &image) : save(output, &image);
	if (r < 0)
		cli_complain(cmd, "%s: %s", output, strerror(-r));
	else if (!to_stdout)
		printf("berth: %s: %s, %.1f MB, %s\n", output, image.tag, (double)image.bytes / 1e6,
			image.id);
	image_close(&image);
	return r < 0 ? EXIT_JOB : EXIT_DONE;
}

static int image_run(const struct command *cmd, int argc, char **argv)
{
	struct options own = defaults;
	struct arena arena;
	int operands, code;
	arena_init(&arena, 1024, 1 << 20);
	if (cli_parse(cmd, argc, argv, &own, NULL, &arena, 0, &operands, &code))
		code = image(cmd, &own);
	arena_finish(&arena);
	return code;
}

const struct command command_image = {
	.name = "image",
	.summary = "writes a container image as a file, for docker load",
	.synopsis = "[--what worker|orchestrator] [--output FILE] [--model PATH]",
	.description =
		"Makes an image of the programs, the libraries and the model that are on this machine, "
		"without Docker: a tarball that docker load, podman load and skopeo take. The same files "
		"give the same bytes, and so the same image id.\n"
		"\n"
		"The worker's image holds berth-worker, ONNX Runtime and the model, and serves on port 5000; "
		"the orchestrator's holds berth, and serves on port 8080. Both run as user 65532, have a "
		"health check, and hold no shell.",
	.exit_status = "0 written; 1 the file could not be written; 2 wrong usage, or something that the "
		       "image needs is "
		       "missing.",
	.examples = "  berth image --output - | docker load\n"
		    "  berth image --model models/spam --output worker.tar\n"
		    "  berth image --what orchestrator",
	.own = options,
	.n_own = ARRAY_LEN(options),
	.defaults = &defaults,
	.run = image_run,
};
