"""The commit rule, row by row: each `name` in src/relay/commit.c's table has a test test_row_<name>
that makes it happen before a real balancer, and looks at everything that shows it: what the client
hears, which server has the message, what the log says, which counters moved.

The first server (s1, tier 1) misbehaves to order, the second (s2, tier 2) is well.  A server that
takes BDAT gets a small message as one chunk with its end, so there what is about the body alone
needs a large message whose end the client holds back.
"""
import itertools
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.balancer import Balancer
from harness.client import message, stuffed
from harness.clock import Clock
from harness.ledger import AMBIGUOUS
from harness.sink import Sink
from harness.world import ROOT, program, wait_for

KINDS = {"chunking": (), "data": ("--no-chunking",)}
POOL = "mail-timeout 4s; rcpt-timeout 4s; data-timeout 4s;"  # a busy machine is not a hanging server
LISTENER_COUNTS = ("accepted", "accepted_unheard", "deferred", "refused", "abandoned", "ambiguous", "replays")
SERVER_COUNTS = ("accepted", "passed_4yz", "passed_5yz", "own_trouble", "broken", "timeouts", "too_many",
                 "our_conduct", "poisoned", "stale", "ambiguous")
LARGE = 200_000  # more than a frame, less than replay-limit

UNPIPELINED = "503 5.5.1 Bad sequence: RCPT or RSET first"  # DATA when the client knows that nobody is left

_numbers = itertools.count(1)


class Stage:
    """A balancer of one worker before the two servers."""

    def __init__(self, folder, kind, build="careful", listener=""):
        self.kind, self.listener = kind, listener
        self.sinks = [Sink(folder, name, *KINDS[kind], write=True) for name in ("s1", "s2")]
        self.weir = Balancer(folder, program(build))
        self.before = {}

    def start(self):
        for sink in self.sinks:
            sink.start()
        self.weir.write([(sink.name, sink.port, f"tier={tier}") for tier, sink in enumerate(self.sinks, 1)],
                        workers=1, check="check none;", pool=POOL, listener=self.listener).start()

    def stop(self):
        try:
            if self.weir.running():
                self.weir.stop()
        finally:
            self.weir.kill()
            for sink in self.sinks:
                sink.stop()

    # ---- counters ----

    def counters(self):
        metrics = self.weir.metrics()
        counts = {name: metrics.sum(f"mailweir_listener_{name}_total") for name in LISTENER_COUNTS}
        for server, name in itertools.product(("s1", "s2"), SERVER_COUNTS):
            counts[f"{server}.{name}"] = metrics.sum(f"mailweir_server_{name}_total", server=server)
        return counts

    def begin(self, *faults):
        """From now on s1 does this, and what is counted is new."""
        self.sinks[0].turn(*faults)
        self.before = self.counters()

    def changed(self):
        now = self.counters()
        return {name: int(now[name] - self.before[name]) for name in now if now[name] != self.before[name]}

    def counted(self, **expected):
        """Exactly these counters moved; s1_broken=1 is s1's."""
        expected = {re.sub(r"^(s\d)_", r"\1.", name): by for name, by in expected.items()}
        try:
            wait_for(lambda: self.changed() == expected, 10)
        except AssertionError:
            assert self.changed() == expected

    # ---- mail ----

    def mail(self, *recipients, large=False, then=None):
        return Mail(self, recipients or ("u",), large, then)


