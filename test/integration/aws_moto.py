"""moto, and boto3 to look into it, in one process: under the Python that has them, which need not be the one that runs the
tests.

    aws_moto.py     prints the port that it listens on, and then answers each JSON line {"service", "call", "arguments",
                    "keys", "region"} of standard input, which it makes a call of boto3 of, by a JSON line {"result"} or
                    {"error"}; its end is that of standard input
"""

import datetime
import functools
import gc
import hashlib
import json
import logging
import os
import sys
import threading

import boto3
import moto.backends
import moto.core.responses
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server


def remember_what_does_not_change():
    """moto lists its own folder and its classes' methods anew for each request: a quarter of its time."""
    modules = frozenset(moto.backends.list_of_moto_modules())
    moto.backends.list_of_moto_modules = lambda: modules
    moto.core.responses.method_names_from_class = functools.cache(moto.core.responses.method_names_from_class)


class OneAtATime(DomainDispatcherApplication):
    """moto walks over what another thread changes, now and then, and answers 500."""

    busy = threading.Lock()

    def __call__(self, environ, start_response):
        with self.busy:
            return super().__call__(environ, start_response)


def serve():
    """Starts the server on a thread of its own; returns its port."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, OneAtATime(create_backend_app), threaded=True)
    os.environ["MOTO_PORT"] = str(server.port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.port


@functools.cache
def client(service, port, region, key, secret):
    return boto3.client(service, endpoint_url=f"http://127.0.0.1:{port}", region_name=region, aws_access_key_id=key,
                        aws_secret_access_key=secret)


def plain(value):
    """What JSON does not know: times, and bodies, of which the SHA-256 is told."""
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if hasattr(value, "read"):
        return hashlib.sha256(value.read()).hexdigest()
    return str(value)


def main():
    remember_what_does_not_change()
    port = serve()
    print(port, flush=True)
    gc.freeze()
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            one = client(asked["service"], port, asked["region"], asked["keys"]["id"], asked["keys"]["secret"])
            answer = {"result": getattr(one, asked["call"])(**asked["arguments"])}
        except Exception as error:  # whatever boto3 says, the test wants to know
            answer = {"error": str(error)}
        print(json.dumps(answer, default=plain), flush=True)


if __name__ == "__main__":
    main()
