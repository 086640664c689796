"""The CloudWatch that stands in for AWS beside the local hosts."""

from __future__ import annotations

import datetime
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from cloudwatch import ACCESS_KEY, HOME_REGION, METRICS, WELL, Fed, is_mine, swung
from cloudwatch_watch import WATCH

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "cloudwatch"
# An address of this machine that nobody else's tests use.
ADDRESS = "127.0.0.57"
FOLDER = ROOT / ".cache" / "cloudwatch" / ADDRESS


def tool(*words):
    return subprocess.run([TOOL, *words], capture_output=True, text=True, timeout=120, check=True).stdout


def number():
    return int((FOLDER / "lock").read_text())


@pytest.fixture
def stopped():
    tool("stop", ADDRESS)
    yield
    tool("stop", ADDRESS)
    shutil.rmtree(FOLDER, ignore_errors=True)


def test_it_starts_once_keeps_its_certificate_and_stops(stopped):
    assert tool("start", ADDRESS) == f"==> A stand-in for AWS CloudWatch runs on {ADDRESS}\n"
    first, authority = number(), (FOLDER / "authority.pem").read_text()
    assert authority.startswith("-----BEGIN CERTIFICATE-----")
    assert tool("start", ADDRESS) == ""
    assert number() == first
    assert f"{ADDRESS} runs\n" in tool("status")
    assert ACCESS_KEY in (FOLDER / "log").read_text()
    assert tool("stop", ADDRESS) == f"==> The stand-in for AWS CloudWatch on {ADDRESS} was stopped\n"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((ADDRESS, 8027))
    assert tool("stop", ADDRESS) == ""
    assert tool("status", ADDRESS) == f"{ADDRESS} is stopped\n"
    tool("start", ADDRESS)
    assert number() != first
    # Hosts that trust it need not learn anew.
    assert (FOLDER / "authority.pem").read_text() == authority


def test_an_address_of_another_machine_is_refused(stopped):
    done = subprocess.run([TOOL, "start", "192.0.2.1"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "did not start on 192.0.2.1; is it this machine's" in done.stderr
    shutil.rmtree(FOLDER.with_name("192.0.2.1"))
    assert (is_mine("192.0.2.1"), is_mine("127.0.0.1")) == (False, True)


def test_the_load_swings_and_what_is_whole_stays_whole():
    assert swung([1] * 60, 1.1) == [1.0] * 66
    assert swung([1], 0.9) == [1.0]
    assert swung([0, 20], 1.1) == [0.0, 22.0]
    assert swung([0.5], 1.1) == [pytest.approx(0.55)]


def test_it_is_fed_with_something_of_every_preset_and_nothing_that_is_wrong():
    namespaces = {item.namespace for item in METRICS}
    assert {item.namespace for item in WELL} == namespaces
    assert len(WATCH) == 6 and len(namespaces) == 5
    fed = {item.name: item.values for item in WELL}
    assert fed["UnHealthyHostCount"] == (0,)
    assert "RejectedConnectionCount" not in fed


def test_old_samples_are_forgotten(aws):
    one = Fed(HOME_REGION, "plano/test", "Forgotten", (("name", "one"),), (1,))
    client = aws.client("cloudwatch", HOME_REGION)
    question = {"Namespace": "plano/test", "MetricName": "Forgotten", "Dimensions": [{"Name": "name", "Value": "one"}]}

    def samples():
        now = datetime.datetime.now(datetime.timezone.utc)
        span = {"StartTime": now - datetime.timedelta(hours=3), "EndTime": now}
        return len(client.get_metric_statistics(**question, **span, Period=60, Statistics=["Sum"])["Datapoints"])

    aws.feed([one], minutes=[5, 100, 101])
    assert samples() == 3
    aws.forget()
    assert samples() == 1
