#!/usr/bin/env python3
"""Light load on a gateway, until SIGTERM: a few clients that read, and one that creates with idempotency keys.

    load.py URL READ_PATH [CREATE_PATH CREATE_JSON]

Prints `started` after its first call, `CALLS calls, FAILED failed, longest N ms` at the end, and each failed call to stderr.
"""
import http.client
import signal
import sys
import threading
import time
import urllib.parse
import uuid

READERS = 3
PAUSE = 0.05  # between two calls of one client, so that a check loads no machine
PATIENCE = 40  # seconds; more than the 20 of a call's own deadline

stop = threading.Event()
lock = threading.Lock()
calls, failed, longest = 0, 0, 0.0


def call(host, port, verb, path, body, headers):
    """One request over a connection of its own: (status, answer)."""
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    try:
        connection.request(verb, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, repr(error)
    finally:
        connection.close()


def client(url, verb, path, body):
    global calls, failed, longest
    while not stop.is_set():
        headers = {"accept": "application/json"}
        if verb == "POST":
            headers |= {"content-type": "application/json", "idempotency-key": str(uuid.uuid4())}
        started = time.monotonic()
        status, answer = call(url.hostname, url.port, verb, path, body, headers)
        took = time.monotonic() - started
        with lock:
            calls += 1
            if calls == 1:
                print("started", flush=True)
            longest = max(longest, took)
            if not 200 <= status < 300:
                failed += 1
                print(f"{verb} {path}: {status} after {took:.1f} s: {answer[:300]}", file=sys.stderr, flush=True)
        stop.wait(PAUSE)


def main():
    url = urllib.parse.urlsplit(sys.argv[1])
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    work = [("GET", sys.argv[2], None)] * READERS
    if len(sys.argv) > 3:
        work.append(("POST", sys.argv[3], sys.argv[4]))
    threads = [threading.Thread(target=client, args=(url, *one)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{calls} calls, {failed} failed, longest {longest * 1000:.0f} ms")
    sys.exit(1 if failed or not calls else 0)


main()