class Mail:
    """One message by one client: `replies` to each RCPT, to DATA and to the end, as "code text"."""

    def __init__(self, stage, recipients, large, then):
        self.stage, self.name = stage, f"row-{next(_numbers)}"
        self.body = message(self.name, LARGE if large else 500)
        with stage.weir.client().hello(self.name) as client:
            assert client.say(f"MAIL FROM:<{self.name}@client.example>")[0] == 250
            self.replies = [self.ask(client, f"RCPT TO:<{to}@dest.example>") for to in recipients]
            self.data = self.ask(client, "DATA")
            self.last = self.send(client, large, then) if self.data.startswith("354") else self.data
            client.say("QUIT")

    @staticmethod
    def ask(client, line):
        code, text = client.say(line)
        return f"{code} {text}"

    def send(self, client, large, then):
        octets = stuffed(self.body)
        client.send(octets[:-3])
        if large:
            # The body's end is held back until the first server has failed inside it.
            wait_for(then or self.attempts, 20, "an attempt's end inside the body")
        client.send(octets[-3:])
        code, text = client.reply()
        return f"{code} {text}"

    # ---- what is known of it afterwards ----

    def session(self):
        """Its name in the log; while the message is under way only its attempts tell."""
        return next((line["session"] for line in self.stage.weir.lines() if line.get("helo") == self.name), None)

    def attempts(self):
        """(server, reason) of each attempt of the session that is the newest."""
        known = {line["session"] for line in self.stage.weir.lines("transaction")}
        return [(line["server"], line["reason"]) for line in self.stage.weir.lines("attempt")
                if line["session"] not in known]

    def logged(self):
        """The transaction's line and its attempts'."""
        wait_for(self.session, 10, f"{self.name} logged")
        return (next(line for line in self.stage.weir.lines("transaction") if line["helo"] == self.name),
                [line for line in self.stage.weir.lines("attempt") if line["session"] == self.session()])

    def at(self):
        """Who has it, once a copy; each must be whole."""
        found = []
        for sink in self.stage.sinks:
            found += [sink.name for mail in sink.mails() if f"X-Ledger-Id: {self.name}\r\n".encode() in mail
                      and self.is_whole(mail)]
            assert [line["id"] for line in sink.lines()].count(self.name) == found.count(sink.name)
        return found

    def is_whole(self, mail):
        assert mail == self.body, (len(mail), len(self.body))
        return True

    def went(self, outcome, *attempts):
        """The log's story: s1, "body_lost", s2, "accepted" and so on."""
        line, tried = self.logged()
        pairs = list(zip(attempts[::2], attempts[1::2], strict=True))
        assert [(one["server"], one["reason"]) for one in tried] == pairs
        assert (line["outcome"], line["attempts"]) == (outcome, len(pairs)), line
        assert (line["server"], line["size"] if outcome == "accepted" else 0) \
            == (pairs[-1][0], len(self.body) if outcome == "accepted" else 0), line
        return line

    def was_replayed(self, row, **counted):
        """s1 failed by this row, and s2 has it: the client saw nothing."""
        assert self.replies == ["250 2.1.5 Recipient ok"] and self.data.startswith("354 ")
        assert re.fullmatch(r"250 2\.0\.0 Ok: queued as s2-\d+", self.last), self.last
        assert self.at() == ["s2"]
        line = self.went("accepted", "s1", row, "s2", "accepted")
        assert line["reason"] == "accepted" and f"queued as {line['queue_id']}" in self.last
        self.stage.counted(accepted=1, replays=1, s2_accepted=1, **counted)


@pytest.fixture(scope="module", params=KINDS)
def stage(request, tmp_path_factory):
    made = Stage(tmp_path_factory.mktemp(request.param), request.param)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def both(stage, large=False):
    """A message that the server takes as chunks and end, or as DATA, so that its body fails first."""
    return stage.mail(large=stage.kind == "chunking" or large)


def alarmed(stage):
    """One alarm in ten seconds is written, whatever the row."""
    now = time.time()
    lines = stage.weir.lines("alarm")
    assert lines and lines[-1]["server"] == "s1" and "complains" in lines[-1]["text"], lines
    stamp = time.strptime(lines[-1]["time"][:19], "%Y-%m-%dT%H:%M:%S")
    assert now - (time.mktime(stamp) - time.timezone) < 20


