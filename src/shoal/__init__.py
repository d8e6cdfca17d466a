"""Shoal: a coordinated system of many small models."""

from shoal.chat import Answer, Message, Request
from shoal.errors import ShoalError

__version__ = "0.1.0"

__all__ = ["Answer", "Message", "Request", "ShoalError", "__version__"]
