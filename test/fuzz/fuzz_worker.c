/* Clients' connections to the worker, over the simulator and a fake ONNX Runtime.
 *
 * The first byte chooses the model and the slots, the second the network's pieces. The rest is a script of
 * steps: a byte whose low three bits say what happens, and for some a byte of length with so many bytes.
 * Runs that the worker gives to a thread end when the script says so. All answers are read: each is whole,
 * and what calls itself JSON is JSON. Afterwards all hang up, time passes, and nothing may be left.
 */
#include "fuzz.h"

#include "base/log.h"
#include "fake_ort.h"
#include "sim/io_sim.h"
#include "unit/reader.h"
#include "worker/worker.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <unistd.h>

enum {
	CLIENTS = 3,
	RUNS = 4,
	PORT = 5000,
	STEPS_MAX = 200,
	LONGEST_WAIT = 23, /* 2^23 us */
	SECOND = 1000000,
	HEARD_MAX = 256 * 1024
};

enum step { SENDS, TIME_PASSES, ASKS, RUN_ENDS, LEAVES, READS, FATE, BODY_FOLLOWS };

struct party {
	struct scene *scene;  /* borrowed: the owner */
	struct wire_end *end; /* borrowed; NULL: no connection */
	bool stands;
	bool asked_for_heads; /* which answers have bodies is not looked at then */
	char *heard;          /* borrowed: HEARD_MAX bytes, static */
	size_t n_heard;
};

struct scene {
	struct io_sim *sim; /* owned */
	struct worker worker;
	struct options options;
	struct runtime runtime;
	struct model model;
	struct rand rand;
	struct party clients[CLIENTS];
	struct run {
		struct slot *slot; /* borrowed; NULL: free */
		struct job *job;
	} runs[RUNS]; /* the oldest first */
	bool threads; /* are to be had */
};

static struct scene scene;

/* ---- models ---- */

static char name_in[] = "in", name_floats[] = "floats", name_label[] = "label", name_words[] = "words";

static void choose_model(struct scene *w, uint8_t bits)
{
	static struct tensor_spec inputs[1], outputs[3];
	bool text = bits & 1;
	inputs[0] = (struct tensor_spec){ .name = name_in,
		.dtype = text ? DTYPE_BYTES : DTYPE_BOOL + bits / 16 % 14,
		.rank = 2,
		.dims = { -1, text ? 1 : -1 } };
	outputs[0] = (struct tensor_spec){
		.name = name_floats, .dtype = bits & 2 ? DTYPE_FP64 : DTYPE_FP32, .rank = 2, .dims = { -1, 2 }
	};
	outputs[1] =
		(struct tensor_spec){ .name = name_label, .dtype = DTYPE_INT64, .rank = 1, .dims = { -1 } };
	outputs[2] = (struct tensor_spec){
		.name = name_words, .dtype = bits & 4 ? DTYPE_BYTES : DTYPE_BF16, .rank = 1, .dims = { -1 }
	};
	fake_ort_init(&w->runtime);
	w->model = (struct model){ .rt = &w->runtime,
		.signature = { inputs, outputs, 1, 3 },
		.name = "m",
		.version = "1",
		.has_text = text,
		.probabilities = 0,
		.label = bits & 4  ? 2
			: bits & 2 ? 1
				   : -1 };
	fake_signature = &w->model.signature;
	fake_fate = FAKE_RUNS;
}

/* ---- threads, which are the script's ---- */

bool __wrap_slot_start(struct slot *slot, struct job *job);
bool __wrap_slot_start(struct slot *slot, struct job *job)
{
	for (int i = 0; i < RUNS && scene.threads; i++) {
		if (scene.runs[i].slot)
			continue;
		scene.runs[i] = (struct run){ slot, job };
		return true;
	}
	return false;
}

static void end_run(struct scene *w)
{
	struct run run = w->runs[0];
	if (!run.slot)
		return;
	for (int i = 0; i + 1 < RUNS; i++)
		w->runs[i] = w->runs[i + 1];
	w->runs[RUNS - 1].slot = NULL;
	job_do(run.job, &run.slot->run);
	w->sim->io.ops->post(&w->sim->io, &run.slot->done);
}

/* ---- the clients' end of the network ---- */

static void on_open(struct wire_end *e)
{
	((struct party *)e->owner)->stands = true;
}

