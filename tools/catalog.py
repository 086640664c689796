"""Sign what the builders left, and write the catalog that the inventories of the local and test hosts read.

A builder leaves DIR/COMPONENT/index.json, a list of artifacts: version, file, sha256 and, where they apply, strip and
format. The key is made up once per checkout, for these hosts alone; a real key is never made beside what it signs, and
docs/signatures.md tells how real releases are signed. Standard library, with ssh-keygen to sign.

    catalog.py [--output DIR]     write DIR/catalog.yml; default: .cache/artifacts
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Iterable

CACHE = Path(__file__).resolve().parent.parent / ".cache"
SIGNING = CACHE / "signing"
SIGNER = "test-key@plano.delivery"
NAMESPACE = "artifact@plano.delivery"


class CatalogError(Exception):
    """What cannot be signed; the message says what to do."""


def indexed(output: Path) -> list[dict[str, Any]]:
    """The artifacts below *output*, as the indexes list them, each with its component and path."""
    found = []
    for index in sorted(output.glob("*/index.json")):
        for entry in json.loads(index.read_text(encoding="utf-8")):
            path = index.with_name(entry["file"])
            if not path.is_file():
                raise CatalogError(f"{index} lists {path.name}, which is not there; run make artifacts")
            found.append({**entry, "component": index.parent.name, "path": path})
    if not found:
        raise CatalogError(f"there is nothing to sign in {output}; run make artifacts")
    return found


def signing_key() -> Path:
    """The private key of this checkout, and beside it the file that says whose it is; made the first time."""
    key, allowed = SIGNING / "id_ed25519", SIGNING / "allowed_signers"
    SIGNING.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not key.is_file():
        print(f"make     {key}", flush=True)
        ssh_keygen(["-q", "-t", "ed25519", "-N", "", "-C", SIGNER, "-f", str(key)])
    public = " ".join(ssh_keygen(["-y", "-f", str(key)]).split()[:2])
    write_if_changed(allowed, f'{SIGNER} namespaces="{NAMESPACE}" {public}\n')
    return key


def sign(key: Path, artifact: dict[str, Any]) -> str:
    """The signature of an artifact, as docs/signatures.md makes one by hand. Ed25519: always the same."""
    statement = f"component {artifact['component']}\nversion {artifact['version']}\nsha256 {artifact['sha256']}\n"
    return ssh_keygen(["-Y", "sign", "-f", str(key), "-n", NAMESPACE], statement)


def ssh_keygen(arguments: list[str], text: str = "") -> str:
    """What ssh-keygen says."""
    try:
        done = subprocess.run(["ssh-keygen", *arguments], check=False, capture_output=True, text=True, input=text)
    except FileNotFoundError:
        raise CatalogError("ssh-keygen is not installed; install the package openssh-client") from None
    if done.returncode:
        raise CatalogError(f"ssh-keygen {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout


def catalog(artifacts: Iterable[dict[str, Any]]) -> str:
    """The artifacts as the inventory variable plano_artifacts wants them (JSON strings are YAML strings)."""
    lines = ["---", "# Written by tools/catalog.py."]
    component = None
    for artifact in artifacts:
        if artifact["component"] != component:
            component = artifact["component"]
            lines.append(f"{component}:")
        lines += [
            f"  - version: {json.dumps(artifact['version'])}",
            f"    sha256: {json.dumps(artifact['sha256'])}",
            f"    sources: [{json.dumps(artifact['path'].as_uri())}]",
            *(f"    {name}: {json.dumps(artifact[name])}" for name in ("format", "strip") if name in artifact),
            f"    signature: {json.dumps(artifact['signature'])}",
        ]
    return "\n".join(lines) + "\n"


def write_if_changed(path: Path, text: str) -> bool:
    """Write a file whole or not at all, and not at all when it reads so already."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    draft = path.with_name(path.name + ".new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
    return True


def write(output: Path) -> None:
    """Write the catalog of everything below *output*."""
    artifacts = indexed(output)
    key = signing_key()
    with ThreadPoolExecutor() as pool:
        signatures = pool.map(partial(sign, key), artifacts)
        signed = [{**artifact, "signature": signature} for artifact, signature in zip(artifacts, signatures)]
    path = output / "catalog.yml"
    state = "written" if write_if_changed(path, catalog(signed)) else "unchanged"
    components = {artifact["component"] for artifact in artifacts}
    print(f"\ncatalog: {path}, {state}: {len(artifacts)} signed artifacts of {len(components)} components", flush=True)


def main() -> int:
    """Sign, and write the catalog."""
    parser = argparse.ArgumentParser(description="Sign the built artifacts and write their catalog.")
    parser.add_argument("--output", type=Path, default=CACHE / "artifacts", help="default: .cache/artifacts")
    arguments = parser.parse_args()
    try:
        write(arguments.output.resolve())
    except CatalogError as error:
        print(f"catalog.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
