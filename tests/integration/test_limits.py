"""Waiting for a place, and servers as the config names them."""
import threading
import time

import pytest

from harness.client import Client, Crowd, stuffed
from harness.ledger import Verdict
from harness.world import wait_for

BODY = b"X-Ledger-Id: one\r\n\r\nbody\r\n"


def finish(client):
    assert client.say("DATA")[0] == 354
    client.send(stuffed(BODY))
    assert client.reply()[0] == 250


class Waiter:
    """A client whose RCPT has to wait; `order` takes its number when it is answered."""

    def __init__(self, weir, number, order):
        self.number, self.order = number, order
        self.client = Client(weir.port, 60).hello()
        assert self.client.say("MAIL FROM:<a@client.example>")[0] == 250
        self.answer = None
        self.thread = threading.Thread(target=self._ask)
        self.thread.start()

    def _ask(self):
        self.answer = self.client.say("RCPT TO:<b@dest.example>")
        self.order.append(self.number)


def test_first_come_first_served_across_workers(weir, sinks):
    server, = sinks(1)
    weir.write([server], pool="max-connections 1; queue 60s;", listener="answer-within 1min;", check="check none;",
               workers=3).start()
    holder = weir.client(60).hello().envelope("a@client.example", "b@dest.example")
    order, waiters = [], []
    try:
        for number in range(8):
            waiters.append(Waiter(weir, number, order))
            wait_for(lambda: weir.metrics().sum("mailweir_pool_waiting") == number + 1, why="it waits")
        finish(holder)
        for number in range(8):
            wait_for(lambda: len(order) == number + 1, why="the next is served")
            assert waiters[order[-1]].answer[0] == 250
            time.sleep(0.05)  # nobody else may be served before that one has finished
            assert len(order) == number + 1
            finish(waiters[order[-1]].client)
    finally:
        holder.close()
        for waiter in waiters:
            waiter.thread.join(70)
            waiter.client.close()
    assert order == list(range(8))
    assert len(server.lines()) == 9


def test_waiting_is_bounded(weir, sinks):
    server, = sinks(1)
    weir.write([server], pool="max-connections 1; queue 1s;", check="check none;", workers=2).start()
    with weir.client().hello().envelope("a@client.example", "b@dest.example") as holder:
        with weir.client().hello() as late:
            assert late.say("MAIL FROM:<a@client.example>")[0] == 250
            assert late.say("RCPT TO:<b@dest.example>") == (451, "4.3.2 All servers are busy, try again later")
            assert weir.metrics().sum("mailweir_pool_queue_timeouts_total") == 1
            finish(holder)
            assert late.say("RCPT TO:<b@dest.example>")[0] == 250
            finish(late)
    assert len(server.lines()) == 2


def test_when_a_pool_is_full_the_next_one_of_send_to_is_used(weir, sinks):
    first, spare = sinks(2)
    weir.write([first], pool="max-connections 1; queue 0s;", check="check none;",
               more=f"pool spare {{ pass-client none; check none; server s2 127.0.0.1:{spare.port}; }}")
    weir.config.write_text(weir.config.read_text().replace("send-to farm;", "send-to farm spare;"))
    weir.start()
    with weir.client().hello().envelope("a@client.example", "b@dest.example") as holder:
        with weir.client().hello().envelope("a@client.example", "b@dest.example") as other:
            finish(other)
        assert (len(first.lines()), len(spare.lines())) == (0, 1)
        finish(holder)
    assert (len(first.lines()), len(spare.lines())) == (1, 1)


def test_a_recipient_is_answered_in_time_though_no_server_answers(weir, sinks):
    servers = sinks(3)
    for server in servers:
        server.turn("stall rcpt")
    weir.write(servers, check="check none;", listener="answer-within 3s;").start()
    with weir.client(60).hello() as client:
        assert client.say("MAIL FROM:<a@client.example>")[0] == 250
        code, text = client.say("RCPT TO:<b@dest.example>")
        assert code == 451 and text.startswith("4.4.1 "), (code, text)


def test_messages_per_connection_and_idle_timeout(weir, sinks, ledger):
    server, = sinks(1)
    weir.write([server], pool="messages-per-connection 5; idle-timeout 300ms;", check="check none;", workers=1)
    weir.start()
    with Crowd(weir.port, ledger, 1, each=20) as crowd:
        crowd.join()
    Verdict(ledger, [server.ledger]).clean()
    sessions = [line["session"] for line in server.lines()]
    assert [sessions.count(one) for one in dict.fromkeys(sessions)] == [5, 5, 5, 5]
    wait_for(lambda: server.totals()["open"] == 0, why="idle ones are ended")
    assert server.totals()["broken"] == 0


@pytest.mark.parametrize("policy", ["least-transactions", "round-robin", "latency", "random",
                                    "hash sender", "hash recipient-domain"])
