"""Clients and servers at their worst, one at a time: each row of the commit rule over real sockets
and each kind of server, clients that pipeline everything and vanish anywhere.

Servers are scripted here phase by phase, so that a test can say exactly what happens when.
"""
import socket
import struct
import threading
import time

import pytest

from harness.client import Gone
from harness.scripted import DROP, RESET, STALL, USUAL, Scripted
from harness.world import wait_for

KINDS = {"bdat": USUAL, "data": USUAL[:-1], "one-by-one": ("SIZE 1000000", "8BITMIME")}
MAIL = "MAIL FROM:<a@client.example>\r\n"
BODY = "Subject: x\r\n\r\nhello\r\n"


def rcpt(*names):
    return "".join(f"RCPT TO:<{name}@dest.example>\r\n" for name in names)


def bdat(body=BODY, last=True):
    return f"BDAT {len(body)}{' LAST' if last else ''}\r\n{body}"


def once(what):
    """The first who is asked says this, and all others the usual."""
    said = []

    def say(*_):
        if said:
            return None
        said.append(what)
        return what
    return say


def late(seconds, what=None):
    def say(*_):
        time.sleep(seconds)
        return what
    return say


class Stage:
    """A balancer of one worker before two scripted servers of one kind."""

    def __init__(self, weir, kind, listener="", pool=""):
        self.plan = {}
        self.servers = [Scripted(name, KINDS[kind], self._say(name)) for name in ("a", "b")]
        self.weir = weir.write(self.servers, workers=1, check="check none;", listener=listener, pool=pool).start()

    def _say(self, name):
        def say(phase, line, session):
            what = self.plan.get((name, phase), self.plan.get(phase))
            return what(line, session) if callable(what) else what
        return say

    def play(self, octets, replies, plan=None):
        """The codes of so many replies to it all in one write, and how often it was accepted."""
        for server in self.servers:
            server.accepted.clear()
        self.plan.clear()
        self.plan.update(plan or {})
        with self.weir.client(20).hello() as client:
            client.send(octets.encode())
            codes = [client.reply()[0] for _ in range(replies)]
        return codes, sum(len(server.accepted) for server in self.servers)

    def outcome(self):
        """Of the last transaction."""
        return self.weir.lines("transaction")[-1]

    def close(self):
        for server in self.servers:
            server.close()
        self.plan.clear()


@pytest.fixture
def stage(weir):
    made = []

    def make(kind="bdat", **options):
        made.append(Stage(weir, kind, **options))
        return made[0]
    yield make
    for one in made:
        try:
            if weir.running():
                weir.at_rest()
        finally:
            one.close()


OWN_TROUBLE = ("421 4.3.2 closing", "451 no status", "452 4.3.1 disk full",
               "421 4.7.0 too many connections", "530 5.7.0 say who you are", "250-a\r\n550 b",
               "garbage", DROP, RESET)
ABOUT_MESSAGE = ("450 4.2.0 mailbox busy", "550 5.1.1 unknown", "452 4.3.4 too large",
                 "504 5.5.2 <a@client.example>: not qualified")


@pytest.mark.parametrize("kind", KINDS)
def test_envelope_rows(stage, kind):
    scene, message = stage(kind), MAIL + rcpt("u") + bdat()
    for phase in ("mail", "rcpt"):
        for said in OWN_TROUBLE:
            assert scene.play(message, 3, {phase: once(said)}) == ([250, 250, 250], 1), (phase, said)
        for said in ABOUT_MESSAGE:
            assert scene.play(message, 3, {phase: said}) == ([250, int(said[:3]), 554], 0), (phase, said)


