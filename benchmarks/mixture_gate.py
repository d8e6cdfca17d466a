"""Where a mixture's learned gate sends requests that belong to no known task.

    python -m benchmarks.mixture_gate

Learned from recorded calls of fifteen tasks: twelve data sets of questions that end in one wording
of the answer's beginning, and three of a bank's support desk, each with its instruction. Then asked
of: other calls of the same tasks; the same data sets' other questions in another wording, which no
template matches; messages without any instruction, of no task. Right is the task (the data set).
"""

import random
import time
from collections import defaultdict

from benchmarks.task_traffic import Labelled, chatter, support_desk, zero_shot_cot
from shoal.encoder import Encoder
from shoal.routing.gate import Gate, gate_text, learn_gate

LEARNED, ASKED = 100, 40  # of a task


def texts(labelled: list[Labelled]) -> dict[str, list[str]]:
    """What is encoded of calls, by template, in an order of chance."""
    found = defaultdict[str, list[str]](list)
    for one in labelled:
        found[one.template].append(gate_text(one.call.request))
    for some in found.values():
        random.Random(0).shuffle(some)
    return dict(found)


def row(name: str, gate: Gate, encoder: Encoder, asked: dict[str, list[str]]) -> str:
    """One line of the table; ``asked`` by the right task, "" for none."""
    said = [
        (task, gate.task_of(vector)[0])
        for task, some in asked.items()
        for vector in encoder.encode(some)
    ]
    right = sum(task == found for task, found in said if task)
    unsure = sum(not found for _, found in said)
    wrong = sum(bool(found) and task != found for task, found in said)
    cells = [f"{part / len(said):.1%}" for part in (right, unsure, wrong)]
    return f"| {name} | {len(said)} | {' | '.join(cells)} |"


def main() -> None:
    """Prints the table."""
    began, encoder = time.process_time(), Encoder()
    calls = texts([*zero_shot_cot(), *support_desk()])
    other = {name: some for name, some in calls.items() if name.endswith("-zero_shot_cot")}
    known = {name: some for name, some in calls.items() if name not in other}
    gate, _ = learn_gate(
        encoder.digest, {name: encoder.encode(some[:LEARNED]) for name, some in known.items()}
    )
    said = {name.removesuffix("_cot"): some for name, some in other.items()}
    print(f"{len(known)} tasks\n| asked of | n | right | to the default | to a wrong member |")
    print("|---|---|---|---|---|")
    fresh = {name: some[LEARNED : LEARNED + ASKED] for name, some in known.items()}
    print(row("the same tasks", gate, encoder, fresh))
    reworded = {name: some[:ASKED] for name, some in said.items() if name in known}
    print(row("the same in another wording", gate, encoder, reworded))
    strays = [gate_text(one.call.request) for one in chatter(400)]
    print(row("messages of no task", gate, encoder, {"": strays}))
    print(f"{time.process_time() - began:.0f} CPU-seconds")


if __name__ == "__main__":
    main()
