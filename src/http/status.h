/* status: reason phrases (RFC 9110 §15). */
#pragma once

/* "OK", "Not Found", …; "" for a code that is not registered. */
const char *http_status_reason(int status);
