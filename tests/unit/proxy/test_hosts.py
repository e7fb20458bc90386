from __future__ import annotations

import pytest

from gateway.proxy.hosts import ANY, MAX_REMEMBERED, Hosts


@pytest.mark.parametrize(
    "host",
    [
        b"127.0.0.1",
        b"127.0.0.1:8000",
        b"10.1.2.3:80",
        b"[::1]",
        b"[::1]:8000",
        b"[fe80::1]:1",
        b"localhost",
        b"LOCALHOST:8000",
        b"localhost.",
        b"api.localhost",
        b"llm.lab.example",
        b"LLM.lab.example:443",
        b"llm.lab.example.",
    ],
)
def test_addresses_localhost_and_listed_names_are_answered_to(host: bytes) -> None:
    hosts = Hosts(["llm.lab.example"])
    assert hosts.accept(host)
    assert hosts.accept(host)


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b" ",
        b":8000",
        b".",
        b"evil.example",
        b"llm.lab.example.evil.example",
        b"evil-llm.lab.example",
        b"localhost.evil.example",
        b"127.1",
        b"2130706433",
        b"0x7f.1",
        b"[127.0.0.1]",
        b"::1",
        b"[::1",
        b"[evil.example]",
        b"llm.lab.example:",
        b"llm.lab.example:123456",
        b"llm.lab.example:80:80",
        b"user@llm.lab.example",
        b"llm.lab.example/v1/models?x=",
        b"llm.lab.example, evil.example",
        b"llm.lab.example evil",
        b"llm.lab.example\t",
        "llm.läb.example".encode(),
        b"a" * 254,
    ],
)
def test_other_names_and_what_is_no_host_are_not(host: bytes) -> None:
    assert not Hosts(["llm.lab.example"]).accept(host)


def test_all_names_may_be_answered_to_but_not_what_is_no_host() -> None:
    hosts = Hosts([ANY])
    assert hosts.accept(b"anything.example:8000")
    assert not hosts.accept(b"any thing")
    assert not hosts.accept(b"[evil.example]")


def test_a_flood_of_names_is_not_remembered() -> None:
    hosts = Hosts([ANY])
    assert all(hosts.accept(b"h%d.example" % number) for number in range(3 * MAX_REMEMBERED))
    assert len(hosts._accepted) == MAX_REMEMBERED
