"""Must show 3: messages are spread evenly, however long clients keep their connections."""
from harness.client import Crowd
from harness.ledger import Verdict


def send(weir, sinks, ledger, each, senders=5):
    with Crowd(weir.port, ledger, senders, each=each, per_session=10 ** 9) as crowd:
        crowd.join(300)
    assert ledger.failures == [] and ledger.indefinite == {}
    assert all(sender.reconnects == 1 for sender in crowd.senders), "a connection was not kept"
    return Verdict(ledger, [sink.ledger for sink in sinks]).clean().per_file


def test_show_3_five_senders_on_kept_connections_are_spread_within_one_percent(fast_weir, sinks, ledger):
    # Equally quick, whatever else this machine does: by a pause that outweighs its noise.
    servers = sinks(3, "--slow", "end=25ms")
    fast_weir.write(servers, workers=2).start().seen_servers()
    assert len(fast_weir.pids("worker")) == 2
    counts = send(fast_weir, servers, ledger, 2000)
    assert sum(counts.values()) == 10000
    assert max(counts.values()) / min(counts.values()) <= 1.01, counts


def test_show_3_a_slower_server_gets_less_and_is_still_served(fast_weir, sinks, ledger):
    # With few senders hardly ever two are on one server, and then credit makes up for the rest:
    # it gets 0.4 % less of five senders' mail, a fifth less of a dozen's.
    quick = sinks(2, "--slow", "end=10ms")
    slow, = sinks(1, "--slow", "end=13ms")
    fast_weir.write([*quick, slow], workers=2).start().seen_servers()
    counts = send(fast_weir, [*quick, slow], ledger, 300, senders=12)
    less, others = counts[slow.ledger.name], [counts[sink.ledger.name] for sink in quick]
    assert less < 0.95 * min(others), counts
    assert less > 0.5 * max(others), counts


def test_weights_are_kept(fast_weir, sinks, ledger):
    servers = sinks(2, "--slow", "end=10ms")
    fast_weir.write([("s1", servers[0].port, "weight=3"), ("s2", servers[1].port, "weight=1")])
    fast_weir.start().seen_servers()
    counts = send(fast_weir, servers, ledger, 200)
    assert 2.7 < counts["s1.ledger"] / counts["s2.ledger"] < 3.3, counts


def test_a_higher_tier_waits_for_the_lower_one_to_fail(fast_weir, sinks, ledger):
    first, spare = sinks(2)
    fast_weir.write([first, ("s2", spare.port, "tier=2")]).start().seen_servers()
    counts = send(fast_weir, [first, spare], ledger, 20)
    assert counts == {"s1.ledger": 100, "s2.ledger": 0}
    first.kill()
    with Crowd(fast_weir.port, ledger, 5, each=20, prefix="later") as crowd:
        crowd.join()
    assert ledger.failures == [] and crowd.refused() == []
    assert Verdict(ledger, [first.ledger, spare.ledger]).clean().per_file["s2.ledger"] == 100
