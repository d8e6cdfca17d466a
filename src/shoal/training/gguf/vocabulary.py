"""A checkpoint's tokenizer and chat template as llama.cpp wants them.

Two kinds are known: byte-level BPE (``gpt2`` in llama.cpp) and SentencePiece BPE with single bytes
to fall back on (``llama``). The second is read from ``tokenizer.json`` too, where that is all there
is: its merges give back the scores that ``tokenizer.model`` had.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import gguf
from gguf import TokenType

from shoal.errors import ArtifactError
from shoal.training.gguf.pieces import read_pieces
from shoal.training.gguf.pretokenizers import name_of

_PHI3 = {"<s>", "</s>", "<unk>", "<|endoftext|>"}
TOKENIZER, PIECES = "tokenizer.json", "tokenizer.model"


class Vocabulary(NamedTuple):
    """``kind`` and ``cuts`` are llama.cpp's names; ``tokens`` and their ``types`` are in the order
    of their numbers; ``scores`` are of SentencePiece alone, the higher is merged first."""

    kind: str
    cuts: str
    tokens: list[str]
    types: list[int]
    scores: list[float]
    prefix: bool


def write_vocabulary(writer: gguf.GGUFWriter, folder: Path, size: int) -> None:
    """Write tokenizer, special tokens and chat template of the model in ``folder``, whose logits
    are for ``size`` tokens.

    Raises:
        ArtifactError: there is no tokenizer, or none that llama.cpp knows, or it has too many
            tokens.
    """
    found = _read(folder)
    if len(found.tokens) > size:
        raise ArtifactError(
            f"{folder}: the tokenizer has {len(found.tokens):,} tokens, the model {size:,}"
        )
    spare = range(len(found.tokens), size)
    writer.add_tokenizer_model(found.kind)
    writer.add_tokenizer_pre(found.cuts)
    writer.add_token_list([*found.tokens, *(f"[PAD{number}]" for number in spare)])
    writer.add_token_types([*found.types, *(TokenType.UNUSED for _ in spare)])
    if found.scores:
        writer.add_token_scores([*found.scores, *(-1e6 for _ in spare)])
        writer.add_add_space_prefix(found.prefix)
    special = gguf.SpecialVocab(folder, load_merges=not found.scores, n_vocab=size)
    special.add_to_gguf(writer, quiet=True)
    if (end := _end_of_turn(folder, special.special_token_ids.get("eos"))) is not None:
        writer.add_eot_token_id(end)


def name_for(name: str, folder: Path) -> str:
    """The name under which llama.cpp treats the tokenizer's marks as it must.

    It lets marks swallow the space after them if the model's name has "phi-3" or "phi3" in it, and
    then counts on four tokens being there; so the name has that if, and only if, it is so.
    """
    try:
        told = json.loads((folder / TOKENIZER).read_text(encoding="utf-8"))
        added = told.get("added_tokens", [])
    except (OSError, ValueError, AttributeError):
        added = []
    swallows = any(token.get("rstrip") and token.get("special") for token in added)
    has_all = {token["content"] for token in added} >= _PHI3
    is_named = re.search("phi-?3", name, re.IGNORECASE) is not None
    if swallows and has_all:
        return name if is_named else f"{name} (phi-3)"
    return re.sub("(phi)-?(3)", r"\1 \2", name, flags=re.IGNORECASE)


def _end_of_turn(folder: Path, eos: int | None) -> int | None:
    """A second token that ends an answer, which some models have."""
    try:
        told = json.loads((folder / "generation_config.json").read_text()).get("eos_token_id")
    except (OSError, ValueError):
        return None
    ends = told if isinstance(told, list) else [told]
    return next((end for end in ends if isinstance(end, int) and end != eos), None)


def _read(folder: Path) -> Vocabulary:
    path = folder / TOKENIZER
    if not path.is_file():
        if (folder / PIECES).is_file():
            return Vocabulary("llama", "default", *read_pieces(folder / PIECES))
        raise ArtifactError(f"{folder}: has neither {TOKENIZER} nor {PIECES}")
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        kind = told["model"]["type"]
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: is no tokenizer: {error}") from None
    if kind != "BPE":
        raise ArtifactError(f"{path}: is of type {kind}; llama.cpp's decoders know BPE alone")
    is_pieces = bool(told["model"].get("byte_fallback"))
    cuts = "default" if is_pieces else name_of(told, path)
    tokens, types = _tokens(told, is_pieces, path)
    scores = _scores(told["model"], tokens) if is_pieces else []
    return Vocabulary(
        "llama" if is_pieces else "gpt2", cuts, tokens, types, scores, _has_prefix(told)
    )


def _tokens(told: dict[str, Any], is_pieces: bool, path: Path) -> tuple[list[str], list[int]]:
    numbers: dict[str, int] = told["model"]["vocab"]
    added: list[dict[str, Any]] = told.get("added_tokens", [])
    by_number = {number: token for token, number in numbers.items()}
    by_number |= {token["id"]: token["content"] for token in added}
    if set(by_number) != set(range(len(by_number))):
        raise ArtifactError(f"{path}: the tokens' numbers have gaps")
    types = dict.fromkeys(by_number, TokenType.NORMAL)
    if is_pieces:
        types |= {numbers[t]: TokenType.BYTE for t in map("<0x{:02X}>".format, range(256))
                  if t in numbers}  # fmt: skip
    for token in added:
        kind = TokenType.CONTROL if token.get("special") else TokenType.USER_DEFINED
        types[token["id"]] = kind
    unknown = told["model"].get("unk_token")
    if unknown in numbers:
        types[numbers[unknown]] = TokenType.UNKNOWN
    order = range(len(by_number))
    return [by_number[number] for number in order], [int(types[number]) for number in order]


def _scores(model: Mapping[str, Any], tokens: list[str]) -> list[float]:
    """The rank of the first merge that makes a token, negated; lower than all for those that none
    makes."""
    first: dict[str, int] = {}
    for rank, merge in enumerate(model["merges"]):
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        first.setdefault(left + right, rank)
    none = len(model["merges"])
    return [-float(first.get(token, none + number)) for number, token in enumerate(tokens)]


def _has_prefix(told: Mapping[str, Any]) -> bool:
    """Whether a space is put before each piece of text between marks, as llama.cpp then does.

    Newer tokenizers put it before the very first piece alone (scheme "first"). A chat begins with
    a mark, so there it is before none, and the file says so.
    """
    normalizer, cutter = told.get("normalizer") or {}, told.get("pre_tokenizer") or {}
    steps = normalizer.get("normalizers", [normalizer])
    if any(step.get("type") == "Prepend" for step in steps):
        return True
    return cutter.get("type") == "Metaspace" and cutter.get("prepend_scheme", "always") == "always"
