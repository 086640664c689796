# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role hands to the internal role `service`, by Ansible itself with a `service` that writes it down; and its programs."""

from __future__ import annotations

import importlib.util
import json
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

COLLECTION = Path(__file__).resolve().parents[3]
FILES = COLLECTION / "roles" / "cloudwatch_exporter" / "files"
NAMES = [
    "component",
    "version",
    "artifacts",
    "packages",
    "command",
    "environment",
    "files",
    "secrets",
    "unit",
    "web",
    "jit",
    "strategy",
    "validate",
    "health",
    "start_timeout",
    "keep",
]
RDS = {"preset": "rds", "select": {"DBInstanceIdentifier": ["prod"]}}
CLOUDFRONT = {"preset": "cloudfront", "select": {"DistributionId": ["E1"]}}
AUTHORITY = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
GOOD: dict[str, Any] = {
    "plano_artifacts": {
        "cloudwatch_exporter": [
            {"version": "0.16.0", "sha256": "0" * 64, "sources": ["https://example.com/a.jar"], "format": "file"}
        ]
    },
    "cloudwatch_exporter_watch": [RDS, CLOUDFRONT],
    "cloudwatch_exporter_regions": ["sa-east-1"],
    "cloudwatch_exporter_budget": 15,
}


@pytest.fixture
def release(collection):
    return collection.handing_over("cloudwatch_exporter", NAMES, GOOD)


def test_the_role_hands_over_a_release_that_proves_itself(release):
    code, said, asked = release()
    assert code == 0, said
    assert "sa-east-1, us-east-1: about 0.00 USD a month (18 series" in said
    files = {file["dest"]: file["content"] for file in asked["files"]}
    assert list(files) == [
        "config/sa-east-1.yml",
        "config/us-east-1.yml",
        "config/exporters.py",
        "config/prove.py",
        "config/expected.json",
        "config/guard.nft",
    ]
    for name in ("exporters.py", "prove.py"):
        assert files[f"config/{name}"] == (FILES / name).read_text(encoding="utf-8")
    home = yaml.safe_load(files["config/sa-east-1.yml"])
    assert (home["region"], len(home["metrics"])) == ("sa-east-1", 14)
    expected = json.loads(files["config/expected.json"])
    assert expected["ports"] == {"sa-east-1": 9106, "us-east-1": 9107}
    assert len(expected["families"]["sa-east-1"]) == 14
    assert '\n    iif != "lo" tcp dport { 9106, 9107 } counter drop\n' in files["config/guard.nft"]
    end = asked["command"].index("--")
    assert asked["command"][:end] == [
        "/usr/bin/python3",
        "-I",
        "@CURRENT@/config/exporters.py",
        "start",
        "@ARTIFACT@/files",
        "@CURRENT@/config",
        "sa-east-1:9106",
        "us-east-1:9107",
    ]
    assert not [word for word in asked["command"] if "trustStore" in word]
    # Nothing of a release is in the unit by its own name, or every change would be a restart.
    assert "@RELEASE@" not in str([asked["command"], asked["unit"], asked["environment"]])
    assert asked["unit"] == [
        "ExecStartPre=+/usr/sbin/nft --file @CURRENT@/config/guard.nft",
        "ExecStopPost=-+/usr/sbin/nft delete table inet plano_cloudwatch_exporter",
        "ExecReload=",
        "ExecReload=+/usr/sbin/nft --file @CURRENT@/config/guard.nft",
        "ExecReload=/usr/bin/python3 -I @CURRENT@/config/exporters.py reload sa-east-1:9106 us-east-1:9107",
    ]
    assert list(asked["environment"]) == ["PLANO_CLOUDWATCH_START"]
    assert asked["validate"][0][-2:] == ["check", "@ARTIFACT@/files"]
    assert asked["health"][0]["stdout"] == "dport .*9106.*9107.* drop"
    assert asked["health"][1]["argv"][-3:] == ["@VERSION@", "@RELEASE@/config/expected.json", "50"]
    assert str(asked["health"][1]["timeout"]) == "55"
    assert {key: asked[key] for key in ("component", "version", "packages", "secrets", "web", "jit", "strategy")} == {
        "component": "cloudwatch_exporter",
        "version": "0.16.0",
        "packages": ["default-jre-headless", "nftables"],
        "secrets": {},
        "web": False,
        "jit": True,
        "strategy": "reload",
    }


