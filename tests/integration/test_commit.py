"""Every row of the commit rule on the wire: a first server that misbehaves, a second one that is well.

The rows are named as in docs/architecture.md; the reason in the log says which row decided.
"""
import socket

import pytest

from harness.client import Gone, stuffed
from harness.world import wait_for

BODY = b"X-Ledger-Id: one\r\nSubject: x\r\n\r\n.body\r\n" + b"a line of the body\r\n" * 20
AMBIGUOUS = (451, "4.4.2 The server was lost before it confirmed the message")
TIMES = "rcpt-timeout 1s; mail-timeout 1s; data-timeout 1s; connect-timeout 1s; greeting-timeout 1s;"


class Two:
    """`first` is of tier 1 and misbehaves, `second` of tier 2 and is only asked when it must be."""

    def __init__(self, weir, sinks, faults, options=(), **config):
        self.weir = weir
        self.first, = sinks(1, *options, write=True)
        self.second, = sinks(1, *options, write=True)
        self.first.turn(*faults)
        weir.write([self.first, ("s2", self.second.port, "tier=2")], check="check none;",
                   pool=TIMES + config.pop("pool", ""), workers=1, **config).start()

    def send(self, *recipients, body=BODY, pause_at=None):
        """One message; the replies to MAIL, each RCPT, and the end (or DATA).  `pause_at`: the rest
        of the body comes when the first server has done its misdeed."""
        replies = []
        with self.weir.client(40).hello() as client:
            for line in ("MAIL FROM:<a@client.example>", *(f"RCPT TO:<{to}>" for to in recipients), "DATA"):
                replies.append(client.say(line))
            if replies[-1][0] == 354:
                wire = stuffed(body)
                if pause_at:
                    client.send(wire[:pause_at])
                    wait_for(lambda: self.first.totals()["faults"] > 0, why="the misdeed")
                    wire = wire[pause_at:]
                client.send(wire)
                replies[-1] = client.reply()
            assert client.say("QUIT")[0] == 221
        return replies

    def arrived(self):
        return len(self.first.mails()), len(self.second.mails())

    def reasons(self, count):
        wait_for(lambda: len(self.weir.lines("attempt")) >= count, why=f"{count} attempts in the log")
        return [line["reason"] for line in self.weir.lines("attempt")]

    def number(self, name, server="s1"):
        return self.weir.metrics().sum(f"mailweir_server_{name}_total", server=server)


@pytest.fixture
def two(weir, sinks):
    return lambda *faults, **config: Two(weir, sinks, faults, **config)


DATA = ("--no-chunking",)


# ---- another server takes it, and the client notices nothing ----

@pytest.mark.parametrize("faults, options, reason", [
    (["drop connect"], (), None),
    (["drop banner"], (), None),
    (["reset connect"], (), None),
    (["stall connect"], (), None),
    (["reply banner=554 5.3.2 Not here"], (), None),
    (["reply banner=421 4.3.2 Later"], (), None),
    (["garbage banner"], (), None),
    (["drop ehlo"], (), None),
    (["stall ehlo"], (), None),
    (["reply ehlo=421 4.3.2 Later"], (), None),
    (["reply mail=421 4.3.0 Going down"], (), "envelope_421"),
    (["reply rcpt=421 4.3.0 Going down"], (), "envelope_421"),
    (["drop mail"], (), "envelope_lost"),
    (["drop rcpt"], (), "envelope_lost"),
    (["reset rcpt"], (), "envelope_lost"),
    (["stall rcpt"], (), "envelope_timed_out"),
    (["garbage rcpt"], (), "malformed_reply"),
    (["extra-reply mail"], (), None),
    (["reply mail=452 4.3.1 Insufficient system storage"], (), "envelope_server_trouble"),
    (["reply rcpt=451 Temporary failure"], (), "envelope_server_trouble"),
    (["reply rcpt=451 4.3.0 Temporary lookup failure"], (), "envelope_server_trouble"),
    (["reply rcpt=552 5.3.1 Disk full"], (), "envelope_server_trouble"),
    (["reply mail=530 5.7.0 Authentication required"], (), "our_conduct"),
    (["reply mail=503 5.5.1 Bad sequence"], (), "our_conduct"),
    (["reply rcpt=555 5.5.4 Unsupported option"], (), "our_conduct"),
    (["reply mail=421 4.7.0 too many connections from you"], (), "too_many_connections"),
    (["drop data"], DATA, "body_lost"),
    (["stall data"], DATA, "body_timed_out"),
    (["reply data=451 4.3.0 Queue file write error"], DATA, "chunk_server_trouble"),
    (["reply data=421 4.3.2 Going down"], DATA, "chunk_server_trouble"),
    (["reply end=451 4.3.0 Queue file write error"], (), "ended_server_trouble"),
    (["reply end=452 4.3.1 Insufficient system storage"], DATA, "ended_server_trouble"),
    (["reply end=421 4.3.2 Going down"], (), "ended_server_trouble"),
    (["reply end=451 Local error"], DATA, "ended_server_trouble"),
], ids=lambda value: value[0].replace(" ", "-") if isinstance(value, list) else None)
def test_another_server_takes_it(two, faults, options, reason):
    two = two(*faults, options=options)
    replies = two.send("b@dest.example")
    assert [code for code, _ in replies] == [250, 250, 250], replies
    assert two.arrived() == (0, 1)
    assert two.second.mails() == [BODY]
    if reason:
        assert two.reasons(2) == [reason, "accepted"]
    assert two.weir.listener("ambiguous_total") == 0
    two.weir.at_rest()


