"""From what strace saw to the steps of the model: every call that changes the tree, and none that is not understood."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from crash_model import ROOT, Chmod, Names, Node, Nodes, Recording, Resize, Step, Write, apply

BEGIN, END = ".recording-begins", ".recording-ends"
CALLS = (
    "%file,umask,lseek,write,writev,pwrite64,pwritev,pwritev2,ftruncate,fallocate,fchmod,fchown,fsetxattr,fsync,fdatasync,"
    "syncfs,sync,sync_file_range,copy_file_range,sendfile,splice,vmsplice,mmap,io_uring_setup"
)
STRACE = ("strace", "-f", "-y", "-xx", "-s", "16777216", "--seccomp-bpf", "-e", "signal=none", "-e", f"trace={CALLS}")
# They look, or touch times only, which the engine never reads.
HARMLESS = re.compile(
    r"access|chdir|execve|faccessat2?|getcwd|l?(get|list)xattr|[ln]?(ew)?f?stat(at|fs|x)?|readlink(at)?|utime(s|nsat)?"
)
TREE = re.compile(r"chmod|fchmodat|(un|sym)?link(at)?|mkdir(at)?|rename(at2?)?|rmdir|truncate")

_LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+|\?|0x[0-9a-f]+)(?:<(.*?)>)?(?: .*)?")
_UNFINISHED = re.compile(r"(\d+) +(.*) <unfinished \.\.\.>")
_RESUMED = re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)")
_FD = re.compile(r"(-?\d+|AT_FDCWD)(?:<(.*?)>)?(\(deleted\))?")


class NotUnderstood(Exception):
    """The trace holds something that the model has no rule for; to go on would be to miss a state."""


@dataclass(frozen=True)
class Call:
    """One finished system call."""

    pid: str
    name: str
    args: tuple[str, ...]
    result: str
    opened: str


def text(hexed: str) -> str:
    """Undo strace's -xx."""
    return os.fsdecode(raw(hexed))


def raw(hexed: str) -> bytes:
    return bytes.fromhex(hexed.strip('"').replace("\\x", ""))


def split(args: str) -> tuple[str, ...]:
    """Split arguments at the commas outside brackets; strings hold no comma, they are hexadecimal."""
    found, depth, start = [], 0, 0
    for at, char in enumerate(args):
        if char in "{[":
            depth += 1
        elif char in "}]":
            depth -= 1
        elif char == "," and depth == 0:
            found.append(args[start:at].strip())
            start = at + 1
    return (*found, args[start:].strip())


def calls(lines: Sequence[str]) -> Iterator[Call]:
    """Yield the calls of a trace, joined where strace had to show another process in between."""
    begun: dict[str, str] = {}
    for line in lines:
        cut = _UNFINISHED.fullmatch(line)
        if cut:
            begun[cut[1]] = f"{cut[1]} {cut[2]}"
            continue
        rest = _RESUMED.fullmatch(line)
        whole = begun.pop(rest[1]) + rest[2] if rest else line
        match = _LINE.fullmatch(whole)
        if match:
            yield Call(match[1], match[2], split(match[3]), match[4], text(match[5] or ""))
        elif not re.search(r"\+\+\+ (exited|killed)", whole):
            raise NotUnderstood(f"strace wrote {whole[:200]!r}")


