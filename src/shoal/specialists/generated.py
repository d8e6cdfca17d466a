"""Kind ``generated``: answers that a small language model on this machine writes, tuned for the
task by a low-rank adapter, or merged with it.

The model is asked with the input alone, not with the prompt that the LLM needs: what to do it has
learned. Its signal is learned from how probable it found its own words. ``shoal.training.lora``
makes the files; here they are served by ``engines.local`` (extra ``local``).
"""

import json
import math
import weakref
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.chat import ToolCall
from shoal.engines.local.base_model import Adapter, BaseModel, BaseSettings
from shoal.engines.local.bases import open_base, release_base, release_later
from shoal.engines.local.generating import Generated, generate
from shoal.errors import ArtifactError, ConfigError, EngineError, LearningError, RequestError
from shoal.specialists.files import write_model
from shoal.specialists.kind import Kind, Recipe
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Prediction, Reason, Specialist, Trained
from shoal.specialists.writing.sureness import Sureness, features
from shoal.tasks.comparators import key_of
from shoal.tasks.contract import (
    CallContract,
    Contract,
    Output,
    TextContract,
    parse,
    render,
    written,
)
from shoal.tasks.input import Input
from shoal.tasks.json_style import JsonStyle

ADAPTER, MODEL = "adapter.gguf", "model.gguf"
_THOUGHT = "</think>"
_WAIT_S = 60.0


class BaseFile(Struct, frozen=True):
    """The model file that an adapter lies on: its path, and the SHA-256 of what must be in it."""

    path: str
    sha256: str


class Files(Struct, frozen=True):
    """What is served: an ``adapter`` on a ``base``, or a whole ``model`` of its own (None)."""

    folder: Path
    base: BaseFile | None

    @property
    def model(self) -> Path:
        """The file to load."""
        return self.folder / MODEL if self.base is None else Path(self.base.path)

    @property
    def adapter(self) -> Path | None:
        """The adapter to load with it."""
        return None if self.base is None else self.folder / ADAPTER


class GeneratedSpecialist:
    """A tuned model; it is loaded at the first prediction. No answer has over ``longest`` tokens.

    Raises:
        ConfigError: the model's file is damaged, or too large for the memory.
    """

    kind = "generated"

    def __init__(
        self, contract: Contract, files: Files, recipe: str, longest: int, sureness: Sureness
    ) -> None:
        self.recipe = recipe
        self._contract, self._files = contract, files
        self._longest, self._sureness = longest, sureness
        self._base = open_base("specialist", BaseSettings(files.model))
        try:
            self._adapter = _added(self._base, files)
        except ConfigError:
            release_base(self._base)
            raise
        adapters = () if self._adapter is None else (self._adapter,)
        self._end = weakref.finalize(self, release_later, self._base, adapters)
        self._end.atexit = False  # children end with the process by themselves

    def predict(self, given: Input) -> Prediction:
        """Write the answer to one input. Declines what does not fit the model's window, and where
        what it writes is no answer of the contract or to the comparator (SQL that does not run), is
        cut off, or does not come.

        Raises:
            ConfigError: the task's comparator is not known here.
        """
        found = self.said(given.text)
        if found is None:
            return Prediction(None, 0.0)
        output, told = found
        return Prediction(output, self._sureness.probability(told))

    def said(self, text: str) -> tuple[Output, NDArray[np.float64]] | None:
        """The output, and the features (3,) that tell how sure it is; None for no answer."""
        asked = [{"role": "user", "content": text}]
        try:
            found = generate(
                self._base, asked, self._adapter, max_tokens=self._longest, alternatives=1,
                timeout_s=_WAIT_S,
            )  # fmt: skip
        except (EngineError, RequestError):  # the LLM answers then
            return None
        if found.finish_reason == "length" or not found.tokens:
            return None
        output = understood(self._contract, found.text)
        if output is None or not _is_answer(self._contract, output):
            return None
        return output, sureness_features(found)

    @property
    def cpu_seconds(self) -> float:
        """Spent for it outside of this process."""
        return self._base.cpu_seconds

    def begin(self) -> None:
        """Load the model, which the first prediction would do.

        Raises:
            EngineError: it cannot be loaded.
            MissingExtra: ``xllamacpp`` is not installed.
        """
        with self._base.used(self._adapter):
            pass

    def explain(self, given: Input) -> tuple[Reason, ...]:
        """Nothing: what a word did to an answer that was generated, no figure of the model says."""
        return ()

    def save(self, folder: Path) -> None:
        """Write ``model.json``, ``model.safetensors`` and the adapter, or the whole model."""
        base = self._files.base
        told = {
            "kind": self.kind,
            "recipe": self.recipe,
            "base": None if base is None else msgspec.to_builtins(base),
            "longest": self._longest,
            "sureness": [self._sureness.intercept, *self._sureness.weights],
        }
        write_model(folder, told, {"none": np.zeros(1, np.float32)})
        own = self._files.adapter or self._files.model
        with own.open("rb") as source, (folder / own.name).open("wb") as target:
            while piece := source.read(1 << 20):
                target.write(piece)

    def close(self) -> None:
        """Let go of the model, which ends with its last user."""
        held = self._end.detach()
        if held is not None:
            release_base(*held[2])


