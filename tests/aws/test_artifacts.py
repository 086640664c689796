# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError
from controller import BUCKET, ROOT, become, documented, play
from moto_server import REGION, Moto

from ansible_collections.plano.delivery.plugins.module_utils.aws.artifacts import Artifact, Place
from ansible_collections.plano.delivery.plugins.module_utils.aws.refusals import AwsError
from ansible_collections.plano.delivery.plugins.module_utils.engine import signature
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError
from ansible_collections.plano.delivery.plugins.module_utils.engine.systemd import Host
from ansible_collections.plano.delivery.plugins.plugin_utils import _controller, _s3

KEY = "backend/backend-1.0.0.tar.gz"


def archive(path: Path, text: str) -> Path:
    with tarfile.open(path, "w:gz") as out:
        info = tarfile.TarInfo("app.py")
        info.size = len(text)
        out.addfile(info, io.BytesIO(text.encode()))
    return path


def put(path: Path, **changed: Any) -> _s3.Published:
    """Publish *path* as backend 1.0.0."""
    content = _s3.Content.of(path)
    artifact = Artifact(changed.get("component", "backend"), changed.get("version", "1.0.0"), content.sha256)
    bucket = changed.get("bucket") or _s3.Bucket(Place(BUCKET, changed.get("prefix", "")))
    return _s3.publish(
        bucket, artifact, content, changed.get("extension", ".tar.gz"), changed.get("apply", True), lambda *_: None
    )


