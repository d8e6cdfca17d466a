"""Questions to documents: answered with the place, or kept where the documents do not answer."""

from collections.abc import Callable

from pipelines import Pipeline

Prepared = Callable[[str], Pipeline]


def test_a_question_is_answered_or_kept(pipeline: Prepared) -> None:
    here = pipeline("document_questions")
    asked = "How many euros may the keeper of a bay spend without asking?"
    found = here.run("plan.json", {"question": asked})["value"]
    assert found["found"]
    assert "150 euros" in found["answer"]
    assert found["document"].endswith("expenses.md")

    lost = "What is the wifi password of the guest network?"
    for _ in range(2):
        assert not here.run("plan.json", {"question": lost})["value"]["found"]
    assert [row[0] for row in here.rows("questions.db", "SELECT * FROM open_questions")] == [lost]

    parts = ["When must the fee be paid?", "Who won the world cup in 1974?"]
    report = here.run("report.json", {"title": "New", "parts": parts})["value"]
    assert [part["question"] for part in report["parts"]] == parts
    assert [part["found"] for part in report["parts"]] == [True, False]
    assert "third working day" in report["parts"][0]["answer"]
