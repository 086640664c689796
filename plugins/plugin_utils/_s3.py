# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PRIVATE to the collection: artifacts in S3. Only the controller asks AWS; a host gets what it needs as a presigned URL."""

from __future__ import annotations

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping
from urllib.parse import urlsplit

from ansible_collections.plano.delivery.plugins.module_utils.aws import artifacts
from ansible_collections.plano.delivery.plugins.module_utils.aws.artifacts import Artifact, Place
from ansible_collections.plano.delivery.plugins.module_utils.aws.refusals import AwsError, Call
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError
from ansible_collections.plano.delivery.plugins.plugin_utils import _aws

PRESIGNED_SECONDS = 900
# Up to SINGLE bytes one call, above it parts in parallel. S3 takes no part below 5 MiB but the last.
PART = 16 << 20
SINGLE = 64 << 20
THREADS = 4
ASKERS = 8
# Another upload of the same key is about to end; S3's word for "ask again".
CONFLICT, CONFLICT_TRIES = "ConditionalRequestConflict", 5
TAKEN, UNKNOWN_CONDITION = "PreconditionFailed", "NotImplemented"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Object:
    """What stands under a key."""

    key: str
    size: int
    metadata: Mapping[str, str]
    details: Mapping[str, Any]

    @property
    def artifact(self) -> Artifact | None:
        return artifacts.artifact(self.metadata)


@dataclass(frozen=True)
class Content:
    """A file's bytes, hashed whole and by part, so that S3 refuses a file that is changed while it is sent."""

    path: Path
    size: int
    sha256: str
    part_size: int
    parts: tuple[str, ...]

    @staticmethod
    def of(path: Path, part: int = PART) -> Content:
        size = path.stat().st_size
        step, whole = artifacts.part_size(size, part), hashlib.sha256()
        parts: list[str] = []
        with path.open("rb") as stream:
            while True:
                chunk = stream.read(step)
                if not chunk:
                    return Content(path, size, whole.hexdigest(), step, tuple(parts))
                whole.update(chunk)
                parts.append(_checksum(hashlib.sha256(chunk).hexdigest()))

    def part(self, number: int) -> bytes:
        """Return part *number*, of which the first is 1."""
        with self.path.open("rb") as stream:
            stream.seek((number - 1) * self.part_size)
            return stream.read(self.part_size)


def _checksum(sha256: str) -> str:
    return base64.b64encode(bytes.fromhex(sha256)).decode()


