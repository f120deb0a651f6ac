"""F9 and F12 for figures: several processes have one sum, a kill loses what nobody was told yet, and nothing twice."""

from __future__ import annotations

import http.client
from itertools import pairwise
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.faults.servers import Server, serving
from tests.wire.servers import GUNICORN
from tests.wire.servers import serving as served


def scraped(port: int) -> dict[tuple[str, ...], float]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    return {
        (sample.name.removeprefix("authsvc_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def health(server: Server) -> float:
    return scraped(server.port).get(("http_requests_total", "GET", "/healthz", "200"), 0)


def beat(server: Server, times: int) -> None:
    caller = server.caller()
    for _ in range(times):
        assert caller.call("GET", "/healthz").status == 200


def test_f12_two_processes_have_one_sum_that_no_kill_lowers(tmp_path: Path) -> None:
    """F9, F12: each is asked; one is killed and loses what it had not told; after a clean stop all is there."""
    with serving(tmp_path) as one:
        base = health(one)  # the waiting for the start counts too
        with serving(tmp_path) as other:
            base = health(other)
            beat(one, 5)
            beat(other, 7)
            assert health(one) == base + 5
            assert health(other) == health(one) == base + 12
            beat(other, 3)
            other.kill()
        told = health(one)
        assert base + 12 <= told <= base + 15
        beat(one, 4)
        assert one.stop() == 0
    with serving(tmp_path) as again:
        assert health(again) >= told + 4
        assert again.crashes() == []


def test_f12_workers_of_gunicorn_have_one_sum(tmp_path: Path) -> None:
    """F12: whichever worker answers a scrape, no counter has fallen, and in the end every request of both is counted."""
    with served(tmp_path, GUNICORN) as service:
        seen = [scraped(service.port)]
        for _ in range(20):
            assert service.call("GET", "/healthz").status == 200
            seen.append(scraped(service.port))
        for earlier, later in pairwise(seen):
            fallen = {key for key, value in earlier.items() if key[0].endswith(("_total", "_bucket", "_sum")) and later[key] < value}
            assert fallen == set()
        key = ("http_requests_total", "GET", "/healthz", "200")
        for _ in range(200):  # every scrape settles the worker that answers it
            if seen[-1].get(key, 0) - seen[0].get(key, 0) >= 20:
                break
            seen.append(scraped(service.port))
        assert seen[-1][key] - seen[0].get(key, 0) >= 20
