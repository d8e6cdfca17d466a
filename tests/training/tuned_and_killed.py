"""A tuning that is killed at a given step; run as a program by its test."""

import os
import signal
import sys
from pathlib import Path

from tiny_examples import EXAMPLES

from shoal.training.generative import fine_tune
from shoal.training.lora.options import TuningOptions
from shoal.training.lora.progress import Progress

OPTIONS = TuningOptions(rank=4, dropout=0.1, epochs=6, rate=1e-2, held_out=0.2, batch=4)


def main(base: str, folder: str, at: int) -> None:
    def watch(progress: Progress) -> None:
        if progress.step >= at:
            os.kill(os.getpid(), signal.SIGKILL)

    fine_tune(Path(base), EXAMPLES, Path(folder), OPTIONS, watch=watch)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
