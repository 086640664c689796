# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy of a checkpoint in s3: object by object, each checked, the manifest last; without its manifest there is no copy."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

from ..engine import fs
from . import manifest
from .errors import DataError
from .manifest import Manifest

try:
    import boto3
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:  # the module says so, with the name of the package
    boto3 = None

# One request takes at most this many bytes (Amazon S3 user guide, "Uploading objects").
SINGLE = 5 << 30
_URL = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?")


@dataclass(frozen=True)
class Offsite:
    """Where in s3 the checkpoints of one database are."""

    bucket: str
    prefix: str
    endpoint: str = ""

    @staticmethod
    def of(url: str, database: str, endpoint: str = "") -> Offsite | None:
        """Return the place that the option *upload* names, None without one. Raises DataError."""
        if not url:
            return None
        match = _URL.fullmatch(url)
        if match is None:
            raise DataError(f"upload {url!r}: write s3://bucket/prefix")
        if boto3 is None:
            raise DataError(f"upload {url}: Python's boto3 is missing on this host: install the package python3-boto3")
        return Offsite(match[1], "/".join(part for part in ((match[2] or "").strip("/"), database) if part), endpoint)

    def has(self, name: str) -> bool:
        """Whether there is a whole copy."""
        return self._head(self._client(), self._key(name, manifest.FILE)) is not None

    def manifest(self, name: str) -> Manifest:
        """Read the manifest of the copy of *name*. Raises DataError."""
        with self._explained():
            data: bytes = (
                self._client().get_object(Bucket=self.bucket, Key=self._key(name, manifest.FILE))["Body"].read()
            )
        return manifest.decode(data, f"{self.url}/{name}/{manifest.FILE}")

    def upload(self, made: Manifest, folder: Path, jobs: int) -> None:
        """Bring the checkpoint in *folder* there; what is there already is not sent again. Raises DataError."""
        client = self._client()
        with ThreadPoolExecutor(max(1, jobs)) as pool:
            list(
                pool.map(
                    lambda item: self._send(client, folder / item[0], self._key(made.name, item[0]), item[1]["sha256"]),
                    made.files.items(),
                )
            )
        path = folder / manifest.FILE
        self._send(client, path, self._key(made.name, manifest.FILE), fs.sha256_file(path))

    def download(self, name: str, folder: Path, jobs: int) -> None:
        """Bring the copy of *name* into the database's *folder*, each file checked; it is there whole or not at all. Raises DataError."""
        client = self._client()
        temp = folder / f".{name}.{uuid.uuid4().hex}.tmp"
        umask = os.umask(0o077)
        try:
            (temp / manifest.DUMP).mkdir(0o700, parents=True)
            self._fetch(client, self._key(name, manifest.FILE), temp / manifest.FILE)
            found = manifest.read(temp)
            with ThreadPoolExecutor(max(1, jobs)) as pool:
                list(
                    pool.map(lambda file: self._fetch(client, self._key(name, file), temp / _inside(file)), found.files)
                )
            wrong = manifest.faults(temp, found, b"", jobs)
            if wrong:
                raise DataError(
                    f"the copy of checkpoint {name} in {self.url} is damaged: {'; '.join(wrong[:5])}. Nothing was changed"
                )
            manifest.make_durable(temp, jobs)
            os.rename(temp, folder / name)
            fs.fsync_dir(folder)
        finally:
            os.umask(umask)
            if temp.exists():
                fs.remove_tree(temp)

    def remove(self, name: str) -> None:
        """Remove the copy, its manifest first: what is left without one is no checkpoint."""
        client = self._client()
        with self._explained():
            self._delete(client, [self._key(name, manifest.FILE)])
            for page in client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self._key(name, "")
            ):
                self._delete(client, [item["Key"] for item in page.get("Contents", [])])

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    def _key(self, name: str, file: str) -> str:
        return f"{self.prefix}/{name}/{file}"

    def _client(self) -> Any:
        with self._explained():
            return boto3.client("s3", **({"endpoint_url": self.endpoint} if self.endpoint else {}))

    def _head(self, client: Any, key: str) -> dict[str, Any] | None:
        with self._explained():
            try:
                found: dict[str, Any] = client.head_object(Bucket=self.bucket, Key=key)
            except ClientError as error:
                if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
                    return None
                raise
            return found

    def _send(self, client: Any, path: Path, key: str, sha256: str) -> None:
        size = path.stat().st_size
        if self._same(self._head(client, key), size, sha256):
            return
        with self._explained():
            if size <= SINGLE:
                with path.open("rb") as stream:  # the server refuses a body that does not match the digest
                    client.put_object(
                        Bucket=self.bucket, Key=key, Body=stream, Metadata={"sha256": sha256},
                        ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode(),
                    )  # fmt: skip
            else:
                client.upload_file(
                    str(path),
                    self.bucket,
                    key,
                    ExtraArgs={"Metadata": {"sha256": sha256}, "ChecksumAlgorithm": "SHA256"},
                )
        if not self._same(self._head(client, key), size, sha256):
            raise DataError(f"s3://{self.bucket}/{key} is not what was sent: run the same command again")

    @staticmethod
    def _same(head: dict[str, Any] | None, size: int, sha256: str) -> bool:
        return head is not None and head["ContentLength"] == size and head.get("Metadata", {}).get("sha256") == sha256

    def _fetch(self, client: Any, key: str, path: Path) -> None:
        with self._explained():
            client.download_file(self.bucket, key, str(path))

    def _delete(self, client: Any, keys: list[str]) -> None:
        if keys:
            answer = client.delete_objects(
                Bucket=self.bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
            )
            if answer.get("Errors"):
                raise DataError(
                    f"{self.url}: {answer['Errors'][0].get('Code')} for {answer['Errors'][0].get('Key')}; the rest may be there still"
                )

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError, Boto3Error) as error:
            raise DataError(
                f"{self.url}: {error}. See that the bucket is there and this host may use it, then run the same command again"
            ) from None


def _inside(file: str) -> str:
    """Return the name of a file of the dump, which cannot lead out of its folder. Raises DataError."""
    if not re.fullmatch(rf"{manifest.DUMP}/[A-Za-z0-9._-]+", file) or file.endswith("/.."):
        raise DataError(f"the manifest names the file {file!r}, which no dump has: nothing was changed")
    return file
