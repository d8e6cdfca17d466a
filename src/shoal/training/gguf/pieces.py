"""A SentencePiece model (``tokenizer.model``), for checkpoints that have no ``tokenizer.json``."""

import importlib.util
from pathlib import Path

from gguf import TokenType

from shoal.errors import ArtifactError, MissingExtra


def read_pieces(path: Path) -> tuple[list[str], list[int], list[float], bool]:
    """Tokens, their types, their scores, and whether a space is put before a text.

    Raises:
        ArtifactError: it is none, or no BPE.
        MissingExtra: sentencepiece is not installed.
    """
    if importlib.util.find_spec("sentencepiece") is None:
        raise MissingExtra("train", f"reading {path.name}")
    from sentencepiece import SentencePieceProcessor
    from sentencepiece import sentencepiece_model_pb2 as form

    told = form.ModelProto()
    try:
        told.ParseFromString(path.read_bytes())
        pieces = SentencePieceProcessor(model_proto=told.SerializeToString())
    except Exception as error:  # noqa: BLE001  protobuf's own kinds of error are not public
        raise ArtifactError(f"{path}: is no SentencePiece model: {error}") from None
    if told.trainer_spec.model_type != form.TrainerSpec.BPE:
        raise ArtifactError(f"{path}: is no BPE; llama.cpp's decoders know BPE alone")
    numbers = range(pieces.vocab_size())
    types = [_type(pieces, number) for number in numbers]
    return (
        [pieces.id_to_piece(number) for number in numbers],
        types,
        [pieces.get_score(number) for number in numbers],
        told.normalizer_spec.add_dummy_prefix,
    )


def _type(pieces: "object", number: int) -> int:
    for asked, kind in (
        ("is_unknown", TokenType.UNKNOWN),
        ("is_control", TokenType.CONTROL),
        ("is_unused", TokenType.UNUSED),
        ("is_byte", TokenType.BYTE),
    ):
        if getattr(pieces, asked)(number):
            return int(kind)
    return int(TokenType.NORMAL)
