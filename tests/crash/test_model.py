"""The rules of the model and the reading of a trace, by literals."""

from __future__ import annotations

import random
from pathlib import Path

import crash_model
import crash_trace
import pytest
from crash_model import ROOT, Chmod, Names, Node, Recording, Resize, Step, Write

VAR, OLD, NEW = 1, 2, 3
CREATE = Step("creat .t", Names(VAR, ((VAR, ".t", NEW),)))
FILL = Step("write .t", Write(NEW, 0, b"new!"))
RENAME = Step("rename .t f", Names(VAR, ((VAR, ".t", None), (VAR, "f", NEW))))
SYNC_FILE = Step("fsync .t", synced=NEW)
SYNC_DIR = Step("fsync /", synced=VAR)


def recording(*steps: Step, volume: str = "var") -> Recording:
    nodes = {
        ROOT: Node("dir", 0o755, names={volume: VAR}),
        VAR: Node("dir", 0o755, names={"f": OLD}),
        OLD: Node("file", 0o644, b"old"),
        NEW: Node("file", 0o600),
    }
    return Recording(nodes, {ROOT: "", VAR: volume, OLD: volume, NEW: volume}, steps)


def contents(found: Recording, done: int) -> set[bytes | None]:
    """Return what may stand under the name f after a power failure behind so many steps."""
    states = [crash for crash in crash_model.crashes(found, 4096, 0) if crash.power and crash.done <= done]
    files = [{path: data for path, _kind, _mode, data in crash_model.tree(crash.nodes)} for crash in states]
    return {each.get("/var/f") for each in files}


def test_a_synced_file_renamed_is_old_or_new():
    assert contents(recording(CREATE, FILL, SYNC_FILE, RENAME, SYNC_DIR), 5) == {b"old", b"new!"}


def test_a_file_renamed_without_its_sync_may_be_empty_torn_or_zeros():
    assert contents(recording(CREATE, FILL, RENAME, SYNC_DIR), 4) == {b"old", b"new!", b"", b"ne", b"\0\0\0\0"}


def test_a_sync_of_the_file_does_not_keep_its_name():
    found = recording(CREATE, FILL, SYNC_FILE, RENAME)
    assert crash_model.pending_after(found, 4) == [0, 3]
    assert crash_model.pending_after(recording(CREATE, FILL, SYNC_FILE, RENAME, SYNC_DIR), 5) == []


def test_a_sync_of_the_file_system_keeps_all_of_it_and_nothing_of_another():
    assert crash_model.pending_after(recording(CREATE, FILL, Step("syncfs", synced_volume="var")), 3) == []
    assert crash_model.pending_after(recording(CREATE, FILL, Step("syncfs", synced_volume="opt")), 3) == [0, 1]


def test_what_a_restart_empties_is_empty_after_a_power_failure_and_only_then():
    found = list(crash_model.crashes(recording(CREATE, volume="run"), 16, 0))
    assert {(crash.power, len(list(crash_model.tree(crash.nodes)))) for crash in found} == {
        (True, 2),
        (False, 3),
        (False, 4),
    }


def test_a_mode_a_size_and_a_write_change_what_they_name():
    nodes = crash_model.replay(
        recording().nodes,
        [Chmod(OLD, 0o600), Resize(OLD, 5), Write(OLD, 1, b"LD"), None, Write(OLD, 4, b"xyz", zeros=True)],
    )
    assert nodes[OLD] == Node("file", 0o600, b"oLD\0\0\0\0")


def test_few_effects_are_combined_exhaustively_and_many_by_singles_and_chance():
    effects = [Chmod(OLD, mode) for mode in range(10)]
    assert len(set(crash_model.choices(effects[:4], 16, 0, random.Random(1)))) == 16
    some = set(crash_model.choices(effects, 16, 5, random.Random(1)))
    losses = {(*effects[:at], None, *effects[at + 1 :]) for at in range(10)}
    survivals = {(*[None] * at, effects[at], *[None] * (9 - at)) for at in range(10)}
    assert losses | survivals | {tuple(effects), (None,) * 10} < some


