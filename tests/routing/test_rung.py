import json
from pathlib import Path

import pytest
from certified_rung import make_rung
from msgspec.structs import replace

from shoal.chat import Format, Message, Request
from shoal.errors import ArtifactError
from shoal.routing.rung import beyond
from shoal.specialists.specialist import Prediction
from shoal.tasks import CallContract, Contract, Field, FieldsContract, LabelContract
from shoal.tasks.contract import Output

LABEL = LabelContract(("delivery", "payments"), prefix="Department: ")


def asking(**params: object) -> Request:
    return Request("gpt", (Message("user", "Where is it?"),), params=json.dumps(params))


class Scripted:
    """A specialist that says, or raises, what it was told."""

    kind, recipe = "label", "scripted"

    def __init__(self, says: Output | BaseException | None, signal: float = 0.9) -> None:
        self.says, self.signal = says, signal

    def predict(self, text: str) -> Prediction:
        if isinstance(self.says, BaseException):
            raise self.says
        return Prediction(self.says, self.signal)

    def save(self, folder: Path) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("contract", "output", "text"),
    [
        (LABEL, "delivery", "Department: delivery"),
        (
            FieldsContract((Field("order", "span"), Field("paid", "boolean"))),
            {"order": "AB-1", "paid": True},
            '{"order": "AB-1", "paid": true}',
        ),
    ],
)
def test_it_answers_in_the_llms_own_wording(contract: Contract, output: Output, text: str) -> None:
    verdict = make_rung(Scripted(output), contract).ask("Where is it?", asking())
    assert verdict.answer is not None
    assert verdict.answer.text == text
    assert (verdict.answer.model, verdict.answer.finish_reason) == ("specialist/department", "stop")
    assert verdict.answer.usage is not None
    assert verdict.answer.usage.input_tokens == verdict.answer.usage.output_tokens == 0


def test_fixed_words_end_a_loop_unless_a_call_was_wanted() -> None:
    rung = make_rung(Scripted("DONE"), CallContract(("look_up",), says=("DONE",)))
    verdict = rung.ask("Where is it?", asking(tool_choice="auto"))
    assert verdict.answer is not None
    assert (verdict.answer.text, verdict.answer.tool_calls) == ("DONE", ())
    assert verdict.answer.finish_reason == "stop"
    refused = rung.ask("Where is it?", asking(tool_choice="required"))
    assert refused.answer is None
    assert refused.tried.reason == "the caller wants a tool to be called"


@pytest.mark.parametrize(("signal", "accepted"), [(0.8, True), (0.79999, False), (1.0, True)])
def test_the_certified_threshold_decides(signal: float, accepted: bool) -> None:
    verdict = make_rung(Scripted("delivery", signal), LABEL).ask("Where is it?", asking())
    assert (verdict.answer is not None) == accepted
    tried = verdict.tried
    assert (tried.answerer, tried.accepted) == ("specialist/department", accepted)
    assert (tried.signal, tried.threshold, tried.certificate) == (signal, 0.8, "certificate-1")
    assert tried.latency_ms >= 0
    assert tried.reason == (
        "signal reaches the threshold" if accepted else "signal under the certified threshold"
    )


def test_a_signal_that_is_no_number_is_not_accepted() -> None:
    assert (
        make_rung(Scripted("delivery", float("nan")), LABEL).ask("Where is it?", asking()).answer
        is None
    )


def test_it_declines_where_the_specialist_does() -> None:
    verdict = make_rung(Scripted(None), LABEL).ask("Where is it?", asking())
    assert verdict.answer is None
    assert verdict.tried.reason == "the answer would not keep the contract"


@pytest.mark.parametrize(
    "failure",
    [
        ArtifactError("no encoder"),
        ValueError("shapes"),
        MemoryError(),
        TypeError("None"),
        KeyError(1),
    ],
)
def test_whatever_breaks_is_a_reason_to_go_on(failure: Exception) -> None:
    verdict = make_rung(Scripted(failure), LABEL).ask("Where is it?", asking())
    assert verdict.answer is None
    assert verdict.tried.signal is None
    assert verdict.tried.reason.startswith(f"failed: {type(failure).__name__}")


