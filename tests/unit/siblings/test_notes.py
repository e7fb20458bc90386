"""What processes leave for each other."""

import pytest

from gateway.siblings import notes
from gateway.siblings.figures import Figure, Figures
from gateway.siblings.notes import STALE, Note
from gateway.siblings.readiness import together


def counts(number):
    return (
        Figures("cascadia_requests", "counter", "Calls.", (Figure("cascadia_requests_total", (), number),)),
    )


def note(seat, pid, **how):
    return Note(seat=seat, pid=pid, at=how.pop("at", 100.0), **how)


def total(folder):
    told = notes.told(folder)
    [metric] = notes.figures_of([each.figures for each in told.notes], told.former)
    return metric.samples[0].value


@pytest.fixture
def folder(tmp_path):
    notes.prepare(tmp_path / "notes")
    return tmp_path / "notes"


def test_a_note_takes_the_place_of_the_one_before(folder):
    notes.leave(folder, note(1, 11, figures=counts(1)))
    notes.leave(folder, note(1, 11, figures=counts(2)))
    notes.leave(folder, note(0, 10, figures=counts(5)))
    assert [(each.seat, each.pid) for each in notes.told(folder).notes] == [(0, 10), (1, 11)]
    assert total(folder) == 7


def test_what_an_ended_process_counted_still_counts_once(folder):
    notes.leave(folder, note(0, 10, figures=counts(5)))
    notes.leave(folder, note(1, 11, figures=counts(2)))
    left = (folder / "1-11.note").read_bytes()
    notes.fold(folder, "1-11")
    assert total(folder) == 7
    # The parent was killed between keeping the sums and removing the note.
    (folder / "1-11.note").write_bytes(left)
    assert total(folder) == 7
    notes.fold(folder, "0-10")
    assert notes.told(folder).notes == []
    assert total(folder) == 7


def test_a_process_that_left_no_note_is_nothing_to_keep(folder):
    notes.socket_of(folder, "1-11").touch()
    notes.fold(folder, "1-11")
    assert list(folder.iterdir()) == []


def test_a_note_of_another_version_is_passed_over(folder):
    notes.leave(folder, note(0, 10, figures=counts(5)))
    (folder / "1-11.note").write_bytes(b"\x81\xa4what\x01")
    assert [each.pid for each in notes.told(folder).notes] == [10]


def ready(own, *others, now=100.0):
    return together(own, others, 3, now)


def states(found):
    return [each["status"] for each in found.detail["processes"]]


def test_the_service_is_ready_when_every_process_is():
    found = ready(note(0, 10), note(1, 11), note(2, 12))
    assert found.reason is None
    assert states(found) == ["ready"] * 3


def test_the_worst_process_is_the_service_s():
    found = ready(note(0, 10), note(2, 12, reason="no engine is ready"))
    assert found.reason == "no engine is ready (process 2)"
    assert states(found) == ["ready", "starting", "not ready"]


def test_one_that_hangs_is_told_from_one_that_is_being_started():
    assert ready(note(0, 10), note(1, 11), now=100.0 + STALE).reason is None
    found = ready(note(0, 10), note(1, 11), now=101.0 + STALE)
    assert found.reason == "not heard of for 6 s (process 1)"
    assert states(found) == ["ready", "not ready", "starting"]


def test_one_that_leaves_is_no_part_of_the_service():
    assert ready(note(0, 10, reason="draining", is_leaving=True), note(0, 13), note(1, 11)).reason is None
    assert ready(note(0, 10, reason="draining", is_leaving=True)).reason == "draining (process 0)"


def test_one_that_takes_no_connection_yet_makes_no_service_unready():
    found = ready(note(0, 10), note(1, 11, reason="no engine is ready", is_joining=True), note(2, 12))
    assert found.reason is None
    assert states(found) == ["ready", "starting", "ready"]


def test_calls_and_limits_of_a_replica_are_the_sums():
    def detail(ready, calls, *, ejected):
        replica = {"id": "tiny-0", "ejected": ejected, "in_flight": calls, "max_in_flight": 8}
        return {"models": {"tiny": {"replicas": 2, "ready": ready}}, "replicas": [replica]}

    found = ready(
        note(0, 10, detail=detail(2, 3, ejected=False)), note(1, 11, detail=detail(1, 4, ejected=True))
    ).detail
    assert found["models"] == {"tiny": {"replicas": 2, "ready": 1}}
    assert found["replicas"] == [{"id": "tiny-0", "ejected": True, "in_flight": 7, "max_in_flight": 16}]