def test_every_row_has_a_test():
    """The table and this file name the same rows."""
    table = (ROOT / "src" / "relay" / "commit.c").read_text()
    rows = re.findall(r'\{ "(\w+)",\s+COMMIT_', table)
    assert len(rows) == len(set(rows)) > 20
    tests = {name.removeprefix("test_row_").removesuffix("_in_a_chunk")
             for name in globals() if name.startswith("test_row_")}
    assert sorted(rows) == sorted(tests)


# ---- after the end of data ----

def test_row_accepted(stage):
    stage.begin()
    mail = stage.mail("u", "v")
    assert mail.replies == ["250 2.1.5 Recipient ok"] * 2
    assert re.fullmatch(r"250 2\.0\.0 Ok: queued as s1-\d+", mail.last)
    assert mail.at() == ["s1"]
    line = mail.went("accepted", "s1", "accepted")
    assert line["reply"] == mail.last and line["recipients"] == line["recipients_accepted"] == 2
    stage.counted(accepted=1, s1_accepted=1)


@pytest.mark.parametrize("fault, at", (("drop end-before-reply", []), ("reset end-before-reply", []),
                                       ("garbage end-before-reply", []), ("drop end-after-commit", ["s1"])))
def test_row_ended_no_reply(stage, fault, at):
    stage.begin(fault)
    mail = stage.mail()
    assert mail.last == AMBIGUOUS
    assert mail.at() == at, "never sent again by us"
    line = mail.went("ambiguous", "s1", "ended_no_reply")
    assert line["reason"] == "ended_no_reply" and line["own"] and line["reply"] == AMBIGUOUS
    stage.counted(ambiguous=1, s1_ambiguous=1, s1_broken=1)


@pytest.mark.parametrize("reply", ("451 4.3.0 Disk trouble", "452 4.3.1 Disk full", "451 Try later",
                                   "421 4.3.2 Closing", "421 Bye", "554 5.3.0 Broken"))
def test_row_ended_server_trouble(stage, reply):
    stage.begin(f"reply end={reply}")
    stage.mail().was_replayed("ended_server_trouble", s1_own_trouble=1)


def test_row_ended_our_conduct(stage):
    stage.begin("reply end=503 5.5.1 What was that?")
    stage.mail().was_replayed("ended_our_conduct", s1_our_conduct=1)
    alarmed(stage)


def test_row_ended_refused_421(stage):
    stage.begin("reply end=421 4.7.1 By policy, not now")
    mail = stage.mail()
    assert mail.last == "451 4.7.1 By policy, not now"
    assert mail.at() == []
    assert mail.went("deferred", "s1", "ended_refused_421")["reason"] == "ended_refused_421"
    stage.counted(deferred=1, s1_passed_4yz=1)


@pytest.mark.parametrize("reply, outcome", ((r"550-5.7.1 We think\n550 5.7.1 it is spam", "refused"),
                                            ("450 4.7.1 Later", "deferred"), ("554 No", "refused"),
                                            ("552 5.3.4 Too large", "refused")))
def test_row_ended_refused(stage, reply, outcome):
    stage.begin(f"reply end={reply}")
    mail = stage.mail()
    assert mail.last == re.sub(r"\\n\d{3} ", "\n", reply).replace("-", " ", 1)
    assert mail.at() == []
    line = mail.went(outcome, "s1", "ended_refused")
    assert line["reason"] == "ended_refused" and "own" not in line
    stage.counted(**{outcome: 1, f"s1_passed_{reply[0]}yz": 1})


# ---- the envelope ----

def test_row_go_on(stage):
    """Each step but the last is such a reply, passed on where the client waits for one."""
    stage.begin("reply mail=250 MAIL is ours to answer", r"reply rcpt=250-2.1.5 Welcome\n250 2.1.5 to you")
    mail = stage.mail("u", "v")
    assert mail.replies == ["250 2.1.5 Welcome\n2.1.5 to you"] * 2
    assert mail.at() == ["s1"]
    mail.went("accepted", "s1", "accepted")
    stage.counted(accepted=1, s1_accepted=1)


