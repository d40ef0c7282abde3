"""Every attack that the red team knows, under one registry."""

from redteam.attacks.base import Attack, Family, Need, Source
from redteam.attacks.registry import ATTACKS
from redteam.attacks.sessions import session_of, sources_of

__all__ = ["ATTACKS", "Attack", "Family", "Need", "Source", "session_of", "sources_of"]