@pytest.mark.parametrize("kind", KINDS)
def test_end_rows(stage, kind):
    scene, message = stage(kind), MAIL + rcpt("u") + bdat()
    for said in ("421 4.3.2 closing", "451 no status", "452 4.3.1 disk full"):
        assert scene.play(message, 3, {"end": once(said)}) == ([250, 250, 250], 1), said
    for said in ("550 5.7.1 spam", "450 4.7.1 later", "421 4.7.1 policy"):
        code = 451 if said.startswith("421") else int(said[:3])
        assert scene.play(message, 3, {"end": said}) == ([250, 250, code], 0), said
    for said in (DROP, RESET, "garbage"):
        assert scene.play(message, 3, {"end": once(said)}) == ([250, 250, 451], 0), said
    assert scene.play(message, 3, {"end": once(["keep", DROP])}) == ([250, 250, 451], 1)
    if kind == "bdat":
        return
    for said in ("421 4.3.2 closing", "451 no status", "503 5.5.1 what?", "250 ok", DROP, RESET):
        assert scene.play(message, 3, {"data": once(said)}) == ([250, 250, 250], 1), said
    for said in ("550 5.7.1 no", "450 4.7.1 later"):
        assert scene.play(message, 3, {"data": said}) == ([250, 250, int(said[:3])], 0), said


@pytest.mark.parametrize("kind", KINDS)
def test_greeting_rows_and_warm_connections(stage, kind):
    scene, message = stage(kind), MAIL + rcpt("u") + bdat()
    for phase in ("banner", "ehlo"):
        for said in ("554 go away", "421 later", "garbage", DROP, RESET):
            for server in scene.servers:
                server.hang_up_all()
            assert scene.play(message, 3, {phase: once(said)}) == ([250, 250, 250], 1), (phase, said)
    for _ in range(4):
        assert scene.play(message, 3) == ([250, 250, 250], 1)
        for server in scene.servers:
            server.hang_up_all()
    leaves = {"mail": lambda line, session: DROP if session.mails > 1 else None}
    for _ in range(4):
        assert scene.play(message, 3, leaves) == ([250, 250, 250], 1)


def test_recipients_over_a_replay(stage):
    scene, message = stage("data"), MAIL + rcpt("u", "v", "w") + bdat()

    def mixed(line, _):
        return "450 4.2.1 v" if "<v@" in line else "550 5.1.1 w" if "<w@" in line else None
    assert scene.play(message, 5, {"rcpt": mixed, "end": once("451 4.3.0 disk")}) == ([250, 250, 450, 550, 250], 1)
    assert scene.servers[0].accepted + scene.servers[1].accepted == [(("u@dest.example",), BODY.encode())]
    told = []

    def changes_its_mind(line, _):
        told.append(line)
        return None if len(told) == 1 else "550 5.1.1 not any more"
    assert scene.play(MAIL + rcpt("u") + bdat(), 3, {"rcpt": changes_its_mind, "end": once("451 4.3.0 disk")}) \
        == ([250, 250, 451], 0)


REFUSED = ("550 5.1.1 unknown", "450 4.2.0 busy", "451 4.3.0 disk full", DROP)


@pytest.mark.parametrize("said", REFUSED)
def test_chunks_behind_a_refused_envelope(stage, said):
    """They were all sent before the refusal was known; each is answered, and the worker lives."""
    scene = stage("bdat")
    code = int(said[:3]) if said != DROP else 451
    two = bdat("abcd", last=False)
    for phase in ("mail", "rcpt"):
        plan = {phase: said}
        codes, accepted = scene.play(MAIL + rcpt("u", "v") + bdat(), 4, plan)
        assert codes[:3] == [250, code, code] and codes[3] >= 400 and accepted == 0, codes
        assert scene.play(MAIL + rcpt("u") + two, 3, plan) == ([250, code, 554], 0)
        assert scene.play(MAIL + rcpt("u") + two + bdat(), 4, plan) == ([250, code, 554, 503], 0)
        assert scene.play(MAIL + rcpt("u") + "DATA\r\n", 3, plan) == ([250, code, 554], 0)
    wait_for(lambda: len(scene.weir.lines("transaction")) == 8, why="log")
    assert {line["outcome"] for line in scene.weir.lines("transaction")} == {"refused" if code >= 500 else "deferred"}
    assert scene.play(MAIL + rcpt("u") + bdat(), 3) == ([250, 250, 250], 1)
    assert scene.weir.listener("abandoned_total") == 0