def test_only_what_a_reload_does_not_take_up_changes_the_unit(release):
    def unit(**changed):
        code, said, asked = release(**changed)
        assert code == 0, said
        return [asked[name] for name in ("command", "environment", "unit", "secrets")]

    first = unit()
    assert unit(cloudwatch_exporter_watch=[{**RDS, "metrics": ["ReadIOPS"]}, CLOUDFRONT]) == first
    assert unit(cloudwatch_exporter_settings={"delay_seconds": 300}) == first
    role = "arn:aws:iam::123456789012:role/reader"
    assert unit(cloudwatch_exporter_role_arn=role) != first
    assert unit(cloudwatch_exporter_regions=["eu-west-1"]) != first
    assert unit(cloudwatch_exporter_ports={"us-east-1": 9200}) != first


def test_who_scrapes_seldom_may_wait_longer(release):
    code, said, asked = release(cloudwatch_exporter_scrape_interval=120)
    assert code == 0, said
    assert asked["health"][1]["argv"][-1] == "100"
    assert str(asked["health"][1]["timeout"]) == "105"


def test_a_key_reaches_the_process_as_a_credential_alone(release):
    key = {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "S3CRET", "session_token": "T0KEN"}
    code, said, asked = release(cloudwatch_exporter_credentials=key)
    assert code == 0, said
    assert asked["secrets"] == {
        "aws_credentials": "[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = S3CRET\naws_session_token = T0KEN\n"
    }
    assert asked["environment"]["AWS_SHARED_CREDENTIALS_FILE"] == (
        "/run/credentials/plano-cloudwatch-exporter.service/aws_credentials"
    )
    assert asked["environment"]["AWS_EC2_METADATA_DISABLED"] == "true"
    rest = str({name: value for name, value in asked.items() if name != "secrets"})
    assert "S3CRET" not in rest + said and "T0KEN" not in rest + said


def test_it_can_be_led_through_a_proxy_that_looks_into_tls(release):
    options = ["-Dhttp.proxyHost=192.0.2.1", "-Dhttp.proxyPort=3128", "-Xmx256m"]
    code, said, asked = release(
        cloudwatch_exporter_authority=AUTHORITY,
        cloudwatch_exporter_java_options=options,
        cloudwatch_exporter_environment={"AWS_MAX_ATTEMPTS": "2"},
    )
    assert code == 0, said
    assert asked["command"][-3:] == options
    assert "-Djavax.net.ssl.trustStore=/run/plano-cloudwatch-exporter/trust.p12" in asked["command"]
    assert asked["unit"][-2] == "RuntimeDirectory=plano-cloudwatch-exporter"
    assert asked["unit"][-1].startswith("ExecStartPre=/usr/bin/keytool -importcert ")
    assert {file["dest"]: file["content"] for file in asked["files"]}["config/authority.pem"] == AUTHORITY
    assert asked["environment"]["AWS_MAX_ATTEMPTS"] == "2"


def test_the_least_rights_can_be_had_as_files(release, tmp_path):
    policies = tmp_path / "policies"
    policies.mkdir()
    assert release(cloudwatch_exporter_policy_dir=str(policies))[0] == 0
    assert [path.name for path in policies.iterdir()] == ["exporter.json"]
    exporter = json.loads((policies / "exporter.json").read_text())
    assert exporter["Statement"][0]["Action"] == ["cloudwatch:GetMetricStatistics"]
    role = "arn:aws:iam::123456789012:role/reader"
    assert release(cloudwatch_exporter_policy_dir=str(policies), cloudwatch_exporter_role_arn=role)[0] == 0
    assert json.loads((policies / "assumed_role.json").read_text()) == exporter
    assert json.loads((policies / "exporter.json").read_text())["Statement"][0]["Resource"] == [role]


def test_all_faults_are_told_before_the_host_is_touched_and_no_secret(release):
    code, said, asked = release(
        cloudwatch_exporter_watch=[{**RDS, "metrics": ["CPUUtilisation"]}, {"preset": "s3"}],
        cloudwatch_exporter_credentials={"access_key_id": "", "secret_access_key": "S3CRET"},
        cloudwatch_exporter_authority="S3CRET",
    )
    assert (code != 0, asked) == (True, {})
    assert "no host was touched" in said
    assert "cloudwatch_exporter_watch[0] (preset rds): metrics: the preset has no 'CPUUtilisation'" in said
    assert "cloudwatch_exporter_watch[1] (preset s3): there is no such preset" in said
    assert "cloudwatch_exporter_credentials: access_key_id and secret_access_key are both needed" in said
    assert "cloudwatch_exporter_authority: it must be the text of one certificate" in said
    assert "S3CRET" not in said


def test_what_costs_more_than_the_budget_is_refused(release):
    code, said, asked = release(cloudwatch_exporter_budget=1, cloudwatch_exporter_free_requests=0)
    assert (code != 0, asked) == (True, {})
    assert "cloudwatch_exporter_budget: about 7.78 USD a month" in said
    assert "Most of it: watch[0] (preset rds) 6.05, watch[1] (preset cloudfront) 1.73" in said


