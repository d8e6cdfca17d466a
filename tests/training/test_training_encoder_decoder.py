"""A T5 is fine-tuned, converted, and served by CTranslate2 with the answers transformers gives."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_training_lora_tuning import files_up_to
from tiny_examples import EXAMPLES
from tiny_vocabularies import TEXT
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from shoal.engines.encoder_decoder import EncoderDecoder
from shoal.errors import ArtifactError, LearningError
from shoal.training.encoder_decoder import RewritingOptions
from shoal.training.generative import to_ctranslate2, tune_rewriter
from shoal.training.lora.preparation import text_of

OPTIONS = RewritingOptions(epochs=60, rate=1e-2, batch=8, held_out=0.0)


def t5_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    marks = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=marks, unk_token="<unk>", show_progress=False
    )
    said = [*TEXT, *(text_of(example) for example in EXAMPLES), *(x.answer.text for x in EXAMPLES)]
    tokenizer.train_from_iterator(said, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return tokenizer


@pytest.fixture(scope="module", params=["tied", "gated"])
def base(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As T5, and as T5 1.1 (gated feed-forward layers, an output matrix of its own)."""
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("t5")
    parsed = t5_tokenizer()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=parsed, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    tokenizer.save_pretrained(folder)
    is_tied = request.param == "tied"
    config = transformers.T5Config(
        vocab_size=320,
        d_model=64,
        d_kv=16,
        d_ff=128,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        feed_forward_proj="relu" if is_tied else "gated-gelu",
        tie_word_embeddings=is_tied,
        decoder_start_token_id=0,
    )
    torch.manual_seed(5)
    transformers.T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder


def test_it_is_tuned_converted_and_served_as_transformers_answers(
    base: Path, tmp_path: Path
) -> None:
    import torch
    import transformers

    tuned = tune_rewriter(base, EXAMPLES, tmp_path / "run", OPTIONS)
    model = transformers.T5ForConditionalGeneration.from_pretrained(tuned.adapter).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tuned.adapter)
    texts = [text_of(example) for example in EXAMPLES]
    wanted = []
    for text in texts:
        asked = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.inference_mode():
            ids = model.generate(asked, max_new_tokens=40, do_sample=False, num_beams=1)
        wanted.append(tokenizer.decode(ids[0], skip_special_tokens=True))
    exact = EncoderDecoder(to_ctranslate2(tuned.adapter, tmp_path / "float32", "float32"))
    assert [told.text for told in exact.write(texts, 40)] == wanted
    served = EncoderDecoder(to_ctranslate2(tuned.adapter, tmp_path / "int8"))
    told = served.write(texts, 40)
    right = [one.text == example.answer.text for one, example in zip(told, EXAMPLES, strict=True)]
    assert sum(right) > 0.7 * len(right)
    assert all(one.log_probability <= 0 and one.complete for one in told)
    assert not served.write(texts[:1], 2)[0].complete


def test_serving_it_loads_no_torch(base: Path, tmp_path: Path) -> None:
    folder = to_ctranslate2(base, tmp_path / "served")
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path\n"
        "from shoal.engines.encoder_decoder import EncoderDecoder\n"
        f"print(len(EncoderDecoder(Path({str(folder)!r})).write(['a', 'b'], 3)))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert ran.stdout.strip() == "2"


def test_what_cannot_be_served_or_learned_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no model\.bin, no tokenizer\.json"):
        EncoderDecoder(tmp_path)
    folder = to_ctranslate2(base, tmp_path / "served")
    before = sorted(path.name for path in folder.iterdir())
    with files_up_to(50_000), pytest.raises(ArtifactError, match="cannot be converted"):
        to_ctranslate2(base, folder)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["served"]
    (folder / "model.bin").write_bytes((folder / "model.bin").read_bytes()[:1000])
    with pytest.raises(ArtifactError, match="cannot be loaded"):
        EncoderDecoder(folder)
    taken = [text_of(example) for example in EXAMPLES]
    with pytest.raises(LearningError, match="exactly a calibration example"):
        tune_rewriter(base, EXAMPLES, tmp_path / "run", OPTIONS, calibration=taken)