LONG = BODY + b"a line of a longer message\r\n" * 8000  # some frames of 64 KiB


@pytest.mark.parametrize("options", [(), DATA], ids=["bdat", "data"])
@pytest.mark.parametrize("fault", ["drop", "reset"])
def test_a_server_lost_in_the_body_is_replaced(two, fault, options):
    two = two(f"{fault} body:100", options=options)
    assert two.send("b@dest.example", body=LONG, pause_at=150_000)[-1][0] == 250
    assert two.second.mails() == [LONG]
    assert two.reasons(2) == ["body_lost", "accepted"]


def test_a_server_that_is_not_there(two):
    two = two()
    two.first.kill()
    assert [code for code, _ in two.send("b@dest.example")] == [250, 250, 250]
    assert two.arrived() == (0, 1)


def test_an_idle_connection_that_was_closed_is_the_normal_case(two):
    two = two("drop idle:100ms")
    assert two.send("b@dest.example")[-1][0] == 250
    wait_for(lambda: two.first.totals()["open"] == 0, why="it has closed")
    assert two.send("b@dest.example")[-1][0] == 250
    assert two.arrived() == (2, 0)
    assert two.number("broken") == 0


# ---- the server's word is passed on ----

@pytest.mark.parametrize("reply", [
    "550 5.1.1 No such user", "450 4.2.1 Mailbox busy", "451 4.7.1 Greylisted, try again", "450 Not now",
    "452 4.2.2 Mailbox full", "552 5.3.4 Too large for you", "553 5.1.3 Bad mailbox", "550 No"])
def test_a_refused_recipient_is_passed_on_word_for_word(two, reply):
    two = two(f"reply rcpt={reply},match=nobody@")
    replies = two.send("nobody@dest.example", "b@dest.example", "nobody@else.example")
    assert f"{replies[1][0]} {replies[1][1]}" == reply == f"{replies[3][0]} {replies[3][1]}"
    assert [code for code, _ in replies[2::2]] == [250, 250]
    assert two.arrived() == (1, 0)
    assert two.first.lines()[0]["recipients"] == ["<b@dest.example>"]


def test_a_refused_recipient_is_never_offered_again(two):
    two = two("reply rcpt=550 5.1.1 No such user,match=nobody@", "drop body:100")
    replies = two.send("nobody@dest.example", "b@dest.example", body=LONG, pause_at=150_000)
    assert [code for code, _ in replies] == [250, 550, 250, 250]
    assert two.second.lines()[0]["recipients"] == ["<b@dest.example>"]


def test_a_replay_that_is_answered_otherwise_ends_in_451(two):
    two = two("drop body:100")
    two.second.turn("reply rcpt=550 5.1.1 No such user,match=c@")
    replies = two.send("b@dest.example", "c@dest.example", body=LONG, pause_at=150_000)
    assert replies[-1] == (451, "4.3.0 The servers disagree about the recipients, try again later")
    assert two.arrived() == (0, 0)


def test_a_refused_mail_answers_every_recipient(two):
    two = two("reply mail=550 5.7.1 You are blocked")
    replies = two.send("b@dest.example", "c@dest.example")
    assert replies[:3] == [(250, "2.1.0 Sender ok"), (550, "5.7.1 You are blocked"), (550, "5.7.1 You are blocked")]
    assert replies[3][0] in (503, 554)
    assert two.arrived() == (0, 0)


def test_a_complaint_about_the_clients_own_words_is_passed_on(two):
    two = two("reply rcpt=504 5.5.2 <b@dest.example>: need fully-qualified address")
    assert two.send("b@dest.example")[1] == (504, "5.5.2 <b@dest.example>: need fully-qualified address")


def test_complaints_of_all_servers_about_our_conduct_end_in_451(two):
    two = two("reply mail=530 5.7.0 Authentication required")
    two.second.turn("reply mail=530 5.7.0 Authentication required")
    code, _ = two.send("b@dest.example")[1]
    assert code == 451
    wait_for(lambda: two.weir.lines("alarm"), why="an alarm")


def test_trouble_of_all_servers_ends_in_4yz(two):
    two = two("reply rcpt=451 4.3.0 Temporary lookup failure")
    two.second.turn("reply rcpt=451 4.3.0 Temporary lookup failure")
    assert two.send("b@dest.example")[1][0] == 451


