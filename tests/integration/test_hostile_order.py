"""What goes wrong on the wire, on order and abuse: over raw sockets, against a running balancer."""
import contextlib
import threading
import time

import pytest

from harness.client import Gone, stuffed
from harness.world import wait_for

BODY = b"Subject: x\r\n\r\n"


@pytest.fixture
def front(weir, sinks):
    """front(listener="...") starts one sink and the balancer before it; returns both."""
    def start(*options, **config):
        server, = sinks(1, *options, write=True)
        weir.write([server], **config).start().seen_servers()
        return weir, server
    return start


def good(weir, server):
    """A mail of a good client arrives, and it is the only one."""
    with weir.client().hello().envelope("a@client.example", "b@dest.example") as client:
        assert client.say("DATA")[0] == 354
        client.send(stuffed(BODY + b"good\r\n"))
        assert client.reply()[0] == 250
    assert server.mails() == [BODY + b"good\r\n"]


def last_words(client):
    """All replies until the connection is closed."""
    replies = []
    with contextlib.suppress(Gone):
        while True:
            replies.append(client.reply())
    return replies


# ---- 21: order ----

def test_item_21_order_of_commands(front):
    weir, server = front()
    with weir.client() as client:
        for line in ("MAIL FROM:<a@client.example>", "RCPT TO:<b@dest.example>", "DATA"):
            assert client.say(line)[0] == 503, line
        client.hello()
        for line in ("RCPT TO:<b@dest.example>", "DATA"):
            assert client.say(line)[0] == 503, line
        assert client.say("MAIL FROM:<a@client.example>")[0] == 250
        assert client.say("MAIL FROM:<other@client.example>")[0] == 503
        assert client.say("DATA")[0] == 503
        # The first MAIL still stands.
        assert client.say("RCPT TO:<b@dest.example>")[0] == 250
        assert client.say("MAIL FROM:<other@client.example>")[0] == 503
        assert client.say("DATA")[0] == 354
        client.send(stuffed(BODY))
        assert client.reply()[0] == 250
        assert client.say("DATA")[0] == 503
    assert [line["sender"] for line in server.lines()] == ["<a@client.example>"]


@pytest.mark.parametrize("line, code", [
    ("XYZZY", 500), ("FOO bar", 500), ("MAIL", 501), ("MAIL FROM:a b", 501), ("", 500), ("EHLO", 501),
    ("TURN", 502), ("EXPN list", 502), ("ETRN dest.example", 502), ("VRFY someone", 252), ("HELP", 214),
    ("NOOP whatever", 250), ("RSET", 250), ("STARTTLS", 500), ("AUTH PLAIN AGEAYg==", 500),
    ("XCLIENT ADDR=192.0.2.1", 500), ("XFORWARD NAME=x", 500), ("RSET now", 501), ("QUIT now", 501)])
def test_item_21_verbs(front, line, code):
    weir, server = front()
    with weir.client().hello() as client:
        assert client.say(line)[0] == code
        assert client.say("NOOP")[0] == 250
    good(weir, server)


def test_item_21_ehlo_and_rset_in_a_transaction_end_it(front):
    weir, server = front()
    for line in ("RSET", "EHLO client.example", "HELO client.example"):
        with weir.client().hello().envelope("a@client.example", "b@dest.example") as client:
            assert client.say(line)[0] == 250
            assert client.say("RCPT TO:<b@dest.example>")[0] == 503
            assert client.say("DATA")[0] == 503
    good(weir, server)


# ---- 22: floods ----

@pytest.mark.parametrize("line", ["NOOP", "RSET", "HELP", "EHLO client.example", "VRFY x"])
def test_item_22_idle_commands_are_counted_slowed_and_ended(front, line):
    weir, server = front(listener="max-idle-commands 10;")
    with weir.client(60) as client:
        begun = time.monotonic()
        codes = []
        with contextlib.suppress(Gone):
            while len(codes) < 30:
                codes.append(client.say(line)[0])
        assert codes[-1] == 421 and len(codes) <= 12, codes
        # From the middle on each takes about a second.
        assert time.monotonic() - begun > 3
    good(weir, server)