def keys(client: Any) -> list[str]:
    return sorted(item["Key"] for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", []))


# The playbook, as an operator runs it


def test_a_signed_artifact_is_published_listed_and_pinned_and_once_more_nothing_changes(bucket, tmp_path):
    archive(tmp_path / "backend-1.0.0.tar.gz", "print(1)")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    (tmp_path / "allowed").write_text("ops@example.com " + (tmp_path / "key.pub").read_text())
    (tmp_path / "artifacts.yml").write_text("---\n# Mine.\nbackend_version: '0.9'\n")
    arguments = ["-e", f"component=backend version=1.0.0 path=backend-1.0.0.tar.gz bucket={BUCKET} build=python"]
    arguments += ["-e", "signing_key=key allowed_signers=allowed catalog=artifacts.yml encryption=aws:kms"]

    code, said = play(tmp_path, *arguments, "--check", "--diff", playbook="plano.delivery.publish")
    assert code == 0 and "changed=1" in said, said
    assert "+plano_artifacts:" in said and keys(bucket) == []
    assert (tmp_path / "artifacts.yml").read_text() == "---\n# Mine.\nbackend_version: '0.9'\n"

    code, said = play(tmp_path, *arguments, playbook="plano.delivery.publish")
    assert code == 0 and "changed=1" in said, said
    assert keys(bucket) == [KEY]
    text = (tmp_path / "artifacts.yml").read_text()
    assert text.startswith(
        "---\n# Mine.\nbackend_version: '0.9'\nplano_artifacts:\n  backend:\n    - version: \"1.0.0\"\n"
    )
    (entry,) = yaml.safe_load(text)["plano_artifacts"]["backend"]
    assert (entry["sources"], entry["build"]) == ([f"s3://{BUCKET}/{KEY}"], "python")
    assert (
        signature.verify(Host(), "backend", entry, (tmp_path / "allowed").read_text())["principal"] == "ops@example.com"
    )

    found = bucket.get_object(Bucket=BUCKET, Key=KEY)
    assert found["ServerSideEncryption"] == "aws:kms"
    assert hashlib.sha256(found["Body"].read()).hexdigest() == entry["sha256"] == found["Metadata"]["sha256"]
    assert len(found["Metadata"]["signature"]) == 260

    code, said = play(tmp_path, *arguments, playbook="plano.delivery.publish")
    assert code == 0 and "changed=0" in said, said
    assert (tmp_path / "artifacts.yml").read_text() == text

    listing = {"plano.delivery.artifact_info": {"bucket": BUCKET}, "register": "found"}
    shown = {
        "ansible.builtin.copy": {"content": "{{ found | to_json }}", "dest": str(tmp_path / "found"), "mode": "0600"}
    }
    code, said = play(tmp_path, tasks=[listing, shown])
    assert code == 0, said
    listed = json.loads((tmp_path / "found").read_text())
    # Byte for byte what ssh-keygen printed, which the catalog has.
    assert listed["catalog"] == {"backend": [entry]}
    assert listed["artifacts"][0]["encryption"] == "aws:kms"


WRONG = {
    "version 'latest' moves": {"version": "latest"},
    "component 'Back End' must be a lower-case name": {"component": "Back End"},
    "nowhere.tar.gz is no file": {"path": "nowhere.tar.gz"},
    "archive cut.tar.gz: it is truncated": {"path": "cut.tar.gz"},
    "empty.tar.gz is empty": {"path": "empty.tar.gz"},
    "README has no extension such as .tar.gz": {"path": "README"},
    "bucket 'Example.Artifacts' is no bucket's name": {"bucket": "Example.Artifacts"},
    "prefix 'a b' may hold": {"prefix": "a b"},
    "s3://example-nowhere/: there is no such bucket in any account": {"bucket": "example-nowhere"},
    "another account than 210987654321": {"bucket_owner": "210987654321"},
    "ssh-keygen cannot sign with": {"signing_key": "nokey"},
    "one with a passphrase must be in ssh-agent": {"signing_key": "locked"},
    "which release_allowed_signers does not permit now": {"signing_key": "other", "allowed_signers": "mine"},
    "signature is no SSH signature": {"signature": "x"},
    "bytes of metadata, S3 keeps 2048: sign with an ed25519 key": {"signature": "fat"},
    "its plano_artifacts is made elsewhere": {"catalog_file": "odd.yml"},
    "missing parameter(s) required by 'kms_key': encryption": {"kms_key": "alias/x"},
}


def test_each_wrong_input_is_named_and_nothing_is_published(bucket, tmp_path):
    archive(tmp_path / "backend-1.0.0.tar.gz", "print(1)")
    (tmp_path / "cut.tar.gz").write_bytes((tmp_path / "backend-1.0.0.tar.gz").read_bytes()[:40])
    (tmp_path / "empty.tar.gz").touch()
    (tmp_path / "README").write_text("x")
    (tmp_path / "odd.yml").write_text("plano_artifacts: '{{ x }}'\n")
    for name, phrase in {"locked": "secret", "other": "", "mine": ""}.items():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", phrase, "-f", tmp_path / name], check=True)
    texts = {"mine": "ops@example.com " + (tmp_path / "mine.pub").read_text(), "fat": enveloped(b"k" * 1500)}
    good = {"component": "backend", "version": "1.0.0", "path": "backend-1.0.0.tar.gz", "bucket": BUCKET}
    tasks: list[dict[str, Any]] = []
    for number, changed in enumerate(WRONG.values()):
        given = {name: texts.get(value, value) if name != "signing_key" else value for name, value in changed.items()}
        attempt = {"plano.delivery.artifact": {**good, **given}, "ignore_errors": True, "register": f"said_{number}"}
        tasks.append(attempt)
    said = "{{ [" + ", ".join(f"said_{number}.msg" for number in range(len(WRONG))) + "] | to_json }}"
    tasks.append({"ansible.builtin.copy": {"content": said, "dest": str(tmp_path / "said"), "mode": "0600"}})
    code, output = play(tmp_path, tasks=tasks)
    assert code == 0, output
    for expected, message in zip(WRONG, json.loads((tmp_path / "said").read_text()), strict=True):
        assert expected in message
    assert keys(bucket) == []


def enveloped(key: bytes) -> str:
    """Return a signature with a public key of any size; it proves nothing."""
    parts = [key, signature.NAMESPACE.encode(), b"", b"sha512", key]
    blob = b"SSHSIG\0\0\0\1" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return f"-----BEGIN SSH SIGNATURE-----\n{base64.b64encode(blob).decode()}\n-----END SSH SIGNATURE-----\n"


def test_the_playbook_asks_for_what_it_needs(tmp_path):
    code, said = play(tmp_path, "-e", "component=backend version=1.0.0", playbook="plano.delivery.publish")
    assert code != 0 and "Say -e path=..." in said and "Say -e bucket=..." in said


def test_a_long_upload_is_told_of(bucket, tmp_path):
    path = tmp_path / "big-1.0.0.bin"
    path.write_bytes(os.urandom(1 << 20) * 70)
    task = {"plano.delivery.artifact": {"bucket": BUCKET, "component": "big", "version": "1.0.0", "path": str(path)}}
    task["plano.delivery.artifact"]["format"] = "file"
    code, said = play(tmp_path, tasks=[task])
    assert code == 0, said
    assert "big-1.0.0.bin: 73 of 73 MB are in the bucket" in said
    assert said.count(" MB are in the bucket") == 5
    found = bucket.get_object(Bucket=BUCKET, Key="big/big-1.0.0.bin")
    assert hashlib.sha256(found["Body"].read()).hexdigest() == found["Metadata"]["sha256"]


# What never changes


def test_a_version_with_other_bytes_is_refused_under_any_extension(bucket, tmp_path):
    put(archive(tmp_path / "one.tar.gz", "one"))
    before = bucket.head_object(Bucket=BUCKET, Key=KEY)["ETag"]
    other = archive(tmp_path / "two.tar.gz", "two")
    with pytest.raises(EngineError, match=r"has sha256 .*What is published never changes"):
        put(other)
    with pytest.raises(EngineError, match="is this version already, under another name"):
        put(other, extension=".tgz")
    # 1.0 is no part of 1.0.0, nor the other way about.
    assert put(other, version="1.0").changed and put(other, version="1.0.0.1").changed
    assert bucket.head_object(Bucket=BUCKET, Key=KEY)["ETag"] == before
    assert not put(tmp_path / "one.tar.gz").changed


def test_what_was_not_published_from_here_is_not_taken_for_the_same(bucket, tmp_path):
    path = archive(tmp_path / "one.tar.gz", "one")
    bucket.put_object(Bucket=BUCKET, Key=KEY, Body=path.read_bytes())
    with pytest.raises(EngineError, match="does not say its sha256: it was not published from here"):
        put(path)
    assert _s3.listed(_s3.Bucket(Place(BUCKET)), "") == []


@pytest.mark.parametrize("single", [_s3.SINGLE, 0])
def test_between_two_publishers_at_once_s3_decides(bucket, tmp_path, monkeypatch, single):
    """Both looked, and saw nothing; only one of them is first."""
    monkeypatch.setattr(_s3, "SINGLE", single)
    monkeypatch.setattr(_s3.Bucket, "objects", lambda *_: [])
    mine, theirs = archive(tmp_path / "one.tar.gz", "one"), archive(tmp_path / "two.tar.gz", "two")
    assert put(theirs).changed
    with pytest.raises(EngineError, match="What is published never changes"):
        put(mine)
    assert not put(theirs).changed
    assert bucket.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []


def test_one_of_many_publishers_wins_and_all_others_are_told(bucket, tmp_path):
    files = [archive(tmp_path / f"{number}.tar.gz", str(number)) for number in range(8)]

    def attempt(path: Path) -> str:
        try:
            return "won" if put(path).changed else "same"
        except EngineError:
            return "refused"

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(attempt, files)) == ["refused"] * 7 + ["won"]


