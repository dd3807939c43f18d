/* infer: POST /v2/models/{model}/infer. */
#pragma once
#include "worker/job.h"

/* Fills in the answer. */
void infer_do(struct job *job, struct model_run *run);
