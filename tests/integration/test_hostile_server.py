"""Servers that misbehave (items 12 and 26 to 35 of docs/catalogue.md), scripted, before the real binary.

Of two servers the one that is asked first misbehaves to order.  Each test runs with servers that take
BDAT and with servers that take DATA.
"""
import contextlib
import re
import select
import socket
import threading
import time

import pytest

from harness.balancer import Balancer
from harness.client import Gone
from harness.ledger import AMBIGUOUS
from harness.scripted import DROP, STALL, USUAL, Scripted
from harness.world import program, wait_for

KINDS = {"bdat": USUAL, "data": USUAL[:-1]}
POOL = ("connect-timeout 2s; greeting-timeout 2s; mail-timeout 2s; rcpt-timeout 2s; data-timeout 2s; "
        "slow-start 0s; outliers enforce=no;")
MAIL = "MAIL FROM:<a@client.example>\r\n"
BODY = "Subject: x\r\n\r\nhello\r\n"
LARGE = BODY + ("z" * 70 + "\r\n") * 3000  # more than a frame, less than replay-limit


def rcpt(*names):
    return "".join(f"RCPT TO:<{name}@dest.example>\r\n" for name in names)


def message(*names, body=BODY):
    return MAIL + rcpt(*(names or ("u",))) + f"BDAT {len(body)} LAST\r\n{body}"


def raw(octets, then=None):
    """Exactly these octets, in one write."""
    def say(_, session):
        session.sock.sendall(octets)
        return then or []
    return say


class Scene:
    """A balancer of one worker before the two.  The one that is asked first for what the plan holds
    is the bad one; a plan for everyone makes them both so."""

    def __init__(self, folder, kind):
        self.kind, self.plan, self.others, self.bad, self.everyone = kind, {}, {}, None, False
        self.servers = [Scripted(name, KINDS[kind], self._say(name)) for name in ("a", "b")]
        self.weir = Balancer(folder, program("careful"))
        self.weir.write(self.servers, workers=1, check="check none;", pool=POOL,
                        listener="replay-limit 512KiB; max-errors 4;").start()

    def _say(self, name):
        def say(phase, line, session):
            if phase in self.plan and self.bad is None:
                self.bad = session.server
            bad = self.everyone or session.server is self.bad
            what = (self.plan if bad else self.others).get(phase)
            return what(line, session) if callable(what) else what
        return say

    def begin(self, plan=None, others=None, everyone=False):
        """From now on one of them does this; no connection is left of what was before."""
        self.plan.clear()
        for server in self.servers:  # those who stall
            server.over.set()
        self.weir.at_rest()
        for server in self.servers:
            server.over.clear()
            server.hang_up_all()
            server.accepted.clear()
            server.seen.clear()
        wait_for(lambda: all(one["connections"] == 0 for one in self.weir.servers().values()), why="closed")
        self.bad, self.everyone, self.others = None, everyone, others or {}
        self.plan.update(plan or {})

    def play(self, octets, replies=3):
        """All in one write; the codes of so many replies."""
        with self.weir.client().hello() as client:
            client.send(octets.encode())
            return [client.reply()[0] for _ in range(replies)]

    def good(self):
        return next(server for server in self.servers if server is not self.bad)

    def has(self):
        """How many copies the bad one has accepted, and how many the other."""
        return (len(self.bad.accepted) if self.bad else 0,
                sum(len(server.accepted) for server in self.servers if server is not self.bad))

    def sessions(self):
        return sum(server.sessions for server in self.servers)

    def count(self, name):
        return self.weir.metrics().sum(f"mailweir_server_{name}_total")

    def idle(self):
        return sum(server["idle"] for server in self.weir.servers().values())

    def stop(self):
        try:
            if self.weir.running():
                self.begin()
                self.weir.stop()
        finally:
            self.weir.kill()
            for server in self.servers:
                server.close()


@pytest.fixture(scope="module", params=KINDS)
def built(request, tmp_path_factory):
    made = Scene(tmp_path_factory.mktemp(request.param), request.param)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def scene(built):
    built.begin()
    return built


