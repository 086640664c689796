"""The programs that role cloudwatch_exporter puts beside the real jar: they run it for two regions, reload it and prove it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
from cloudwatch import DATABASE, DISTRIBUTION, EDGE_REGION, HOME_REGION
from cloudwatch_jar import SECONDS, START_SECONDS, free_port, write
from cloudwatch_watch import described

from ansible_collections.plano.delivery.plugins.module_utils.aws.cloudwatch_exporter import plan

FILES = Path(__file__).resolve().parents[2] / "roles" / "cloudwatch_exporter" / "files"
EXPORTERS, PROVE = (["/usr/bin/python3", "-I", FILES / name] for name in ("exporters.py", "prove.py"))
RDS = {"preset": "rds", "select": {"DBInstanceIdentifier": [DATABASE]}}
CLOUDFRONT = {"preset": "cloudfront", "select": {"DistributionId": [DISTRIBUTION]}}
OLD = described({**RDS, "metrics": ["CPUUtilization", "ReadIOPS"]}, CLOUDFRONT)
NEW = described({**RDS, "metrics": ["FreeStorageSpace"]}, CLOUDFRONT)


@dataclass
class Service:
    """What the unit and the engine run."""

    folder: Path
    ports: dict[str, int]
    log: Path
    process: subprocess.Popen
    version: str

    @property
    def listeners(self):
        return [f"{region}:{port}" for region, port in self.ports.items()]

    @property
    def said(self):
        return self.log.read_text(encoding="utf-8")

    def release(self, description):
        made = plan(description)
        for region, config in made.configurations.items():
            write(self.folder / f"{region}.yml", config)
        (self.folder / "expected.json").write_text(json.dumps({"ports": self.ports, "families": made.families}))
        return made

    def reload(self):
        return run([*EXPORTERS, "reload", *self.listeners])

    def prove(self, version=None):
        return run([*PROVE, version or self.version, self.folder / "expected.json", "50"])

    def wait(self):
        end = time.monotonic() + START_SECONDS
        for port in self.ports.values():
            while True:
                assert self.process.poll() is None and time.monotonic() < end, self.said
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5).close()
                    break
                time.sleep(0.1)


def run(argv):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=90, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


@contextlib.contextmanager
def serving(jar, folder, aws, description, credentials=None):
    (folder / "jar").mkdir()
    (folder / "jar" / jar.name).symlink_to(jar)
    ports = {region: free_port() for region in (HOME_REGION, EDGE_REGION)}
    log = folder / "log"
    # Names are looked up in an empty file: whatever a test does, nothing of it reaches the real AWS.
    (folder / "hosts").touch()
    options = ["-Xmx128m", "-XX:TieredStopAtLevel=1", f"-Djdk.net.hosts.file={folder / 'hosts'}", *aws.proxy_options]
    found = Service(folder, ports, log, None, re.search(r"\d+\.\d+\.\d+", jar.name).group())
    found.release(description)
    argv = [*EXPORTERS, "start", folder / "jar", folder, *found.listeners, "--", *options]
    with log.open("wb") as out:
        found.process = subprocess.Popen(
            # It ends all of its group, as systemd does with a unit, whatever happens to the test.
            ["timeout", str(SECONDS), *argv],
            env={"PATH": "/usr/bin:/bin", **(aws.credentials if credentials is None else credentials)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        found.wait()
        yield found
    finally:
        # timeout makes a group of its own, of the same number.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(found.process.pid, signal.SIGKILL)
        found.process.wait()


@pytest.fixture(scope="module")
def service(jar, aws, tmp_path_factory):
    with serving(jar, tmp_path_factory.mktemp("service"), aws, OLD) as found:
        yield found


def test_both_regions_are_proven_by_one_scrape_each(service, aws):
    made = service.release(OLD)
    with aws.asked() as calls:
        code, said = service.prove()
    assert (code, said) == (
        0,
        f"CloudWatch Exporter {service.version} reads {HOME_REGION}, {EDGE_REGION}: 6 series of AWS",
    )
    asked = {region: sum(call.region == region for call in calls) for region in made.requests}
    # The least that shows all: nothing is asked twice.
    assert asked == made.requests
    assert {call.action for call in calls} == {"GetMetricStatistics"}


def test_another_version_is_not_proven(service):
    assert service.prove("9.9.9") == (
        1,
        f"{HOME_REGION}: version {service.version} runs instead of 9.9.9; "
        f"{EDGE_REGION}: version {service.version} runs instead of 9.9.9",
    )


def test_a_configuration_that_was_not_taken_up_is_not_proven_until_it_is(service):
    service.release(NEW)
    code, said = service.prove()
    assert (code, said) == (
        1,
        f"{HOME_REGION}: it runs another configuration, which has aws_rds_cpuutilization_average, aws_rds_read_iops_average",
    )
    assert service.reload() == (0, "")
    assert service.prove()[0] == 0
    service.release(OLD)
    assert service.reload() == (0, "")
    assert service.prove()[0] == 0


def test_a_reload_that_fails_is_told(service):
    write(service.folder / f"{EDGE_REGION}.yml", "metrics: [")
    code, said = service.reload()
    assert code == 1
    assert said.startswith(f"the exporter of {EDGE_REGION} answers 500 to a reload: ")
    service.release(OLD)
    assert service.reload() == (0, "")


def test_its_java_is_new_enough(service):
    code, said = run([*EXPORTERS, "check", service.folder / "jar"])
    assert code == 0
    assert re.fullmatch(r"Java \d+ runs \S+\.jar, which needs \d+", said)


def test_one_that_cannot_read_is_not_proven_and_says_whose_words_they_are(jar, aws, tmp_path):
    with serving(jar, tmp_path, aws, OLD, credentials={"AWS_EC2_METADATA_DISABLED": "true"}) as found:
        code, said = found.prove()
        assert code == 1
        assert f"{EDGE_REGION}: it cannot read all it is to read (cloudwatch_exporter_scrape_error)" in said
        assert re.search(rf"^{EDGE_REGION}: .*Unable to load credentials", found.said, re.MULTILINE)
        assert not re.search(r"^\S+:\s+at ", found.said, re.MULTILINE)
        assert max(map(len, found.said.splitlines())) < 600


def test_one_that_ends_ends_the_service(jar, aws, tmp_path):
    with serving(jar, tmp_path, aws, OLD) as found:
        [pid] = subprocess.run(
            ["pgrep", "-f", f"{jar.name} {found.ports[EDGE_REGION]} "], capture_output=True, text=True, check=True
        ).stdout.split()
        os.kill(int(pid), signal.SIGKILL)
        assert found.process.wait(timeout=30) == 1
        assert found.said.splitlines()[-1] == f"the exporter of {EDGE_REGION} ended by itself, with -9"