class Refusing:
    """S3's client, which answers some calls with an error."""

    def __init__(self, real: Any, **errors: list[str]) -> None:
        self.real, self.errors, self.meta = real, errors, real.meta

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> Any:
            if self.errors.get(name):
                code = self.errors[name].pop(0)
                error = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {}}
                raise self.real.exceptions.ClientError(error, name)
            return getattr(self.real, name)(**arguments)

        return getattr(self.real, name) if name == "get_paginator" else call


def test_a_server_that_knows_no_condition_is_still_looked_at_first(bucket, tmp_path):
    path = archive(tmp_path / "one.tar.gz", "one")
    client = Refusing(bucket, put_object=["ConditionalRequestConflict", "NotImplemented"])
    assert put(path, bucket=_s3.Bucket(Place(BUCKET), client=client)).changed
    with pytest.raises(EngineError, match="never changes"):
        put(archive(tmp_path / "two.tar.gz", "two"), bucket=_s3.Bucket(Place(BUCKET), client=client))


def test_an_upload_that_breaks_leaves_nothing(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(_s3, "SINGLE", 0)
    path = archive(tmp_path / "one.tar.gz", "one")
    with pytest.raises(AwsError, match=r"AWS asks for fewer calls \(SlowDown\)"):
        put(path, bucket=_s3.Bucket(Place(BUCKET), client=Refusing(bucket, upload_part=["SlowDown"])))
    assert keys(bucket) == [] and bucket.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []


def test_what_a_killed_run_left_half_uploaded_is_gone_after_the_next(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(_s3, "SINGLE", 0)
    for key in (KEY, "backend/backend-1.0.0.tar.gz.other"):
        bucket.create_multipart_upload(Bucket=BUCKET, Key=key)
    put(archive(tmp_path / "one.tar.gz", "one"))
    left = bucket.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    assert [item["Key"] for item in left] == ["backend/backend-1.0.0.tar.gz.other"]


def test_a_file_that_changes_while_it_is_sent_is_hashed_by_part(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"a" * 25)
    content = _s3.Content.of(path, part=10)
    assert [len(content.part(number)) for number in (1, 2, 3)] == [10, 10, 5]
    assert len(content.parts) == 3 and content.sha256 == hashlib.sha256(b"a" * 25).hexdigest()


def test_artifacts_are_listed_in_order_below_their_prefix(bucket, tmp_path):
    for version in ("1.10.0", "1.9.0", "1.2.0-rc1"):
        put(archive(tmp_path / "one.tar.gz", version), version=version, prefix="releases/")
    put(archive(tmp_path / "one.tar.gz", "x"), component="api", prefix="releases")
    place = _s3.Bucket(Place(BUCKET, "releases"))
    found = [(each.artifact.component, each.artifact.version) for _item, each in _s3.listed(place, "")]
    assert found == [("api", "1.0.0"), ("backend", "1.2.0-rc1"), ("backend", "1.9.0"), ("backend", "1.10.0")]
    assert [each.key for _item, each in _s3.listed(place, "backend", "1.9.0")] == [
        "releases/backend/backend-1.9.0.tar.gz"
    ]


# What AWS refuses


def test_what_is_not_allowed_names_the_action_and_its_policy_and_who_asked(aws: Moto, bucket, tmp_path, monkeypatch):
    put(archive(tmp_path / "one.tar.gz", "one"))
    become(monkeypatch, "deployer", [{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}])
    aws.enforce_policies()
    try:
        (fault,) = _s3.object_faults(f"s3://{BUCKET}/{KEY}", "0" * 64)
        with pytest.raises(AwsError) as refused:
            put(archive(tmp_path / "two.tar.gz", "two"), version="2.0.0")
    finally:
        aws.enforce_policies(10**9)
    assert f"s3://{BUCKET}/{KEY}: s3:GetObject is not allowed" in fault
    assert "user/deployer: the policy 'deploy' grants it, on arn:aws:s3:::example-artifacts/backend/" in fault
    assert "belongs to another account" in fault
    assert "s3:PutObject is not allowed" in str(refused.value)


@pytest.mark.parametrize("purpose", ["publish", "deploy"])
def test_what_is_documented_is_enough_and_no_more_than_is_needed(aws, bucket, tmp_path, monkeypatch, purpose):
    monkeypatch.setattr(_s3, "SINGLE", 0)
    put(archive(tmp_path / "one.tar.gz", "one"))
    bucket.create_multipart_upload(Bucket=BUCKET, Key="backend/backend-2.0.0.tar.gz")
    become(monkeypatch, "user", documented(purpose))
    entry = pin(tmp_path / "one.tar.gz", f"s3://{BUCKET}/{KEY}")
    path = archive(tmp_path / "two.tar.gz", "two")
    aws.enforce_policies()
    try:
        assert _controller.source_faults(entry) == []
        url = _s3.presign(entry["sources"][0])
        assert [each.key for _item, each in _s3.listed(_s3.Bucket(Place(BUCKET)), "backend")] == [KEY]
        if purpose == "publish":
            assert put(path, version="2.0.0") == _s3.Published("backend/backend-2.0.0.tar.gz", True, ANY, ())
        else:
            with pytest.raises(AwsError, match="s3:PutObject is not allowed"):
                put(path, version="2.0.0")
        with pytest.raises(ClientError, match="AccessDenied"):
            boto3.client("s3").delete_object(Bucket=BUCKET, Key=KEY)
    finally:
        aws.enforce_policies(10**9)
    # moto cannot judge a URL.
    assert urllib.request.urlopen(url).status == 200


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("ExpiredToken", "the AWS credentials of this controller have expired (ExpiredToken)"),
        ("InvalidAccessKeyId", "AWS does not know the credentials of this controller"),
        ("PermanentRedirect", "it is not in region sa-east-1 (no): set AWS_REGION to where it is"),
        ("AccessDenied", "; or bucket example-artifacts belongs to another account"),
        ("NoSuchBucket", "there is no such bucket in any account"),
        ("InternalError", "s3:GetObject failed in region sa-east-1: no"),
    ],
)
def test_each_refusal_says_what_to_do(bucket, code, message):
    with pytest.raises(AwsError) as refused:
        _s3.Bucket(Place(BUCKET), client=Refusing(bucket, get_object=[code])).look(KEY)
    assert str(refused.value).startswith(f"s3://{BUCKET}/{KEY}: ") and message in str(refused.value)


