# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publish an artifact from the controller, whatever host the task is for: there is boto3 beside Ansible, and the AWS credentials are nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.plano.delivery.plugins.module_utils.aws import artifacts
from ansible_collections.plano.delivery.plugins.module_utils.engine import signature
from ansible_collections.plano.delivery.plugins.module_utils.engine.errors import EngineError, InputError
from ansible_collections.plano.delivery.plugins.module_utils.engine.systemd import Host
from ansible_collections.plano.delivery.plugins.plugin_utils import _aws, _catalog, _controller, _plain, _s3

PLACE = {
    "bucket": {"type": "str", "required": True},
    "prefix": {"type": "str", "default": ""},
    "bucket_owner": {"type": "str"},
    "region": {"type": "str"},
}
SPEC = {
    **PLACE,
    "state": {"type": "str", "choices": ["present"], "default": "present"},
    "component": {"type": "str", "required": True},
    "version": {"type": "str", "required": True},
    "path": {"type": "path", "required": True},
    "build": {"type": "str", "choices": ["none", "python"], "default": "none"},
    "format": {"type": "str", "choices": ["tar", "file"], "default": "tar"},
    "strip": {"type": "int", "default": 0},
    "signing_key": {"type": "path", "no_log": False},
    "signature": {"type": "str"},
    "allowed_signers": {"type": "str", "default": ""},
    "encryption": {"type": "str", "choices": ["AES256", "aws:kms"]},
    "kms_key": {"type": "str", "no_log": False},
    "catalog_file": {"type": "path"},
}
# How often a long upload is told of.
STEP = 0.1


class ActionModule(ActionBase):
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _checked, args = self.validate_argument_spec(
            SPEC, mutually_exclusive=[("signing_key", "signature")], required_by={"kms_key": "encryption"}
        )
        try:
            result.update(self._publish(_plain.plain(args)))
        except EngineError as exc:
            raise AnsibleActionFail(str(exc)) from exc
        return result

    def _publish(self, args: dict[str, Any]) -> dict[str, Any]:
        path = Path(self._loader.path_dwim(args["path"]))
        apply = not self._task.check_mode
        place = artifacts.Place(args["bucket"], args["prefix"])
        extension = artifacts.extension(path.name)
        faults = place.faults() + _file_faults(path, extension)
        content = None if faults else _s3.Content.of(path)
        artifact = artifacts.Artifact(
            args["component"],
            args["version"],
            content.sha256 if content else "0" * 64,
            (args["signature"] or "").strip() + "\n" if args["signature"] else "",
            {name: args[name] for name in ("build", "format", "strip")},
        )
        faults += artifact.faults()
        if content and not faults:
            faults += _controller.source_faults({**artifact.entry(path.as_uri()), "format": args["format"]})
        if faults or content is None or extension is None:
            raise InputError([f"{fault}. Nothing was published" for fault in faults])
        if args["signing_key"]:
            key = Path(self._loader.path_dwim(args["signing_key"]))
            artifact = artifact.signed(_controller.sign(key, artifact.component, artifact.version, artifact.sha256))
        faults = artifact.faults() + self._signature_faults(artifact, args)
        if faults:
            raise InputError([f"{fault}. Nothing was published" for fault in faults])
        if args["catalog_file"]:
            # What cannot be written there is known before anything is published.
            self._catalog(args, artifact, place.url(place.key(artifact.component, artifact.version, extension)), False)
        bucket = opened(args, {"ServerSideEncryption": args["encryption"], "SSEKMSKeyId": args["kms_key"]})
        done = _s3.publish(bucket, artifact, content, extension, apply, self._progress(path.name))
        return self._told(args, place, artifact, content, done, apply)

    def _signature_faults(self, artifact: artifacts.Artifact, args: dict[str, Any]) -> list[str]:
        if not artifact.signature:
            return []
        wrong = signature.envelope_fault(artifact.signature)
        if wrong:
            return [wrong]
        if args["allowed_signers"].strip():
            try:
                signature.verify(Host(), artifact.component, artifact.entry(""), args["allowed_signers"])
            except signature.SignatureError as exc:
                return [str(exc)]
        return []

    def _told(
        self,
        args: dict[str, Any],
        place: artifacts.Place,
        artifact: artifacts.Artifact,
        content: _s3.Content,
        done: _s3.Published,
        apply: bool,
    ) -> dict[str, Any]:
        url = place.url(done.key)
        entry = artifact.entry(url)
        diff = [
            {
                "before_header": url,
                "after_header": url,
                "before": "",
                "after": _catalog.written(artifact.component, entry),
            }
        ]
        result = {
            "changed": done.changed,
            "url": url,
            "sha256": artifact.sha256,
            "size": content.size,
            "entry": entry,
            "catalog": _catalog.written(artifact.component, entry),
            "encryption": done.answer.get("ServerSideEncryption", ""),
            "version_id": done.answer.get("VersionId", ""),
            "diff": diff if done.changed else [],
            "warnings": list(done.warnings),
        }
        if done.answer and not result["encryption"]:
            result["warnings"].append(
                f"{url} is not encrypted by its server: set encryption, or the bucket's own default"
            )
        if args["catalog_file"]:
            before, after = self._catalog(args, artifact, url, apply)
            result["changed"] = result["changed"] or before != after
            header = {"before_header": args["catalog_file"], "after_header": args["catalog_file"]}
            result["diff"] += [{**header, "before": before, "after": after}] if before != after else []
        return result

    def _catalog(self, args: dict[str, Any], artifact: artifacts.Artifact, url: str, apply: bool) -> tuple[str, str]:
        file = Path(self._loader.path_dwim(args["catalog_file"]))
        return _catalog.add(file, artifact.component, artifact.entry(url), apply)

    def _progress(self, name: str) -> _s3.Progress:
        """A long upload is told of as it goes: of a task that is under way nothing else is seen."""
        told = 0.0

        def tell(sent: int, size: int) -> None:
            nonlocal told
            if size > _s3.SINGLE and (sent == size or sent / size >= told + STEP):
                told = sent / size
                self._display.display(f"{name}: {sent / 1e6:.0f} of {size / 1e6:.0f} MB are in the bucket")

        return tell


def _file_faults(path: Path, extension: str | None) -> list[str]:
    if not path.is_file():
        return [f"path {path} is no file"]
    if not path.stat().st_size:
        return [f"path {path} is empty"]
    if not extension:
        return [f"path {path} has no extension such as .tar.gz, by which its name in the bucket ends"]
    return []


def opened(args: dict[str, Any], encryption: dict[str, Any] | None = None) -> _s3.Bucket:
    """Return the bucket that a task names. Bucket names are the whole world's: it must be of the account that one means."""
    bucket = _s3.Bucket(
        artifacts.Place(args["bucket"], args["prefix"]),
        encryption={name: value for name, value in (encryption or {}).items() if value},
        region=args["region"],
    )
    bucket.owner = args["bucket_owner"] or _aws.caller()["Account"]
    return bucket
