"""In-memory stand-ins for the ports, held to the real ones by one shared conformance suite."""

from tests.fakes.clock import ManualClock
from tests.fakes.log import InMemoryLog
from tests.fakes.store import InMemoryStore

__all__ = ["InMemoryLog", "InMemoryStore", "ManualClock"]
