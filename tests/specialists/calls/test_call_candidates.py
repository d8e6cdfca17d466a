import json

from shoal.chat import Message, ToolCall
from shoal.specialists.calls.candidates import Reader
from shoal.specialists.calls.objects import built
from shoal.specialists.calls.schema import Argument

PROFILE = {
    "name": {"first": "Mia", "last": "Li"},
    "born": "1990-04-05",
    "cards": {"card_4421486": {"id": "card_4421486", "brand": "visa"}},
    "flights": [{"number": "HAT1", "price": 5}, {"number": "HAT2", "price": 7}],
}
TALK = (
    Message("system", "Today is 2024-05-15."),
    Message("user", "I am mia_li_3668, leaving on May 20."),
    Message("assistant", "", tool_calls=(ToolCall("c1", "profile", '{"user_id": "mia_li_3668"}'),)),
    Message("tool", json.dumps(PROFILE), tool_call_id="c1"),
    Message("user", "HAT2 it is"),
)


def test_values_are_found_with_all_their_places() -> None:
    stated = Reader().candidates(TALK)
    user = stated['"mia_li_3668"']
    assert [(place.back, place.mention.source) for place in user.places] == [
        (3, "user"),
        (2, "call profile user_id"),
    ]
    flight = stated['"HAT2"']
    assert [place.mention.source for place in flight.places] == [
        "tool profile flights[].number",
        "user",
    ]
    assert flight.places[-1].mention.opens


def test_keys_that_are_names_of_things_are_generalised() -> None:
    source = Reader().candidates(TALK)['"visa"'].places[0].mention.source
    assert source == "tool profile cards.*.brand"


def test_dates_take_the_year_that_the_conversation_states_first() -> None:
    assert '"2024-05-20"' in Reader().candidates(TALK)


def test_words_nearby_are_known_with_their_distance() -> None:
    stated = Reader().candidates((Message("user", "a radius of 4 inches here"),))
    mention = stated["4"].places[0].mention
    assert mention.before == ("a", "radius", "of")
    assert dict(mention.nearby) == {"a": -3, "radius": -2, "of": -1, "inche": 1, "here": 2}


def test_remembering_changes_nothing() -> None:
    reader = Reader(remember=3)
    for end in range(len(TALK) + 1):
        assert reader.candidates(TALK[:end]) == Reader().candidates(TALK[:end])


def test_objects_are_built_of_what_results_hold() -> None:
    stated = Reader().candidates(TALK).values()
    flights = built(Argument("flights", "array", items=("number",)), stated)
    assert [candidate.value for candidate in flights] == [
        [{"number": "HAT1"}, {"number": "HAT2"}],
        [{"number": "HAT1"}],
        [{"number": "HAT2"}],
    ]
    person = built(Argument("who", "object", items=("born", "first")), [*stated, *_whole()])
    assert [candidate.value for candidate in person] == [{"born": "1990-04-05", "first": "Mia"}]
    assert built(Argument("who", "object", items=("born", "height")), stated) == []


def _whole() -> list[object]:
    """The profile itself, as part of another result."""
    message = Message("tool", json.dumps({"profile": PROFILE}), name="all")
    found = Reader().candidates((message,))
    return [candidate for candidate in found.values() if candidate.type == "object"]
