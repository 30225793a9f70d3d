"""PROXY headers (item 16 of docs/catalogue.md): from whom they are believed, what follows from them, and
what becomes of connections without a good one.  127.0.0.1 is the proxy, 127.0.0.2 a stranger."""
import contextlib
import shutil
import socket
import struct
import threading
import time

import pytest

from harness.client import Client, Gone, stuffed
from harness.haproxy import Haproxy
from harness.world import wait_for

BODY = b"Subject: x\r\n\r\nbody\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
TO = "192.0.2.99"


def v1(client, port=40000):
    return f"PROXY TCP4 {client} {TO} {port} 25\r\n".encode()


def v2(client, port=40000, tlvs=b"", command=0x21):
    block = socket.inet_aton(client) + socket.inet_aton(TO) + struct.pack("!HH", port, 25) + tlvs
    return SIGNATURE + bytes([command, 0x11]) + struct.pack("!H", len(block)) + block


def v6(client):
    block = socket.inet_pton(socket.AF_INET6, client) + bytes(16) + struct.pack("!HH", 40000, 25)
    return SIGNATURE + b"\x21\x21" + struct.pack("!H", len(block)) + block


LOCAL, UNSPEC, UNKNOWN = SIGNATURE + b"\x20\0\0\0", SIGNATURE + b"\x21\0\0\0", b"PROXY UNKNOWN\r\n"


@pytest.fixture
def front(weir, sinks):
    """front(listener="..."): a balancer that believes 127.0.0.1, and its sink."""
    def start(listener="", relay="relay-from 192.0.2.0/24 2001:db8::/32;", workers=1, servers=1, **more):
        started = sinks(servers)
        weir.write(started, workers=workers, relay=relay, check="check none;",
                   listener=f"proxy-from 127.0.0.1; {listener}", **more).start()
        return weir, started
    return start


def deliver(client):
    client.envelope("a@client.example", "b@dest.example")
    assert client.say("DATA")[0] == 354
    client.send(stuffed(BODY))
    assert client.reply()[0] == 250


def transactions(weir, count):
    return wait_for(lambda: (lines := weir.lines("transaction")) and len(lines) >= count and lines, why="log")


@pytest.mark.parametrize("header, client", (
    (v1("192.0.2.1"), "192.0.2.1"), (v2("192.0.2.2"), "192.0.2.2"), (v6("2001:db8::7"), "2001:db8::7"),
    (v6("::ffff:192.0.2.3"), "192.0.2.3"), (b"PROXY TCP6 2001:db8::8 ::1 1 25\r\n", "2001:db8::8"),
    (v2("192.0.2.4", tlvs=b"\x04\0\x01x\xe0\0\0"), "192.0.2.4")))
def test_item_16_a_proxy_header_says_who_the_client_is(front, header, client):
    """For relay-from, and in the log, which names the proxy too."""
    weir, (server,) = front()
    with weir.client(first=header).hello() as one:
        deliver(one)
    line, = transactions(weir, 1)
    assert (line["client"], line["proxy"]) == (client, "127.0.0.1")
    assert len(server.lines()) == 1
    assert weir.listener("sessions_proxied_total") == weir.listener("sessions_opened_total") == 1


@pytest.mark.parametrize("header, code", (
    (v1("198.51.100.1"), 554), (v2("198.51.100.1"), 554), (v1("192.0.2.1"), 250),
    (LOCAL, 250), (v2("198.51.100.1", command=0x20), 250), (UNKNOWN, 554), (UNSPEC, 554)),
    ids=("v1", "v2", "v1-trusted", "local", "local-with-a-block", "unknown", "unspec"))
def test_item_16_who_may_relay_is_the_client_and_not_the_proxy(front, header, code):
    """The proxy itself may (LOCAL); whom it can't name may not, or it would relay for everybody."""
    weir, _ = front(relay="relay-from 192.0.2.0/24 127.0.0.0/8;")
    with weir.client(first=header).hello() as client:
        assert client.say("MAIL FROM:<a@client.example>")[0] == 250
        assert client.say("RCPT TO:<b@dest.example>")[0] == code


def test_item_16_a_header_from_elsewhere_ends_the_session(front):
    weir, _ = front(relay="relay-from 127.0.0.2;")
    for header in (v1("192.0.2.1"), v2("192.0.2.1"), UNKNOWN, LOCAL):
        with weir.client(source="127.0.0.2") as client:
            client.send(header)
            replies = []
            with contextlib.suppress(Gone):
                while True:
                    replies.append(client.reply()[0])
            assert replies[-1] == 554 and set(replies) <= {500, 554}
    with weir.client(source="127.0.0.2").hello() as client:
        deliver(client)
    line, = transactions(weir, 1)
    assert line["client"] == "127.0.0.2" and "proxy" not in line
    assert weir.listener("sessions_proxied_total") == 0


