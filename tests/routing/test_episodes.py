"""Calls that go on from each other are linked, whoever else talks meanwhile."""

import random
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.chat import Answer, Message, Request, ToolCall, Usage
from shoal.routing.episodes import Episodes

SYSTEM = Message("system", "You are an agent.")
OPENING = Message("user", "Cancel my flight.")


def call_of(call_id: str, arguments: str = '{"id": "A1"}') -> ToolCall:
    return ToolCall(call_id, "look_up", arguments)


def echoed(answer: Answer) -> Message:
    return Message("assistant", answer.text, tool_calls=answer.tool_calls)


class Agent:
    """Talks through ``book`` with a key, and remembers which episode each of its calls was of."""

    def __init__(self, book: Episodes, key: str = "", opening: Message = OPENING) -> None:
        self.book, self.key = book, key
        self.messages = [SYSTEM, opening]
        self.episodes: list[str] = []

    def say(self, answer: Answer, then: Message, by: str = "gpt") -> str:
        request = Request("gpt", tuple(self.messages))
        found = self.book.find(request, self.key)
        episode = found.episode or f"new {random.random()}"
        found = found._replace(episode=episode)
        self.book.answered(found, request, answer, self.key, by, ())
        self.messages += [echoed(answer), then]
        self.episodes.append(episode)
        return episode


def test_a_tool_loop_is_one_episode() -> None:
    agent = Agent(Episodes())
    agent.say(Answer("Which one?"), Message("user", "A1"))
    for step in range(3):
        called = Answer(tool_calls=(call_of(f"call_{step}"),))
        agent.say(called, Message("tool", "{}", tool_call_id=f"call_{step}"))
    agent.say(Answer("Done."), Message("user", "Thanks"))
    assert len(agent.episodes) == 5
    assert len(set(agent.episodes)) == 1


def test_a_framework_may_write_blanks_and_arguments_its_own_way() -> None:
    book = Episodes()
    agent = Agent(book)
    agent.say(Answer(" Looking. ", (call_of("c", '{"id":"A1"}'),)), Message("tool", "{}"))
    agent.messages[2] = Message(
        "assistant", "Looking.", tool_calls=(call_of("c", '{"id": "A1" }'),)
    )
    assert book.find(Request("gpt", tuple(agent.messages)), "").episode == agent.episodes[0]


@pytest.mark.parametrize(
    "other",
    [
        Message("assistant", "Which two?"),
        Message("assistant", "Which one?", tool_calls=(call_of("c"),)),
        Message("user", "Which one?"),
    ],
)
def test_another_answer_is_another_conversation(other: Message) -> None:
    book = Episodes()
    agent = Agent(book)
    agent.say(Answer("Which one?"), Message("user", "A1"))
    agent.messages[2] = other
    assert book.find(Request("gpt", tuple(agent.messages)), "").episode == ""


def test_what_went_before_counts_too() -> None:
    book = Episodes()
    agent = Agent(book)
    agent.say(Answer("Which one?"), Message("user", "A1"))
    agent.messages[0] = Message("system", "You are another agent.")
    assert book.find(Request("gpt", tuple(agent.messages)), "").episode == ""


def test_two_users_who_begin_alike_are_apart() -> None:
    book = Episodes()
    one, two = Agent(book, "key-1"), Agent(book, "key-2")
    for step in range(4):
        for agent in (one, two):
            agent.say(Answer(f"Say {step}"), Message("user", "yes"))
    assert len(set(one.episodes)) == len(set(two.episodes)) == 1
    assert one.episodes[0] != two.episodes[0]


def test_who_takes_over_anothers_conversation_begins_one() -> None:
    book = Episodes()
    agent = Agent(book, "key-1")
    agent.say(Answer("Which one?"), Message("user", "A1"))
    assert book.find(Request("gpt", tuple(agent.messages)), "key-2").episode == ""