def test_item_22_a_flood_in_one_write_is_ended_too(front):
    weir, server = front(listener="max-idle-commands 10;")
    with weir.client(60).hello() as client:
        client.send(b"NOOP\r\n" * 5000)
        replies = last_words(client)
        assert replies[-1] == (421, "4.7.0 Too many commands without a message")
        assert len(replies) <= 12
    good(weir, server)


def test_item_22_messages_between_make_it_no_flood(front):
    weir, server = front(listener="max-idle-commands 10;")
    with weir.client(60).hello() as client:
        for _ in range(8):
            assert [client.say("NOOP")[0] for _ in range(3)] == [250, 250, 250]
            client.envelope("a@client.example", "b@dest.example")
            assert client.say("DATA")[0] == 354
            client.send(stuffed(BODY))
            assert client.reply()[0] == 250
    assert len(server.lines()) == 8


def test_item_22_errors_are_counted_and_ended(front):
    weir, server = front(listener="max-errors 4;")
    with weir.client(60).hello() as client:
        codes = []
        with contextlib.suppress(Gone):
            while len(codes) < 20:
                codes.append(client.say("XYZZY")[0])
        assert codes[:4] == [500] * 4 and codes[-1] == 421 and len(codes) <= 6, codes
    assert weir.listener("protocol_errors_total") >= 4
    good(weir, server)


# ---- 23: slowness ----

def crawl(client, octets, pause, enough=None):
    """Octet by octet, until the other side has enough."""
    for at in range(len(octets)):
        if enough and enough.is_set():
            return
        try:
            client.send(octets[at:at + 1])
        except Gone:
            return
        time.sleep(pause)


@pytest.mark.parametrize("greeted", [False, True], ids=["before-ehlo", "after"])
def test_item_23_a_command_that_comes_octet_by_octet(front, greeted):
    weir, server = front(listener="command-timeout 1s;")
    with weir.client() as client:
        if greeted:
            client.hello()
        crawl(client, b"MAIL FROM:<", 0.2)  # more than a second
        assert last_words(client) == [(421, "4.4.2 Time-out waiting for a command")]
    good(weir, server)


def test_item_23_a_silent_client(front):
    weir, server = front(listener="command-timeout 1s;")
    with weir.client() as client:
        assert last_words(client) == [(421, "4.4.2 Time-out waiting for a command")]
    good(weir, server)


@pytest.mark.parametrize("verb", ["DATA", "BDAT 100000 LAST"])
def test_item_23_a_body_that_stops(front, verb):
    weir, server = front(listener="body-timeout 1s;")
    with weir.client().hello().envelope("a@client.example", "b@dest.example") as client:
        client.send(f"{verb}\r\n".encode())
        if verb == "DATA":
            assert client.reply()[0] == 354
        client.send(BODY)
        assert last_words(client) == [(421, "4.4.2 Data came too slowly")]
    assert server.lines() == []
    good(weir, server)


def test_item_23_a_body_below_the_minimum_rate(front):
    weir, server = front(listener="command-timeout 2s; body-timeout 10min; min-rate 1000;")
    with weir.client(60).hello().envelope("a@client.example", "b@dest.example") as client:
        assert client.say("DATA")[0] == 354
        enough = threading.Event()
        thread = threading.Thread(target=crawl, args=(client, b"a" * 800, 0.05, enough))
        thread.start()
        assert last_words(client) == [(421, "4.4.2 Data came too slowly")]
        enough.set()
        thread.join(60)
    assert server.lines() == []
    good(weir, server)


def test_item_23_a_client_that_never_reads(front):
    weir, server = front(listener="max-idle-commands 100000; command-timeout 1h;")
    with weir.client().hello() as client:
        client.sock.settimeout(0.5)
        sent = 0
        with contextlib.suppress(Gone):
            while sent < 200_000_000:
                client.send(b"HELP\r\n" * 10_000)
                sent += 60_000
        # It was made to wait long before all was sent, and little is held for it.
        assert sent < 200_000_000
        assert weir.metrics().sum("mailweir_process_memory_chunks_bytes") < 4 << 20
        good(weir, server)


# ---- 24: many ----

def turned_away(weir):
    return [line for line in weir.lines("session") if line["reason"].startswith("too many")]


