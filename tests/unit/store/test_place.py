"""An address of a database is understood or refused, and never shows a password."""

from pathlib import Path

import pytest

from gateway.store import PlaceError, postgres, sqlite


def test_an_address_is_taken_apart():
    place = postgres("postgresql://u%40x@db.example:6432/usage?sslmode=verify-full", "secret")
    assert (place.host, place.port, place.name, place.user) == ("db.example", 6432, "usage", "u@x")
    assert (place.tls, place.password) == ("verify-full", "secret")


def test_a_folder_may_stand_for_the_host():
    place = postgres("postgresql:///usage?host=/run/postgresql&port=5433")
    assert (place.host, place.port, place.name) == ("/run/postgresql", 5433, "usage")


def test_a_password_is_never_shown():
    place = postgres("postgresql://u@h/n", "secret")
    assert "secret" not in f"{place} {place!r}"
    assert str(sqlite(Path("/a/b.db"))) == "sqlite:////a/b.db"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mysql://h/n", "expected postgresql://"),
        ("postgresql://h", "expected postgresql://"),
        ("postgresql:///n", "expected postgresql://"),
        ("postgresql://h/n/m", "expected postgresql://"),
        ("postgresql://h:x/n", "port"),
        ("postgresql://h/n?port=x", "port"),
        ("postgresql://u:hunter2@h/n", "no password"),
        ("postgresql://h/n?sslmode=maybe", "sslmode is one of"),
        ("postgresql://h/n?application_name=x", "'application_name' is not understood"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_reason(url, why):
    with pytest.raises(PlaceError, match=why) as raised:
        postgres(url)
    assert "hunter2" not in str(raised.value)
