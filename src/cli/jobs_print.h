/* jobs_print: what the admin listener tells of jobs, for people. */
#pragma once
#include <jansson.h>

/* {"jobs": […], "next": …}: a table, and how to go on. */
void jobs_print_list(const json_t *list);

/* A job: a line for each thing that is known of it. */
void jobs_print_one(const json_t *job);
