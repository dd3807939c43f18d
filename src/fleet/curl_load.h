/* curl_load: libcurl, loaded when it is first needed.
 *
 * Who speaks to it includes <curl/curl.h> and calls its functions as ever: curl_load.c defines those that are
 * used here, and passes each call on to the library, which dlopen has brought in. So an orchestrator that
 * needs none of it does not pay for the two dozen libraries that come with it: 12 MB of an image, and most of
 * the time that a start takes.
 */
#pragma once
#include "base/check.h"

#include <stdbool.h>
#include <stddef.h>

enum { CURL_LOAD_WHY = 200 };

/* Loads libcurl.so.4, once; from any thread. False with one line in why when it is not there: no other
 * function of libcurl may be called then. */
MUST_USE bool curl_load(char why[CURL_LOAD_WHY]);

enum { CURL_TEXT_MAX = 16 << 10 };

/* A short answer's body, ended by NUL. */
struct curl_text {
	char text[CURL_TEXT_MAX];
	size_t len;
};

/* CURLOPT_WRITEFUNCTION with a struct curl_text as CURLOPT_WRITEDATA: what does not fit ends the transfer. */
size_t curl_text_add(char *data, size_t size, size_t n, void *text);
