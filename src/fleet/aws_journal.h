/* aws_journal: a file of this machine that says what is about to be changed on AWS before it is changed:
 * $XDG_STATE_HOME/berth/aws-REGION-NAME.journal, else below ~/.local/state. A JSON line each: {"time": …,
 * "run": …, "event": "begin"|"step"|"done"|"failed"|"end", …}.
 *
 * Nothing depends on it: what there is is found by tag. It tells people what a run that was cut off was about
 * to do, and its lock keeps two runs on one cluster apart.
 *
 * Never:  contains a secret.
 */
#pragma once
#include "base/check.h"
#include "fleet/aws.h"

#include <stdbool.h>

struct aws_journal {
	int fd; /* owned; -1: none */
	char path[512];
	char run[17];      /* names this run */
	char cut_off[200]; /* what the run before was about to do when it ended without a word; "" */
};

/* Opens, locks and begins a run. what: "up", "down". False with why when it cannot be written, or another run
 * is under way. */
MUST_USE bool aws_journal_open(
	struct aws_journal *j, const char *cluster, const char *region, const char *what, char why[AWS_WHY]);

/* Writes a line; event: "step", "done", "failed"; text: what, in words. False with why when it cannot be
 * written: then nothing may be changed. */
MUST_USE bool aws_journal_write(
	struct aws_journal *j, const char *event, const char *text, char why[AWS_WHY]);

/* To the disk, once for all lines since. */
MUST_USE bool aws_journal_sync(struct aws_journal *j, char why[AWS_WHY]);

/* Ends the run; `remove`: nothing is left that it could be about. */
void aws_journal_close(struct aws_journal *j, const char *outcome, bool remove);
