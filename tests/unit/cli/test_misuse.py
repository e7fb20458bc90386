"""A slip is answered with what was meant, exit code 2, and the next command last."""

import random

import pytest

from gateway.cli.exits import ExitCode
from gateway.cli.verbs import VERBS


@pytest.mark.parametrize(
    ("typed", "meant", "following"),
    [
        (["statsu"], "'status'", "next: cascadia status --help"),
        (["Up"], "'up'", "next: cascadia up --help"),
        (["key", "list"], "'keys'", "next: cascadia keys --help"),
        (["keys", "crate"], "'create'", "next: cascadia keys --help"),
        (["up", "--upstraem", "x"], "--upstream", "next: cascadia up --help"),
        (["up", "tiny"], "--model tiny", "next: cascadia up --help"),
        (["completion", "bsh"], "", "next: cascadia completion --help"),
        (["keys", "create"], "", "next: cascadia keys create --help"),
        (["keys"], "", "next: cascadia keys --help"),
        (["models", "--url"], "", "next: cascadia models --help"),
        (["--verbose"], "", "next: cascadia --help"),
        (["zzz"], "choose one of: up, gateway", "next: cascadia --help"),
    ],
)
def test_a_slip_is_refused_with_a_suggestion(cascadia, typed, meant, following):
    called = cascadia(*typed)
    assert called.code == ExitCode.USAGE
    assert called.out == ""
    assert meant in called.err
    assert called.last == following


def misspelt(word, rng):
    while True:
        at = rng.randrange(1, len(word))
        wrong = [
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
            word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :],
        ]
        found = rng.choice(wrong)
        if found != word and found not in {verb.name for verb in VERBS}:
            return found


def test_of_thirty_misspelt_verbs_at_least_28_are_understood(cascadia):
    rng = random.Random(30)
    right = 0
    for _ in range(30):
        verb = rng.choice([verb.name for verb in VERBS if len(verb.name) > 3])
        called = cascadia(misspelt(verb, rng))
        assert called.code == 2
        right += f"'{verb}'?" in called.err
    assert right >= 28
