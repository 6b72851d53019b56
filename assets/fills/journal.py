"""What a search has found so far, on disk: a search that is killed goes on from there when it is run again."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Final

import numpy as np

from assets.fills.errors import FillsError
from assets.fills.policy import Policy
from assets.fills.replay import Outcome, Session

Replays = Callable[[Sequence[Policy]], list[list[Outcome]]]
"""Replays each policy on every session of a search: outcomes by policy, then by session in their order."""

_SOURCES: Final = sorted(Path(__file__).parent.glob("*.py"))


def remembered(replays: Replays, path: Path, fingerprint: str) -> Replays:
    """The same replays, each setting's outcomes kept in a file of a line each and not made again.

    A search asks for the same settings in the same order whenever it is run, so this is all that it needs to resume. The lines
    of a batch are written together and forced to the disk; one that a kill or a full disk cut short is dropped. A file about other
    sessions, rules or code (another fingerprint) is begun anew.

    Raises:
        FillsError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        found = _read(path, fingerprint)
    except OSError as error:
        raise _unwritable(path, error) from error

    def made(policies: Sequence[Policy]) -> list[list[Outcome]]:
        new = list(dict.fromkeys(policy for policy in policies if policy not in found))
        if new:
            outcomes = dict(zip(new, replays(new), strict=True))
            try:
                _append(path, (json.dumps([*policy, [astuple(each) for each in of_sessions]]) for policy, of_sessions in outcomes.items()))
            except OSError as error:
                raise _unwritable(path, error) from error
            found.update(outcomes)
        return [found[policy] for policy in policies]

    return made


def fingerprint(sessions: Iterable[tuple[Session, np.ndarray]]) -> str:
    """Of everything that the outcomes of a search depend on: sessions with their rules, and the code of this floor."""
    sha = hashlib.sha256()
    for source in _SOURCES:
        sha.update(source.read_bytes())
    for session, rules in sessions:
        for part in (session.tape.rows, session.ts, *session.signals.values()):
            sha.update(part.tobytes())
        sha.update(repr((session.tape.base, session.tape.width, session.window, [*session.signals])).encode() + rules.tobytes())
    return sha.hexdigest()


def _read(path: Path, fingerprint: str) -> dict[Policy, list[Outcome]]:
    """Outcomes by policy; the file is left with whole lines of this fingerprint."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    head = json.dumps({"fingerprint": fingerprint}).encode() + b"\n"
    whole = [line for line in lines[1:] if line.endswith(b"\n")] if lines[:1] == [head] else []
    if lines != [head, *whole]:
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_bytes(head + b"".join(whole))
        temporary.replace(path)
    found = {}
    for line in whole:
        *settings, outcomes = json.loads(line)
        found[Policy(*settings)] = [Outcome(*each) for each in outcomes]
    return found


def _append(path: Path, lines: Iterable[str]) -> None:
    with path.open("ab") as file:
        file.write("".join(f"{line}\n" for line in lines).encode())
        file.flush()
        os.fsync(file.fileno())


def _unwritable(path: Path, error: OSError) -> FillsError:
    return FillsError(f"the search's trials cannot be kept at {path}: {error.strerror or error}; make room there, then run it again")
