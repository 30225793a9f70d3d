"""The admin address: metrics, health, readiness, status, and changes by hand."""
import json
import subprocess

import pytest

from harness import admin
from harness.client import Crowd
from harness.ledger import Verdict
from harness.world import environment, wait_for


@pytest.fixture
def farm(weir, sinks):
    servers = sinks(2)
    weir.write(servers).start().seen_servers()
    return weir, servers


def send(weir, ledger, count=20, prefix="m"):
    with Crowd(weir.port, ledger, 2, each=count // 2, prefix=prefix) as crowd:
        crowd.join()
    assert ledger.failures == []


def documented(weir, page):
    """The names of a generated page, as the binary prints it."""
    run = subprocess.run([weir.binary, "reference", page], capture_output=True, text=True, timeout=20,
                         env=environment())
    assert run.returncode == 0
    return {line.split("`")[1] for line in run.stdout.splitlines() if line.startswith("| `")}


def test_metrics_are_well_formed_and_documented(farm, ledger):
    weir, _ = farm
    send(weir, ledger)
    status, headers, text = weir.ask("/metrics")
    assert status == 200
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    metrics = admin.Metrics(text)
    names = {name for name, _, _ in metrics.samples}
    for name in names:
        base = name
        for suffix in ("_bucket", "_sum", "_count"):
            if name.endswith(suffix) and metrics.types.get(name.removesuffix(suffix)) == "histogram":
                base = name.removesuffix(suffix)
        assert base in metrics.types, f"{name} has no TYPE"
    assert set(metrics.types) == documented(weir, "metrics")
    assert len({(name, tuple(sorted(labels.items()))) for name, labels, _ in metrics.samples}) \
        == len(metrics.samples), "each sample once"


def test_metrics_count_what_happened(farm, ledger):
    weir, servers = farm
    send(weir, ledger, 40)
    weir.at_rest()
    metrics = weir.metrics()
    assert metrics.sum("mailweir_listener_accepted_total", listener="in") == 40
    assert metrics.sum("mailweir_listener_recipients_accepted_total") == 40
    assert metrics.sum("mailweir_server_accepted_total", pool="farm") == 40
    assert metrics.sum("mailweir_server_accepted_total", server="s1") == len(servers[0].lines())
    assert metrics.sum("mailweir_listener_sessions_opened_total") == 2
    assert metrics.sum("mailweir_listener_time_total_seconds_count") == 40
    assert metrics.sum("mailweir_listener_time_total_seconds_bucket", le="+Inf") == 40
    assert metrics.sum("mailweir_listener_time_total_seconds_sum") > 0


def test_histograms_grow(farm, ledger):
    weir, _ = farm
    send(weir, ledger)
    buckets = [value for name, labels, value in weir.metrics().samples
               if name == "mailweir_listener_time_total_seconds_bucket"]
    assert buckets == sorted(buckets) and buckets[-1] == 20


def test_health_and_readiness(farm):
    weir, servers = farm
    assert weir.ask("/healthz")[0] == 200
    assert weir.ask("/readyz")[:1] == (200,)
    for server in servers:
        server.kill()
    wait_for(lambda: weir.ask("/readyz")[0] == 503, 30, "not ready")
    assert "server" in weir.ask("/readyz")[2]
    assert weir.ask("/healthz")[0] == 200
    servers[0].start()
    wait_for(lambda: weir.ask("/readyz")[0] == 200, 30, "ready again")


def test_unknown_pages_and_methods(farm):
    weir, _ = farm
    assert weir.ask("/nothing")[0] == 404
    assert weir.ask("/metrics", "PUT")[0] == 405
    assert weir.ask("/metrics", "HEAD")[0] == 200
    assert weir.ask("/healthz")[0] == 200


def test_status_as_json_and_as_a_table(farm, ledger):
    weir, _ = farm
    send(weir, ledger)
    run = weir.command("status", "--json")
    assert run.returncode == 0
    status = json.loads(run.stdout)
    assert status["generation"] == 1 and status["ready"] is True
    assert [process["role"] for process in status["processes"]].count("worker") == 2
    server, = [server for server in status["pools"][0]["servers"] if server["name"] == "s1"]
    assert server["state"] == "up" and server["accepted"] == 10
    run = weir.command("status")
    assert run.returncode == 0
    assert "farm/s1" in run.stdout and "farm/s2" in run.stdout and "generation 1, ready" in run.stdout
    assert "50.0%" in run.stdout


@pytest.mark.parametrize("change", ["servers/farm/s1/drain", "servers/farm/s1/undrain",
                                    "servers/farm/s1/weight?value=3", "reload"])
def test_changes_are_refused_over_tcp(farm, change):
    weir, _ = farm
    before = weir.servers()["s1"]
    assert weir.ask(f"/api/v1/{change}", "POST")[0] == 403
    after = weir.servers()["s1"]
    assert (after["drained"], after.get("weight_by_hand")) == (before["drained"], before.get("weight_by_hand"))
    assert weir.status()["generation"] == 1
    # Nor by GET, anywhere.
    assert weir.ask(f"/api/v1/{change}")[0] == 404
    assert admin.ask(weir.socket, f"/api/v1/{change}")[0] == 404


def test_drain_and_undrain(farm, ledger):
    weir, servers = farm
    assert weir.command("drain", "farm/s1").returncode == 0
    assert weir.servers()["s1"]["drained"]
    send(weir, ledger)
    assert [len(server.lines()) for server in servers] == [0, 20]
    assert weir.command("undrain", "farm/s1").returncode == 0
    send(weir, ledger, 40, "again")
    assert len(servers[0].lines()) >= 15
    Verdict(ledger, [server.ledger for server in servers]).clean()
    wait_for(lambda: [line["state"] for line in weir.lines("server-state") if line["reason"] == "by-hand"]
             == ["drained", "undrained"], why="both in the log")


def test_a_drained_server_finishes_what_it_has(farm):
    weir, servers = farm
    with weir.client().hello().envelope("a@client.example", "b@dest.example") as client:
        name = next(name for name, server in weir.servers().items() if server["transactions"] == 1)
        assert weir.command("drain", f"farm/{name}").returncode == 0
        assert client.say("DATA")[0] == 354
        client.send(b"X-Ledger-Id: last\r\n\r\n.\r\n")
        assert client.reply()[0] == 250
    assert [line["id"] for server in servers if server.name == name for line in server.lines()] == ["last"]


def test_all_drained_means_451(farm):
    weir, _ = farm
    assert weir.command("drain", "farm/s1").returncode == 0
    assert weir.command("drain", "farm/s2").returncode == 0
    with weir.client().hello() as client:
        assert client.say("MAIL FROM:<a@client.example>")[0] == 250
        assert client.say("RCPT TO:<b@dest.example>") == (451, "4.4.1 No server available at the moment")


def test_weight_by_hand(farm, ledger):
    weir, servers = farm
    assert weir.command("weight", "farm/s1", "3").returncode == 0
    with Crowd(weir.port, ledger, 1, each=80) as crowd:
        crowd.join()
    assert 55 <= len(servers[0].lines()) <= 65
    assert weir.command("weight", "farm/s1", "0").returncode == 0
    before = len(servers[0].lines())
    send(weir, ledger, 20, "none")
    assert len(servers[0].lines()) == before
    assert weir.command("weight", "farm/s1", "configured").returncode == 0
    assert "weight_by_hand" not in weir.servers()["s1"]


@pytest.mark.parametrize("arguments", [
    ("drain", "farm/none"), ("drain", "none/s1"), ("drain", "s1"), ("weight", "farm/s1", "257"),
    ("weight", "farm/s1", "-1"), ("weight", "farm/s1", "much"), ("weight", "farm/s1"), ("drain",)])
def test_mistakes_by_hand_change_nothing(farm, arguments):
    weir, _ = farm
    run = weir.command(*arguments)
    assert run.returncode in (64, 65) and run.stderr
    assert not weir.servers()["s1"]["drained"] and "weight_by_hand" not in weir.servers()["s1"]


def test_nobody_answers(weir, sinks):
    weir.write(sinks(1))
    run = weir.command("status")
    assert run.returncode == 69 and str(weir.socket) in run.stderr


# ---- reload, as its user sees it ----

def test_reload_by_command(farm):
    weir, servers = farm
    weir.write(servers, workers=1)
    run = weir.command("reload")
    assert run.returncode == 0 and "generation 2" in run.stdout
    assert weir.status()["generation"] == 2


def test_a_bad_config_falls_back_with_its_diagnostics(farm, ledger):
    weir, servers = farm
    good = weir.config.read_text()
    admin_line = next(line for line in good.splitlines() if line.startswith("admin"))
    weir.config.write_text(good.replace("relay-from 127.0.0.0/8", "relay-form 127.0.0.0/8"))
    answer = weir.reload()
    assert not answer["good"]
    assert 'did you mean "relay-from"?' in answer["message"] and f"{weir.config}:" in answer["message"]
    assert weir.status()["generation"] == 1
    send(weir, ledger)
    assert admin_line in weir.config.read_text()
    refused, = wait_for(lambda: [line for line in weir.lines("reload") if line["state"] == "refused"])
    assert "relay-form" in refused["text"]
    weir.config.write_text(good)
    assert weir.reload()["good"]
    send(weir, ledger, 20, "later")
    Verdict(ledger, [server.ledger for server in servers]).clean()


def test_a_reload_that_empties_a_pool_needs_force(farm, sinks, ledger):
    weir, servers = farm
    other, = sinks(1)
    weir.write([other])
    run = weir.command("reload")
    assert run.returncode != 0
    assert "farm" in run.stderr and "--force" in run.stderr
    assert weir.status()["generation"] == 1
    send(weir, ledger)
    assert len(other.lines()) == 0
    run = weir.command("reload", "--force")
    assert run.returncode == 0, run.stderr
    send(weir, ledger, 20, "forced")
    assert len(other.lines()) == 20
    Verdict(ledger, [server.ledger for server in (*servers, other)]).clean()
