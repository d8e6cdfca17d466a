"""Why a connection ended, as it is found out in several places; the first to know is believed."""


class Trouble:
    """``said`` is "" as long as nothing is wrong; ``last_words`` is what the server wrote to its
    error output last, ``status`` the last HTTP status that was no success, ``is_flood`` that it
    sent more than is taken."""

    def __init__(self) -> None:
        self.said, self.last_words, self.status, self.is_flood = "", "", 0, False

    def say(self, what: str) -> None:
        """Tell a reason."""
        self.said = self.said or what

    def flooded(self, what: str) -> None:
        """Tell that it sent more than is taken."""
        self.is_flood = True
        self.say(what)

    def told(self) -> str:
        """The reason in full."""
        said = self.said or "the connection ended"
        tells = self.last_words and not self.is_flood
        return f"{said}; it wrote last: {self.last_words}" if tells else said
