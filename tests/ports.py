"""Ports for servers that a test starts in another process."""

import random
import socket

_BELOW_EPHEMERAL = range(20_000, 32_000)  # one of those above may be another test's a moment later


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, and that the system gives to nobody by itself."""
    while True:
        with socket.socket() as probe:
            port = random.choice(_BELOW_EPHEMERAL)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:  # taken
                continue
            return port