@pytest.mark.parametrize("options", [(), DATA], ids=["bdat", "data"])
@pytest.mark.parametrize("reply", ["554 5.6.0 Content refused", "450 4.7.1 Greylisted", "552 5.2.2 Mailbox full"])
def test_a_refusal_after_the_end_is_passed_on_word_for_word(two, options, reply):
    two = two(f"reply end={reply}", options=options)
    code, text = two.send("b@dest.example")[-1]
    assert f"{code} {text}" == reply
    assert two.arrived() == (0, 0)


def test_a_refusal_after_the_end_with_421_reaches_the_client_as_451(two):
    two = two("reply end=421 4.7.1 Too much of this")
    assert two.send("b@dest.example")[-1] == (451, "4.7.1 Too much of this")
    assert two.arrived() == (0, 0)


def test_data_refused_is_passed_on(two):
    two = two("reply data=554 5.7.1 Not from you", options=DATA)
    assert two.send("b@dest.example")[-1] == (554, "5.7.1 Not from you")
    assert two.arrived() == (0, 0)


def test_a_chunk_refused_for_its_content_is_passed_on(two):
    two = two("reply data=554 5.7.1 Not from you")
    assert two.send("b@dest.example", body=BODY + b"line\r\n" * 60_000)[-1] == (554, "5.7.1 Not from you")
    assert two.arrived() == (0, 0)


# ---- nobody can know ----

@pytest.mark.parametrize("options", [(), DATA], ids=["bdat", "data"])
@pytest.mark.parametrize("fault, taken", [
    ("drop end", 0), ("reset end", 0), ("garbage end", 0), ("drop end-after-commit", 1),
    ("reset end-after-commit", 1), ("garbage end-after-commit", 1)])
def test_ended_and_no_complete_reply_is_ambiguous(two, options, fault, taken):
    two = two(fault, options=options)
    assert two.send("b@dest.example")[-1] == AMBIGUOUS
    assert two.arrived() == (taken, 0), "never sent again"
    assert two.weir.listener("ambiguous_total") == 1
    assert two.number("ambiguous") == 1
    two.weir.at_rest()


def test_ambiguous_is_sent_again_only_if_set_so(two):
    two = two("drop end-after-commit", listener="resend-ambiguous yes;")
    assert two.send("b@dest.example")[-1][0] == 250
    assert two.arrived() == (1, 1)
    assert two.number("ambiguous") == 1


# ---- large messages ----

@pytest.mark.parametrize("options", [(), DATA], ids=["bdat", "data"])
def test_a_large_message_streams_and_arrives(two, options):
    two = two(options=options, listener="replay-limit 64KiB;")
    body = BODY + b"a line of a large message, .with dots\r\n.\r\n..\r\n" * 100_000
    assert two.send("b@dest.example", body=body)[-1][0] == 250
    assert two.first.mails() == [body]
    assert two.weir.metrics().sum("mailweir_process_memory_chunks_bytes") < 2 << 20


@pytest.mark.parametrize("options", [(), DATA], ids=["bdat", "data"])
def test_a_server_lost_in_a_message_too_large_to_replay_means_451(two, options):
    two = two("drop body:500000", options=options, listener="replay-limit 64KiB;")
    body = BODY + b"a line of a large message\r\n" * 100_000
    assert two.send("b@dest.example", body=body)[-1] == \
        (451, "4.4.2 The server was lost inside the message, try again")
    assert two.arrived() == (0, 0)


def test_a_server_lost_in_a_message_that_is_kept_is_replaced(two):
    two = two("drop body:500000")
    body = BODY + b"a line of a large message\r\n" * 30_000
    assert two.send("b@dest.example", body=body)[-1][0] == 250
    assert two.second.mails() == [body]


# ---- the client has gone ----

def test_a_client_that_leaves_before_the_end_leaves_nothing_behind(two):
    two = two()
    for cut in (10, 200, len(BODY) - 1):
        client = two.weir.client().hello().envelope("a@client.example", "b@dest.example")
        assert client.say("DATA")[0] == 354
        client.send(BODY[:cut])
        client.close()
    wait_for(lambda: two.weir.listener("abandoned_total") == 3)
    assert two.send("b@dest.example")[-1][0] == 250
    assert two.first.mails() == [BODY]


def test_a_client_that_half_closes_in_the_gap_is_waited_for(two):
    two = two("slow end=300ms")
    with two.weir.client().hello().envelope("a@client.example", "b@dest.example") as client:
        assert client.say("DATA")[0] == 354
        client.send(stuffed(BODY))
        wait_for(lambda: two.weir.listener("in_gap") == 1, why="it is in the gap")
        client.sock.shutdown(socket.SHUT_WR)
        wait_for(lambda: two.first.mails() == [BODY])
        try:
            assert client.reply()[0] == 250
        except Gone:
            wait_for(lambda: two.weir.listener("accepted_unheard_total") == 1)
