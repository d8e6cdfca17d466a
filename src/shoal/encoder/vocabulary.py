"""A tokenizer that knows fewer word pieces: what it no longer knows, it puts together from shorter
ones.

Only WordPiece tokenizers, as BERT's are. A piece's number is its place among those kept, so a
table of vectors keeps the same rows in the same order.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from shoal.errors import ArtifactError

_INSIDE = "##"


def kept_pieces(tokenizer: bytes, kept: Sequence[int]) -> bytes:
    """``tokenizer.json`` with the pieces of these numbers (k,) alone, rising.

    Raises:
        ArtifactError: the tokenizer is not of this kind, or it has no such pieces.
    """
    told = _read(tokenizer)
    names = {number: piece for piece, number in told["model"]["vocab"].items()}
    try:
        left = {names[int(old)]: new for new, old in enumerate(kept)}
        for added in told["added_tokens"]:
            added["id"] = left[added["content"]]
        _renumber(told.get("post_processor"), left)
    except KeyError as error:
        raise ArtifactError(
            f"the specialist's word pieces are not the tokenizer's: {error}"
        ) from None
    told["model"]["vocab"] = left
    return json.dumps(told).encode()


def needed(tokenizer: bytes, seen: Iterable[int], common: int) -> np.ndarray:
    """The numbers (k,) int32, rising, of pieces to be kept: those ``seen``, special ones, the
    ``common`` lowest (published vocabularies are sorted by how common a piece is, which is no
    promise), and every single character, so that any word can still be put together.

    Raises:
        ArtifactError: the tokenizer is not of this kind.
    """
    told = _read(tokenizer)
    pieces = told["model"]["vocab"]
    kept = {int(number) for number in seen} | {added["id"] for added in told["added_tokens"]}
    plain = sorted(number for piece, number in pieces.items() if not piece.startswith("[unused"))
    kept |= set(plain[:common])
    kept |= {pieces[told["model"]["unk_token"]]}
    kept |= {number for piece, number in pieces.items() if len(piece.removeprefix(_INSIDE)) == 1}
    special = (piece for piece in pieces if piece in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
    return np.array(sorted(kept | {pieces[piece] for piece in special}), np.int32)


def _read(tokenizer: bytes) -> Any:
    told = json.loads(tokenizer)
    if told.get("model", {}).get("type") != "WordPiece":
        raise ArtifactError("word pieces can be dropped of a WordPiece tokenizer alone")
    return told


def _renumber(processor: Any, left: dict[str, int]) -> None:
    """The numbers that a post-processor writes down by itself."""
    if not isinstance(processor, dict):
        return
    for sign in ("sep", "cls"):
        if sign in processor:
            processor[sign] = [processor[sign][0], left[processor[sign][0]]]
    for name, token in (processor.get("special_tokens") or {}).items():
        token["ids"] = [left[piece] for piece in token.get("tokens", [name])]
    for inner in processor.get("processors", ()):
        _renumber(inner, left)
