#!/usr/bin/env python3
"""The broker's share of a real load's processor time: API, worker and Redis apart, photographs uploaded and polled for.

    benches/share.py PIXMILL PHOTOS [--peers ../shared/peers] [--number 200]

PIXMILL is the program, PHOTOS a folder of JPEGs. Redis has its append-only file. The peers' `drive.py` uploads ten
pictures a request, two requests at a time, and asks for each status every 50 ms; the time is that of all threads and
of the processes below them, from /proc, before and after. Needs redis-server and what drive.py needs.
"""
import argparse
import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request


def ticks(pid, seen):
    """User and system time of a process and of all below it, in clock ticks."""
    if pid in seen:
        return 0
    seen.add(pid)
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    below = "".join(path.read_text() for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children"))
    return int(fields[11]) + int(fields[12]) + sum(ticks(int(child), seen) for child in below.split())


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ready(url):
    for _ in range(200):
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(url).read()
        time.sleep(0.05)
    sys.exit(f"{url} does not answer")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("pixmill")
    arguments.add_argument("photos")
    arguments.add_argument("--peers", type=pathlib.Path, default="../shared/peers")
    arguments.add_argument("--number", type=int, default=200)
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        redis_port, port = free_port(), free_port()
        redis = f"redis://127.0.0.1:{redis_port}/"

        def start(*command):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            running.callback(process.wait)
            running.callback(process.terminate)
            return process.pid

        def drive(number, *options):
            command = [sys.executable, asked.peers / "drive.py", f"http://127.0.0.1:{port}", asked.photos]
            done = subprocess.run([*command, "--number", str(number), *options], capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stderr)
            return done.stdout.strip()

        pids = {"Redis": start("redis-server", "--port", str(redis_port), "--bind", "127.0.0.1", "--dir", folder,
                               "--appendonly", "yes", "--save", "")}
        time.sleep(0.5)
        stored = ["--redis", redis, "--data-dir", f"{folder}/data"]
        pids["worker"] = start(asked.pixmill, "worker", *stored)
        pids["API"] = start(asked.pixmill, "serve", "--no-workers", "--listen", f"127.0.0.1:{port}", *stored)
        ready(f"http://127.0.0.1:{port}/readyz")
        drive(8, "--per-request", "2")
        before = {name: ticks(pid, set()) for name, pid in pids.items()}
        print(drive(asked.number, "--per-request", "10", "--concurrency", "2", "--operations", "equal", "--label", "pixmill"))
        tick = 1000 / os.sysconf("SC_CLK_TCK")
        took = {name: (ticks(pid, set()) - before[name]) * tick for name, pid in pids.items()}
        print(", ".join(f"{name} {milliseconds:.0f} ms" for name, milliseconds in took.items()))
        print(f"Redis: {100 * took['Redis'] / sum(took.values()):.2f} % of {sum(took.values()):.0f} ms")


if __name__ == "__main__":
    main()