def test_no_server_answers_in_time(stage):
    scene = stage("bdat", listener="answer-within 1s;")
    for plan in ({"rcpt": STALL}, {"mail": STALL}):
        codes, accepted = scene.play(MAIL + rcpt("u", "v") + bdat("ab\r\n", last=False) + bdat(), 5, plan)
        assert codes[:3] == [250, 451, 451] and codes[3] >= 400 and accepted == 0, codes
    assert scene.play(MAIL + rcpt("u") + bdat(), 3, {("a", "rcpt"): STALL}) == ([250, 250, 250], 1)
    assert scene.play(MAIL + rcpt("u") + bdat(), 3, {("b", "rcpt"): STALL}) == ([250, 250, 250], 1)


def test_each_recipient_has_its_own_patience(stage):
    """A client that takes its time between two recipients takes none away from the server."""
    scene = stage("bdat", listener="answer-within 2s;")
    scene.plan["rcpt"] = late(0.3)
    with scene.weir.client().hello() as client:
        client.envelope("a@client.example", "u@dest.example")
        time.sleep(0.8)  # half of answer-within is over 0.2 s from now
        assert client.say(rcpt("v").strip())[0] == 250
        assert client.say(bdat()[:-2])[0] == 250
    wait_for(lambda: scene.weir.lines("transaction"), why="log")
    assert scene.outcome()["attempts"] == 1


@pytest.mark.parametrize("body", ("a\nb\r\n", "a\rb\r\n", "a\0b\r\n", "x" * 1200 + "\r\n"),
                         ids=("lf", "cr", "nul", "long"))
def test_a_flaw_behind_pending_recipients(stage, body):
    """Nothing waits for ever, nothing is executed behind it, and the session ends."""
    scene = stage("bdat")
    for octets in (bdat(body), bdat("ab\r\n", last=False) + bdat(body)):
        scene.plan["rcpt"] = late(0.2)
        with scene.weir.client(20).hello() as client:
            client.send((MAIL + rcpt("u") + octets + MAIL).encode())
            replies = []
            with pytest.raises(Gone):
                while True:
                    replies.append(client.reply()[0])
            assert replies[0] == 250 and all(code >= 500 for code in replies[1:]) and len(replies) >= 3, replies
    assert not any(server.accepted for server in scene.servers)


def test_everything_in_one_write(stage):
    scene = stage("bdat")
    one = MAIL + rcpt("u") + bdat()
    plan = {"rcpt": late(0.02)}
    assert scene.play((one + "RSET\r\nNOOP\r\n") * 10 + "QUIT\r\n", 51, plan) == ([250] * 50 + [221], 10)
    for verb, code in (("RSET", 250), ("NOOP", 250), ("QUIT", 221), ("EHLO again", 250)):
        assert scene.play(MAIL + rcpt("u") + verb + "\r\n", 3, plan) == ([250, 250, code], 0), verb
    octets = "".join(bdat(octet, last=False) for octet in BODY) + "BDAT 0 LAST\r\n"
    assert scene.play(MAIL + rcpt("u") + octets, 3 + len(BODY), plan) == ([250] * (3 + len(BODY)), 1)
    assert scene.servers[0].accepted + scene.servers[1].accepted == [(("u@dest.example",), BODY.encode())]


