"""One CloudWatch for all tests of this folder, and the jar that they run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cloudwatch import EDGE_REGION, HOME_REGION, Cloudwatch, cloudwatch

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = ROOT / ".cache" / "artifacts" / "cloudwatch_exporter"
# The newest release of which Maven's registry has all three clients that the exporter uses. Like those in releases
# of the exporter from 0.17.0 on it speaks CBOR and looks at AWS_ENDPOINT_URL.
NEWER_SDK = "2.41.18"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="write the exposition to tests/rules/expositions")


@pytest.fixture(scope="session")
def jar() -> Path:
    """The exporter's jar: the one named by PLANO_CLOUDWATCH_JAR, or the newest of the mirror."""
    named = os.environ.get("PLANO_CLOUDWATCH_JAR")
    found = [Path(named)] if named else sorted(ARTIFACTS.rglob("*.jar"), key=lambda path: _numbers(path.name))
    assert found, f"there is no jar in {ARTIFACTS}: build the mirror, or name one with PLANO_CLOUDWATCH_JAR"
    assert found[-1].is_file(), f"{found[-1]} is no file"
    assert shutil.which("java"), "java is missing: run make setup"
    return found[-1]


def _numbers(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


@pytest.fixture(scope="session")
def jar_sdk(jar: Path) -> list[int]:
    """The version of the AWS SDK in the jar."""
    with zipfile.ZipFile(jar) as packed:
        said = packed.read("META-INF/maven/software.amazon.awssdk/cloudwatch/pom.properties").decode()
    return _numbers(re.search(r"^version=(.+)$", said, re.MULTILINE).group(1))


@pytest.fixture(scope="session")
def newer_sdk() -> Path:
    """A folder with the jars of a newer AWS SDK, fetched by Maven once."""
    named = os.environ.get("PLANO_CLOUDWATCH_SDK")
    folder = Path(named) if named else ROOT / ".cache" / "cloudwatch" / f"sdk-{NEWER_SDK}"
    if not named and not folder.is_dir():
        assert shutil.which("mvn"), "a newer AWS SDK is fetched by Maven: run make setup"
        fetching = folder.with_name(folder.name + ".part")
        shutil.rmtree(fetching, ignore_errors=True)
        project = Path(__file__).with_name("newer_sdk.xml")
        subprocess.run(
            ["mvn", "-q", "-B", "-f", project, "dependency:copy-dependencies", f"-DoutputDirectory={fetching}"],
            check=True,
            timeout=600,
        )
        fetching.rename(folder)
    return folder


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloudwatch]:
    # The third is for tests that make resources, where no other test sees them.
    regions = (HOME_REGION, EDGE_REGION, "eu-west-1")
    with cloudwatch(tmp_path_factory.mktemp("cloudwatch"), regions=regions, seconds=3600) as found:
        # Also for what is asked later in the session: the exporter reads the time from 20 to 10 minutes before.
        found.feed(minutes=range(-60, 30))
        yield found
