"""A plant to be kept within its limits, all of it known: a tank that is heated and drained.

Its state is a JSON file, so that a run which was killed finds it as it was. A minute passes with
each reading:

    temperature += 0.9 heater - 0.06 (temperature - 20) + noise       in °C; heater is 0 to 10
    level       += inflow - 0.5 valve + noise                         in cm; valve is 0 to 10
    pressure     = 1 + 0.02 (temperature - 20) + 0.004 level          in bar

Below it are the tools that the plan calls: for a plant of your own, have them talk to its
controller. Both that change something do what one key asks for only once, so that a run which was
killed while they worked can have them work again.
"""

import json
import os
import random
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from shoal.tools.python import tool
from shoal.tools.tool import ToolUse

HERE = Path(__file__).parent
STATE, LOG = HERE / "plant.json", HERE / "actions.log"
SET_TEMPERATURE, SET_LEVEL = 60.0, 80.0
OLDEST = 2  # minutes that a reading may be old when something is set because of it


@dataclass(frozen=True)
class Plant:
    """``minute`` counts readings; ``runs`` is false once it was stopped."""

    temperature: float = 60.0
    level: float = 80.0
    heater: float = 2.7
    valve: float = 4.0
    inflow: float = 2.0
    minute: int = 0
    runs: bool = True

    @property
    def pressure(self) -> float:
        """In bar."""
        return 1 + 0.02 * (self.temperature - 20) + 0.004 * self.level


def after_a_minute(plant: Plant, noise: float = 0.15) -> Plant:
    """The same noise for the same minute."""
    chance = random.Random(plant.minute)
    heat = 0.9 * plant.heater * plant.runs - 0.06 * (plant.temperature - 20)
    flow = (plant.inflow - 0.5 * plant.valve) * plant.runs
    return replace(
        plant,
        temperature=round(plant.temperature + heat + chance.gauss(0, noise), 2),
        level=round(max(0.0, plant.level + flow + chance.gauss(0, noise)), 2),
        minute=plant.minute + 1,
    )


def sensors(plant: Plant, before: Plant) -> dict[str, float]:
    """What an operator sees; trends are per minute."""
    return {
        "temperature": plant.temperature,
        "temperature_trend": round(plant.temperature - before.temperature, 2),
        "level": plant.level,
        "level_trend": round(plant.level - before.level, 2),
        "pressure": round(plant.pressure, 3),
        "heater": plant.heater,
        "valve": plant.valve,
    }


@dataclass(frozen=True)
class Kept:
    """What ``plant.json`` holds: the plant now, as it was a minute before, and which keys were
    served."""

    now: Plant
    before: Plant
    keys: tuple[str, ...] = ()


def load(file: Path = STATE) -> Kept:
    """Raises ValueError if the file holds no plant."""
    told = json.loads(file.read_text(encoding="utf-8"))
    return Kept(Plant(**told["now"]), Plant(**told["before"]), tuple(told["keys"]))


def save(kept: Kept, file: Path = STATE) -> None:
    """Whole or not at all."""
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(kept)), encoding="utf-8")
    os.replace(fresh, file)


@tool(effects="reads")
def read_sensors() -> dict[str, float]:
    """The latest reading of each sensor, and the minute that it is of."""
    kept = load()
    return {**sensors(kept.now, kept.before), "minute": kept.now.minute}


@tool(repeatable=True)
def let_pass(minutes: int, use: ToolUse) -> int:
    """Wait; gives the minute that it is then. Here time is the simulation's, and costs none.

    Args:
        minutes: how long
    """
    kept = load()
    if use.key in kept.keys:
        return kept.now.minute
    now, before = kept.now, kept.before
    for _ in range(minutes):
        now, before = after_a_minute(now), now
    save(Kept(now, before, (*kept.keys, use.key)))
    return now.minute


@tool(effects="reads")
def propose(seen: dict[str, float]) -> dict[str, float]:
    """The heater and valve that bring both halfway to where they should be in five minutes.

    Args:
        seen: a reading
    """
    pull_t = (SET_TEMPERATURE - seen["temperature"]) / 10
    pull_l = (seen["level"] - SET_LEVEL) / 10
    inflow = seen["level_trend"] + 0.5 * seen["valve"]
    heater = (pull_t + 0.06 * (seen["temperature"] - 20)) / 0.9
    return {"heater": _in_range(heater), "valve": _in_range((inflow + pull_l) / 0.5)}


@tool(repeatable=True)
def actuate(
    heater: float, valve: float, running: bool, read_at: int, why: str, use: ToolUse
) -> dict[str, Any]:
    """Set heater and valve, or stop the plant. Written into the log first, and then done: to set
    the same once more does no harm, to have set something that stands in no log would.

    Args:
        heater: 0 to 10
        valve: 0 to 10
        running: false stops it, which is allowed whatever was read
        read_at: the minute of the reading that it is done for
        why: for the log
    """
    if not (0 <= heater <= 10 and 0 <= valve <= 10):
        raise ValueError("heater and valve: expected 0 to 10")
    kept = load()
    done = next((one for one in _logged() if one["key"] == use.key), None)
    if done is None:
        age = kept.now.minute - read_at
        if running and age > OLDEST:
            raise ValueError(f"the reading is {age} minutes old, expected at most {OLDEST}")
        done = {"key": use.key, "minute": kept.now.minute, "heater": heater, "valve": valve}
        done |= {"running": running, "why": why}
        with LOG.open("a", encoding="utf-8") as log:
            log.write(json.dumps(done) + "\n")
            log.flush()
            os.fsync(log.fileno())
    set_ = replace(kept.now, heater=done["heater"], valve=done["valve"], runs=done["running"])
    if use.key not in kept.keys:
        save(Kept(set_, kept.before, (*kept.keys, use.key)))
    return done


def _logged() -> list[dict[str, Any]]:
    if not LOG.exists():
        return []
    return [json.loads(line) for line in LOG.read_text(encoding="utf-8").splitlines()]


def _in_range(value: float) -> float:
    return round(min(10.0, max(0.0, value)), 2)
