"""From published safetensors to CTranslate2's own form, once, and kept.

The conversion fills ``ctranslate2.specs.TransformerEncoderSpec`` with numpy arrays; torch and
transformers, which CTranslate2's own converter needs, are not used. It follows ``BertLoader`` of
ctranslate2/converters/transformers.py with two deviations: no pooling layer (Shoal pools by the
mean), and the vector of token type 0 is added to every position's vector. All tokens of a single
text are of type 0, so the sum of the three embeddings is the same, and that of the type is not
rounded to int8.

What is kept is a folder per digest with a manifest of its files' sha256; if a file does not match,
all is converted anew. Files are read whole, checked, and handed on as bytes, so what was checked is
what runs, whatever another process does to the folder meanwhile.
"""

import contextlib
import hashlib
import json
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from shoal.encoder.weights import REMEDY, TENSORS, TOKENIZER, Architecture, Array, Weights
from shoal.errors import ArtifactError

FORMAT = 1  # raise it when the conversion changes: old vectors and new ones must not be mixed
MANIFEST = "manifest.json"
MAX_TOKENS = 256  # what the model was trained for, [CLS] and [SEP] included

Files = dict[str, bytes]
log = logging.getLogger(__name__)


class Tensors:
    """Published tensors by name, each checked against the shape the architecture asks for."""

    def __init__(self, weights: Weights) -> None:
        self._arrays = weights.tensors()
        self._path = weights.folder / TENSORS

    def take(self, name: str, *shape: int) -> Array:
        """The tensor ``name``, finite and of exactly this shape; else raises ``ArtifactError``."""
        array = self._arrays.get(name)
        if array is None:
            raise ArtifactError(f"{self._path}: no tensor {name!r}; {REMEDY}")
        if array.shape != shape:
            raise ArtifactError(
                f"{self._path}: {name}: expected shape {shape}, found {array.shape}; {REMEDY}"
            )
        if not np.isfinite(array).all():
            raise ArtifactError(f"{self._path}: {name}: holds NaN or infinity; {REMEDY}")
        return array


def digest_of(weights: Weights) -> str:
    """What a vector depends on, as 64 hex digits: the published files and this conversion."""
    return hashlib.sha256(f"{FORMAT}:{weights.digest()}".encode()).hexdigest()


def converted(weights: Weights, digest: str, cache: Path) -> Files:
    """The int8 model's files by name, from ``cache`` if intact there, else converted and kept.

    Several processes may do this at once: each ends with the same bytes. A cache that cannot be
    written costs a conversion (about a second) at each start, and is logged, not fatal. Raises
    ``ArtifactError`` as ``convert`` does.
    """
    import ctranslate2

    home = cache / f"encoder-{digest[:16]}-ct2-{ctranslate2.__version__}"
    files = read_kept(home)
    if files is None:
        files = convert(weights)
        try:
            _keep(files, home)
        except OSError as error:
            log.warning("%s: the converted encoder cannot be kept: %s", home, error)
    return files


def convert(weights: Weights, quantization: str | None = "int8") -> Files:
    """Convert to CTranslate2; ``quantization=None`` leaves the weights in float32.

    Returns the files ``model.bin``, ``config.json`` and ``vocabulary.json`` of CTranslate2, and
    ``tokenizer.json`` set to truncate and not to pad. Raises ``ArtifactError`` if the weights are
    damaged, incomplete or not those of an encoder that Shoal can run.
    """
    from ctranslate2.specs import TransformerEncoderModelSpec

    size = weights.architecture()
    tokenizer = _tokenizer(weights, size)
    spec = TransformerEncoderModelSpec(_encoder_spec(size, Tensors(weights)), pooling_layer=False)
    spec.register_vocabulary([str(number) for number in range(size.vocabulary)])  # it is sent ids
    spec.config.layer_norm_epsilon = size.norm_epsilon
    spec.validate()
    spec.optimize(quantization=quantization)
    with tempfile.TemporaryDirectory() as folder:
        spec.save(folder)
        files = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
    return files | {TOKENIZER: tokenizer}


