"""A tuning that is killed goes on; a full disk takes nothing; what is done is not done again."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tuned_and_killed
from safetensors.numpy import load_file
from tiny_examples import EXAMPLES
from tuned_and_killed import OPTIONS

from shoal.chat import Answer, Message
from shoal.errors import LearningError
from shoal.training.generative import evaluate, fine_tune
from shoal.training.lora.chat_examples import ChatExample
from shoal.training.lora.keeping import is_whole, last_whole, seal
from shoal.training.lora.options import TuningOptions
from shoal.training.lora.progress import Progress

QUICK = TuningOptions(rank=4, dropout=0.0, epochs=1, rate=1e-2, held_out=0.2, batch=8)


def weights(adapter: Path) -> dict[str, bytes]:
    found = load_file(adapter / "adapter_model.safetensors")
    return {name: tensor.tobytes() for name, tensor in found.items()}


@pytest.fixture(scope="module")
def whole(
    tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """The adapter of a training that nobody stopped."""
    folder = tmp_path_factory.mktemp("whole")
    return weights(fine_tune(tiny("llama3"), EXAMPLES, folder, OPTIONS).adapter)


@pytest.mark.parametrize("dies_at", [1, 9])
def test_killed_and_run_again_it_ends_as_if_never_stopped(
    tiny: Callable[[str], Path], whole: dict[str, bytes], tmp_path: Path, dies_at: int
) -> None:
    base = tiny("llama3")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    script = [sys.executable, tuned_and_killed.__file__, str(base), str(tmp_path), str(dies_at)]
    assert (
        subprocess.run(script, env=environment, capture_output=True).returncode == -signal.SIGKILL
    )
    checkpoints = [*(tmp_path / "checkpoints").glob("checkpoint-*")]
    assert bool(checkpoints) == (dies_at > 2)
    for checkpoint in checkpoints[:1]:  # as a kill in the middle of writing one leaves it
        half = checkpoint.with_name("checkpoint-999")
        half.mkdir()
        (half / "adapter_model.safetensors").write_bytes(b"half")
    steps: list[int] = []
    tuned = fine_tune(base, EXAMPLES, tmp_path, OPTIONS, watch=lambda told: steps.append(told.step))
    assert steps[0] > (2 if checkpoints else 0)
    assert weights(tuned.adapter) == whole
    assert not (tmp_path / "checkpoints").exists()


def test_progress_tells_losses_speed_and_what_is_left(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    heard: list[Progress] = []
    tuned = fine_tune(tiny("llama3"), EXAMPLES, tmp_path, OPTIONS, watch=heard.append)
    last = heard[-1]
    assert last.step == last.steps == tuned.report.steps
    assert last.loss is not None
    assert last.held_out_loss is not None
    assert last.tokens_per_second > 0
    assert last.tokens > 100
    assert heard[2].seconds_left > 0
    assert tuned.report.losses[-1] < tuned.report.losses[0]
    assert tuned.report.rows + tuned.report.held_out == len(EXAMPLES)


def test_what_is_done_is_handed_back_and_other_options_begin_anew(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    base = tiny("llama3")
    first = fine_tune(base, EXAMPLES, tmp_path, QUICK)
    steps: list[Progress] = []
    assert fine_tune(base, EXAMPLES, tmp_path, QUICK, watch=steps.append) == first
    assert steps == []
    again = fine_tune(base, EXAMPLES[:-1], tmp_path, QUICK, watch=steps.append)
    assert steps
    assert again.report.identity != first.report.identity


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """The system refuses to write more into one file, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_costs_a_checkpoint_and_not_the_training(
    tiny: Callable[[str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with files_up_to(38_000):  # room for an adapter of rank 1, none for its moments
        options = TuningOptions(rank=1, epochs=1, held_out=0.2, dropout=0.0, batch=8)
        tuned = fine_tune(tiny("llama3"), EXAMPLES, tmp_path, options)
    assert "could not be kept" in caplog.text
    assert (tuned.adapter / "adapter_model.safetensors").is_file()


def test_a_disk_that_is_full_at_the_end_keeps_what_was_learned(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    from shoal.errors import ArtifactError

    options = TuningOptions(rank=8, epochs=1, held_out=0.0, dropout=0.0, batch=8)

    def watch(progress: Progress) -> None:
        if progress.step == progress.steps:
            before = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(ArtifactError, match="make room and run the same again"):
            fine_tune(tiny("llama3"), EXAMPLES, tmp_path, options, watch=watch)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "adapter").exists()
    assert [*(tmp_path / "checkpoints").glob("checkpoint-*")]
    steps: list[int] = []
    fine_tune(
        tiny("llama3"), EXAMPLES, tmp_path, options, watch=lambda told: steps.append(told.step)
    )
    assert steps[0] > 1
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()


def test_a_broken_or_a_strange_checkpoint_is_not_taken_up(tmp_path: Path) -> None:
    assert last_whole(tmp_path, "one") is None
    for number in (2, 10):
        folder = tmp_path / f"checkpoint-{number}"
        folder.mkdir()
        (folder / "weights").write_bytes(b"12345678")
        seal(folder)
    assert last_whole(tmp_path, "one") == tmp_path / "checkpoint-10"
    (tmp_path / "checkpoint-10" / "weights").write_bytes(b"1234")
    assert not is_whole(tmp_path / "checkpoint-10")
    assert last_whole(tmp_path, "one") == tmp_path / "checkpoint-2"
    assert last_whole(tmp_path, "another") is None
    assert json.loads((tmp_path / "identity.json").read_text()) == "another"


def test_packing_changes_how_texts_lie_and_not_what_is_learned(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    """One step over all examples, in rows or behind one another, has the same loss."""
    losses = []
    for packing, batch in ((False, 64), (True, 1)):
        heard: list[Progress] = []
        options = TuningOptions(
            rank=4, dropout=0.0, epochs=1, held_out=0.0, batch=batch, packing=packing
        )
        fine_tune(tiny("phi4"), EXAMPLES, tmp_path / str(packing), options, watch=heard.append)
        losses.append(next(told.loss for told in heard if told.loss is not None))
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize("recipe", ["step-by-step", "reasoning"])
def test_rationales_are_learned_as_a_second_target_or_as_thought(
    tiny: Callable[[str], Path], tmp_path: Path, recipe: str
) -> None:
    from shoal.tasks import TextContract

    options = TuningOptions(
        recipe=recipe, rank=8, dropout=0.0, epochs=30, rate=2e-2, held_out=0.0, judgements=1
    )
    tuned = fine_tune(tiny("nemo"), EXAMPLES, tmp_path, options)
    assert tuned.report.rows == len(EXAMPLES) * (2 if recipe == "step-by-step" else 1)
    judged = evaluate(tiny("nemo"), tuned.adapter, TextContract(), EXAMPLES, 96)
    assert judged.share > 0.5


def test_a_teacher_makes_its_student_as_unsure_as_it_is(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    """The teacher is the untuned model: its logits hold the student back from the answers."""
    base = tiny("llama3")
    losses = []
    for share in (0.0, 1.0):
        options = TuningOptions(
            recipe="distil", rank=4, dropout=0.0, epochs=4, rate=1e-2, held_out=0.2,
            teacher_share=share,
        )  # fmt: skip
        tuned = fine_tune(base, EXAMPLES, tmp_path / str(share), options, teacher=base)
        losses.append(tuned.report.losses)
    assert losses[0][-1] < losses[0][0]
    assert max(losses[1]) < 0.05  # they begin alike and stay so


def test_a_student_comes_nearer_to_what_its_teacher_thinks_of_its_own_answers(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    """On policy: the student writes, the examples' answers are not looked at."""
    from shoal.training.generative import merge

    base = tiny("nemo")
    learned = TuningOptions(rank=8, dropout=0.0, epochs=8, rate=2e-2, held_out=0.0, judgements=1)
    knows = fine_tune(base, EXAMPLES, tmp_path / "knows", learned)
    teacher = merge(base, knows.adapter, tmp_path / "teacher")
    silent = [ChatExample(each.messages, Answer(text="?"), key=each.key) for each in EXAMPLES]
    options = TuningOptions(
        recipe="distil", on_policy=True, rank=8, dropout=0.0, epochs=8, rate=2e-2, held_out=0.3,
        batch=2,
        judgements=1, patience=8,
    )  # fmt: skip
    tuned = fine_tune(base, silent, tmp_path / "run", options, teacher=teacher)
    assert min(tuned.report.losses) < 0.9 * tuned.report.losses[0]
    assert tuned.report.best_step > 1


def test_a_teacher_with_other_tokens_is_refused(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    options = TuningOptions(recipe="distil", epochs=1)
    with pytest.raises(LearningError, match="other tokens"):
        fine_tune(tiny("llama3"), EXAMPLES, tmp_path, options, teacher=tiny("phi4"))
    with pytest.raises(LearningError, match="teacher"):
        fine_tune(tiny("llama3"), EXAMPLES, tmp_path, options)


def test_dora_is_tuned_and_no_adapter_of_gguf(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    from shoal.errors import ArtifactError
    from shoal.training.generative import adapter_to_gguf, merge

    options = TuningOptions(method="dora", rank=4, epochs=1, held_out=0.0)
    tuned = fine_tune(tiny("llama3"), EXAMPLES, tmp_path / "run", options)
    with pytest.raises(ArtifactError, match="merge it instead"):
        adapter_to_gguf(tuned.adapter, tiny("llama3"), tmp_path / "adapter.gguf")
    assert (merge(tiny("llama3"), tuned.adapter, tmp_path / "merged") / "config.json").is_file()


def test_a_tokenizer_without_a_template_is_refused(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    import shutil

    bare = shutil.copytree(tiny("llama3"), tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(LearningError, match="has no chat template"):
        fine_tune(bare, EXAMPLES, tmp_path / "run", QUICK)


def test_examples_of_which_nothing_is_left_say_why(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    examples = [ChatExample((Message("user", "Hi"),), Answer(text=" "), key="a"), EXAMPLES[0]]
    with pytest.raises(LearningError, match="1 × its answer is empty; 1 × it is exactly a calib"):
        fine_tune(
            tiny("llama3"), examples, tmp_path, QUICK, calibration=[EXAMPLES[0].messages[0].text]
        )
