"""What the peers' scripts share: arguments, threads, and the one line of JSON that each prints."""
import argparse
import json
import os
import resource
import time


def arguments(**more):
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=2)
    for name, default in more.items():
        parser.add_argument("--" + name.replace("_", "-"), type=type(default), default=default)
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(given.threads)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    return given


def report(run, tokens, warm_up=None):
    """Runs once to warm up, then once with time measurement."""
    (warm_up or run)()
    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(dict(value=tokens / seconds, seconds=seconds, peak_bytes=peak)))