@pytest.mark.parametrize("phase", ("mail", "rcpt"))
def test_row_too_many_connections(stage, phase):
    stage.begin(f"reply {phase}=421 4.7.0 Too many connections from you")
    stage.mail().was_replayed("too_many_connections", s1_too_many=1)
    assert stage.weir.state("s1") == "up"


@pytest.mark.parametrize("phase", ("mail", "rcpt"))
@pytest.mark.parametrize("reply", ("421 4.3.2 Shutting down", "421 4.7.0 No more"))
def test_row_envelope_421(stage, phase, reply):
    stage.begin(f"reply {phase}={reply}")
    stage.mail().was_replayed("envelope_421", s1_own_trouble=1)


def test_row_idle_connection_closed(stage):
    """The same server is asked again on a new connection."""
    stage.begin()
    assert stage.mail().at() == ["s1"]
    stage.begin("drop mail,count=1")
    mail = stage.mail()
    assert mail.last.startswith("250 ") and mail.at() == ["s1"]
    assert mail.went("accepted", "s1", "idle_connection_closed", "s1", "accepted")["reason"] == "accepted"
    stage.counted(accepted=1, s1_stale=1, s1_accepted=1)


@pytest.mark.parametrize("fault", ("garbage mail", "garbage rcpt", r"garbage rcpt=250-one\r\n550 another\r\n"))
def test_row_malformed_reply(stage, fault):
    stage.begin(fault)
    stage.mail().was_replayed("malformed_reply", s1_poisoned=1)


@pytest.mark.parametrize("fault", ("drop rcpt", "reset rcpt"))
def test_row_envelope_lost(stage, fault):
    stage.begin(fault)
    stage.mail().was_replayed("envelope_lost", s1_broken=1)


@pytest.mark.parametrize("phase", ("mail", "rcpt"))
def test_row_envelope_timed_out(stage, phase):
    stage.begin(f"stall {phase}")
    stage.mail().was_replayed("envelope_timed_out", s1_timeouts=1)


@pytest.mark.parametrize("fault", ("mail=452 4.3.1 Disk full", "rcpt=451 4.3.0 Lookup failed", "rcpt=451 Later",
                                   "mail=451 Later", "rcpt=550 5.3.5 Badly configured"))
def test_row_envelope_server_trouble(stage, fault):
    stage.begin(f"reply {fault}")
    stage.mail().was_replayed("envelope_server_trouble", s1_own_trouble=1)


@pytest.mark.parametrize("fault", ("mail=530 5.7.0 Authenticate first", "rcpt=503 5.5.1 MAIL first", "mail=500 What?",
                                   "rcpt=555 5.5.4 Parameter?"))
def test_row_our_conduct(stage, fault):
    stage.begin(f"reply {fault}")
    stage.mail().was_replayed("our_conduct", s1_our_conduct=1)
    alarmed(stage)


@pytest.mark.parametrize("reply, outcome", (("550 5.7.1 We know you", "refused"), ("450 4.7.1 Greylisted", "deferred"),
                                            ("504 5.5.2 <row@client.example>: not qualified", "refused")))
def test_row_mail_refused(stage, reply, outcome):
    stage.begin(f"reply mail={reply}")
    mail = stage.mail("u", "v")
    assert mail.replies == [reply, reply]
    assert mail.last == UNPIPELINED and mail.at() == []
    mail.went(outcome, "s1", "mail_refused")
    stage.counted(**{outcome: 1, f"s1_passed_{reply[0]}yz": 1})