FLAWED = (
    (b"EHLO client.example\r\n", "got SMTP"), (b"GET / HTTP/1.1\r\n\r\n", "got HTTP"),
    (b"\x16\x03\x01\0\xc8", "got TLS"), (b"\0\0\0\0", "got something else"),
    (b"PROXY TCP4 192.0.2.1 192.0.2.2 040000 25\r\n", "not a port"),
    (b"PROXY UNKNOWN " + b"x" * 100, "overlong"),
    (v2("192.0.2.1", tlvs=b"\x01\0\x03h2"), "a TLV goes beyond its end"),
    (v2("192.0.2.1", tlvs=b"\x03\0\x04\0\0\0\0"), "wrong CRC32c"),
    (v2("192.0.2.1", command=0x22), "unknown version or command"),
    (SIGNATURE + b"\x21\x11\0\x0b" + bytes(11), "shorter than its addresses"))


def test_item_16_a_flawed_header_ends_the_connection_and_is_named(front):
    weir, (server,) = front()
    for number, (octets, words) in enumerate(FLAWED, 1):
        with weir.client(banner=False, first=octets + b"EHLO x\r\nMAIL FROM:<a@b>\r\n") as client:
            assert client.is_closed(), octets

        def told():
            return [line["text"] for line in weir.lines("session") if line["reason"] == "no PROXY header"]
        assert weir.listener("proxy_refused_total") == number
        if len(told()) < number:  # a line a second
            wait_for(lambda: len(told()) == number or time.sleep(0.1), why="a line")
        text = told()[-1]
        assert text.startswith("PROXY header expected from 127.0.0.1, got ") and words in text
        time.sleep(1.05)
    assert {line["proxy"] for line in weir.lines("session")} == {"127.0.0.1"}
    weir.at_rest()
    assert weir.listener("sessions_opened_total") == 0 and server.lines() == []


@pytest.mark.parametrize("octets, words", ((b"", "got nothing"), (v2("192.0.2.1")[:20], "only the beginning of one"),
                                           (b"P", "only the beginning of one")))
def test_item_16_a_missing_header_is_not_awaited_for_ever(front, octets, words):
    weir, _ = front(listener="proxy-timeout 300ms;")
    with weir.client(banner=False, first=octets) as client:
        assert client.is_closed(), "no banner before the header"
    line, = wait_for(lambda: weir.lines("session"), why="log")
    assert words in line["text"] and line["text"].endswith("in 300 ms")
    assert weir.listener("proxy_refused_total") == 1
    weir.at_rest()


def test_item_16_a_header_that_ends_in_its_middle(front):
    """Who leaves without a word has looked whether the port is open: no line of it."""
    weir, _ = front()
    weir.client(banner=False).close()
    with weir.client(banner=False, first=v1("192.0.2.1")[:20]) as client:
        client.sock.shutdown(socket.SHUT_WR)
        assert client.is_closed()
    line, = wait_for(lambda: weir.lines("session"), why="log")
    assert "the end of the connection" in line["text"]
    weir.at_rest()
    assert weir.listener("proxy_refused_total") == 1


@pytest.mark.parametrize("header", (v1("192.0.2.1"), v2("192.0.2.1", tlvs=b"\x04\0\x05QUIT\n"), LOCAL))
def test_item_16_the_octets_behind_the_header_are_smtp_at_every_cut(front, header):
    """Whatever comes in one write; the banner is there once, and nothing is lost or read twice."""
    weir, _ = front(listener="max-errors 1000;")
    whole = header + b"NOOP\r\nVRFY x\r\nNOOP\r\n"
    for cut in range(1, len(whole)):
        with weir.client(banner=False) as client:
            client.send(whole[:cut])
            time.sleep(0.002)
            client.send(whole[cut:])
            assert [client.reply()[0] for _ in range(4)] == [220, 250, 252, 250], cut
            assert client.say("QUIT")[0] == 221
    with weir.client(banner=False) as client:
        for at in range(len(whole)):
            client.send(whole[at:at + 1])
        assert [client.reply()[0] for _ in range(4)] == [220, 250, 252, 250]


def test_a_client_that_has_closed_its_half_behind_the_header(front):
    weir, _ = front()
    with weir.client(banner=False, first=v2("192.0.2.1") + b"NOOP\r\n") as client:
        client.sock.shutdown(socket.SHUT_WR)
        assert [client.reply()[0], client.reply()[0]] == [220, 250]
        assert client.is_closed()
    weir.at_rest()


# ---- limits ----

