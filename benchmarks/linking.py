"""CPU time of finding the episode that a call goes on from, by the messages it begins with.

    python -m benchmarks.linking

Conversations of two lengths and the next call in each, read from JSON as the gateway reads it, so
that no text's hash is known yet; the median of 200 calls.
"""

import time
from statistics import median

import msgspec

from shoal.chat import Answer, Message, Request
from shoal.routing.episodes import Episodes

CALLS = 200
ROLES = ("assistant", "user")
LENGTHS = ((41, 52_000), (200, 262_000))
"""Messages, and characters in all of them together."""


def main() -> None:
    """Measure, and print."""
    for count, characters in LENGTHS:
        episodes, took = Episodes(), list[float]()
        for call in range(CALLS):
            request = conversation(count, characters // count, call)
            before = Request(request.model, request.messages[:-2])
            answer = Answer(request.messages[-2].text)
            episodes.answered(episodes.find(before, ""), before, answer, "", "gpt", ())
            request = msgspec.json.decode(msgspec.json.encode(request), type=Request)
            began = time.process_time()
            found = episodes.find(request, "")
            took.append(time.process_time() - began)
            assert found.strand is not None, "it goes on from the call before"
        print(
            f"{count} messages of {characters:,} characters: {median(took) * 1e6:.0f} us CPU "
            f"({sorted(took)[CALLS // 20] * 1e6:.0f} to {sorted(took)[-CALLS // 20] * 1e6:.0f})"
        )


def conversation(count: int, length: int, call: int) -> Request:
    """An own conversation for each call, so that nothing is known of it beforehand."""
    text = (f"{call} says " * length)[: length - 8]
    told = [Message(ROLES[(count - at) % 2], f"{at:07d} {text}") for at in range(count)]
    return Request("gpt", tuple(told))


if __name__ == "__main__":
    main()