def into_body(scene, octets, then=None):
    """A plan: a says this in the body, that is right behind 354, or instead of a chunk's answer."""
    return {"data": raw(b"354 go\r\n" + octets, then)} if scene.kind == "data" else {"chunk": raw(octets, then)}


# ---- 12: answers before the question ----

@pytest.mark.parametrize("early", (b"250 a\r\n", b"250-a\r\n250 CHUNKING\r\n", b"250"), ids=("helo", "ehlo", "half"))
def test_item_12_an_answer_before_ehlo_was_said(scene, early):
    """What a server offers is believed only behind the question."""
    scene.begin({"banner": raw(b"220 a ESMTP\r\n" + early)})
    assert scene.play(message()) == [250, 250, 250]
    assert scene.has() == (0, 1)
    assert [phase for _, phase, _ in scene.bad.seen] == ["banner"], "it was told nothing"


# ---- 26: what is no reply ----

MALFORMED = {
    "two-codes": b"250-a\r\n550 b\r\n", "no-digits": b"hello there\r\n", "two-digits": b"25 ok\r\n",
    "four-digits": b"2500 ok\r\n", "1yz": b"150 wait\r\n", "6yz": b"650 what\r\n", "empty": b"\r\n",
    "lf": b"250 ok\n", "cr": b"250 ok\r250 ok\r\n", "nul": b"250 o\0k\r\n",
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n", "long-line": b"250 " + b"x" * 507 + b"\r\n",
    "a-megabyte": b"250 " + b"x" * 1_000_000, "no-last-line": b"250-x\r\n" * 100_000,
}


@pytest.mark.parametrize("form", MALFORMED)
def test_item_26_what_is_no_reply(scene, form):
    """Before the end of data it costs the server the connection, and the client nothing."""
    in_body = "data" if scene.kind == "data" else "chunk"
    for phase in ("banner", "ehlo", "mail", "rcpt", in_body):
        scene.begin({phase: raw(MALFORMED[form], STALL)})
        assert scene.play(message(body=LARGE)) == [250, 250, 250], phase
        assert scene.has() == (0, 1), phase
    scene.begin({"end": raw(MALFORMED[form], STALL)})
    with scene.weir.client().hello() as client:
        client.send(message().encode())
        assert [client.reply()[0] for _ in range(2)] == [250, 250]
        assert "{} {}".format(*client.reply()) == AMBIGUOUS
        assert client.say("NOOP")[0] == 250, "the session goes on"
    assert scene.has() == (0, 0)
    assert scene.weir.metrics().sum("mailweir_process_memory_chunks_bytes") < 4 << 20


def test_item_26_a_reply_as_long_as_they_may_be(scene):
    scene.begin({"rcpt": "250-" + "x" * 506 + "\r\n250 ok"})
    assert scene.play(message()) == [250, 250, 250]
    assert scene.has() == (1, 0)


# ---- 27: what nobody has asked for ----

UNASKED = {"2yz": b"250 2.0.0 To nobody\r\n", "5yz": b"550 5.7.1 To nobody\r\n", "354": b"354 go\r\n",
           "half": b"25", "garbage": b"*\r\n", "421": b"421 4.3.2 Closing\r\n"}


@pytest.mark.parametrize("word", UNASKED)
def test_item_27_a_word_with_the_verdict(scene, word):
    """The verdict stands; the connection is never used again, and what it was is counted."""
    scene.begin({"end": raw(b"250 2.0.0 Ok: queued as ONE\r\n" + UNASKED[word])}, everyone=True)
    counter = "stale" if word == "421" else "poisoned"
    sessions, before = scene.sessions(), scene.count(counter)
    for number in range(1, 4):
        with scene.weir.client().hello() as client:
            client.send(message().encode())
            assert [client.reply()[0], client.reply()[0]] == [250, 250]
            assert client.reply() == (250, "2.0.0 Ok: queued as ONE")
        wait_for(lambda: scene.count(counter) == before + number, why=counter)
    assert scene.sessions() == sessions + 3


@pytest.mark.parametrize("word", UNASKED)
def test_item_27_a_word_while_idle(scene, word):
    counter = "stale" if word == "421" else "poisoned"
    sessions, before = scene.sessions(), scene.count(counter)
    for number in range(1, 4):
        assert scene.play(message()) == [250, 250, 250]
        wait_for(lambda: scene.idle() == 1, why="given back")
        next(server for server in scene.servers if server.live).live.pop().sendall(UNASKED[word])
        wait_for(lambda: scene.count(counter) == before + number, why=counter)
    assert scene.sessions() == sessions + 3
    assert scene.has() == (0, 3)


