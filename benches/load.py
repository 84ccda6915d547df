#!/usr/bin/env python3
"""What many clients cost the service: slow uploads beside quick ones, polled statuses, and uploads without end.

    benches/load.py PIXMILL PHOTO [slow] [polls] [uploads] [--redis] [--seconds 20] [--slow 1000] [--uploads 10000]

PIXMILL is the program, PHOTO a JPEG; without a part, all three. Each part has a service of its own in a fresh folder:
SQLite in one process, or with --redis an API, a worker and a Redis (append-only file, everysec).

    slow     holds uploads of PHOTO open that send a few bytes every five seconds; beside them one client asks for a
             status 100 times a second and another uploads PHOTO 10 times a second, which the workers keep up with
    polls    asks for the status of a group 500 times a second over 20 connections, while it waits and when it has finished
    uploads  uploads a picture of 64x48, 100 a request, and waits for it; looks at the memory ten times on the way

Processor time is that of the service's processes and all below them, memory their PSS, both from /proc. A request that
is due while the one before it is unanswered has waited since then: its time counts from there.
"""
import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import struct
import subprocess
import tempfile
import time
import zlib

from share import free_port, ready, ticks

POLLS = 500
POLLERS = 20
STATUSES_BESIDE = 100
UPLOADS_BESIDE = 10
PER_REQUEST = 100
BOUNDARY = b"no-picture-has-this"
TICKS = os.sysconf("SC_CLK_TCK")


class Service:
    """A pixmill in a folder of its own, for as long as the block."""

    def __init__(self, program, redis):
        self.program, self.redis, self.pids = program, redis, {}

    def __enter__(self):
        self.running = contextlib.ExitStack()
        folder = self.running.enter_context(tempfile.TemporaryDirectory())
        self.port = free_port()
        stored, serve = ["--data-dir", f"{folder}/data"], ["serve", "--listen", f"127.0.0.1:{self.port}"]
        if self.redis:
            port = free_port()
            self.start("Redis", "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder,
                       "--appendonly", "yes", "--save", "")
            time.sleep(0.5)
            stored += ["--redis", f"redis://127.0.0.1:{port}/"]
            self.start("worker", self.program, "worker", *stored)
            serve.append("--no-workers")
        self.start("API", self.program, *serve, *stored)
        ready(f"http://127.0.0.1:{self.port}/readyz")
        return self

    def __exit__(self, *raised):
        self.running.close()

    def start(self, name, *command):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.running.callback(process.wait)
        self.running.callback(process.terminate)
        self.pids[name] = process.pid

    def seconds(self):
        """Processor time so far, by process."""
        return {name: ticks(pid, set()) / TICKS for name, pid in self.pids.items()}

    def megabytes(self):
        """Memory of the service and all below it, without Redis."""
        return sum(pss(pid) for name, pid in self.pids.items() if name != "Redis") / 1024

    async def client(self):
        return Client(*await asyncio.open_connection("127.0.0.1", self.port))


