# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies in s3, of which moto is the stand-in. A host's own Python has no moto: there these tests are left out."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import moto.server
import pytest
import werkzeug.serving
from copying import SCHEMAS, WHO, book, place

from ansible_collections.plano.delivery.plugins.module_utils.data import checkpoint, restore
from ansible_collections.plano.delivery.plugins.module_utils.data.checkpoint import Order
from ansible_collections.plano.delivery.plugins.module_utils.data.errors import DataError
from ansible_collections.plano.delivery.plugins.module_utils.data.offsite import Offsite
from ansible_collections.plano.delivery.plugins.module_utils.data.seal import Seal
from ansible_collections.plano.delivery.plugins.module_utils.data.session import Session


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A stand-in for Amazon's S3."""
    found = werkzeug.serving.make_server(
        "127.0.0.1", 0, moto.server.DomainDispatcherApplication(moto.server.create_backend_app), threaded=True
    )
    found.daemon_threads = True  # or its end waits for connections that clients keep
    threading.Thread(target=found.serve_forever, daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield f"http://127.0.0.1:{found.server_port}"
    found.shutdown()


def bucket(s3: str, name: str) -> Any:
    client = boto3.client("s3", endpoint_url=s3)
    client.create_bucket(Bucket=name)
    return client


def test_the_copy_in_s3_brings_a_lost_checkpoint_back(
    odd: Session, tmp_path: Path, s3: str, keys: dict[str, Seal]
) -> None:
    client = bucket(s3, "copies")
    database = odd.login.database
    there = place(tmp_path, database, seal=keys["age"], offsite=Offsite.of("s3://copies/plano", database, s3))
    assert checkpoint.present(odd, there, Order("before", SCHEMAS), book(tmp_path, database), WHO)["changed"] is True
    keys_there = [item["Key"] for item in client.list_objects_v2(Bucket="copies")["Contents"]]
    assert f"plano/{database}/before/manifest.json" in keys_there
    assert len(keys_there) == 11
    assert checkpoint.present(odd, there, Order("before", SCHEMAS), book(tmp_path, database), WHO)["changed"] is False
    shutil.rmtree(there.folder)
    odd.execute("TRUNCATE public.clients CASCADE")
    order = restore.Order("before", "before", allow_loss=True)
    assert restore.restored(odd, there, order, book(tmp_path, database), WHO, check=True)["plan"]["refused"] == []
    assert not there.folder.exists()
    restore.restored(odd, there, order, book(tmp_path, database), WHO)
    assert odd.value("SELECT count(*) FROM public.orders") == 507
    checkpoint.absent(odd, there, "before", book(tmp_path, odd.login.database), WHO)
    assert "Contents" not in client.list_objects_v2(Bucket="copies")


def test_a_damaged_copy_is_not_taken(odd: Session, tmp_path: Path, s3: str) -> None:
    client = bucket(s3, "damaged")
    database = odd.login.database
    there = place(tmp_path, database, offsite=Offsite.of("s3://damaged", database, s3))
    checkpoint.present(odd, there, Order("before", SCHEMAS), book(tmp_path, database), WHO)
    shutil.rmtree(there.folder)
    client.put_object(Bucket="damaged", Key=f"{database}/before/dump/toc.dat", Body=b"x")
    with pytest.raises(
        DataError, match=r"the copy of checkpoint before in s3://damaged/.* is damaged: dump/toc.dat has 1 bytes"
    ):
        there.need("before")
    assert list(there.folder.iterdir()) == []


def test_a_bucket_that_is_not_there(odd: Session, tmp_path: Path, s3: str) -> None:
    database = odd.login.database
    there = place(tmp_path, database, offsite=Offsite.of("s3://nobodys", database, s3))
    with pytest.raises(DataError, match=r"s3://nobodys/.*NoSuchBucket.*run the same command again"):
        checkpoint.present(odd, there, Order("before", SCHEMAS), book(tmp_path, database), WHO)
    bucket(s3, "nobodys")
    assert checkpoint.present(odd, there, Order("before", SCHEMAS), book(tmp_path, database), WHO)["changed"] is True
    assert there.offsite.has("before")
