from __future__ import annotations

import pytest

from engines.launch.arguments import OWNED_FLAGS, check_known, flag_name, flags_of, known_flags
from engines.launch.errors import ArgumentRefused


@pytest.mark.parametrize(
    ("argument", "name"),
    [
        ("--max-model-len", "--max-model-len"),
        ("--max_model_len=5", "--max-model-len"),
        ("--speculative-config.method", "--speculative-config"),
        ("--hf-overrides.list+", "--hf-overrides"),
        ("-tp", "-tp"),
        ("-O3", "-O"),
        ("128", None),
        ("-1", None),
        ("-0.5", None),
        ("-", None),
        ("a=--b", None),
    ],
)
def test_a_flag_is_read_as_vllm_reads_it(argument: str, name: str | None):
    assert flag_name(argument) == name


def test_a_negated_flag_counts_as_the_flag():
    assert flags_of(["--no-enforce-eager", "x"]) == {"--enforce-eager"}


def test_every_flag_that_we_own_or_give_exists():
    assert OWNED_FLAGS.keys() - known_flags() == set()
    assert {
        "--max-num-seqs",
        "--max-num-queued-reqs",
        "--shutdown-timeout",
        "--enforce-eager",
    } <= known_flags()


@pytest.mark.parametrize(
    ("argument", "suggestion"),
    [("--max-model-lenght", "--max-model-len"), ("--enforce_eagr", "--enforce-eager"), ("--api", None)],
)
def test_an_unknown_flag_is_refused_with_the_nearest(argument: str, suggestion: str | None):
    with pytest.raises(ArgumentRefused) as refusal:
        check_known([argument, "1"], version="0.32.0", where="engines[t]")
    if suggestion:
        assert f"did you mean {suggestion}?" in str(refusal.value)


def test_flags_of_another_release_are_not_judged():
    check_known(["--new-in-0-40"], version="0.40.1", where="engines[t]")
    check_known(["--new-in-0-40"], version="", where="engines[t]")