def pss(pid):
    """KiB of a process and of all below it, shared pages by their share."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        own = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        below = "".join(path.read_text() for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children"))
        return own + sum(pss(int(child)) for child in below.split())
    return 0


class Client:
    """One connection that stays open."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def ask(self, request, expected):
        self.writer.write(request)
        await self.writer.drain()
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        body = await self.reader.readexactly(length)
        assert head.split()[1] == str(expected), f"{head}{body.decode()}"
        return json.loads(body)

    async def status(self, task):
        return await self.ask(f"GET /api/task_status/{task} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), 200)

    async def done(self, task):
        while (status := await self.status(task))["status"] == "processing":
            await asyncio.sleep(0.05)
        assert status["succeeded"] == status["total_images"], status
        return status


def upload(pictures):
    """The request that uploads them."""
    form = b"".join(b'--%s\r\nContent-Disposition: form-data; name="images"; filename="%d.jpg"\r\n\r\n%s\r\n'
                    % (BOUNDARY, nth, picture) for nth, picture in enumerate(pictures))
    form += b"--%s--\r\n" % BOUNDARY
    head = (f"POST /api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; "
            f"boundary={BOUNDARY.decode()}\r\nContent-Length: {len(form)}\r\n\r\n")
    return head.encode() + form


def small_picture():
    """A PNG of 64x48, grey, made here."""
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = b"".join(b"\0" + bytes((x * 3 + y) % 256 for x in range(64)) for y in range(48))
    header = struct.pack(">IIBBBBB", 64, 48, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def spread(took):
    """p50, p99 and the longest, in milliseconds."""
    took = sorted(took)
    at = [took[max(0, -(-len(took) * percent // 100) - 1)] * 1e3 for percent in (50, 99, 100)]
    return "p50 {:.1f} ms, p99 {:.1f} ms, at most {:.1f} ms of {}".format(*at, len(took))


async def at_a_rate(rate, seconds, act, begin=None):
    """How long each act took: from its beginning, or from when it was due where the one before it took longer."""
    took, begin = [], begin or time.monotonic()
    for beat in range(round(rate * seconds)):
        due = begin + beat / rate
        if (left := due - time.monotonic()) > 0:
            await asyncio.sleep(left)
            due = time.monotonic()
        await act()
        took.append(time.monotonic() - due)
    return took


async def slow(service, photo, asked):
    request = upload([photo])
    poller, uploader = await service.client(), await service.client()
    task = (await poller.ask(request, 202))["task_id"]
    await poller.done(task)

    async def others(label):
        last = None

        async def one_upload():
            nonlocal last
            last = (await uploader.ask(request, 202))["task_id"]

        polls, uploads = await asyncio.gather(
            at_a_rate(STATUSES_BESIDE, asked.seconds, lambda: poller.status(task)),
            at_a_rate(UPLOADS_BESIDE, asked.seconds, one_upload))
        print(f"{label}: a status {spread(polls)}")
        print(f"{label}: an upload {spread(uploads)}; {service.megabytes():.0f} MB")
        await poller.done(last)

    await others("alone")
    held = []
    for _ in range(asked.slow):
        client = await service.client()
        client.writer.write(request[:4096])
        held.append(client)

    async def trickle():
        sent = 4096
        while True:
            await asyncio.sleep(5)
            for client in held:
                client.writer.write(request[sent:sent + 1024])
            sent += 1024

    trickling = asyncio.create_task(trickle())
    await others(f"beside {asked.slow} slow uploads")
    trickling.cancel()
    open_still = sum(not client.reader.at_eof() for client in held)
    print(f"slow uploads that are open still: {open_still} of {asked.slow}")


async def polls(service, photo, asked):
    client = await service.client()

    async def order(what):
        await client.ask(f"POST /api/queues/cpu_intensive/{what} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), 200)

    await order("pause")
    task = (await client.ask(upload([photo]), 202))["task_id"]
    await polled(service, task, "waiting", asked)
    await order("resume")
    await client.done(task)
    await polled(service, task, "finished", asked)


async def polled(service, task, label, asked):
    clients = [await service.client() for _ in range(POLLERS)]
    before, began = service.seconds(), time.monotonic()

    async def poller(nth):
        return await at_a_rate(POLLS / POLLERS, asked.seconds, lambda: clients[nth].status(task), began + nth / POLLS)

    took = sum(await asyncio.gather(*map(poller, range(POLLERS))), [])
    lasted = time.monotonic() - began
    shares = {name: (after - before[name]) / lasted for name, after in service.seconds().items()}
    print(f"{label}: {len(took) / lasted:.0f} statuses/s: {spread(took)}")
    print(f"{label}, of a core: " + ", ".join(f"{name} {share:.1%}" for name, share in shares.items()))


async def uploads(service, _, asked):
    client, picture = await service.client(), small_picture()
    request = upload([picture] * PER_REQUEST)
    step = max(PER_REQUEST, asked.uploads // 10)
    print(f"before: {service.megabytes():.0f} MB")
    done, began = 0, time.monotonic()
    while done < asked.uploads:
        await client.done((await client.ask(request, 202))["task_id"])
        done += PER_REQUEST
        if done % step < PER_REQUEST:
            print(f"{done} uploads: {service.megabytes():.0f} MB, {done / (time.monotonic() - began):.0f}/s", flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("pixmill")
    arguments.add_argument("photo", type=pathlib.Path)
    parts = {"slow": slow, "polls": polls, "uploads": uploads}
    arguments.add_argument("parts", nargs="*", choices=[[], *parts], default=[])
    arguments.add_argument("--redis", action="store_true")
    arguments.add_argument("--seconds", type=int, default=20)
    arguments.add_argument("--slow", type=int, default=1000)
    arguments.add_argument("--uploads", type=int, default=10_000)
    asked = arguments.parse_args()
    for name in asked.parts or parts:
        print(f"== {name}, {'Redis' if asked.redis else 'SQLite'}", flush=True)
        with Service(asked.pixmill, asked.redis) as service:
            asyncio.run(parts[name](service, asked.photo.read_bytes(), asked))


if __name__ == "__main__":
    main()
