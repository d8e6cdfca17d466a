"""Has the LLM make up inputs of rare labels for a tuning, once, however often that is resumed."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress

import msgspec
from msgspec.structs import replace

from shoal.chat import Answerer
from shoal.errors import ShoalError
from shoal.flywheel.lessons import Lessons
from shoal.flywheel.unfinished import MADE_UP
from shoal.routing.privacy import PrivacyOptions, scrub_input
from shoal.tasks import LabelContract, Task
from shoal.training.augmentation import Augmented, augment

log = logging.getLogger(__name__)

Ask = Callable[[Task], AbstractAsyncContextManager[Answerer]]
"""For a task, an answerer that asks at its expense, to be used within one event loop."""

_made_up = msgspec.json.Decoder(Augmented)


class Augmenter:
    """Asks for at most ``most`` inputs a training."""

    def __init__(self, ask: Ask | None, most: int, privacy: PrivacyOptions) -> None:
        self._ask, self._most, self._privacy = ask, most, privacy

    def fits(self, lessons: Lessons) -> bool:
        """Whether there is anything to ask for: labels of inputs of one part, for an LLM that
        writes a line for each could not write the others."""
        single = all(len(given.slots) < 2 for given in lessons.inputs)
        labelled = isinstance(lessons.task.contract, LabelContract)
        return self._ask is not None and self._most > 0 and labelled and single

    def made_up(self, lessons: Lessons) -> Augmented:
        """What the LLM makes up for a training on ``lessons``, from them alone. Whatever keeps it
        from that is told, and the training goes on without."""
        if lessons.state is not None:
            with suppress(OSError, msgspec.DecodeError):  # it was never asked for, or not kept
                return _made_up.decode((lessons.state / MADE_UP).read_bytes())
        try:
            found = asyncio.run(self._asked(lessons))
        except ShoalError as error:  # a model cannot be opened, or budgets cannot be read
            found = Augmented(stopped=str(error))
        log.info("task %s: %s", lessons.task.name, found.told())
        if lessons.state is not None:
            with suppress(OSError):
                (lessons.state / MADE_UP).write_bytes(msgspec.json.encode(found))
        return found

    async def _asked(self, lessons: Lessons) -> Augmented:
        contract = lessons.task.contract
        assert self._ask is not None
        assert isinstance(contract, LabelContract)
        async with self._ask(lessons.task) as answerer:
            found = await augment(
                answerer, lessons.model, contract, lessons.inputs, lessons.outputs, self._most
            )
        if not self._privacy.learns_less:
            return found
        kinds = self._privacy.scrubbed
        return replace(found, inputs=tuple(scrub_input(given, kinds) for given in found.inputs))