def test_the_region_is_the_one_that_aws_region_names(aws, monkeypatch):
    """boto3 itself knows AWS_DEFAULT_REGION alone."""
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    assert _s3._aws.connect("elbv2").meta.region_name == "eu-west-1"
    assert _s3._aws.connect("elbv2", "us-east-1").meta.region_name == "us-east-1"
    assert _s3._aws.caller()["Account"]
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(AwsError, match="set AWS_REGION"):
        _s3._aws.connect("elbv2")


def test_without_credentials_or_an_answer_it_says_so(aws, bucket, monkeypatch):
    source = f"s3://{BUCKET}/{KEY}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(_s3._aws, "RETRIES", {"mode": "standard", "total_max_attempts": 1})
    assert "AWS does not answer" in _s3.object_faults(source, "0" * 64)[0]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/nowhere")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    assert "this controller has no AWS credentials" in _s3.object_faults(source, "0" * 64)[0]
    with pytest.raises(EngineError, match="no AWS credentials"):
        _s3.presigned([source])
    # Another source makes up for it.
    assert _s3.presigned([source, "https://example.com/a"]) == ["https://example.com/a"]


def test_throttled_calls_are_made_again(aws, bucket, monkeypatch):
    client, asked = _s3._aws.connect("s3"), []

    def slow_down(request, **_more):
        asked.append(request.url)
        if len(asked) < 3:
            from botocore.awsrequest import AWSResponse

            body = b"<Error><Code>SlowDown</Code><Message>slower</Message></Error>"
            answer = AWSResponse(request.url, 503, {}, None)
            answer._content = body
            return answer
        return None

    client.meta.events.register("before-send.s3.GetObject", slow_down)
    assert _s3.Bucket(Place(BUCKET), client=client).look(KEY) is None
    assert len(asked) == 3