def test_item_24_sessions_are_limited_in_all(front):
    weir, server = front(listener="max-sessions 5;", workers=2)
    clients = [weir.client() for _ in range(5)]
    try:
        for _ in range(5):
            with weir.client() as late:
                assert late.greeting == (421, "4.7.0 Too many sessions at the moment")
                assert late.is_closed()
        assert weir.listener("sessions_refused_total") == 5
        # The log tells of them, and doesn't flood: a line a second and worker.
        lines = wait_for(lambda: turned_away(weir), why="log")
        assert 1 <= len(lines) <= 5 and {line["client"] for line in lines} == {"127.0.0.1"}
        assert {(line["listener"], line["reason"]) for line in lines} == {("in", "too many sessions")}
        assert weir.listener("sessions") == 5
        assert all(client.say("NOOP")[0] == 250 for client in clients)
    finally:
        for client in clients:
            client.close()
    wait_for(lambda: weir.listener("sessions") == 0)
    good(weir, server)


def test_item_24_sessions_are_limited_by_address(front):
    weir, server = front(listener="max-sessions-per-client 3;", workers=1)
    clients = [weir.client() for _ in range(3)]
    try:
        with weir.client() as late:
            assert late.greeting == (421, "4.7.0 Too many sessions from your address")
            assert late.is_closed()
        assert all(client.say("NOOP")[0] == 250 for client in clients)
        line, = wait_for(lambda: turned_away(weir), why="log")
        assert line["reason"] == "too many sessions from the address" and "text" not in line
        # Of all that come within a second one line tells, the next one how many they were.
        def logged():
            weir.client().close()
            return len(turned_away(weir)) > 1
        wait_for(logged, why="a second line")
        told = sum(1 + int(line.get("text", "and 0").split()[1]) for line in turned_away(weir))
        assert 2 < told <= weir.listener("sessions_refused_total")
    finally:
        for client in clients:
            client.close()
    wait_for(lambda: weir.listener("sessions") == 0)
    good(weir, server)


def test_item_24_a_flood_of_connections_leaves_room_for_mail(front):
    weir, server = front(listener="max-sessions 300; max-sessions-per-client 300;", workers=2)
    clients = []
    try:
        for _ in range(600):
            client = weir.client(banner=False)
            clients.append(client)
        greetings = [client.reply()[0] for client in clients]
        assert sorted(set(greetings)) == [220, 421]
        assert greetings.count(220) == 300
        assert weir.servers()["s1"]["state"] == "up"
    finally:
        for client in clients:
            client.close()
    wait_for(lambda: weir.listener("sessions") == 0)
    good(weir, server)


# ---- 25: size ----

def test_item_25_a_size_that_is_too_large_is_refused_at_mail(front):
    weir, server = front(listener="max-size 1MiB;")
    with weir.client() as client:
        assert "\nSIZE 1048576\n" in client.say("EHLO client.example")[1] + "\n"
        for size, code in ((999999999, 552), (1048577, 552), (2 ** 63, 552), (1048576, 250)):
            assert client.say(f"MAIL FROM:<a@client.example> SIZE={size}")[0] == code, size
        assert client.say("RSET")[0] == 250
        assert client.say("MAIL FROM:<a@client.example> SIZE=999999999") == \
            (552, "5.3.4 Message larger than 1048576 bytes")
        assert client.say("MAIL FROM:<a@client.example> SIZE=x")[0] == 501
    good(weir, server)


@pytest.mark.parametrize("verb", ["DATA", "BDAT"])
@pytest.mark.parametrize("extra", [1, 3_000_000])
def test_item_25_a_body_that_outgrows_the_limit_is_refused_after_its_end(front, verb, extra):
    weir, server = front(listener="max-size 100KiB; replay-limit 10KiB;")
    limit, line = 100 * 1024, b"0123456789" * 9 + b"\r\n"

    def body(size):
        lines = BODY + line * (size // len(line) - 2)
        return lines + b"x" * 50 + b"\r\n" + b"y" * (size - len(lines) - 54) + b"\r\n"
    for octets, code in ((body(limit + extra), 552), (body(limit), 250)):
        with weir.client().hello().envelope("a@client.example", "b@dest.example") as client:
            if verb == "DATA":
                assert client.say("DATA")[0] == 354
                client.send(stuffed(octets))
            else:
                client.send(f"BDAT {len(octets)} LAST\r\n".encode() + octets)
            assert client.reply()[0] == code
    assert server.mails() == [body(limit)]
