"""A local model's file in fewer bits, beside the file it was made of: size, time, and answers.

Nobody says what is right for a model without a task. So quality is how often it still writes what
the given file writes, greedily, to prompts of the user's own: word for word.
"""

import os
import time
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from shoal.engines.local.base_model import BaseModel, BaseSettings
from shoal.engines.local.generating import generate
from shoal.errors import ArtifactError, LearningError
from shoal.guarantees import interval
from shoal.training.generative import requantise, to_gguf
from shoal.training.lora.energy import Meter

if TYPE_CHECKING:
    from shoal.training.gguf.tensors import Precision

_TOKENS = 48  # of each answer that is compared


class ModelFigures(Struct, frozen=True):
    """One file. To ``same`` of ``n`` prompts it wrote word for word what the first did, which is a
    share between ``low`` and ``high`` (95 %); ``first_words`` is the mean share of an answer up to
    the first difference. ``token_ms``: CPU time a token, reading the prompt included; ``joules`` a
    token, None where the machine does not tell. Without prompts all that is None."""

    name: str
    path: str
    file_mb: float
    same: int | None = None
    n: int = 0
    low: float = 0.0
    high: float = 1.0
    first_words: float | None = None
    token_ms: float | None = None
    joules: float | None = None
    front: bool = False


class _Answers(Struct):
    texts: list[str]
    token_ms: float
    joules: float | None


def compress_model(
    source: Path,
    folder: Path,
    precisions: "Sequence[Precision]",
    prompts: Sequence[str],
    told: Callable[[str], None] = lambda said: None,
) -> list[ModelFigures]:
    """Write ``source``, a GGUF file or a checkpoint's folder, into ``folder`` at each precision,
    measure all, and remove what is beaten. The first row is the source, of a checkpoint its f16.

    Raises:
        ConfigError: the source is damaged, or too large for this machine.
        ArtifactError: it cannot be written (a full disk), or is of an unknown architecture.
        LearningError: it has no more bits than any of the precisions.
        MissingExtra: the extra ``local`` is not installed.
    """
    if not source.exists():
        raise ArtifactError(f"{source}: no such file or folder, and no task of that name")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtifactError(f"{folder}: cannot be written: {error.strerror}") from error
    first = source
    if source.is_dir():
        told("writing f16")
        first = to_gguf(source, folder / f"{source.name}-f16.gguf", "f16")
    stem = source.name if source.is_dir() else source.stem
    files, refused = [first], list[str]()
    for precision in precisions:
        told(f"writing {precision}")
        try:
            files.append(requantise(first, folder / f"{stem}-{precision}.gguf", precision))
        except LearningError as error:  # it has as few bits already
            refused.append(str(error))
    if len(files) == 1 and refused:
        raise LearningError(refused[-1])
    rows, reference = list[ModelFigures](), None
    for file in files:
        told(f"measuring {file.name}")
        answers = _answers(file, prompts) if prompts else None
        reference = reference or answers
        rows.append(_figures(file, answers, reference))
    rows = [replace(row, front=not any(_beats(other, row) for other in rows)) for row in rows]
    for row in rows:
        if not row.front and Path(row.path) != source:
            Path(row.path).unlink()
    return rows


def _answers(file: Path, prompts: Sequence[str]) -> _Answers:
    model = BaseModel(file.stem, BaseSettings(file, slots=1, threads=1, chat_template="chatml"))
    try:
        generate(model, prompts[0], max_tokens=2)  # it is loaded now
        with model.used(None) as use:
            pid = use.child.pid
        meter, before = Meter(), _cpu_s(pid)
        drawn = meter.read()
        said = [generate(model, prompt, max_tokens=_TOKENS) for prompt in prompts]
        spent, after = _cpu_s(pid) - before, meter.read()
        tokens = max(1, sum(one.usage.output_tokens or 0 for one in said))
        joules = None if drawn is None or after is None else (after - drawn) / tokens
        return _Answers([one.text for one in said], spent / tokens * 1e3, joules)
    finally:
        model.close()


def _cpu_s(pid: int) -> float:
    """CPU seconds of a process so far; where the system has no /proc, seconds of a clock."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return time.perf_counter()


def _figures(file: Path, answers: _Answers | None, reference: _Answers | None) -> ModelFigures:
    row = ModelFigures(file.name, str(file), file.stat().st_size / 1e6)
    if answers is None or reference is None:
        return row
    pairs = list(zip(answers.texts, reference.texts, strict=True))
    same = sum(one == other for one, other in pairs)
    low, high = interval(same, len(pairs), 0.95)
    shared = [_shared(one, other) for one, other in pairs]
    return replace(
        row,
        same=same,
        n=len(pairs),
        low=low,
        high=high,
        first_words=sum(shared) / len(shared),
        token_ms=answers.token_ms,
        joules=answers.joules,
    )


def _shared(one: str, other: str) -> float:
    """The share of the longer text up to the first difference."""
    common = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    longest = max(len(one), len(other))
    return sum(1 for _ in common) / longest if longest else 1.0


def _beats(one: ModelFigures, other: ModelFigures) -> bool:
    """Without prompts nothing is known but the size, and nothing is beaten."""
    if one.first_words is None or other.first_words is None:
        return False
    ours = one.first_words, -one.file_mb, -(one.token_ms or 0.0)
    theirs = other.first_words, -other.file_mb, -(other.token_ms or 0.0)
    return ours != theirs and all(a >= b for a, b in zip(ours, theirs, strict=True))
