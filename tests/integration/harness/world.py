"""Processes, ports, patience: every wait is bounded, and only what was started here is ended."""
import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SLOW = float(os.environ.get("MAILWEIR_TEST_PATIENCE", "1"))  # multiplies every time-out

_handed_out = set()


def program(kind="careful"):
    """The mailweir to test: "careful" prefers the build with sanitizers, "fast" the one for users."""
    for name in ("MAILWEIR_BIN", "MAILWEIR_BINARY"):
        if name in os.environ:
            return Path(os.environ[name])
    builds = Path(os.environ.get("MAILWEIR_BUILDS", ROOT))
    folders = ["build-test", "build"]
    for folder in folders if kind == "careful" else reversed(folders):
        if (builds / folder / "mailweir").exists():
            return builds / folder / "mailweir"
    raise RuntimeError("mailweir is not built: ./dev build")


def free_port():
    """A port that nobody listens on; below the ephemeral range, so that no client is given it."""
    for _ in range(1000):
        port = random.randrange(12000, 32000)
        if port in _handed_out:
            continue
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                sock.bind(("127.0.0.1", port))
                _handed_out.add(port)
                return port
    raise RuntimeError("no free port")


def wait_for(what, within=20.0, why="it"):
    """The first true value of what(); an AssertionError when there is none in time."""
    end = time.monotonic() + within * SLOW
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < end, f"{why}: not within {within * SLOW:.0f} s"
        time.sleep(0.02)


def sanitizer_report(text):
    """The part of a program's standard error that a sanitizer wrote, or None."""
    for mark in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "Sanitizer:DEADLYSIGNAL",
                 "Assertion `"):
        at = text.find(mark)
        if at >= 0:
            return text[max(0, at - 200):at + 4000]
    return None


def environment():
    return {**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1",
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "handle_abort=1")}


def end_process(process, within=20.0, with_signal=signal.SIGTERM):
    """Signal it, wait, kill if it must be; returns the exit status, or None if it had to be killed."""
    if process.poll() is None:
        process.send_signal(with_signal)
    try:
        return process.wait(within * SLOW)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
        return None


def children_of(pid):
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def alive(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False