# What reaches a host


def pin(path: Path, url: str) -> dict[str, Any]:
    return {"version": "1.0.0", "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "sources": [url]}


def test_before_any_host_is_touched_the_pinned_object_is_looked_at(bucket, tmp_path):
    path = archive(tmp_path / "one.tar.gz", "one")
    entry = pin(path, f"s3://{BUCKET}/{KEY}")
    assert "does not exist: publish it" in _controller.catalog_faults("backend", [entry], "1.0.0", {})[0]
    put(path)
    assert _controller.catalog_faults("backend", [entry], "1.0.0", {}) == []
    (fault,) = _controller.catalog_faults("backend", [{**entry, "sha256": "0" * 64}], "1.0.0", {})
    assert fault == f"artifact 1.0.0: s3://{BUCKET}/{KEY} has sha256 {entry['sha256']}, expected {'0' * 64}"
    # Put there by other means, it says nothing of its digest: the host's own hash decides.
    bucket.put_object(Bucket=BUCKET, Key="other.tar.gz", Body=b"x")
    assert _controller.source_faults({**entry, "sources": [f"s3://{BUCKET}/other.tar.gz"]}) == []


def test_a_url_is_signed_for_the_region_of_its_bucket(aws, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setattr(_s3._aws, "bucket_region", lambda *_: "eu-west-1")
    url = _s3.presign("s3://elsewhere/backend/backend 1.tar.gz")
    assert url.startswith("https://elsewhere.s3.eu-west-1.amazonaws.com/backend/backend%201.tar.gz?")
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in url and "X-Amz-Expires=900" in url
    assert "eu-west-1%2Fs3%2Faws4_request" in url


def test_where_a_bucket_is_is_asked_of_s3(aws):
    boto3.client("s3", region_name="eu-west-1").create_bucket(
        Bucket="elsewhere", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    client = boto3.client("s3")
    assert _s3._aws.bucket_region(client, "elsewhere") == "eu-west-1"
    assert _s3._aws.bucket_region(client, "nowhere") == REGION
    assert "eu-west-1%2Fs3" in _s3.presign("s3://elsewhere/a")


FETCH = """
import sys
sys.path[:0] = [sys.argv[1]]
from pathlib import Path
from engine.store import Store
from engine.systemd import Host
Store(Path(sys.argv[2]), Host()).add({"version": "1.0.0", "sha256": sys.argv[3], "sources": [sys.argv[4]]})
assert "boto3" not in sys.modules
try:
    import boto3
except ImportError:
    print("fetched without boto3")
"""


def test_a_host_fetches_without_any_aws_key_or_library(aws, bucket, tmp_path, monkeypatch):
    from ansible_collections.plano.delivery.plugins.action import release

    monkeypatch.setenv("AWS_SESSION_TOKEN", "test-session")
    path = archive(tmp_path / "one.tar.gz", "one")
    put(path)
    asked: list[dict[str, Any]] = []

    class Action(release.ActionModule):
        def __init__(self) -> None:
            pass

        def _module(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
            asked.append(args)
            return {}

    action = Action()
    request = {"component": "backend", "artifact": pin(path, f"s3://{BUCKET}/{KEY}")}
    Action._present(action, {**request, "activation": {"strategy": "none"}}, {})
    # Everything that a host is sent.
    sent = json.dumps(asked)
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in sent and "s3://" not in sent
    (url,) = asked[0]["artifact"]["sources"]
    done = subprocess.run(
        [
            sys.executable,
            *("-I", "-S", "-c", FETCH),
            ROOT / "plugins" / "module_utils",
            tmp_path / "store",
            request["artifact"]["sha256"],
            url,
        ],
        env={"PATH": os.environ["PATH"], "HOME": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "fetched without boto3\n", done.stderr
    assert (tmp_path / "store/sha256" / request["artifact"]["sha256"] / "files/app.py").read_text() == "one"