def _tokenizer(weights: Weights, size: Architecture) -> bytes:
    from tokenizers import Tokenizer

    path = weights.folder / TOKENIZER
    try:
        tokenizer = Tokenizer.from_buffer(weights.tokenizer())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: damaged, or not a tokenizer: {error}; {REMEDY}") from error
    if tokenizer.get_vocab_size() > size.vocabulary:  # an id past the table would be read blindly
        raise ArtifactError(
            f"{path}: {tokenizer.get_vocab_size()} tokens, but the model knows {size.vocabulary}: "
            f"they do not belong together; {REMEDY}"
        )
    tokenizer.no_padding()
    tokenizer.enable_truncation(min(MAX_TOKENS, size.positions))
    return tokenizer.to_str().encode()


def _encoder_spec(size: Architecture, tensors: Tensors) -> Any:
    from ctranslate2.specs import TransformerEncoderSpec
    from ctranslate2.specs.common_spec import Activation

    spec = TransformerEncoderSpec(
        size.layers,
        size.heads,
        pre_norm=False,
        activation=Activation.GELU,
        layernorm_embedding=True,
        head_dim=size.pruned_head_width or None,
    )
    spec.scale_embeddings = False
    table = "embeddings.{}_embeddings.weight"
    types = tensors.take(table.format("token_type"), size.token_types, size.dim)
    positions = tensors.take(table.format("position"), size.positions, size.dim)
    spec.embeddings[0].weight = tensors.take(table.format("word"), size.vocabulary, size.dim)
    spec.position_encodings.encodings = positions + types[0]
    _fill_norm(spec.layernorm_embedding, tensors, "embeddings.LayerNorm", size.dim)
    for number, layer in enumerate(spec.layer):
        _fill_layer(layer, tensors, f"encoder.layer.{number}", size)
    return spec


def _fill_layer(layer: Any, tensors: Tensors, name: str, size: Architecture) -> None:
    attention, inside = layer.self_attention, size.heads * size.head_width
    parts = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
    attention.linear[0].weight = np.concatenate(  # CTranslate2 wants the three in one: (3h, d)
        [tensors.take(f"{part}.weight", inside, size.dim) for part in parts]
    )
    attention.linear[0].bias = np.concatenate(
        [tensors.take(f"{part}.bias", inside) for part in parts]
    )
    inner = size.feed_forward
    _fill_linear(attention.linear[1], tensors, f"{name}.attention.output.dense", size.dim, inside)
    _fill_norm(attention.layer_norm, tensors, f"{name}.attention.output.LayerNorm", size.dim)
    _fill_linear(layer.ffn.linear_0, tensors, f"{name}.intermediate.dense", inner, size.dim)
    _fill_linear(layer.ffn.linear_1, tensors, f"{name}.output.dense", size.dim, inner)
    _fill_norm(layer.ffn.layer_norm, tensors, f"{name}.output.LayerNorm", size.dim)


def _fill_linear(spec: Any, tensors: Tensors, name: str, rows: int, columns: int) -> None:
    spec.weight = tensors.take(f"{name}.weight", rows, columns)
    spec.bias = tensors.take(f"{name}.bias", rows)


def _fill_norm(spec: Any, tensors: Tensors, name: str, dim: int) -> None:
    spec.gamma = tensors.take(f"{name}.weight", dim)
    spec.beta = tensors.take(f"{name}.bias", dim)


def read_kept(home: Path) -> Files | None:
    """The files kept in ``home``, or None if there are none or one is not what was written."""
    try:
        manifest = json.loads((home / MANIFEST).read_bytes())
        if not isinstance(manifest, dict) or TOKENIZER not in manifest:
            return None
        files = {name: (home / name).read_bytes() for name in manifest}
    except (OSError, ValueError):
        return None
    return files if manifest == _manifest(files) else None


def _keep(files: Files, home: Path) -> None:
    """Put the files, complete, in place of whatever is at ``home``."""
    home.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=home.parent, prefix=f".{home.name}."))
    try:
        fresh = scratch / "fresh"
        fresh.mkdir()
        for name, content in files.items():
            (fresh / name).write_bytes(content)
        (fresh / MANIFEST).write_text(json.dumps(_manifest(files), indent=1))
        with contextlib.suppress(FileNotFoundError):
            home.rename(scratch / "replaced")  # damaged, or the same by a quicker process
        try:
            fresh.rename(home)
        except OSError:
            if read_kept(home) is None:  # not just another process that was quicker
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _manifest(files: Files) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
