"""Runs under the Python that has moto and boto3, which need not be the one that runs the tests.

    aws_boto.py             reads a JSON line {"service", "call", "arguments", "keys"} after the other from standard
                            input, makes the call by boto3, and answers with a JSON line {"result"} or {"error"}
"""

import base64
import datetime
import json
import sys

import boto3

CLIENTS = {}


def client(service, endpoint, region, keys):
    name = (service, endpoint, keys["id"])
    if name not in CLIENTS:
        CLIENTS[name] = boto3.client(service, endpoint_url=endpoint, region_name=region,
                                     aws_access_key_id=keys["id"], aws_secret_access_key=keys["secret"])
    return CLIENTS[name]


def plain(value):
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if hasattr(value, "read"):
        return base64.b64encode(value.read()).decode()
    return str(value)


def main():
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            call = getattr(client(asked["service"], asked["endpoint"], asked["region"], asked["keys"]), asked["call"])
            answer = {"result": call(**asked["arguments"])}
        except Exception as error:  # whatever boto3 says, the test wants to know
            answer = {"error": str(error)}
        print(json.dumps(answer, default=plain), flush=True)


if __name__ == "__main__":
    main()