def test_row_rcpt_refused(stage):
    stage.begin("reply rcpt=550 5.1.1 Unknown,match=v@", "reply rcpt=450 4.2.0 Busy,match=w@",
                "reply rcpt=504 5.5.2 <x@dest.example>: not qualified,match=x@",
                "reply rcpt=452 4.3.4 Too large for it,match=y@")
    mail = stage.mail("u", "v", "w", "x", "y")
    assert mail.replies == ["250 2.1.5 Recipient ok", "550 5.1.1 Unknown", "450 4.2.0 Busy",
                            "504 5.5.2 <x@dest.example>: not qualified", "452 4.3.4 Too large for it"]
    assert mail.at() == ["s1"]
    line = mail.went("accepted", "s1", "accepted")
    assert (line["recipients"], line["recipients_accepted"]) == (5, 1)
    stage.counted(accepted=1, s1_accepted=1, s1_passed_5yz=2, s1_passed_4yz=2)
    # Refused all of them: the row itself is what the log names.
    stage.begin("reply rcpt=550 5.1.1 Unknown")
    mail = stage.mail()
    assert (mail.replies, mail.last, mail.at()) == (["550 5.1.1 Unknown"], UNPIPELINED, [])
    mail.went("refused", "s1", "rcpt_refused")
    stage.counted(refused=1, s1_passed_5yz=1)


def test_row_rset_refused(stage):
    """What the last client left unfinished is cleared before the next one's MAIL."""
    stage.begin()
    with stage.weir.client().hello() as client:
        client.envelope("left@client.example", "u@dest.example")
        assert client.say("RSET")[0] == 250
    stage.counted(abandoned=1)
    stage.begin("reply rset=550 5.7.1 Not here")
    stage.mail().was_replayed("rset_refused", s1_poisoned=1)


# ---- the body, not ended ----

def test_row_malformed_reply_in_body(stage):
    stage.begin("garbage data")
    both(stage).was_replayed("malformed_reply_in_body", s1_poisoned=1)


@pytest.mark.parametrize("fault", ("drop data", "reset data", "drop body:1000", "drop body:100000"))
def test_row_body_lost(stage, fault):
    stage.begin(fault)
    both(stage, "body" in fault).was_replayed("body_lost", s1_broken=1)


def test_row_body_timed_out(stage):
    """354 that never comes."""
    if stage.kind == "chunking":
        pytest.skip("that is test_row_body_timed_out_in_a_chunk")
    stage.begin("stall data")
    both(stage).was_replayed("body_timed_out", s1_timeouts=1)


def test_row_body_too_many(stage):
    stage.begin("reply data=421 4.7.0 Too many connections from you")
    both(stage).was_replayed("body_too_many", s1_too_many=1)


EARLY = r"garbage body:50000={}\r\n"  # the server's word while the client is still sending


@pytest.mark.parametrize("fault", ("reply data=451 4.3.0 Disk trouble", "reply data=421 4.3.2 Closing",
                                   EARLY.format("452 4.3.1 Disk full")))
def test_row_chunk_server_trouble(stage, fault):
    if "body" in fault and stage.kind == "chunking":
        pytest.skip("a chunk is answered when it is whole")
    stage.begin(fault)
    both(stage, "body" in fault).was_replayed("chunk_server_trouble", s1_own_trouble=1)


def test_row_chunk_our_conduct(stage):
    stage.begin("reply data=503 5.5.1 RCPT first")
    both(stage).was_replayed("chunk_our_conduct", s1_our_conduct=1)
    alarmed(stage)


def refused_in_body(stage, row, fault, reply, outcome, **how):
    stage.begin(fault)
    mail = stage.mail(**how)
    assert mail.replies == ["250 2.1.5 Recipient ok"]
    assert (mail.last, mail.at()) == (reply, []), mail.logged()
    assert mail.went(outcome, "s1", row)["reason"] == row
    stage.counted(**{outcome: 1, f"s1_passed_{reply[0]}yz": 1})


REFUSALS = (("550 5.7.1 Not this one", "refused"), ("450 4.7.1 Not now", "deferred"))