def test_the_limit_of_a_client_is_the_real_clients(front):
    weir, _ = front(listener="max-sessions-per-client 2;")
    clients = [weir.client(first=v1(f"192.0.2.{number % 3}")) for number in range(6)]
    try:
        with weir.client(first=v2("192.0.2.1")) as late:
            assert late.greeting == (421, "4.7.0 Too many sessions from your address")
            assert late.is_closed()
        line, = wait_for(lambda: weir.lines("session"), why="log")
        assert (line["client"], line["proxy"]) == ("192.0.2.1", "127.0.0.1")
        assert weir.listener("sessions") == 6
        assert all(client.say("NOOP")[0] == 250 for client in clients)
        clients.pop(1).close()
        wait_for(lambda: weir.listener("sessions") == 5, why="it left")
        weir.client(first=v2("192.0.2.1")).close()
    finally:
        for client in clients:
            client.close()
    weir.at_rest()


def test_before_its_header_a_connection_counts_for_max_sessions(front):
    weir, _ = front(listener="max-sessions 3; max-sessions-per-client 1; proxy-timeout 1min;")
    silent = [weir.client(banner=False) for _ in range(3)]
    wait_for(lambda: weir.listener("sessions") == 3, why="they wait")
    with weir.client() as late:
        assert late.greeting == (421, "4.7.0 Too many sessions at the moment")
    silent.pop().close()
    wait_for(lambda: weir.listener("sessions") == 2, why="one left")
    for number, client in enumerate(silent):
        client.send(v1(f"192.0.2.{number}"))
        assert client.reply()[0] == 220
        client.close()
    weir.at_rest()


# ---- drain, reload ----

def test_a_stop_and_a_connection_without_its_header(front):
    weir, _ = front(listener="proxy-timeout 1min;", drain="1s")
    with weir.client(banner=False) as silent:
        wait_for(lambda: weir.listener("sessions") == 1, why="it waits")
        weir.stop()
        assert silent.reply()[0] == 421


def test_a_reload_and_a_connection_without_its_header(front):
    """It may still become a session of the generation before."""
    weir, (server,) = front(listener="proxy-timeout 1min;", drain="30s")
    with weir.client(banner=False) as waiting:
        wait_for(lambda: weir.listener("sessions") == 1, why="it waits")
        assert weir.reload()["good"]
        waiting.send(v2("192.0.2.1"))
        assert waiting.reply()[0] == 220
        deliver(waiting.hello())
    assert len(server.lines()) == 1


# ---- what follows the client ----

def test_hash_client_is_of_the_real_client(front):
    weir, servers = front(servers=2, pool="balance hash client;")
    for _ in range(2):
        for number in range(20):
            with weir.client(first=v2(f"192.0.2.{number}")).hello() as client:
                deliver(client)
    places = {}
    for line in transactions(weir, 40):
        places.setdefault(line["client"], set()).add(line["server"])
    assert len(places) == 20 and all(len(names) == 1 for names in places.values())
    assert min(len(server.lines()) for server in servers) > 0


# ---- a real proxy ----

@pytest.mark.skipif(not shutil.which("haproxy", path="/usr/sbin:/usr/bin"), reason="haproxy is not installed")
@pytest.mark.parametrize("options", ("send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id",
                                     "send-proxy-v2 check inter 100ms"))
def test_item_16_haproxy_in_front(front, tmp_path, options):
    """From ten addresses at once: each message is its client's, in the log and at relay-from."""
    weir, (server,) = front(relay="relay-from 127.0.1.0/24;", workers=2)
    wrong = []
    with Haproxy(tmp_path, weir.port, options) as proxy:
        def send(number):
            try:
                with Client(proxy.port, source=f"127.0.1.{number}").hello(f"c{number}.example") as client:
                    for _ in range(5):
                        deliver(client)
                    assert client.say("QUIT")[0] == 221
            except (AssertionError, Gone, OSError) as error:
                wrong.append(error)
        threads = [threading.Thread(target=send, args=(number,)) for number in range(1, 11)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert wrong == []
        with Client(proxy.port, source="127.0.2.1").hello() as stranger:
            assert stranger.say("MAIL FROM:<a@client.example>")[0] == 250
            assert stranger.say("RCPT TO:<b@dest.example>")[0] == 554
    lines = transactions(weir, 50)
    assert sorted((line["client"], line["helo"]) for line in lines if line["outcome"] == "accepted") == sorted(
        (f"127.0.1.{number}", f"c{number}.example") for number in range(1, 11) for _ in range(5))
    assert {line["proxy"] for line in lines} == {"127.0.0.1"}
    assert len(server.lines()) == 50
    assert weir.listener("proxy_refused_total") == 0, weir.lines("session")


@pytest.mark.skipif(not shutil.which("haproxy", path="/usr/sbin:/usr/bin"), reason="haproxy is not installed")
def test_a_proxy_that_sends_no_header_is_named_in_words(front, tmp_path):
    weir, _ = front(listener="proxy-timeout 300ms;")
    with Haproxy(tmp_path, weir.port, "") as proxy, Client(proxy.port, banner=False) as client:
        assert client.is_closed()
    line, = wait_for(lambda: weir.lines("session"), why="log")
    assert line["text"].startswith("PROXY header expected from 127.0.0.1, got nothing (as from an SMTP client")
