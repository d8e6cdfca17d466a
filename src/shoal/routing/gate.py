"""Which task a request that belongs to none is most like, by the encoder's vectors.

The simplest that can be learned from recorded calls: the mean vector of each task, and how near its
own calls came to it. Calls of tasks that no member of a mixture answers are learned too, so that
what is like them goes to no specialist.

What it does not know: anything but the words. A request that is like none of what was recorded may
still lie near one task by chance; how often that happens is told for recorded calls of no task.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.chat import Request
from shoal.errors import ArtifactError, ConfigError

Vectors = NDArray[np.float32]

LEAST = 8
"""Calls of a task from which on it is learned."""
_FLOOR = 0.05  # share of a task's own calls that may be further from its mean
_MARGIN = 0.02  # of cosine, by which the nearest must be nearer than the next
_HELD_OUT = 5  # one call in so many is not learned from, but judged
_RULES, _QUESTION = 600, 1_400  # characters: the encoder reads 256 tokens


class Centre(Struct, frozen=True):
    """A task: its mean vector (dim,), of length 1, and the cosine that a request must reach."""

    task: str
    vector: tuple[float, ...]
    floor: float


class Gate(Struct, frozen=True):
    """The centres of all tasks that were learned, and the digest of the encoder that made them."""

    encoder: str
    centres: tuple[Centre, ...]

    def task_of(self, vector: NDArray[np.float32]) -> tuple[str, str]:
        """The task that a request's unit vector (dim,) is surely most like, "" if none, and why."""
        cosines = np.array([one.vector for one in self.centres], np.float32) @ vector
        order = np.argsort(-cosines)
        best, cosine = self.centres[order[0]], float(cosines[order[0]])
        if cosine < best.floor:
            return "", (
                f"nothing learned is like it: {best.task} at {cosine:.3f}, "
                f"its own calls reach {best.floor:.3f}"
            )
        if len(order) > 1 and cosine - float(cosines[order[1]]) < _MARGIN:
            return "", f"as much like {best.task} as like {self.centres[order[1]].task}"
        return best.task, f"most like the task {best.task}, at {cosine:.3f}"

    def save(self, path: Path) -> None:
        """Write it as JSON, whole or not at all.

        Raises:
            ArtifactError: it cannot be written.
        """
        fresh = path.with_name(f".{path.name}.new")
        try:
            fresh.write_bytes(msgspec.json.encode(self))
            fresh.replace(path)
        except OSError as error:
            raise ArtifactError(f"{path}: cannot be written: {error.strerror}") from None


class Seen(Struct, frozen=True):
    """Of calls held out: how many of each task (``n``) were ``right``, ``unsure``, and taken for
    those of another task (``wrong``)."""

    task: str
    n: int
    right: int
    unsure: int
    wrong: int


def read_gate(path: Path, place: str) -> Gate | None:
    """The gate that was learned; None if none was yet.

    Raises:
        ConfigError: the file is damaged.
    """
    try:
        gate = msgspec.json.decode(path.read_bytes(), type=Gate)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"{place}: {path} cannot be read: {error}; learn it again") from None
    sizes = {len(one.vector) for one in gate.centres}
    if len(sizes) != 1:
        raise ConfigError(f"{place}: {path} holds no gate; learn it again")
    return gate


def learn_gate(encoder: str, calls: Mapping[str, Vectors]) -> tuple[Gate, list[Seen]]:
    """A gate of the unit vectors (n, dim) of each task's calls, by the task's name, and how it does
    on every fifth call, which it has not seen. Tasks with fewer than ``LEAST`` are left out.

    Raises:
        ConfigError: no task has enough.
    """
    enough = {task: rows for task, rows in calls.items() if len(rows) >= LEAST}
    if not enough:
        raise ConfigError(f"no task has {LEAST} recorded calls yet; nothing can be learned")
    held = {task: rows[::_HELD_OUT] for task, rows in enough.items()}
    kept = {task: np.delete(rows, np.s_[::_HELD_OUT], 0) for task, rows in enough.items()}
    gate = Gate(encoder, tuple(_centre(task, rows) for task, rows in kept.items()))
    return gate, [_seen(gate, task, rows) for task, rows in held.items()]


def gate_text(request: Request) -> str:
    """What of a request is encoded: the beginning of its rules, and of its last question. What
    came after the question, like results of tools, changes nothing."""
    rules = [one.text for one in request.messages if one.role in ("system", "developer")]
    asked = [one.text for one in request.messages if one.role == "user"]
    return f"{' '.join(rules)[:_RULES]}\n{asked[-1][:_QUESTION] if asked else ''}"


def _centre(task: str, rows: Vectors) -> Centre:
    mean = rows.mean(axis=0)
    mean /= max(float(np.linalg.norm(mean)), 1e-12)
    floor = float(np.quantile(rows @ mean, _FLOOR))
    return Centre(task, tuple(map(float, mean)), floor)


def _seen(gate: Gate, task: str, rows: Vectors) -> Seen:
    said = [gate.task_of(row)[0] for row in rows]
    right, unsure = said.count(task), said.count("")
    return Seen(task, len(said), right, unsure, len(said) - right - unsure)