def test_an_output_that_cannot_be_written_is_a_reason_to_go_on() -> None:
    verdict = make_rung(Scripted("press"), LABEL).ask("Where is it?", asking())
    assert verdict.answer is None
    assert verdict.tried.reason == "failed: ValueError"


@pytest.mark.parametrize(
    ("params", "accepted"),
    [
        ({"max_tokens": 100, "stop": ["\n\n", ""]}, True),
        ({"max_tokens": None, "stop": None}, True),
        ({"max_completion_tokens": 2}, False),
        ({"max_tokens": 1}, False),
        ({"stop": "deli"}, False),
        ({"stop": ["x", ":"]}, False),
    ],
)
def test_an_answer_that_the_llm_would_have_cut_short_is_the_llms(
    params: dict[str, object], accepted: bool
) -> None:
    """The answer would be "Department: delivery"."""
    verdict = make_rung(Scripted("delivery"), LABEL).ask("Where is it?", asking(**params))
    assert (verdict.answer is not None) == accepted
    assert accepted or verdict.tried.reason == "the caller wants it shorter"


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({}, ""),
        ({"temperature": 0, "seed": 1, "unheard_of": [1]}, ""),
        ({"n": 1, "logprobs": False, "top_logprobs": 0, "modalities": ["text"]}, ""),
        ({"n": None, "logprobs": None, "modalities": None}, ""),
        ({"n": 2}, "the caller asked for several choices"),
        ({"logprobs": True}, "the caller asked for log-probabilities"),
        ({"top_logprobs": 3}, "the caller asked for log-probabilities"),
        ({"modalities": ["text", "audio"]}, "the caller asked for more than text"),
        ({"audio": {"voice": "x"}}, "the caller asked for more than text"),
        ({"tool_choice": "auto", "functions": None}, ""),
        ({"tool_choice": "required"}, "the caller asked for a tool call"),
        ({"functions": [{"name": "f"}]}, "the caller asked for a tool call"),
        ({"logit_bias": {}}, ""),
        ({"logit_bias": {"50256": -100}}, "the caller steers the LLM in a way that a specialist"),
        ({"web_search_options": {}}, "the caller steers the LLM in a way that a specialist"),
        ({"n": "two"}, "a parameter has an unusual form"),
        ({"shoal:untranslatable": []}, ""),
        (
            {"shoal:untranslatable": ["previous_response_id"]},
            "the caller asked for what only the LLM's endpoint gives: previous_response_id",
        ),
    ],
)
def test_what_a_specialist_cannot_give_is_refused(params: dict[str, object], reason: str) -> None:
    rung = make_rung(Scripted("delivery"), LABEL)
    assert rung.refusal(asking(**params), "gpt", now=1_500).startswith(reason)
    assert bool(rung.refusal(asking(**params), "gpt", now=1_500)) == bool(reason)


@pytest.mark.parametrize(
    ("format", "effort", "refused"),
    [("messages", "low", True), ("messages", "none", False), ("chat", "low", False)],
)
def test_where_thoughts_between_calls_are_signed_the_llm_calls(
    format: Format, effort: str, refused: bool
) -> None:
    """Anthropic refuses the next step of a loop whose last call nobody thought about."""
    request = replace(asking(reasoning_effort=effort), format=format)
    assert bool(beyond(request, calls=True)) == refused
    assert not beyond(request)


def test_it_answers_only_for_the_llm_it_is_certified_against() -> None:
    refusal = make_rung(Scripted("delivery"), LABEL).refusal(asking(), "claude", now=1_500)
    assert refusal == "certified against gpt, the caller asked for claude"


def test_it_answers_until_the_certificate_lapses() -> None:
    rung = make_rung(Scripted("delivery"), LABEL)
    assert rung.refusal(asking(), "gpt", now=1_999.9) == ""
    assert rung.refusal(asking(), "gpt", now=2_000.0) == "the certificate has lapsed"


def test_a_rung_that_was_passed_over_is_on_the_receipt() -> None:
    tried = make_rung(Scripted("delivery"), LABEL).passed_over("why")
    assert (tried.answerer, tried.accepted, tried.reason) == ("specialist/department", False, "why")
    assert (tried.signal, tried.threshold) == (None, None)
    assert tried.certificate == "certificate-1"