def test_the_order_is_judged_directly():
    assert crash_model.order_faults(recording(CREATE, FILL, SYNC_FILE, RENAME, SYNC_DIR)) == []
    assert crash_model.order_faults(recording(CREATE, FILL, RENAME, SYNC_DIR)) == [
        "rename .t f: not durable before: write .t"
    ]
    assert crash_model.order_faults(recording(CREATE, FILL, SYNC_FILE, RENAME)) == [
        "the end came before the fsync of the directory of: rename .t f"
    ]


# -- the trace -----------------------------------------------------------------------------------------


def hexed(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def steps_of(tmp_path: Path, *lines: str) -> list[str]:
    """Return the steps of a trace between the marks, in short."""
    marks = [
        f'9 access("{hexed(f"/r/{mark}")}", F_OK) = -1 ENOENT (x)' for mark in (crash_trace.BEGIN, crash_trace.END)
    ]
    trace = tmp_path / "trace"
    trace.write_text(
        "\n".join([f'9 mkdir("{hexed("/r/var")}", 0777) = 0', marks[0], *lines, marks[1], "9 +++ exited with 0 +++\n"])
    )
    return [step.call for step in crash_trace.read(trace, Path("/r"))[0].steps]


CREAT = f'9 openat(AT_FDCWD<{hexed("/")}>, "{hexed("/r/var/f")}", O_WRONLY|O_CREAT, 0666) = 3<{hexed("/r/var/f")}>'


def test_calls_are_read_wherever_their_paths_stand(tmp_path):
    assert steps_of(
        tmp_path,
        CREAT,
        f'9 write(3<{hexed("/r/var/f")}>, "{hexed("a,b)")}", 4) = 4',
        f"9 fsync(3<{hexed('/r/var/f')}>) = 0",
        f'9 renameat(5<{hexed("/r/var")}>, "{hexed("f")}", AT_FDCWD<{hexed("/r")}>, "{hexed("var/g")}") = 0',
        f'9 unlinkat(5<{hexed("/r/var")}>, "{hexed("g")}", 0) = 0',
    ) == ["creat /var/f", "write /var/f +4 at 0", "fsync /var/f", "rename /var/f /var/g", "unlink /var/g"]


def test_a_call_that_failed_or_lies_elsewhere_changes_nothing(tmp_path):
    assert (
        steps_of(
            tmp_path,
            f'9 mkdir("{hexed("/r/var/d")}", 0777) = -1 EEXIST (File exists)',
            f'9 write(1<{hexed("pipe:[1]")}>, "{hexed("x")}", 1) = 1',
        )
        == []
    )


def test_a_call_cut_in_two_by_another_process_is_one(tmp_path):
    assert steps_of(
        tmp_path,
        f'9 mkdir("{hexed("/r/var/d")}", 0777 <unfinished ...>',
        f'8 mkdir("{hexed("/r/var/e")}", 0777) = 0',
        "9 <... mkdir resumed>) = 0",
    ) == ["mkdir /var/e", "mkdir /var/d"]


@pytest.mark.parametrize(
    "line",
    [
        f'9 setxattr("{hexed("/r/var")}", "{hexed("user.x")}", "{hexed("y")}", 1, 0) = 0',
        f"9 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 3<{hexed('/r/var/f')}>, 0) = 0x7f0000000000",
        f'9 openat(AT_FDCWD<{hexed("/")}>, "{hexed("/etc/passwd")}", O_WRONLY) = 3<{hexed("/etc/passwd")}>',
        f'9 writev(3<{hexed("/r/var/f")}>, [{{iov_base="{hexed("x")}", iov_len=1}}], 1) = 1',
        f"9 fallocate(3<{hexed('/r/var/f')}>, 0, 0, 100) = 0",
        "something else",
    ],
)
def test_what_the_model_has_no_rule_for_is_refused(tmp_path, line):
    with pytest.raises(crash_trace.NotUnderstood):
        steps_of(tmp_path, CREAT, line)


def test_a_trace_without_its_end_is_refused(tmp_path):
    (tmp_path / "trace").write_text(f'9 access("{hexed(f"/r/{crash_trace.BEGIN}")}", F_OK) = -1 ENOENT (x)\n')
    with pytest.raises(crash_trace.NotUnderstood, match="cut short"):
        crash_trace.read(tmp_path / "trace", Path("/r"))
