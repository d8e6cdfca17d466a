"""All wire formats, by name."""

from collections.abc import Mapping

from shoal.chat import Format
from shoal.formats.chat_completions import CHAT_COMPLETIONS
from shoal.formats.messages import MESSAGES
from shoal.formats.responses import RESPONSES
from shoal.formats.wire_format import WireFormat

FORMATS: Mapping[Format, WireFormat] = {
    wire.name: wire for wire in (CHAT_COMPLETIONS, RESPONSES, MESSAGES)
}