@pytest.mark.parametrize("reset", (False, True), ids=("fin", "reset"))
def test_clients_vanish_at_every_octet(stage, reset):
    scene = stage("bdat")
    octets = (MAIL + rcpt("u", "v") + bdat("abc\r\n", last=False) + bdat() + "RSET\r\nQUIT\r\n").encode()
    for at in range(len(octets) + 1):
        scene.plan["rcpt"] = (None, late(0.01), "451 4.3.0 busy")[at % 3]
        client = scene.weir.client().hello()
        client.send(octets[:at])
        if at % 4 == 0:
            time.sleep(0.003)
        if reset:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    assert scene.play(MAIL + rcpt("u") + bdat(), 3) == ([250, 250, 250], 1)


@pytest.mark.parametrize("kind", ("bdat", "data"))
def test_a_large_message_is_refused_in_the_servers_words(stage, kind):
    """It can't be replayed, but its server has said why."""
    scene = stage(kind, listener="replay-limit 64KiB;")
    body = ("x" * 70 + "\r\n") * 8000
    assert scene.play(MAIL + rcpt("u") + bdat(body), 3, {"end": once("452 4.3.1 disk full")}) \
        == ([250, 250, 452], 0)
    phase = "chunk" if kind == "bdat" else "end"
    assert scene.play(MAIL + rcpt("u") + bdat(body), 3, {phase: once(DROP)}) == ([250, 250, 451], 0)


def test_one_place_for_fifty_clients(weir):
    """Two workers share the only connection: all are served, and nobody is forgotten."""
    with Scripted("a", say=lambda phase, line, session: late(0.01)() if phase == "end" else None) as server:
        weir.write([server], check="check none;", pool="max-connections 1; queue 60s;",
                   listener="answer-within 60s;").start()
        done = []

        def send(number):
            time.sleep(number * 0.01)
            with weir.client(60).hello() as client:
                client.send((MAIL + rcpt("u") + bdat()).encode())
                done.append((number, [client.reply()[0] for _ in range(3)]))
        threads = [threading.Thread(target=send, args=(number,)) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert [codes for _, codes in done] == [[250, 250, 250]] * 50
        assert max(abs(place - number) for place, (number, _) in enumerate(done)) <= 12, done
        assert len(server.accepted) == 50
        weir.at_rest()


def test_what_a_stop_cuts_off(weir):
    """Beyond drain-timeout: who waits for a verdict hears that nobody knows, the others 421."""
    with Scripted("a", say=lambda phase, line, session: STALL if phase == "end" else None) as server:
        weir.write([server], workers=1, check="check none;", drain="1s").start()
        waiting, envelope, body = [weir.client(20).hello().envelope("a@client.example", "u@dest.example")
                                   for _ in range(3)]
        waiting.send(bdat().encode())
        assert body.say("DATA")[0] == 354
        wait_for(lambda: weir.listener("in_gap") == 1, why="in the gap")
        weir.stop()
        assert waiting.reply() == (451, "4.4.2 The server was lost before it confirmed the message")
        for client in (waiting, envelope, body):
            assert client.reply()[0] == 421
            client.close()
        assert sorted(line["outcome"] for line in weir.lines("transaction")) \
            == ["abandoned", "abandoned", "ambiguous"]


def test_what_a_stop_cuts_off_while_a_former_server_may_have_it(weir):
    """A 421 alone would be a definite no."""
    plan = {}

    def say(phase, *_):
        if phase == "end":
            plan["rcpt"] = STALL
            return ["keep", DROP]
        return plan.get(phase)
    with Scripted("a", say=say) as a, Scripted("b", say=say) as b:
        weir.write([a, b], workers=1, check="check none;", drain="1s", listener="resend-ambiguous yes;").start()
        with weir.client(20).hello().envelope("a@client.example", "u@dest.example") as client:
            client.send(bdat().encode())
            wait_for(lambda: any(line["reason"] == "ended_no_reply" for line in weir.lines("attempt")), why="lost")
            weir.stop()
            assert client.reply() == (451, "4.4.2 The server was lost before it confirmed the message")
            assert client.reply()[0] == 421
        assert len(a.accepted) + len(b.accepted) == 1
        assert [line["outcome"] for line in weir.lines("transaction")] == ["ambiguous"]
