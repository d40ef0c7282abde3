"""Transcripts in the store: bounded, erased for good, over in time, and every look at them on record."""

from dataclasses import replace
from typing import Any

import msgspec

from service.domain.adversarial import Transcript
from service.domain.ids import Actor, Micros
from service.domain.principals import PrincipalTier
from service.domain.records import Version
from service.domain.transcripts import KEPT_OF_TIER, Drawn, TranscriptBody, TranscriptRecord
from service.ports import WorkerStore
from service.store import Store
from tests.fakes import ManualClock
from tests.integration.store import samples as s
from tests.integration.store.conftest import store_at  # noqa: F401 - replaced below
from tests.integration.store.test_adversarial_conformance import ANN, BOB, _outcome, _version, accusation, attack
