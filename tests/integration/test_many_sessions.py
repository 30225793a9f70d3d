"""Many sessions in one process: 5,000 that only wait and 1,000 that send, and a clean 421 for whoever
comes beyond the limit."""
import asyncio
import re
import resource
import time
from pathlib import Path

import pytest

from harness.client import message, stuffed
from harness.ledger import Verdict
from harness.world import SLOW, wait_for

IDLE, BUSY, EACH, BEYOND = 5000, 1000, 5, 200
# Clients come from as many addresses, as many as there may be from one included.
ADDRESSES = 40
IDLE_BYTES_MOST = 8192  # resident, of our own memory, for one more session


@pytest.fixture
def say(capsys):
    def line(text):
        with capsys.disabled():
            print(f"\nmeasured: {text}", flush=True)
    return line


@pytest.fixture
def many_descriptors():
    """For this process, which holds the other end of each session."""
    wanted, limits = IDLE + BUSY + BEYOND + 500, resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] != resource.RLIM_INFINITY and limits[1] < wanted:
        pytest.skip(f"a process may have only {limits[1]} descriptors here, {wanted} are needed")
    if limits[0] != resource.RLIM_INFINITY and limits[0] < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def resident(pid):
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text()).group(1)) * 1024


def descriptors(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


class Session:
    """A client among thousands."""

    def __init__(self, port, number):
        self.port, self.number = port, number
        self.reader = self.writer = None

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self.port, local_addr=(f"127.0.1.{1 + self.number % ADDRESSES}", 0))
        return await self.reply()

    async def reply(self):
        """(code, text of the last line)"""
        while True:
            line = await asyncio.wait_for(self.reader.readuntil(b"\r\n"), 60 * SLOW)
            if line[3:4] != b"-":
                return int(line[:3]), line[4:-2].decode()

    async def say(self, octets):
        self.writer.write(octets + b"\r\n")
        return await self.reply()

    async def hello(self):
        assert (await self.open())[0] == 220
        assert (await self.say(b"EHLO client.example"))[0] == 250
        return self

    async def send(self, ledger, name):
        ledger.offer(name)
        self.writer.write(b"MAIL FROM:<a@client.example>\r\nRCPT TO:<b@dest.example>\r\nDATA\r\n")
        replies = [await self.reply() for _ in range(3)]
        if replies[-1][0] == 354:
            self.writer.write(stuffed(message(name)))
            replies.append(await self.reply())
        ledger.told(name, next((reply for reply in replies if reply[0] >= 400), replies[-1]))

    async def beyond(self):
        """All that is heard, to the end."""
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self.port, local_addr=(f"127.0.1.{1 + self.number % ADDRESSES}", 0))
        try:
            return await asyncio.wait_for(self.reader.read(), 30 * SLOW)
        finally:
            self.writer.close()


async def all_of(count, what, at_once=200):
    """what(number) for each, so many of them at the same time: a listening socket's queue has an end."""
    gate = asyncio.Semaphore(at_once)

    async def one(number):
        async with gate:
            return await what(number)
    return await asyncio.gather(*(one(number) for number in range(count)))


async def scene(weir, ledger, pid, figures):
    figures["rest"] = resident(pid)
    idle = await all_of(IDLE, lambda number: Session(weir.port, number).hello())
    figures["idle"] = resident(pid)
    busy = await all_of(BUSY, lambda number: Session(weir.port, number).hello())
    figures["open"] = await asyncio.to_thread(weir.listener, "sessions")

    async def send_all(number):
        for which in range(EACH):
            await busy[number].send(ledger, f"busy-{number}-{which}")

    async def beyond():
        return await all_of(BEYOND, lambda number: Session(weir.port, number).beyond(), 20)
    begun = time.monotonic()
    sent, refused = await asyncio.gather(all_of(BUSY, send_all, BUSY), beyond())
    figures["seconds"] = time.monotonic() - begun
    figures["busy"], figures["descriptors"] = resident(pid), descriptors(pid)
    figures["refused"] = set(refused)
    # Those that only waited are still there.
    assert {(await session.say(b"NOOP"))[0] for session in idle[::50]} == {250}
    for session in (*idle, *busy):
        session.writer.close()
    return len(sent)


def test_show_8_thousands_of_sessions_in_one_process(fast_weir, sinks, ledger, many_descriptors, say):
    weir, servers = fast_weir, sinks(4)
    limit = IDLE + BUSY
    weir.write(servers, workers=1, pool="max-connections 50; idle-timeout 1s; queue 60s;",
               listener=f"max-sessions {limit}; max-sessions-per-client {limit // ADDRESSES}; answer-within 1min;")
    weir.start().seen_servers()
    pid, = weir.pids("worker")
    before, figures = descriptors(pid), {}
    asyncio.run(scene(weir, ledger, pid, figures))
    verdict = Verdict(ledger, [server.ledger for server in servers]).clean()
    assert ledger.failures == [] and ledger.indefinite == {}
    assert sum(verdict.copies.values()) == BUSY * EACH
    assert figures["open"] == limit
    assert figures["refused"] == {b"421 4.7.0 Too many sessions at the moment\r\n"}, list(figures["refused"])[:3]
    assert weir.listener("sessions_refused_total") == BEYOND
    weir.at_rest()
    wait_for(lambda: descriptors(pid) == before, 30, "all descriptors are back")
    assert weir.pids("worker") == [pid]
    each = (figures["idle"] - figures["rest"]) / IDLE
    say(f"{IDLE} idle and {BUSY} busy sessions in one process, {figures['descriptors']} descriptors: {each:.0f} octets "
        f"resident per idle session ({figures['rest'] / 2 ** 20:.1f} MiB at rest, {figures['idle'] / 2 ** 20:.1f} with the "
        f"idle ones, {figures['busy'] / 2 ** 20:.1f} with all); {BUSY * EACH} messages in {figures['seconds']:.1f} s, none "
        f"lost; {BEYOND} beyond the limit heard 421 and nothing else")
    assert each < IDLE_BYTES_MOST, each