def test_agents_of_one_key_that_begin_alike_are_told_apart_by_their_calls() -> None:
    book = Episodes()
    agents = [Agent(book, "k") for _ in range(3)]
    for step in range(4):
        for number, agent in enumerate(agents):
            called = Answer(tool_calls=(call_of(f"call_{number}_{step}"),))
            agent.say(called, Message("tool", "{}", tool_call_id=f"call_{number}_{step}"))
    assert [len(set(agent.episodes)) for agent in agents] == [1, 1, 1]
    assert len({agent.episodes[0] for agent in agents}) == 3


def test_conversations_equal_to_the_last_character_stay_as_many() -> None:
    book = Episodes()
    agents = [Agent(book, "k") for _ in range(3)]
    for step in range(3):
        for agent in agents:
            agent.say(Answer(f"Say {step}"), Message("user", "yes"))
    assert len({agent.episodes[-1] for agent in agents}) == 3


def test_a_call_that_is_sent_again_stays_in_its_episode() -> None:
    agent = Agent(Episodes())
    agent.say(Answer("Which one?"), Message("user", "A1"))
    request = Request("gpt", tuple(agent.messages))
    found = [agent.book.find(request, "").episode for _ in range(3)]
    assert found == [agent.episodes[0]] * 3
    assert agent.book.find(request, "", again=True).episode == agent.episodes[0]


def test_the_callers_own_name_goes_before() -> None:
    agent = Agent(Episodes())
    agent.say(Answer("Which one?"), Message("user", "A1"))
    found = agent.book.find(Request("gpt", tuple(agent.messages)), "", named="morning")
    assert found.episode == "morning"
    assert found.strand is not None
    assert found.strand.episode == agent.episodes[0]


def test_a_response_is_gone_on_from_by_its_id() -> None:
    book = Episodes()
    request = Request("gpt", (OPENING,), format="responses")
    found = book.find(request, "k")._replace(episode="e")
    book.answered(found, request, Answer("Which one?"), "k", "gpt", ("resp_1",))
    follow = Request("gpt", (Message("user", "A1"),), format="responses")
    assert book.find(follow, "k", previous="resp_1").episode == "e"
    assert book.find(follow, "another", previous="resp_1").episode == ""
    assert book.find(follow, "k", previous="resp_2").episode == ""


def test_answers_that_an_agent_adds_itself_are_passed_over() -> None:
    agent = Agent(Episodes())
    agent.say(Answer("Which one?"), Message("user", "A1"))
    agent.messages += [Message("assistant", "(a note to myself)"), Message("user", "go on")]
    found = agent.book.find(Request("gpt", tuple(agent.messages)), "")
    assert found.episode == agent.episodes[0]


def test_who_holds_a_loop_holds_it_while_others_step_in() -> None:
    agent = Agent(Episodes())
    calls = [Answer(tool_calls=(call_of(str(n)),), usage=Usage(100 + n, 5)) for n in range(3)]
    agent.say(calls[0], Message("tool", "{}"), by="mini")
    agent.say(calls[1], Message("tool", "{}"), by="")  # a specialist
    found = agent.book.find(Request("gpt", tuple(agent.messages)), "", again=True)
    assert found.strand is not None
    assert (found.strand.answered_by, found.strand.steps) == ("mini", 2)
    assert found.strand.usage == Usage(100, 5)
    agent.say(Answer("Done."), Message("user", "Thanks. And now the other."), by="gpt")
    agent.say(calls[2], Message("tool", "{}"), by="")
    found = agent.book.find(Request("gpt", tuple(agent.messages)), "", again=True)
    assert found.strand is not None
    assert (found.strand.answered_by, found.strand.steps) == ("", 1)


def test_it_forgets_what_is_old_and_what_is_too_much() -> None:
    now = [0.0]
    book = Episodes(most=10, seconds=60, clock=lambda: now[0])
    agent = Agent(book)
    agent.say(Answer("Which one?"), Message("user", "A1"))
    request = Request("gpt", tuple(agent.messages))
    now[0] = 59.0
    assert book.find(request, "").episode
    for number in range(30):
        Agent(book, opening=Message("user", str(number))).say(Answer("?"), OPENING)
    assert len(book) == 10
    assert not book.find(request, "").episode
    now[0] = 200.0
    Agent(book).say(Answer("?"), OPENING)
    assert len(book) == 1


