/* text: POST /run_model. A text goes in, probabilities and a label come out. */
#pragma once
#include "worker/job.h"

/* Fills in the answer: {"input_text": …, "probabilities": [p0, p1], "label": "ham"}. */
void text_do(struct job *job, struct model_run *run);