@dataclass
class Bucket:
    """A bucket, of the account that it must belong to, and how it is to encrypt."""

    place: Place
    owner: str = ""
    encryption: Mapping[str, str] = field(default_factory=dict)
    region: str | None = None
    client: Any = None

    def __post_init__(self) -> None:
        self.client = self.client or _aws.connect("s3", self.region)

    def look(self, key: str) -> Object | None:
        """Return what stands under *key*. One byte is fetched: unlike HEAD, GET says why it is refused, and it is what a host will ask."""
        try:
            with _aws.explained(self._call("s3:GetObject", key)):
                found = self.client.get_object(**self._bucket, Key=key, Range="bytes=0-0")
        except AwsError as exc:
            if exc.absent:
                return None
            raise
        found["Body"].close()
        size = int(str(found.get("ContentRange", "")).rpartition("/")[2] or found["ContentLength"])
        return Object(key, size, found["Metadata"], found)

    def objects(self, prefix: str) -> list[dict[str, Any]]:
        """Return Key, Size and LastModified of all below *prefix*."""
        with _aws.explained(self._call("s3:ListBucket", "")):
            pages = self.client.get_paginator("list_objects_v2").paginate(**self._bucket, Prefix=prefix)
            return [item for page in pages for item in page.get("Contents", [])]

    def put(self, key: str, content: Content, metadata: Mapping[str, str], progress: Progress) -> dict[str, Any]:
        """Write *key* unless something stands there already, which S3 itself decides; return its answer.

        Raises AwsError with code TAKEN.
        """
        send = self._put_whole if content.size <= SINGLE else self._put_parts
        condition = {"IfNoneMatch": "*"}
        for attempt in range(CONFLICT_TRIES):
            try:
                with _aws.explained(self._call("s3:PutObject", key)):
                    return send(key, content, metadata, progress, condition)
            except AwsError as exc:
                if exc.code == UNKNOWN_CONDITION and condition:
                    # A server that only speaks like S3: what was looked at before is all that can be known.
                    condition = {}
                elif exc.code != CONFLICT or attempt == CONFLICT_TRIES - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _put_whole(
        self, key: str, content: Content, metadata: Mapping[str, str], progress: Progress, condition: Mapping[str, str]
    ) -> dict[str, Any]:
        progress(0, content.size)
        with content.path.open("rb") as body:
            answer: dict[str, Any] = self.client.put_object(
                **self._bucket,
                Key=key,
                Body=body,
                Metadata=metadata,
                ChecksumSHA256=_checksum(content.sha256),
                **self.encryption,
                **condition,
            )
        progress(content.size, content.size)
        return answer

    def _put_parts(
        self, key: str, content: Content, metadata: Mapping[str, str], progress: Progress, condition: Mapping[str, str]
    ) -> dict[str, Any]:
        started = self.client.create_multipart_upload(
            **self._bucket, Key=key, Metadata=metadata, ChecksumAlgorithm="SHA256", **self.encryption
        )
        upload = {**self._bucket, "Key": key, "UploadId": started["UploadId"]}
        sent = 0
        progress(0, content.size)

        def send(number: int) -> dict[str, Any]:
            body, checksum = content.part(number), content.parts[number - 1]
            answer = self.client.upload_part(**upload, PartNumber=number, Body=body, ChecksumSHA256=checksum)
            return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": checksum}

        try:
            with ThreadPoolExecutor(THREADS) as pool:
                parts = []
                try:
                    for part in pool.map(send, range(1, len(content.parts) + 1)):
                        parts.append(part)
                        sent = min(sent + content.part_size, content.size)
                        progress(sent, content.size)
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
            done: dict[str, Any] = self.client.complete_multipart_upload(
                **upload, MultipartUpload={"Parts": parts}, **condition
            )
        except BaseException:  # a signal too: parts that belong to nothing cost money and are in no listing
            self._abort(upload)
            raise
        return done

    def sweep(self, key: str) -> int:
        """Drop what was half uploaded to *key* by runs that were killed: now that it is there, none of that can come to anything."""
        with _aws.explained(self._call("s3:ListBucketMultipartUploads", "")):
            pages = self.client.get_paginator("list_multipart_uploads").paginate(**self._bucket, Prefix=key)
            left = [item for page in pages for item in page.get("Uploads", []) if item["Key"] == key]
        for item in left:
            with _aws.explained(self._call("s3:AbortMultipartUpload", key)):
                self._abort({**self._bucket, "Key": key, "UploadId": item["UploadId"]})
        return len(left)

    def _abort(self, upload: Mapping[str, str]) -> None:
        self.client.abort_multipart_upload(**upload)

    @property
    def _bucket(self) -> dict[str, str]:
        return {"Bucket": self.place.bucket, **({"ExpectedBucketOwner": self.owner} if self.owner else {})}

    def _call(self, action: str, key: str) -> Call:
        arn = f"arn:aws:s3:::{self.place.bucket}"
        more = [
            f"bucket {self.place.bucket} belongs to another account" + (f" than {self.owner}" if self.owner else "")
        ]
        if action == "s3:GetObject":
            more.append(f"the key does not exist, which S3 says only to whom s3:ListBucket is allowed on {arn}")
        if self.encryption.get("SSEKMSKeyId"):
            more.append(f"kms:GenerateDataKey is not allowed on {self.encryption['SSEKMSKeyId']}")
        return Call(
            action,
            "deploy",
            self.place.url(key),
            f"{arn}/{key}" if key else arn,
            self.client.meta.region_name,
            if_denied="".join(f"; or {each}" for each in more),
        )


@dataclass(frozen=True)
class Published:
    """Where an artifact is now, whether that is new, and what S3 said about it."""

    key: str
    changed: bool
    answer: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


def publish(
    bucket: Bucket, artifact: Artifact, content: Content, extension: str, apply: bool, progress: Progress
) -> Published:
    """Put *artifact* where it belongs, once and for all; the same bytes again change nothing.

    Raises EngineError when the version is there with other bytes, also under another extension.
    """
    place = bucket.place
    key = place.key(artifact.component, artifact.version, extension)
    stem = place.stem(artifact.component, artifact.version)
    there = artifacts.same_version(stem, (item["Key"] for item in bucket.objects(stem)))
    for other in there:
        if other != key:
            raise EngineError(_immutable(bucket, artifact, other, "is this version already, under another name"))
    if key in there:
        found = _same(bucket, artifact, key)
    elif not apply:
        return Published(key, True, {})
    else:
        try:
            answer = bucket.put(key, content, artifact.metadata(), progress)
            return Published(key, True, answer, _swept(bucket, key, content))
        except AwsError as exc:
            if exc.code != TAKEN:
                raise
        # Somebody published it in this very moment; it is theirs that counts.
        found = _same(bucket, artifact, key)
    warnings = _swept(bucket, key, content) if apply else ()
    before = found.artifact
    if before and before.signature != artifact.signature and artifact.signature:
        warnings += (
            f"{place.url(key)} was published with {'another' if before.signature else 'no'} signature and keeps it; "
            "the catalog's entry has the new one",
        )
    return Published(key, False, found.details, warnings)