def test_long_texts_are_told_apart_by_length_ends_and_samples() -> None:
    text = "".join(random.Random(0).choices("abcdef ", k=200_000))
    book = Episodes()
    request = Request("gpt", (Message("user", text),))
    found = book.find(request, "")._replace(episode="e")
    book.answered(found, request, Answer("ok"), "", "gpt", ())
    behind = (Message("assistant", "ok"), Message("user", "next"))
    assert book.find(Request("gpt", (Message("user", text), *behind)), "").episode == "e"
    for other in (text + "x", "x" + text[1:], text[:-1] + "x", text[:100_000] + text[100_001:]):
        found = book.find(Request("gpt", (Message("user", other), *behind)), "")
        assert found.episode == ""


def test_a_long_conversation_stays_one_from_call_to_call() -> None:
    agent = Agent(Episodes())
    for step in range(60):
        called = (call_of(f"call_{step}"),) if step % 3 else ()
        then = (
            Message("tool", "{}", tool_call_id=f"call_{step}") if called else Message("user", "go")
        )
        agent.say(Answer(f" Say {step} " * 100, called), then)
    assert len(set(agent.episodes)) == 1


@pytest.mark.parametrize(
    ("at", "other"),
    [
        (1, Message("user", "Cancel my trip." * 100)),  # among the first
        (21, Message("user", "no")),  # short
        (21, Message("user", "and so on, and on" * 100)),  # of another length
        (22, Message("assistant", "Say 10" * 99)),
        (24, Message("assistant", "", tool_calls=(call_of("another"),))),
        (25, Message("tool", "{}", tool_call_id="another")),
        (53, Message("user", "and no on, and so " * 100)),  # among the last: as long
    ],
)
def test_what_differs_far_from_both_ends_of_a_long_conversation(at: int, other: Message) -> None:
    book = Episodes()
    agent = Agent(book)
    agent.messages[1] = Message("user", "Cancel my flight" * 100)
    for step in range(30):
        called = (call_of("call"),) if step == 11 else ()
        then = Message("user", "and so on, and on " * 100)
        agent.say(Answer(f"Say {step}" * 100, called), then)
    assert agent.messages[24].tool_calls
    assert book.find(Request("gpt", tuple(agent.messages)), "").episode == agent.episodes[0]
    agent.messages[at] = other
    assert book.find(Request("gpt", tuple(agent.messages)), "").strand is None


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(0, 2**32))
def test_every_interleaving_keeps_every_agent_whole(turns: list[int], seed: int) -> None:
    """Four agents, two of each key, all beginning with the same words; results differ."""
    book, chance = Episodes(), random.Random(seed)
    agents = [Agent(book, f"k{number // 2}") for number in range(4)]
    for turn in turns:
        agent = agents[turn]
        said = f"{chance.random()}"
        agent.say(Answer(said, (call_of(said),)), Message("tool", said, tool_call_id=said))
    talked = [agent for agent in agents if agent.episodes]
    assert all(len(set(agent.episodes)) == 1 for agent in talked)
    assert len({agent.episodes[0] for agent in talked}) == len(talked)


def test_it_costs_little() -> None:
    """A tenth of a call's 0.45 ms; 40 messages of 1,200 characters, as an agent sends them."""
    texts = [f"{number} " * 400 for number in range(40)]
    said = [Message("user" if at % 2 == 0 else "assistant", text) for at, text in enumerate(texts)]
    wire = msgspec.json.encode(Request("gpt", (*said, OPENING)))
    book, spent = Episodes(), list[float]()
    for _ in range(100):
        request = msgspec.json.decode(wire, type=Request)  # texts of which nothing is remembered
        began = time.process_time()
        found = book.find(request, "k")._replace(episode="e")
        book.answered(found, request, Answer("ok"), "k", "gpt", ())
        spent.append(time.process_time() - began)
    assert min(spent) < 100e-6  # 30 on the machine of the figures