def test_every_policy_delivers(weir, sinks, ledger, policy):
    servers = sinks(3)
    weir.write(servers, pool=f"balance {policy};").start().seen_servers()
    with Crowd(weir.port, ledger, 6, each=30) as crowd:
        crowd.join()
    assert ledger.failures == []
    counts = Verdict(ledger, [server.ledger for server in servers]).clean().per_file
    if not policy.startswith("hash"):
        assert min(counts.values()) > 20, counts


def test_a_hash_sends_the_same_to_the_same(weir, sinks):
    servers = sinks(3)
    weir.write(servers, pool="balance hash recipient-domain;").start().seen_servers()
    with weir.client().hello() as client:
        for domain in [*range(90), *range(90)]:
            client.envelope("a@client.example", f"b@d{domain}.example")
            finish(client)
    places = {}
    for server in servers:
        for line in server.lines():
            places.setdefault(line["recipients"][0], []).append(server.name)
    assert len(places) == 90 and all(len(set(names)) == 1 and len(names) == 2 for names in places.values())
    shares = [sum(names[0] == server.name for names in places.values()) for server in servers]
    assert min(shares) >= 12, shares


def test_a_server_by_host_name(weir, sinks):
    server, = sinks(1)
    weir.write([server])
    weir.config.write_text(weir.config.read_text().replace(f"server s1 127.0.0.1:{server.port}",
                                                           f"server s1 localhost:{server.port}"))
    weir.start().seen_servers()
    assert f"127.0.0.1:{server.port}" in weir.servers()["s1"]["addresses"]
    with weir.client().hello().envelope("a@client.example", "b@dest.example") as client:
        finish(client)
    assert len(server.lines()) == 1


# ---- checks ----

def test_a_check_with_a_recipient_sees_what_a_plain_one_does_not(weir, sinks):
    servers = sinks(2)
    servers[0].turn("reply rcpt=451 4.3.0 Database is down")
    weir.write(servers, check="check smtp interval=300ms fast-interval=200ms timeout=3s "
                              "recipient=postmaster@dest.example;").start()
    wait_for(lambda: weir.state("s1") == "down", why="s1 is down")
    assert weir.state("s2") == "up"
    assert servers[1].lines() == [], "a check sends no message"
    servers[0].turn()
    wait_for(lambda: weir.state("s1") == "up", 30, "s1 is up again")


def test_a_tcp_check(weir, sinks):
    servers = sinks(2)
    weir.write(servers, check="check tcp interval=300ms fast-interval=200ms timeout=3s;").start()
    wait_for(lambda: weir.servers()["s1"]["checks"] >= 2, why="checks")
    servers[0].kill()
    wait_for(lambda: weir.state("s1") == "down", why="s1 is down")
    servers[0].start()
    wait_for(lambda: weir.state("s1") == "up", 30, "s1 is up again")


def test_too_many_connections_is_full_and_not_down(weir, sinks, ledger):
    """As Exchange says it: the limit is learned, and the server stays in use."""
    servers = sinks(2)
    servers[0].turn("max-sessions 4")
    weir.write(servers, workers=2).start().seen_servers()
    with Crowd(weir.port, ledger, 20, each=40, patience=60) as crowd:
        crowd.join()
    assert ledger.failures == [] and ledger.indefinite == {}
    assert Verdict(ledger, [server.ledger for server in servers]).clean().per_file["s1.ledger"] > 50
    assert weir.metrics().sum("mailweir_server_too_many_total", server="s1") >= 1
    assert weir.state("s1") == "up"
    assert not [line for line in weir.lines("server-state")]


# ---- relay control ----

def test_nobody_may_relay_by_default(weir, sinks):
    server, = sinks(1)
    weir.write([server], relay="").start().seen_servers()
    with weir.client().hello() as client:
        assert client.say("MAIL FROM:<a@client.example>")[0] == 250
        for to in ("b@dest.example", "b%dest.example@weir.example", "postmaster", "@weir.example:b@dest.example"):
            assert client.say(f"RCPT TO:<{to}>") == (554, "5.7.1 Relay access denied"), to
    assert server.totals()["sessions"] > 0 and server.lines() == []
    assert weir.listener("relay_denied_total") == 4


def test_relay_to_lets_its_domains_in_and_nothing_else(weir, sinks):
    server, = sinks(1)
    weir.write([server], relay="relay-to dest.example .sub.example;").start().seen_servers()
    with weir.client().hello() as client:
        assert client.say("MAIL FROM:<a@client.example>")[0] == 250
        for to, code in (("b@dest.example", 250), ("b@DEST.example", 250), ("b@x.dest.example", 554),
                         ("b@sub.example", 250), ("b@a.b.sub.example", 250), ("b@notsub.example", 554),
                         ("x%other.example@dest.example", 554), ('"x@other.example"@dest.example', 554),
                         ("x!y@dest.example", 554), ("@dest.example:b@other.example", 554),
                         ("b@dest.example.", 250), ("b@[127.0.0.1]", 554)):
            assert client.say(f"RCPT TO:<{to}>")[0] in ((code,) if not to.endswith(".") else (250, 501, 554)), to