def test_with_nothing_to_watch_nothing_is_done(release):
    code, said, asked = release(cloudwatch_exporter_watch=[], plano_artifacts={})
    assert (code, asked) == (0, {}), said


def test_without_a_pinned_artifact_the_run_is_refused(release):
    code, said, asked = release(plano_artifacts={})
    assert (code != 0, asked) == (True, {})
    assert "no host was touched" in said
    assert "version 'none' of cloudwatch_exporter is unknown; pinned artifacts: none" in said


# -- its programs --------------------------------------------------------------------------------------------------


def program(name):
    spec = importlib.util.spec_from_file_location(f"cloudwatch_{name}", FILES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def exporters(tmp_path, monkeypatch):
    """The program, with a jar that needs Java 17 and a Java of the version that is asked for."""
    module = program("exporters")
    with zipfile.ZipFile(tmp_path / "some.jar", "w") as packed:
        packed.writestr(module.MAIN, struct.pack(">IHH", 0xCAFEBABE, 0, 61))
    java = tmp_path / "java"
    monkeypatch.setattr(module, "JAVA", str(java))

    def installed(words):
        java.write_text(f"#!/bin/sh\necho '{words}' >&2\n")
        java.chmod(0o755)

    module.installs = installed
    return module


@pytest.mark.parametrize(
    "words, code, said",
    [
        ('openjdk version "21.0.8" 2025-07-15', 0, "Java 21 runs {folder}/some.jar, which needs 17"),
        ('openjdk version "17" 2021-09-14', 0, "Java 17 runs {folder}/some.jar, which needs 17"),
        (
            'java version "1.8.0_402"',
            1,
            "{folder}/some.jar needs Java 17, {folder}/java is Java 8: install a newer one",
        ),
        ("Segmentation fault", 1, "{folder}/java -version does not say a version: Segmentation fault"),
    ],
)
def test_a_java_that_is_too_old_is_refused(exporters, tmp_path, capsys, words, code, said):
    exporters.installs(words)
    assert exporters.main(["check", str(tmp_path)]) == code
    shown = capsys.readouterr()
    assert (shown.out + shown.err).startswith(said.format(folder=tmp_path))


def test_what_is_no_exporter_or_no_java_is_refused(exporters, tmp_path, capsys):
    assert exporters.main(["check", str(tmp_path)]) == 1
    assert "Java does not run" in capsys.readouterr().err
    exporters.installs('openjdk version "21"')
    (tmp_path / "some.jar").write_text("no jar")
    assert exporters.main(["check", str(tmp_path)]) == 1
    assert "some.jar is no CloudWatch Exporter" in capsys.readouterr().err
    (tmp_path / "other.jar").touch()
    assert exporters.main(["check", str(tmp_path)]) == 1
    assert "there must be one jar" in capsys.readouterr().err
    for words in ([], ["check"], ["start", "a", "b", "c"], ["reload"]):
        assert exporters.main(words) == 1
        assert capsys.readouterr().err.startswith("usage: Run one CloudWatch Exporter for each region")


METRICS = """\
# TYPE aws_rds_cpuutilization_average gauge
aws_rds_cpuutilization_average{job="aws_rds",} 41.5 1795748400000
# TYPE aws_resource_info gauge
# TYPE cloudwatch_requests_total counter
cloudwatch_exporter_scrape_error 0.0
cloudwatch_exporter_build_info{build_version="0.16.0",release_date="2024-08-18",} 1.0
"""


@pytest.mark.parametrize(
    "found, replaced, said",
    [
        ("", "", None),
        ("0.16.0", "0.17.0", "version 0.17.0 runs instead of 0.16.0"),
        ("build_version", "version", "version unknown runs instead of 0.16.0"),
        ("error 0.0", "error 1.0", "it cannot read all it is to read"),
        ("cloudwatch_exporter_scrape_error 0.0\n", "", "it cannot read all it is to read"),
        ("rds_cpuu", "rds_readu", "it runs another configuration, which has aws_rds_readutilization_average"),
    ],
)
def test_what_the_metrics_say_against_it(found, replaced, said):
    fault = program("prove").fault("0.16.0", ["aws_rds_cpuutilization_average"], METRICS.replace(found, replaced))
    assert fault == said or fault.startswith(said)


def test_one_that_is_away_is_not_proven(tmp_path, capsys, monkeypatch):
    prove = program("prove")
    (tmp_path / "expected.json").write_text(json.dumps({"ports": {"sa-east-1": 1}, "families": {"sa-east-1": []}}))
    monkeypatch.setattr(sys, "argv", ["prove.py", "0.16.0", str(tmp_path / "expected.json"), "1"])
    assert prove.main() == 1
    assert capsys.readouterr().err.startswith("port 1/-/ready does not answer: ")