static void on_bytes(struct wire_end *e, const char *bytes, size_t n)
{
	struct party *p = e->owner;
	CHECK(n && n <= HEARD_MAX - p->n_heard);
	memcpy(p->heard + p->n_heard, bytes, n);
	p->n_heard += n;
}

static void check_body(const struct http_head *head, struct str body)
{
	const struct http_field *type = http_field(head, FIELD_CONTENT_TYPE);
	bool json = type && memmem(type->value.ptr, type->value.len, "json", 4);
	CHECK(!json || reader_accepts(body));
	CHECK(head->status != 200 || body.len || head->content_length == 0);
}

/* Answers stand one behind the other; the last may have been cut off. */
static void check_answers(const struct party *p)
{
	static struct http_head head;
	struct str rest = { p->heard, p->n_heard };
	while (rest.len && !p->asked_for_heads) {
		enum parse_status status =
			http_parse_response(rest.ptr, rest.len, 64 * 1024, HTTP_POST, &head);
		CHECK(status != PARSE_BAD);
		if (status == PARSE_MORE)
			return;
		rest = str_skip(rest, head.bytes);
		CHECK(head.framing == FRAMING_LENGTH || head.status == 100);
		if (head.content_length > rest.len)
			return;
		if (head.status != 100)
			check_body(&head, (struct str){ rest.ptr, head.content_length });
		rest = str_skip(rest, head.content_length);
	}
}

static void hang_up(struct party *p, bool reset)
{
	if (!p->end)
		return;
	wire_close(p->end, reset);
	p->end = NULL;
	p->stands = false;
	check_answers(p);
	p->n_heard = 0;
	p->asked_for_heads = false;
}

static void on_eof(struct wire_end *e)
{
	hang_up(e->owner, false);
}

static void on_broken(struct wire_end *e, int err)
{
	CHECK(err < 0);
	hang_up(e->owner, false);
}

static void on_room(struct wire_end *e)
{
	CHECK(e->open);
}

static const struct wire_ops client_ops = { on_open, on_bytes, on_eof, on_broken, on_room };

static void on_turn(void *owner)
{
	const struct scene *w = owner;
	CHECK(slots_taken(&w->worker.slots) <= w->options.slots);
	CHECK(worker_connections(&w->worker) <= w->worker.connections_max);
}

static const struct io_sim_world world = { .on_turn = on_turn };

/* ---- the script ---- */

static void pass(struct scene *w, uint64_t us)
{
	uint64_t until_us = w->sim->io.now_us + us;
	while (!w->sim->io.stopped && io_sim_turn(w->sim, until_us))
		;
}

static void begin(struct scene *w, uint8_t bits, uint8_t pieces)
{
	static char heard[CLIENTS][HEARD_MAX];
	struct why why;
	struct io_addr *listen = &w->options.listen[0];
	choose_model(w, bits);
	rand_seed(&w->rand, 1);
	w->threads = pieces & 32;
	w->options.slots = bits & 8 ? 2 : 1;
	w->options.max_body = pieces & 64 ? 64 * 1024 : 600;
	w->options.delay_us = pieces & 128 ? 3000 : 0;
	w->options.delay_jitter = 50;
	w->options.n_listen = 1;
	*listen = (struct io_addr){ .len = sizeof listen->in };
	listen->in = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	w->sim = io_sim_create(&world, w, &w->rand, 1);
	w->sim->client_traits = (struct wire_traits){
		.latency_min_us = 10,
		.latency_max_us = 20,
		.room_bytes = pieces & 1 ? 512 : 1 << 16,
		.piece_max = pieces & 2 ? 7 : 1 << 16,
		.tear_ppm = pieces & 4 ? 300000 : 0,
		.short_send_ppm = pieces & 8 ? 300000 : 0,
		.reset_drops_ppm = pieces & 16 ? 500000 : 0,
	};
	CHECK(worker_init(&w->worker, &w->sim->io, &w->options, &w->model, &why));
	for (int i = 0; i < CLIENTS; i++)
		w->clients[i] = (struct party){ .scene = w, .heard = heard[i] };
}

/* A client that is not there comes first. */
static void send_bytes(struct party *p, struct str bytes)
{
	if (!p->end) {
		p->end = io_sim_connect(p->scene->sim, PORT, &client_ops, p);
		pass(p->scene, 100);
	}
	p->asked_for_heads |= bytes.len && memmem(bytes.ptr, bytes.len, "HEAD", 4);
	if (!p->end || !p->stands || !bytes.len || p->end->wants_room)
		return;
	if (wire_send(p->end, &(struct iovec){ (char *)(uintptr_t)bytes.ptr, bytes.len }, 1) < 0)
		hang_up(p, false);
}

