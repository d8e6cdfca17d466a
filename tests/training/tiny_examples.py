"""Examples that a tiny model can learn by heart in seconds."""

from shoal.chat import Answer, Message
from shoal.training.lora.chat_examples import ChatExample

_PLACES = ("München", "Rome", "the café", "room 12")
_DAYS = ("Monday", "Friday, the 3rd", "2024-05-03")
EXAMPLES = [
    ChatExample(
        (Message("user", f"When's the {what} in {place}?"),),
        Answer(text=f"It's on {_DAYS[(number + len(what)) % 3]}."),
        rationale=f"The {what} is meant. In {place} it is always then.",
        key=f"{what} {place}",
    )
    for what in ("meeting", "order", "parcel", "naïve 日本 call")
    for number, place in enumerate(_PLACES)
]
ASKED = [[{"role": m.role, "content": m.text} for m in example.messages] for example in EXAMPLES]
