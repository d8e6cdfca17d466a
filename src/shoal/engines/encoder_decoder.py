"""Encoder–decoder models (T5 and its kin) run by CTranslate2, in this process and without torch.

A folder holds ``model.bin``, ``config.json`` and the vocabulary as CTranslate2 wrote them, and the
model's ``tokenizer.json``.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from shoal.errors import ArtifactError

TOKENIZER, MODEL = "tokenizer.json", "model.bin"


class Rewritten(Struct, frozen=True):
    """What was written, the mean log-probability of its tokens, whether it came to its end, and how
    many ``tokens`` it has."""

    text: str
    log_probability: float
    complete: bool
    tokens: int = 0


class EncoderDecoder:
    """One model, loaded; ``threads`` work on one batch.

    Raises:
        ArtifactError: the folder lacks a file, or one is damaged.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        import ctranslate2
        from tokenizers import Tokenizer

        missing = [name for name in (MODEL, TOKENIZER) if not (folder / name).is_file()]
        if missing:
            raise ArtifactError(f"{folder}: no {', no '.join(missing)}")
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(folder / TOKENIZER))
            self._model: Any = ctranslate2.Translator(
                str(folder), device="cpu", intra_threads=threads, inter_threads=1
            )
        except Exception as error:  # tokenizers raises no kind of its own
            raise ArtifactError(f"{folder}: cannot be loaded: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def write(self, texts: Sequence[str], tokens: int = 256, beams: int = 1) -> list[Rewritten]:
        """Answers (n,) to texts (n,), the likeliest found with so many ``beams``, of at most
        ``tokens`` tokens each."""
        asked = [self._tokenizer.encode(text).tokens for text in texts]
        found = self._model.translate_batch(
            asked,
            beam_size=beams,
            max_decoding_length=tokens,
            max_input_length=0,
            return_scores=True,
            length_penalty=1.0,
        )
        return [self._told(each, tokens) for each in found]

    def count(self, text: str) -> int:
        """How many tokens a text has."""
        return len(self._tokenizer.encode(text))

    def _told(self, found: Any, tokens: int) -> Rewritten:
        written = found.hypotheses[0]
        numbers = [self._tokenizer.token_to_id(token) for token in written]
        text = self._tokenizer.decode([n for n in numbers if n is not None])
        return Rewritten(text, float(found.scores[0]), len(written) < tokens, len(written))
