"""Tokenizers of the kinds that published models have, trained on a few lines of text."""

import io
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

TEXT = [
    "The meeting is moved to Friday, the 3rd of May 2024 at 14:30.",
    "Please cancel order 48213 and refund the customer's card.",
    "SELECT name FROM rivers WHERE length > 1000 ORDER BY length DESC;",
    "Where's the parcel? It hasn't arrived yet, and I can't wait.",
    "Grüße aus München; naïve café, 12,5 km. 日本語のテキスト 😀",
    "def add(a, b):\n    return a + b\n\n\nprint(add(1, 2))",
    "user assistant system turn start end thought answer: 2024-05-03",
] * 3

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def bytes_of(cut: str, special: list[str], ignore_merges: bool = False, bos: str = "") -> Tokenizer:
    """Byte-level BPE; ``cut`` is a pattern, or the name of a rule."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=cut in ("gpt2", "digits"))
    if cut == "gpt2":
        tokenizer.pre_tokenizer = level
    else:
        first = pre_tokenizers.Digits(individual_digits=True)
        if cut != "digits":
            first = pre_tokenizers.Split(Regex(cut), "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([first, level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=360,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    if bos:
        mark = [(bos, tokenizer.token_to_id(bos))]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=mark
        )
    return tokenizer


def pieces_of(
    folder: Path,
    special: list[str],
    prefix: bool,
    bos: str,
    eos: str,
    swallows: bool = False,
    first: bool = False,
) -> Tokenizer:
    """SentencePiece BPE with bytes to fall back on; leaves its ``tokenizer.model`` in ``folder``.
    Marks that ``swallows`` take the space after them, as Phi-3's do; ``first``: a space is put
    before the very first piece alone, as Mistral's newer ones do."""
    import sentencepiece as spm
    from sentencepiece import sentencepiece_model_pb2 as form

    written = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT),
        model_writer=written,
        model_type="bpe",
        vocab_size=470,
        byte_fallback=True,
        character_coverage=0.99,
        bos_piece=bos,
        eos_piece=eos,
        add_dummy_prefix=prefix,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        control_symbols=special,
        minloglevel=2,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(written.getvalue())
    told = form.ModelProto.FromString(written.getvalue())
    scores = {piece.piece: piece.score for piece in told.pieces}
    vocabulary = {piece.piece: number for number, piece in enumerate(told.pieces)}
    controls = [piece.piece for piece in told.pieces if piece.type in (2, 3)]
    tokenizer = Tokenizer(
        models.BPE(
            vocabulary, _merges(scores, vocabulary), unk_token="<unk>", fuse_unk=True,
            byte_fallback=True,
        )
    )  # fmt: skip
    marks = [normalizers.Replace(" ", "▁")]
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), *marks] if prefix else marks
    )
    if first:
        tokenizer.normalizer = None
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    ends: list[Any] = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*ends, decoders.Strip(" ", 1, 0)] if prefix else ends)
    plain = {"<unk>", "<s>", "<|endoftext|>"}
    tokenizer.add_special_tokens(
        [AddedToken(mark, rstrip=swallows and mark not in plain) for mark in controls]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, vocabulary[bos])]
    )
    return tokenizer


def _merges(scores: dict[str, float], vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """All pairs of pieces that make a piece, as transformers' own converter finds them."""
    pairs = [
        (-scores[piece], vocabulary[piece[:at]], vocabulary[piece[at:]], piece[:at], piece[at:])
        for piece in vocabulary
        for at in range(1, len(piece))
        if piece[:at] in vocabulary and piece[at:] in vocabulary and not piece.startswith("<")
    ]
    return [(left, right) for *_, left, right in sorted(pairs)]