@pytest.mark.parametrize("phase", ("ehlo", "mail", "rcpt"))
@pytest.mark.parametrize("word", UNASKED)
def test_item_27_a_word_in_the_envelope(scene, phase, word):
    """MAIL and RCPTs travel in one write, so a word behind MAIL's reply is taken for a recipient's; but
    then there is a reply too many, and no end of data goes where that is so."""
    caps = ("a", *KINDS[scene.kind])
    usual = {"ehlo": "\r\n".join([f"250-{cap}" for cap in caps[:-1]] + [f"250 {caps[-1]}"]),
             "mail": "250 2.1.0 Ok", "rcpt": "250 2.1.5 Ok"}[phase]
    scene.begin({phase: usual + "\r\n" + UNASKED[word].decode().strip()})
    codes = scene.play(message("u", "v"), 4)
    told = tuple(f"{name}@dest.example" for name, code in zip("uv", codes[1:3]) if code == 250)
    assert codes[0] == 250 and codes[3] == (250 if told else 554), codes
    assert scene.has() == (0, len(told) > 0)
    assert scene.good().accepted == [(told, BODY.encode())] * (len(told) > 0)


def test_item_27_no_reply_of_one_client_reaches_another(scene):
    """Servers name in each reply whom it is for, and say too much now and then."""
    def named(line, session):
        name = re.search(r"<(\w+)@", line).group(1)
        session.name = name
        return f"250 2.1.5 {name}"

    def verdict(_, session):
        reply = f"250 2.0.0 {session.name}\r\n"
        if session.mails % 3 == 0:
            reply += "250 2.0.0 somebody\r\n"
        session.sock.sendall(reply.encode())
        return []
    scene.begin({"rcpt": named, "end": verdict}, everyone=True)
    wrong, sessions = [], scene.sessions()

    def converse(number):
        with scene.weir.client(60).hello() as client:
            for turn in range(15):
                name = f"c{number}t{turn}"
                client.send(message(name).encode())
                replies = [client.reply() for _ in range(3)]
                if replies[1:] != [(250, f"2.1.5 {name}"), (250, f"2.0.0 {name}")]:
                    wrong.append((name, replies))
    threads = [threading.Thread(target=converse, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong, wrong[:3]
    assert scene.sessions() > sessions + 20, "connections were dropped again and again"


@pytest.mark.parametrize("phase", ("mail", "rcpt"))
def test_item_27_never_again_after_a_time_out(scene, phase):
    if scene.kind == "bdat":
        pytest.skip("no difference in the envelope")
    scene.begin({phase: STALL})
    assert scene.play(message()) == [250, 250, 250]
    assert scene.has() == (0, 1)
    sessions, late = scene.bad.sessions, scene.bad
    scene.plan.clear()
    while not late.accepted:
        assert scene.play(message()) == [250, 250, 250]
    assert late.sessions == sessions + 1


# ---- 28, 29: lost before the end of data ----

@pytest.mark.parametrize("reply", (b"421 4.3.2 Closing\r\n", b"421 Bye\r\n"))
def test_item_28_421_inside_the_body(scene, reply):
    scene.begin(into_body(scene, reply, [DROP]))
    assert scene.play(message(body=LARGE)) == [250, 250, 250]
    assert scene.good().accepted == [(("u@dest.example",), LARGE.encode())]
    assert scene.has() == (0, 1)


def test_item_28_421_right_behind_a_recipients_reply(scene):
    """It is leaving: the recipient was accepted, and must be by the next."""
    scene.begin({"rcpt": raw(b"250 2.1.5 Ok\r\n421 4.3.2 Closing\r\n", [DROP])})
    assert scene.play(message()) == [250, 250, 250]
    assert scene.has() == (0, 1)


def test_item_29_354_and_closed(scene):
    """No end of data was sent, so the next server gets all of it."""
    if scene.kind == "bdat":
        scene.begin({"chunk": DROP})
    else:
        scene.begin({"data": raw(b"354 go\r\n", [DROP])})
    with scene.weir.client().hello().envelope("a@client.example", "u@dest.example") as client:
        assert client.say("DATA")[0] == 354
        client.send(LARGE.encode())
        wait_for(lambda: scene.good().seen, why="the next server is asked")
        assert client.say(".")[0] == 250
    assert scene.good().accepted == [(("u@dest.example",), LARGE.encode())]
    assert scene.has() == (0, 1)


# ---- 31: too early ----

def test_item_31_a_2yz_before_the_end_of_data_is_no_verdict(scene):
    """Also when the client's whole message is here: it has not left."""
    for held in (True, False):
        if scene.kind == "data":
            scene.begin({"data": raw(b"354 go\r\n250 2.0.0 Ok: queued as EARLY\r\n", STALL)})
        else:
            scene.begin({"chunk": raw(b"250 2.0.0 Ok\r\n250 2.0.0 Ok: queued as EARLY\r\n" * 3, STALL)})
        with scene.weir.client().hello().envelope("a@client.example", "u@dest.example") as client:
            if held:
                assert client.say("DATA")[0] == 354
                client.send(LARGE.encode())
                wait_for(lambda: scene.good().seen, why="the next server is asked")
                assert client.say(".") == (250, "2.0.0 Ok: queued as AB12")
            else:
                client.send(message(body=LARGE)[len(MAIL + rcpt("u")):].encode())
                assert client.reply() == (250, "2.0.0 Ok: queued as AB12")
        assert scene.has() == (0, 1)


@pytest.mark.parametrize("reply", (b"550 5.7.1 Spam\r\n", b"450 4.7.1 Later\r\n"))
def test_item_31_an_early_refusal_is_heard_after_the_end(scene, reply):
    """The client sends millions of octets more; it hears one reply, and its session goes on."""
    scene.begin(into_body(scene, reply, STALL))
    with scene.weir.client().hello().envelope("a@client.example", "u@dest.example") as client:
        assert client.say("DATA")[0] == 354
        for _ in range(20):
            client.send(LARGE.encode())
        assert not select.select([client.sock], [], [], 0.1)[0], "a word inside the body"
        code, text = client.say(".")
        assert f"{code} {text}\r\n".encode() == reply
        assert client.say("NOOP")[0] == 250
        sent = sum(len(line) for _, phase, line in scene.bad.seen if phase == "end")
        assert sent == 0
    assert scene.has() == (0, 0)


@pytest.mark.parametrize("flaw", (b"bare\nnewline\r\n", b"GET / HTTP/1.1\r\n"), ids=("in-the-body", "as-command"))
def test_item_31_a_last_word_is_not_eaten_by_a_reset(scene, flaw):
    """Closing with octets unread would throw our reply away."""
    with scene.weir.client().hello() as client:
        if b"bare" in flaw:
            client.envelope("a@client.example", "u@dest.example")
            assert client.say("DATA")[0] == 354
        with contextlib.suppress(Gone):
            client.send(flaw + (b".\r\n" if b"bare" in flaw else b"") + b"x" * 200_000)
        time.sleep(0.2)
        assert client.reply()[0] in (550, 554)


# ---- 32: slow ----

@pytest.mark.parametrize("phase", ("banner", "ehlo", "mail", "rcpt", "data"))
def test_item_32_a_server_that_stalls(scene, phase):
    """Each state has its time; on the end of data see test_row_ended_timed_out."""
    if scene.kind == "bdat":
        pytest.skip("no state of its own but the chunk: test_row_body_timed_out_in_a_chunk")
    scene.begin({phase: STALL})
    assert scene.play(message()) == [250, 250, 250]
    assert scene.has() == (0, 1)


@pytest.mark.parametrize("phase, reply", (("banner", b"220 " + b"a" * 300), ("rcpt", b"250-x\r\n" * 60)),
                         ids=("banner", "rcpt"))
def test_item_32_a_server_that_dribbles(scene, phase, reply):
    """A reply has its time as a whole, however often an octet comes."""
    if scene.kind == "bdat":
        pytest.skip("no difference before the body")
    def dribble(_, session):
        for at in range(len(reply)):
            session.sock.sendall(reply[at:at + 1])
            time.sleep(0.1)
        return DROP
    scene.begin({phase: dribble})
    began = time.monotonic()
    assert scene.play(message()) == [250, 250, 250]
    assert scene.has() == (0, 1)
    assert time.monotonic() - began < 0.1 * len(reply) - 5, "it was not waited for"


def test_item_32_a_server_that_does_not_even_connect(weir):
    """Its backlog is full, so that the kernel drops what we send."""
    with contextlib.ExitStack() as stack:
        deaf = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(deaf.getsockname())
        well = stack.enter_context(Scripted("b"))
        weir.write([("a", deaf.getsockname()[1], "tier=1"), ("b", well.port, "tier=2")], check="check none;",
                   pool="connect-timeout 1s;", workers=1).start()
        with weir.client().hello() as client:
            client.send(message().encode())
            assert [client.reply()[0] for _ in range(3)] == [250, 250, 250]
        assert len(well.accepted) == 1
        assert weir.metrics().sum("mailweir_server_connects_failed_total", server="a") == 1
        weir.at_rest()


# ---- 33: recipients ----

def upto(most):
    """RCPTs beyond so many are answered 452."""
    def say(_, session):
        return "452 4.5.3 Too many recipients" if len(session.recipients) >= most else None
    return say


NAMES = [f"u{number}" for number in range(1, 151)]


def test_item_33_452_at_the_101st_recipient(scene):
    """Each hears its own, in order, and the message goes to the hundred."""
    scene.begin({"rcpt": upto(100)})
    assert scene.play(message(*NAMES), 152) == [250] * 101 + [452] * 50 + [250]
    assert scene.bad.accepted == [(tuple(f"{name}@dest.example" for name in NAMES[:100]), BODY.encode())]
    assert scene.has() == (1, 0)


def test_item_33_mixed_results_stay_in_order(scene):
    words = ("250 2.1.5 Ok", "450 4.2.0 Busy", "550 5.1.1 Unknown")
    scene.begin({"rcpt": lambda line, _: words[int(re.search(r"<u(\d+)@", line).group(1)) % 3]})
    expected = [int(words[number % 3][:3]) for number in range(1, 151)]
    assert scene.play(message(*NAMES), 152) == [250, *expected, 250]
    assert scene.has() == (1, 0)


@pytest.mark.parametrize("most, last, has", ((100, 250, (0, 1)), (99, 451, (0, 0))), ids=("the-same", "fewer"))
def test_item_33_a_replay_needs_the_same_results(scene, most, last, has):
    """A hundred were told 250; a server that takes fewer of them takes none."""
    scene.begin({"rcpt": upto(100), "end": "451 4.3.0 Disk trouble"}, {"rcpt": upto(most)})
    assert scene.play(message(*NAMES), 152) == [250] * 101 + [452] * 50 + [last]
    assert scene.has() == has
    assert sum(phase == "rcpt" for _, phase, _ in scene.good().seen) == 100, "the fifty are not offered again"


# ---- what a server may lack, or lose ----

def test_chunks_are_sent_without_a_wait_only_where_pipelining_is_offered(weir):
    """RFC 2920 3.1; DATA is there for all others."""
    with Scripted("a", ("CHUNKING", "8BITMIME")) as server:
        weir.write([server], check="check none;", workers=1).start()
        for _ in range(2):
            with weir.client().hello() as client:
                client.send(message(body=LARGE).encode())
                assert [client.reply()[0] for _ in range(3)] == [250, 250, 250]
        assert [mail for _, mail in server.accepted] == [LARGE.encode()] * 2
        assert {phase for _, phase, _ in server.seen} >= {"data"}
        assert "chunk" not in {phase for _, phase, _ in server.seen}
        weir.at_rest()


def test_an_extension_that_is_gone_is_no_refusal_for_good(weir):
    """It was offered to the client, and the server has answered EHLO otherwise since."""
    with Scripted("a", USUAL) as server:
        weir.write([server], check="check none;", workers=1).start()
        with weir.client().hello() as client:
            client.send(message().encode())
            assert [client.reply()[0] for _ in range(3)] == [250, 250, 250]
            assert "8BITMIME" in client.say("EHLO client.example")[1]
            server.caps = ("PIPELINING",)
            server.hang_up_all()
            assert client.say("MAIL FROM:<a@client.example> BODY=8BITMIME")[0] == 250
            assert client.say("RCPT TO:<u@dest.example>") == (451, "4.4.1 No server available at the moment")
        weir.at_rest()


@pytest.mark.parametrize("chunks", (1, 3))
def test_all_servers_are_lost_behind_the_recipients(scene, chunks):
    """What the client sends then is read to its end, however large, and answered."""
    scene.begin({"rcpt": lambda line, _: DROP if "<v@" in line else None, "banner": DROP}, everyone=True)
    del scene.plan["banner"]
    with scene.weir.client().hello().envelope("a@client.example", "u@dest.example") as client:
        scene.plan["banner"] = DROP
        assert client.say("RCPT TO:<v@dest.example>")[0] == 451
        for number in range(1, chunks + 1):
            client.send(f"BDAT 1000000{' LAST' * (number == chunks)}\r\n".encode() + b"x" * 70 + b"\r\n" * 499965)
        codes = [client.reply()[0] for _ in range(chunks)]
        assert codes[-1] == 451 and all(code in (250, 451) for code in codes), codes
        assert client.say("NOOP")[0] == 250
    assert scene.has() == (0, 0)


def test_the_server_is_given_up_for_one_recipient(weir):
    """It took the first and is silent on the second, while a large chunk is here already: the chunk
    has to go somewhere."""
    with Scripted("a", say=lambda phase, line, session: STALL if "<v@" in line else None) as a, \
            Scripted("b", say=lambda phase, line, session: STALL if "<v@" in line else None) as b:
        weir.write([a, b], check="check none;", workers=1, pool="rcpt-timeout 1min;",
                   listener="answer-within 1s; replay-limit 1KiB;").start()
        with weir.client().hello() as client:
            client.send(message("u", "v", body=LARGE).encode())
            assert [client.reply()[0] for _ in range(3)] == [250, 250, 451]
            assert client.reply()[0] in (250, 451)
            assert client.say("NOOP")[0] == 250


def test_quit_is_answered_once(scene):
    """However many refusals there were before it: 221, and no 421 behind that."""
    scene.begin({"rcpt": "550 5.1.1 Unknown"}, everyone=True)
    with scene.weir.client().hello() as client:
        client.send((MAIL + rcpt("u", "v", "w", "x", "y") + "QUIT\r\n").encode())
        assert [client.reply()[0] for _ in range(7)] == [250] + [550] * 5 + [221]
        assert client.is_closed()


# ---- 34: LMTP ----

def test_item_34_an_lmtp_server_is_not_used(scene):
    """It knows LHLO only, and there is no message for it."""
    scene.begin({"ehlo": "500 5.5.1 Say LHLO"})
    assert scene.play(message()) == [250, 250, 250]
    assert scene.has() == (0, 1)
    assert [line.split()[0] for _, phase, line in scene.bad.seen if phase == "ehlo"] == ["EHLO", "HELO"]


# ---- 35: half-closed ----

@pytest.mark.parametrize("carrier", ("DATA", "BDAT"))
def test_item_35_a_client_that_closes_its_half_inside_the_body(scene, carrier):
    """It may still listen, but the message is not whole: nobody gets it."""
    name = f"half-{scene.kind}-{carrier}"
    for body in (BODY, LARGE):
        with scene.weir.client().hello(name).envelope("a@client.example", "u@dest.example") as client:
            client.send(f"BDAT {len(body) + 1} LAST\r\n".encode() if carrier == "BDAT" else b"DATA\r\n")
            assert carrier == "BDAT" or client.reply()[0] == 354
            client.send(body.encode())
            client.sock.shutdown(socket.SHUT_WR)
            with contextlib.suppress(Gone):
                assert client.reply()[0] >= 400
    scene.weir.at_rest()
    assert scene.has() == (0, 0)

    def outcomes():
        return [line["outcome"] for line in scene.weir.lines("transaction")
                if line["helo"] == name]
    wait_for(lambda: len(outcomes()) == 2, why="log")
    assert outcomes() == ["abandoned"] * 2