def _same(bucket: Bucket, artifact: Artifact, key: str) -> Object:
    found = bucket.look(key)
    if found is None:
        raise EngineError(f"{bucket.place.url(key)} was there a moment ago and is not now: run the same command again")
    if not found.artifact:
        raise EngineError(_immutable(bucket, artifact, key, "does not say its sha256: it was not published from here"))
    if found.artifact.sha256 != artifact.sha256:
        raise EngineError(_immutable(bucket, artifact, key, f"has sha256 {found.artifact.sha256}"))
    return found


def _immutable(bucket: Bucket, artifact: Artifact, key: str, what: str) -> str:
    return (
        f"{bucket.place.url(key)} {what}; this file has sha256 {artifact.sha256}. "
        f"What is published never changes: give these bytes a version of their own. Nothing was changed"
    )


def _swept(bucket: Bucket, key: str, content: Content) -> tuple[str, ...]:
    if content.size <= SINGLE:
        return ()
    try:
        bucket.sweep(key)
    except AwsError as exc:
        return (f"what killed runs left half uploaded stays, and costs: {exc}",)
    return ()


def listed(bucket: Bucket, component: str, version: str = "") -> list[tuple[dict[str, Any], Object]]:
    """Return the published artifacts, sorted, and how S3 lists each; of all components when *component* is empty."""
    place = bucket.place
    items = bucket.objects(place.stem(component, version) if version else place.folder(component))
    if version:
        wanted = artifacts.same_version(place.stem(component, version), (item["Key"] for item in items))
        items = [item for item in items if item["Key"] in wanted]
    with ThreadPoolExecutor(ASKERS) as pool:
        found = list(zip(items, pool.map(lambda item: bucket.look(item["Key"]), items)))
    good = [(item, each, each.artifact) for item, each in found if each and each.artifact]
    ordered = sorted(good, key=lambda one: (one[2].component, artifacts.order(one[2].version)))
    return [(item, each) for item, each, _artifact in ordered]


def parsed(source: str) -> tuple[str, str] | None:
    """Return bucket and key of an s3: URL, None for any other."""
    parts = urlsplit(source)
    return (parts.netloc, parts.path.lstrip("/")) if parts.scheme == "s3" else None


def object_faults(source: str, sha256: str) -> list[str]:
    """Return what is wrong with the object that *source* names; the host will ask for it in the same way."""
    bucket, key = parsed(source) or ("", "")
    try:
        found = Bucket(Place(bucket)).look(key)
    except AwsError as exc:
        return [str(exc)]
    if found is None:
        return [f"{source} does not exist: publish it (playbook publish), or correct the pin"]
    said = found.artifact.sha256 if found.artifact else sha256
    return [] if said == sha256 else [f"{source} has sha256 {said}, expected {sha256}"]


def presigned(sources: Iterable[str]) -> list[str]:
    """Turn each s3: URL into one that a host can fetch without any AWS library or key; leave the others as they are.

    One that cannot be signed is left out while there are others. Raises EngineError when none is left.
    """
    usable, faults = [], []
    for source in sources:
        try:
            usable.append(presign(source))
        except AwsError as exc:
            faults.append(str(exc))
    if faults and not usable:
        raise EngineError("; ".join(faults))
    return usable


def presign(source: str) -> str:
    """Return *source*, signed for whoever has it to fetch within PRESIGNED_SECONDS, or until the credentials end if that is earlier."""
    where = parsed(source)
    if where is None:
        return source
    bucket, key = where
    client = _aws.connect("s3")
    region = _aws.bucket_region(client, bucket)
    if region != client.meta.region_name:
        # A signature holds in one region, and no host can correct it.
        client = _aws.connect("s3", region)
    with _aws.explained(Call("s3:GetObject", "deploy", source, f"arn:aws:s3:::{bucket}/{key}")):
        url: str = client.generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=PRESIGNED_SECONDS
        )
    return url