@pytest.mark.parametrize("reply, outcome", REFUSALS)
def test_row_data_refused(stage, reply, outcome):
    if stage.kind == "chunking":
        pytest.skip("no DATA is sent to it")
    refused_in_body(stage, "data_refused", f"reply data={reply}", reply, outcome)
    # The whole message was here before the refusal, yet its end was never sent: the transaction is
    # still open on that connection, and the next one must not run into it.
    with stage.weir.client().hello() as client:
        client.envelope("whole@client.example", "u@dest.example")
        client.send(b"BDAT 8 LAST\r\nx: y\r\n\r\n")
        code, text = client.reply()
        assert f"{code} {text}" == reply
    stage.begin()
    assert stage.mail().at() == ["s1"]
    stage.counted(accepted=1, s1_accepted=1)


@pytest.mark.parametrize("reply, outcome", REFUSALS)
def test_row_chunk_refused(stage, reply, outcome):
    """The client, still sending, hears it after its end of data."""
    chunking = stage.kind == "chunking"
    fault = f"reply data={reply}" if chunking else EARLY.format(reply)
    # Its attempt is logged at once, or when the client hears of it: a counter tells sooner.
    refused_in_body(stage, "chunk_refused", fault, reply, outcome, large=True,
                    then=lambda: stage.changed().get(f"s1.passed_{reply[0]}yz"))


def test_row_out_of_step(stage):
    """A reply that nobody asked for: the connection is out of step, and nothing that it says from
    then on is believed.  The row is the table's floor; the conversation is ended before it."""
    stage.begin("extra-reply rcpt=550 5.0.0 To nobody")
    stage.mail().was_replayed("malformed_reply", s1_poisoned=1)
    stage.begin("extra-reply end-after-commit=250 2.0.0 To nobody")
    for _ in range(2):
        mail = stage.mail()
        assert re.fullmatch(r"250 2\.0\.0 Ok: queued as s1-\d+", mail.last) and mail.at() == ["s1"]
        assert not mail.logged()[1][0]["reused"]
    stage.counted(accepted=2, s1_accepted=2, s1_poisoned=2)


# ---- minutes ----

@pytest.fixture(params=KINDS)
def timed(request, tmp_path, monkeypatch):
    """A stage of its own whose worker's clock can be put on."""
    clock = Clock(tmp_path)
    for name, value in clock.environment().items():
        monkeypatch.setenv(name, value)
    made = Stage(tmp_path, request.param, build="fast", listener="body-timeout 1h; min-rate 0;")
    try:
        made.start()
        worker, = made.weir.pids("worker")
        made.put_on = lambda seconds: clock.put_on(worker, seconds)
        yield made
    finally:
        made.stop()


def test_row_ended_timed_out(timed):
    timed.begin("stall end-before-reply")
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(timed.mail)
        wait_for(lambda: timed.weir.listener("in_gap") == 1, why="in the gap")
        timed.put_on(595)
        turns = timed.weir.metrics().sum("mailweir_process_loop_turns_total")
        wait_for(lambda: timed.weir.metrics().sum("mailweir_process_loop_turns_total") > turns + 20, why="turns")
        assert timed.weir.listener("in_gap") == 1, "who gives up within ten minutes makes doubles"
        timed.put_on(601)
        mail = sending.result(20)
    assert (mail.last, mail.at()) == (AMBIGUOUS, [])
    line = mail.went("ambiguous", "s1", "ended_timed_out")
    assert line["reason"] == "ended_timed_out" and line["own"]
    timed.counted(ambiguous=1, s1_ambiguous=1, s1_timeouts=1)


def test_row_body_timed_out_in_a_chunk(timed):
    """The word on a chunk may take three minutes (RFC 5321 4.5.3.2.5)."""
    if timed.kind == "data":
        pytest.skip("that is test_row_body_timed_out")
    timed.begin("stall data")

    def late():
        if timed.sinks[0].totals()["faults"] > 0:
            timed.put_on(181)
        return timed.weir.lines("attempt")
    timed.mail(large=True, then=late).was_replayed("body_timed_out", s1_timeouts=1)
