"""Makes what the plan works on: an operator's past answers, and a plant in some state.

    python prepare.py [--past 1500] [--seed 1] [--temperature 66] [--level 95] [--heater 3.5]

``history.jsonl`` holds calls as an application would have recorded them; ``plant.json`` is the
plant. The operator is a function, ``operator``, that is not always of the same mind. The same seed
makes the same files.
"""

import argparse
import json
import math
import random
from pathlib import Path

from plant import LOG, SET_LEVEL, SET_TEMPERATURE, Kept, Plant, after_a_minute, save, sensors

HERE = Path(__file__).parent
PROMPT = (
    "You watch over a heated tank. What is to be done next? Answer with one word: none, adjust or "
    "stop."
)
STARTED = 1_767_000_000  # unix seconds of the first call


def main() -> None:
    """Make everything anew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--past", type=int, default=1_500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--temperature", type=float, default=66.0)
    parser.add_argument("--level", type=float, default=95.0)
    parser.add_argument("--heater", type=float, default=3.5)
    asked = parser.parse_args()
    chance = random.Random(asked.seed)
    with (HERE / "history.jsonl").open("w", encoding="utf-8") as file:
        for at in range(asked.past):
            seen = drawn(chance)
            file.write(json.dumps(_call(at, seen, operator(seen, chance))) + "\n")
    plant = Plant(temperature=asked.temperature, level=asked.level, heater=asked.heater)
    save(Kept(after_a_minute(plant), plant))
    LOG.unlink(missing_ok=True)
    print(f"{asked.past} answers in history.jsonl; the plant stands in plant.json")


def operator(seen: dict[str, float], chance: random.Random) -> str:
    """none, adjust or stop: how far temperature and level will be off in five minutes if nothing is
    done, in units of what he tolerates (6 °C, 12 cm), and how high the pressure will be."""
    later_t = seen["temperature"] + 5 * seen["temperature_trend"] - SET_TEMPERATURE
    later_l = seen["level"] + 5 * seen["level_trend"] - SET_LEVEL
    off = math.hypot(later_t / 6, later_l / 12) + chance.gauss(0, 0.08)
    pressure = seen["pressure"] + 0.1 * seen["temperature_trend"] + chance.gauss(0, 0.01)
    if pressure > 2.9 or off > 5:
        return "stop"
    return "adjust" if off > 1 else "none"


def drawn(chance: random.Random) -> dict[str, float]:
    """A reading as one may come about, from all over."""
    wide = chance.random() < 0.6
    plant = Plant(
        temperature=round(chance.gauss(60, 18 if wide else 2), 2),
        level=round(max(0.0, chance.gauss(80, 30 if wide else 4)), 2),
        heater=round(min(10.0, max(0.0, chance.gauss(2.7, 2 if wide else 0.3))), 1),
        valve=round(min(10.0, max(0.0, chance.gauss(4.0, 2 if wide else 0.3))), 1),
        minute=chance.randrange(10**6),
    )
    return sensors(after_a_minute(plant), plant)


def _call(at: int, seen: dict[str, float], word: str) -> dict[str, object]:
    """A call and its answer, a line of ``shoal calls import``."""
    told = "\n".join(f"{name}: {json.dumps(value)}" for name, value in seen.items())
    messages = [{"role": "system", "content": PROMPT}, {"role": "user", "content": told}]
    answer = {"role": "assistant", "content": word}
    choice = {"index": 0, "message": answer, "finish_reason": "stop"}
    usage = {"prompt_tokens": 80, "completion_tokens": 2, "total_tokens": 82}
    return {
        "at": STARTED + 60 * at,
        "request": {"model": "operator", "messages": messages, "temperature": 0},
        "response": {"model": "operator", "choices": [choice], "usage": usage},
    }


if __name__ == "__main__":
    main()
