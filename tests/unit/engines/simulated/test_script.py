import random

import msgspec
import pytest

from engines.simulated.script import Fault, FaultKind, FaultPlan, Script

CHAT = "/v1/chat/completions"


def plan(*faults: Fault, seed: int = 1) -> FaultPlan:
    return FaultPlan(faults, random.Random(seed))


def test_a_fault_applies_as_many_times_as_it_says():
    faults = plan(Fault(kind=FaultKind.HANG, times=2))
    assert [faults.take(CHAT, b"") is not None for _ in range(4)] == [True, True, False, False]


def test_the_first_fault_that_applies_is_taken_and_the_next_one_after_it():
    faults = plan(Fault(kind=FaultKind.HANG, times=1), Fault(kind=FaultKind.DIE, times=1))
    taken = [faults.take(CHAT, b"") for _ in range(3)]
    assert [fault and fault.kind for fault in taken] == ["hang", "die", None]


def test_a_share_is_drawn_with_the_seed():
    def drawn() -> list[bool]:
        faults = plan(Fault(kind=FaultKind.HANG, share=0.3), seed=7)
        return [faults.take(CHAT, b"") is not None for _ in range(200)]

    assert drawn() == drawn()
    assert 30 < sum(drawn()) < 90


def test_a_request_that_was_not_drawn_does_not_use_up_the_fault():
    faults = plan(Fault(kind=FaultKind.HANG, share=0.5, times=3))
    assert sum(faults.take(CHAT, b"") is not None for _ in range(100)) == 3


def test_only_the_generation_routes_unless_a_path_is_named():
    assert plan(Fault(kind=FaultKind.STATUS)).take("/health", b"") is None
    assert plan(Fault(kind=FaultKind.STATUS, path="/health")).take("/health", b"") is not None
    assert plan(Fault(kind=FaultKind.STATUS, path="/health")).take(CHAT, b"") is None


def test_a_poisonous_body_is_known_by_what_it_contains():
    faults = plan(Fault(kind=FaultKind.DIE, body_contains="poison"))
    assert faults.take(CHAT, b'{"prompt": "bread"}') is None
    assert faults.take(CHAT, b'{"prompt": "poison"}') is not None


def test_changes_are_laid_over_a_script():
    script = Script(itl_ms=5, faults=(Fault(kind=FaultKind.HANG),)).changed({"tokens": 3})
    assert (script.itl_ms, script.tokens, script.faults[0].kind) == (5, 3, "hang")
    assert script.changed({"faults": []}).faults == ()


@pytest.mark.parametrize("changes", [{"itl": 5}, {"tokens": "x"}, {"faults": [{"kind": "explode"}]}])
def test_a_script_with_a_mistake_is_refused(changes: dict[str, object]):
    with pytest.raises(msgspec.ValidationError):
        Script().changed(changes)
