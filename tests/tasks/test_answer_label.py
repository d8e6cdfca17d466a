from shoal.chat import ToolCall
from shoal.tasks import FieldsContract, LabelContract
from shoal.tasks.answer_label import has_labels, label_of
from shoal.tasks.contract import CallContract

LABELS, CALLS = LabelContract(("a", "b")), CallContract(("look_up", "book"))


def test_a_label_is_its_own() -> None:
    assert label_of(LABELS, "a") == "a"
    assert label_of(LABELS, None) is None


def test_calls_go_by_the_tools_called() -> None:
    calls = (ToolCall("1", "look_up", "{}"), ToolCall("2", "book", "{}"))
    assert label_of(CALLS, calls) == "look_up + book"


def test_other_answers_have_none() -> None:
    assert label_of(FieldsContract(()), {}) is None
    assert [has_labels(one) for one in (LABELS, CALLS, FieldsContract(()))] == [True, True, False]
