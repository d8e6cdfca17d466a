"""Known tasks in the light of more of their own calls."""

import msgspec
import recurring

from shoal.tasks import LabelContract, TextContract, discover
from shoal.tasks.revision import with_contract_revised


def test_text_becomes_labels_once_there_are_enough_calls() -> None:
    calls = recurring.observed(
        [call for call in recurring.variants(1000) if call[0] == "input at the end"]
    )
    (early,) = discover(calls[:25]).tasks
    assert early.contract == TextContract()
    later = with_contract_revised(early, calls)
    assert isinstance(later.contract, LabelContract)
    assert len(later.contract.labels) == 28
    assert msgspec.structs.replace(later, contract=early.contract) == early
    assert with_contract_revised(later, calls) == later
    assert with_contract_revised(later, calls[:30]) == later


def test_other_tasks_calls_and_pinned_tasks_are_left_alone() -> None:
    calls = recurring.observed(list(recurring.variants(40)))
    tasks = discover(calls).tasks
    money = next(task for task in tasks if task.name == "money")
    assert with_contract_revised(money, calls) == money
    narrow = msgspec.structs.replace(money, contract=LabelContract(("maybe",)))
    assert with_contract_revised(narrow, calls).contract == LabelContract(("maybe", "yes", "no"))
    pinned = msgspec.structs.replace(narrow, pinned=True)
    assert with_contract_revised(pinned, calls) is pinned