/* A byte of length, and so many bytes, if there are as many. */
static struct str take_bytes(struct str *script)
{
	size_t n = script->len ? (unsigned char)script->ptr[0] : 0;
	struct str rest = str_skip(*script, 1);
	if (n > rest.len)
		n = rest.len;
	*script = str_skip(rest, n);
	return (struct str){ rest.ptr, n };
}

/* A request with this body, so that the script need not count. Of an inference, binary tensor data begin
 * after the first NUL. */
static void ask(struct party *p, unsigned how, struct str body)
{
	static const char *const fields[] = {
		"POST /run_model HTTP/1.1\r\nContent-Type: application/json\r\n",
		"POST /run_model HTTP/1.1\r\nContent-Type: text/plain\r\n",
		"POST /v2/models/m/infer HTTP/1.1\r\n",
		"POST /v2/models/m/versions/1/infer HTTP/1.1\r\n",
	};
	char head[256], all[600];
	const char *nul = how == 3 ? memchr(body.ptr, '\0', body.len) : NULL;
	int n = snprintf(head, sizeof head, "%sHost: w\r\nContent-Length: %zu\r\n", fields[how],
		body.len - (nul != NULL));
	if (nul)
		n += snprintf(head + n, sizeof head - (size_t)n, "Inference-Header-Content-Length: %td\r\n",
			nul - body.ptr);
	size_t json = nul ? (size_t)(nul - body.ptr) : body.len;
	struct str binary = str_skip(body, json + (nul != NULL));
	n = snprintf(all, sizeof all, "%s\r\n", head);
	memcpy(all + n, body.ptr, json);
	memcpy(all + n + json, binary.ptr, binary.len);
	send_bytes(p, (struct str){ all, (size_t)n + json + binary.len });
}

/* arg: the five bits above the step's. */
static void take_step(struct scene *w, enum step step, unsigned arg, struct str *script)
{
	static const char filling[256] = { [1] = '1', [3] = ',', [7] = '"' };
	struct party *p = &w->clients[arg % CLIENTS];
	switch (step) {
	case SENDS:
		send_bytes(p, take_bytes(script));
		break;
	case TIME_PASSES:
		pass(w, UINT64_C(1) << (arg < LONGEST_WAIT ? arg : LONGEST_WAIT));
		break;
	case ASKS:
		ask(p, arg / CLIENTS % 4, take_bytes(script));
		break;
	case RUN_ENDS:
		end_run(w);
		break;
	case LEAVES:
		if (p->stands && arg & 16)
			wire_shutdown(p->end);
		else if (p->stands)
			hang_up(p, arg & 8);
		break;
	case READS:
		if (p->stands)
			wire_pause(p->end, arg & 16);
		break;
	case FATE:
		fake_fate = (enum fake_fate)(arg % FAKE_FATES);
		w->worker.mean_us = arg & 16 ? UINT64_MAX : 0;
		break;
	case BODY_FOLLOWS:
		send_bytes(p, (struct str){ filling, 8 * arg });
		break;
	}
}

static void end(struct scene *w)
{
	for (int i = 0; i < CLIENTS; i++)
		hang_up(&w->clients[i], false);
	do { /* what is still on its way may begin a run */
		end_run(w);
		pass(w, UINT64_C(120) * SECOND);
	} while (w->runs[0].slot);
	CHECK(worker_in_flight(&w->worker) == 0 && worker_connections(&w->worker) == 0);
	CHECK(slots_taken(&w->worker.slots) == 0);
	worker_finish(&w->worker);
	CHECK(fake_ort_values == 0);
	io_sim_destroy(w->sim);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str script = { (const char *)data, size };
	if (size < 3)
		return 0;
	log_init("fuzz", LOG_ERROR, STDERR_FILENO);
	scene = (struct scene){ 0 };
	begin(&scene, data[0], data[1]);
	script = str_skip(script, 2);
	for (int i = 0; script.len && i < STEPS_MAX; i++) {
		unsigned c = (unsigned char)script.ptr[0];
		script = str_skip(script, 1);
		take_step(&scene, (enum step)(c & 7), c >> 3, &script);
		pass(&scene, 1000);
	}
	end(&scene);
	return 0;
}
