from __future__ import annotations

import pytest

from gateway.proxy.addresses import Proxies

OURS = Proxies(["10.0.0.0/8", "192.168.1.1", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "is_trusted"),
    [
        ("10.255.0.1", True),
        ("192.168.1.1", True),
        ("fd00::7", True),
        ("192.168.1.2", False),
        ("11.0.0.1", False),
        ("not an address", False),
        ("::ffff:10.0.0.1", True),
        ("::ffff:11.0.0.1", False),
        (None, False),
    ],
)
def test_only_listed_networks_are_trusted(peer: str | None, is_trusted: bool) -> None:
    assert OURS.trust(peer) is is_trusted
    assert Proxies().trust(peer) is False


@pytest.mark.parametrize(
    ("forwarded", "origin"),
    [
        ([b"203.0.113.9"], "203.0.113.9"),
        ([b"198.51.100.1, 203.0.113.9"], "203.0.113.9"),  # the left part is the client's own word
        ([b"203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ([b"203.0.113.9", b"10.0.0.2 , 192.168.1.1"], "203.0.113.9"),  # several headers are one list
        ([b"10.0.0.3"], "10.0.0.3"),
        ([b"2001:db8::1"], "2001:db8::1"),
        ([b"203.0.113.9:4711"], "203.0.113.9"),
        ([b"203.0.113.9, 10.0.0.2:80"], "203.0.113.9"),
        ([b"[2001:db8::1]:4711"], "2001:db8::1"),
        ([b"[2001:db8::1]"], "2001:db8::1"),
        ([b"::ffff:203.0.113.9"], "203.0.113.9"),
        ([b"203.0.113.9, ::ffff:10.0.0.2"], "203.0.113.9"),
    ],
)
def test_the_nearest_stranger_is_the_origin(forwarded: list[bytes], origin: str) -> None:
    headers = [(b"host", b"x"), *((b"x-forwarded-for", value) for value in forwarded)]
    assert OURS.origin("10.0.0.1", headers) == origin


@pytest.mark.parametrize(
    "forwarded",
    [
        [],
        [b""],
        [b"unknown"],
        [b"203.0.113.9,"],
        [b"203.0.113.9, garbage"],
        [b"203.0.113.9, 10.0.0.2, <script>, 10.0.0.3"],
        [b"203.0.113.9, _hidden:80"],
        [b"203.0.113.9:99999999"],
    ],
)
def test_a_proxy_that_names_nobody_does_not_lend_its_own_address(forwarded: list[bytes]) -> None:
    headers = [(b"x-forwarded-for", value) for value in forwarded]
    assert OURS.origin("10.0.0.1", headers) is None
    assert OURS.origin("::ffff:10.0.0.1", headers) is None


def test_a_stranger_says_nothing_about_itself() -> None:
    assert OURS.origin("203.0.113.9", [(b"x-forwarded-for", b"10.0.0.1")]) == "203.0.113.9"
