# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.plano.delivery.plugins.module_utils.aws import artifacts
from ansible_collections.plano.delivery.plugins.module_utils.aws.artifacts import Artifact, Place

SIGNED = "-----BEGIN SSH SIGNATURE-----\n" + "A" * 70 + "\n" + "B" * 8 + "\n-----END SSH SIGNATURE-----\n"


@pytest.mark.parametrize(
    ("prefix", "key"), [("", "app/app-1.0.tgz"), ("/a/b/", "a/b/app/app-1.0.tgz"), ("a", "a/app/app-1.0.tgz")]
)
def test_where_an_artifact_stands(prefix, key):
    assert Place("bucket", prefix).key("app", "1.0", ".tgz") == key
    assert Place("bucket", prefix).url(key) == f"s3://bucket/{key}"


@pytest.mark.parametrize("bucket", ["a", "A-bucket", "a.bucket", "-ab", "ab-", "a" * 64, "a_b"])
def test_what_is_no_buckets_name(bucket):
    assert "is no bucket's name" in Place(bucket).faults()[0]


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("app-1.0.tar.gz", ".tar.gz"),
        ("app-1.0.tgz", ".tgz"),
        ("cloudwatch_exporter-0.16.0.jar", ".jar"),
        ("app-1.0", None),
        ("app", None),
        ("app-1.0.x.tar.xz", ".tar.xz"),
    ],
)
def test_how_a_name_ends(name, end):
    assert artifacts.extension(name) == end


def test_a_version_is_found_whatever_its_extension_and_no_other_version_is_taken_for_it():
    keys = [
        "app/app-1.0.tar.gz",
        "app/app-1.0.jar",
        "app/app-1.0.1.tar.gz",
        "app/app-1.0.rc1.tar.gz",
        "app/app-1.0-a.jar",
    ]
    assert artifacts.same_version("app/app-1.0", keys) == ["app/app-1.0.jar", "app/app-1.0.tar.gz"]


def test_an_object_says_all_that_the_catalog_needs():
    full = Artifact("app", "1.0", "ab" * 32, SIGNED, {"build": "python", "strip": 1, "format": "tar"})
    said = full.metadata()
    assert said["signature"] == "A" * 70 + "B" * 8 and said["strip"] == "1" and "format" not in said
    assert all("\n" not in value for value in said.values())
    found = artifacts.artifact(said)
    assert found is not None
    assert found.entry("s3://b/k") == full.entry("s3://b/k")
    assert list(full.entry("s3://b/k")) == ["version", "sha256", "sources", "build", "strip", "signature"]
    assert artifacts.artifact({"sha256": "ab" * 32}) is None


def test_a_signature_that_is_too_long_for_s3_is_a_fault():
    assert Artifact("app", "1.0", "ab" * 32, SIGNED).faults() == []
    assert "bytes of metadata, S3 keeps 2048" in Artifact("app", "1.0", "ab" * 32, "A" * 2000).faults()[0]


def test_versions_are_in_order():
    versions = ["1.10.0", "1.9.0", "1.9.0-rc1", "2", "1.9.0+b"]
    assert sorted(versions, key=artifacts.order) == ["1.9.0-rc1", "1.9.0", "1.9.0+b", "1.10.0", "2"]


@pytest.mark.parametrize(("size", "part"), [(0, 16), (160_000, 16), (160_001, 17)])
def test_no_upload_has_more_parts_than_s3_takes(size, part):
    assert artifacts.part_size(size, 16) == part