class Disk:
    """The tree below *root* while the traced processes change it."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.nodes: Nodes = {ROOT: Node("dir", 0o755)}
        self.births: Nodes = {}
        self.umask = 0o022  # the recorded program sets it before it makes anything
        self.volumes: dict[int, str] = {ROOT: ""}
        self.positions: dict[tuple[str, str], int] = {}
        self.append: set[tuple[str, str]] = set()

    # -- names ---------------------------------------------------------------------------------

    def inside(self, path: str) -> bool:
        return path == self.root or path.startswith(self.root + "/")

    def parent(self, path: str) -> tuple[int, str]:
        """Return the directory that holds the last part of *path*, and that part; links on the way are followed."""
        parts = os.path.normpath(path)[len(self.root) :].strip("/").split("/")
        folder = ROOT
        for at, part in enumerate(parts[:-1]):
            node = self.nodes[self.nodes[folder].names[part]]
            if node.kind == "link":
                here = self.root + "".join(f"/{name}" for name in parts[:at])
                return self.parent(os.path.join(here, os.fsdecode(node.data), *parts[at + 1 :]))
            folder = self.nodes[folder].names[part]
        return folder, parts[-1]

    def find(self, path: str, follow: bool = False) -> int | None:
        if os.path.normpath(path) == self.root:
            return ROOT
        try:
            folder, name = self.parent(path)
        except KeyError:
            return None
        inode = self.nodes[folder].names.get(name)
        if inode is not None and follow and self.nodes[inode].kind == "link":
            return self.find(os.path.join(os.path.dirname(path), os.fsdecode(self.nodes[inode].data)), follow)
        return inode

    def existing(self, path: str, follow: bool = False) -> int:
        inode = self.find(path, follow)
        if inode is None:
            raise NotUnderstood(f"{path} was used but never seen to be made")
        return inode

    def born(self, folder: int, name: str, kind: str, mode: int, data: bytes = b"") -> Names:
        inode = max(self.nodes) + 1
        self.nodes[inode] = self.births[inode] = Node(kind, mode, data)
        self.volumes[inode] = name if folder == ROOT else self.volumes[folder]
        return Names(folder, ((folder, name, inode),))

    # -- calls ---------------------------------------------------------------------------------

    def step(self, call: Call) -> Step | None:
        """Let *call* happen; return what it meant for the tree, if anything."""
        if call.result.startswith("-") or call.result == "?":
            return None
        done = self._step(call)
        if done is not None and done.effect is not None:
            apply(self.nodes, done.effect)
        return done

    def _step(self, call: Call) -> Step | None:
        args = call.args
        name = call.name
        if HARMLESS.fullmatch(name):
            return None
        if name == "umask":
            self.umask = int(args[0], 8)
            return None
        if name == "mmap":
            shared = "MAP_SHARED" in args[3] and "PROT_WRITE" in args[2]
            return self._refuse(call, self._file(args[4])) if shared else None
        if name in ("open", "openat", "creat"):
            return self._open(call)
        if name == "lseek":
            self._seek(call)
            return None
        if name in ("write", "pwrite64"):
            return self._write(call)
        if name in ("fsync", "fdatasync", "syncfs"):
            return self._sync(call)
        if name in ("ftruncate", "fchmod"):
            path = self._file(args[0])
            if path is None or not self.inside(path):
                return None
            inode = self.existing(path)
            said = f"{name} {self._short(path)} {args[1]}"
            return Step(said, Resize(inode, int(args[1])) if name == "ftruncate" else Chmod(inode, int(args[1], 8)))
        if TREE.fullmatch(name):
            paths, rest = self._paths(call)
            return (
                self._tree(call, paths, rest)
                if all(map(self.inside, paths))
                else self._refuse(call, " and ".join(paths))
            )
        touched = [
            text(found) for arg in args for found in re.findall(r'^"(.*)"$|<(.*)>', arg) for found in found if found
        ]
        return self._refuse(call, next(filter(self.inside, touched), None))

    def _tree(self, call: Call, paths: list[str], rest: list[str]) -> Step:
        name = call.name
        said = f"{name.removesuffix('at').removesuffix('at2')} {' '.join(self._short(path) for path in paths)}"
        if name in ("mkdir", "mkdirat"):
            return Step(said, self.born(*self.parent(paths[0]), "dir", int(rest[0], 8) & ~self.umask))
        if name in ("symlink", "symlinkat"):
            return Step(said, self.born(*self.parent(paths[0]), "link", 0o777, raw(call.args[0])))
        if name in ("chmod", "fchmodat"):
            return Step(f"{said} {rest[0]}", Chmod(self.existing(paths[0], follow=True), int(rest[0], 8)))
        if name == "truncate":
            return Step(f"{said} {rest[0]}", Resize(self.existing(paths[0], follow=True), int(rest[0])))
        folder, last = self.parent(paths[-1])
        if name in ("unlink", "unlinkat", "rmdir"):
            return Step(said, Names(folder, ((folder, last, None),)))
        inode = self.existing(paths[0])
        if name in ("link", "linkat"):
            return Step(said, Names(folder, ((folder, last, inode),)))
        if name in ("rename", "renameat") or (name == "renameat2" and rest == ["0"]):
            source, old = self.parent(paths[0])
            if self.volumes[inode] != self.volumes[folder]:
                raise NotUnderstood(f"{said}: the two are on different file systems of a real host")
            if self.nodes[folder].names.get(last) == inode:
                raise NotUnderstood(f"{said}: two names of one file; rename(2) does nothing then")
            return Step(said, Names(folder, ((source, old, None), (folder, last, inode))))
        raise NotUnderstood(f"no rule for {said}")

    def _paths(self, call: Call) -> tuple[list[str], list[str]]:
        """Return the paths among the arguments, absolute, and the other arguments."""
        args = list(call.args[1:] if call.name in ("symlink", "symlinkat") else call.args)
        paths, rest = [], []
        base = os.getcwd()
        for arg in args:
            descriptor = _FD.fullmatch(arg)
            if arg.startswith('"'):
                paths.append(os.path.normpath(os.path.join(base, text(arg))))
            elif descriptor and descriptor[2]:
                base = text(descriptor[2])
            else:
                rest.append(arg)
        return paths, rest

    def _open(self, call: Call) -> Step | None:
        (path,), rest = self._paths(call)
        flags = "O_WRONLY|O_CREAT|O_TRUNC" if call.name == "creat" else rest[0]
        if not re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", flags):
            return None
        if not self.inside(path):
            return self._refuse(call, path) if not path.startswith(("/dev/", "/proc/")) else None
        if "O_TMPFILE" in flags:
            return self._refuse(call, path)
        self.positions[call.pid, call.result] = 0
        self.append.discard((call.pid, call.result))
        if "O_APPEND" in flags:
            self.append.add((call.pid, call.result))
        inode = self.find(path, follow=True)
        if inode is None:
            return Step(
                f"creat {self._short(path)}", self.born(*self.parent(path), "file", int(rest[-1], 8) & ~self.umask)
            )
        if "O_TRUNC" in flags:
            return Step(f"truncate {self._short(path)} 0", Resize(inode, 0))
        return None

    def _seek(self, call: Call) -> None:
        key = (call.pid, call.args[0].split("<")[0])
        if key in self.positions:
            self.positions[key] = int(call.result)

    def _write(self, call: Call) -> Step | None:
        path = self._file(call.args[0])
        if path is None or not self.inside(path):
            return None
        inode = self.existing(path)
        data = raw(call.args[1])[: int(call.result)]
        key = (call.pid, call.args[0].split("<")[0])
        if call.name == "pwrite64":
            offset = int(call.args[3])
        elif key in self.append:
            offset = len(self.nodes[inode].data)
        else:
            offset = self.positions[key]
            self.positions[key] += len(data)
        return Step(f"write {self._short(path)} +{len(data)} at {offset}", Write(inode, offset, data))

    def _sync(self, call: Call) -> Step | None:
        path = self._file(call.args[0])
        if path is None or not self.inside(path):
            return None
        inode = self.existing(path)
        if call.name == "syncfs":
            return Step(f"syncfs {self._short(path)}", synced_volume=self.volumes[inode])
        return Step(f"fsync {self._short(path)}", synced=inode)

    def _file(self, descriptor: str) -> str | None:
        """Return the path behind a file descriptor; None where it has none any more."""
        match = _FD.fullmatch(descriptor)
        return text(match[2]) if match and match[2] and match[2].startswith("\\x") and not match[3] else None

    def _short(self, path: str) -> str:
        return path[len(self.root) :] if self.inside(path) else path

    def _refuse(self, call: Call, path: str | None) -> None:
        if path is not None:
            raise NotUnderstood(f"{call.name} of {path}: no rule for it, or outside the recorded tree")


def read(trace: Path, root: Path) -> tuple[Recording, Nodes]:
    """Return what was recorded between the two marks below *root*, and the tree as it stood in the end."""
    disk = Disk(root)
    before: Nodes | None = None
    steps: list[Step] = []
    ended = False
    for call in calls(trace.read_text(encoding="ascii").splitlines()):
        if any(os.fsencode(mark).hex() in arg.replace("\\x", "") for arg in call.args for mark in (BEGIN, END)):
            if before is None:
                before = dict(disk.nodes)
            else:
                ended = True
            continue
        done = disk.step(call)
        if done is not None and before is not None and not ended:
            steps.append(done)
    if before is None or not ended:
        raise NotUnderstood(f"{trace} was cut short")
    # What came to be later is there from the start, without a name.
    return Recording({**disk.births, **before}, disk.volumes, steps), disk.nodes