def restore_generated(contract: Contract, model: dict[str, Any], folder: Path) -> Specialist:
    """The specialist that ``save`` wrote into ``folder``.

    Raises:
        ArtifactError: the model that its adapter lies on is gone, or another one.
        KeyError, TypeError, ValueError: the files do not fit.
    """
    base = msgspec.convert(model["base"], BaseFile | None)
    intercept, *weights = model["sureness"]
    sureness = Sureness(float(intercept), tuple(map(float, weights)))
    try:
        found = GeneratedSpecialist(
            contract, Files(folder, base), str(model["recipe"]), int(model["longest"]), sureness
        )
        is_same = base is None or found._base.digest == base.sha256
    except ConfigError as error:
        raise ArtifactError(f"{error}; train the task again, or bring the file back") from error
    if base is not None and not is_same:
        found.close()
        raise ArtifactError(
            f"{base.path}: is not the model that the adapter was trained on; train the task again"
        )
    return found


def spelled(contract: Contract, output: Output) -> str:
    """The text that a model learns to write for an output: tool calls as JSON, anything else as the
    LLM writes it.

    Raises:
        ValueError: the output does not fit the contract.
    """
    if not isinstance(contract, CallContract):
        return render(contract, output)
    calls = (
        [call for call in output if isinstance(call, ToolCall)] if isinstance(output, tuple) else []
    )
    told = [{"name": call.name, "arguments": json.loads(call.arguments or "{}")} for call in calls]
    return json.dumps(told, ensure_ascii=False)


def understood(contract: Contract, text: str) -> Output | None:
    """The output that a model's text says, what it thought before left out; None if it is none."""
    said = text.rpartition(_THOUGHT)[2].strip()
    if not isinstance(contract, CallContract):
        if isinstance(contract, TextContract) and contract.json and not _is_json(said):
            return None
        output = parse(contract, said)
        return None if output == "" else output  # the number 0 and no label are answers
    try:
        told = msgspec.json.decode(said, type=list[_Called])
    except msgspec.DecodeError:
        return None
    if not told or any(call.name not in contract.tools for call in told):
        return None
    return tuple(
        ToolCall(f"call_{at}", call.name, json.dumps(call.arguments, ensure_ascii=False))
        for at, call in enumerate(told)
    )


def sureness_features(found: Generated) -> NDArray[np.float64]:
    """(3,): log-probability of what was written, of a token of it, and how likely the least likely
    token was: one wrong word makes an answer wrong."""
    logs = [token.logprob for token in found.tokens]
    return features(sum(logs), sum(logs) / len(logs), math.exp(min(logs)))


def _is_answer(contract: Contract, output: Output) -> bool:
    """Whether the task's comparator, where it looks at one answer by itself, calls it one."""
    key = key_of(contract.comparator) if contract.comparator else None
    return key is None or key(written(contract, output)) is not None


def _is_json(text: str) -> bool:
    try:
        JsonStyle.read(text)
    except ValueError:
        return False
    return True


class _Called(Struct):
    name: str
    arguments: dict[str, Any]


def _added(base: BaseModel, files: Files) -> Adapter | None:
    path = files.adapter
    return None if path is None else base.add_adapter(path, "specialist")


def _fits(contract: Contract) -> bool:
    return True


def _refusal(contract: Contract, inputs: Any, recipe: Recipe) -> str:
    return ""


def _train(
    contract: Contract, inputs: Any, outputs: Any, senses: Senses | None, recipe: Recipe
) -> Trained:
    raise LearningError("models are tuned by `shoal train` alone")


def _restore(
    contract: Contract, model: dict[str, Any], arrays: dict[str, Any], senses: Senses | None
) -> Specialist:
    raise ArtifactError("a generated specialist is restored with its folder")


KIND = Kind("generated", (), _fits, _refusal, _train, _restore)
