"""Which rules a call is under, what it is taken to need, and what it is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.schema import Config
from gateway.allowances import allowances_of
from gateway.core.call import Call, Principal
from gateway.core.errors import ExceedsLimit, LimitsUnavailable, QuotaExceeded, RateLimited
from gateway.core.outcome import Usage
from gateway.openai.shapes import MOST_TOKENS, UsageShape
from gateway.ratelimit import demand
from gateway.ratelimit.allowance import FREE, Prices
from gateway.ratelimit.base import Calendar, Rule, Taken, Unavailable, Unit
from gateway.ratelimit.headers import duration
from gateway.ratelimit.limiter import Limiter
from gateway.ratelimit.memory import MemoryCounters
from gateway.ratelimit.plan import Plan, compiled
from gateway.ratelimit.reservation import Reservation
from tests.support.calls import call
from tests.support.clock import Clock

ALICE = Principal("research", "key-1", organisation="lab", user="alice")


def limiter_of(clock: Clock | None = None, **sections: Any) -> Limiter:
    """A limiter of a configuration's `limits` and `prices`."""
    prices = sections.pop("prices", {})
    config = Config.model_validate({"limits": sections, "prices": prices})
    clock = clock or Clock()
    return Limiter(allowances_of(config), MemoryCounters(clock=clock, wall=clock))


def plan_of(principal: Principal = ALICE, model: str = "m", **sections: Any) -> Plan:
    return compiled(limiter_of(**sections)._allowances, principal, model)


def limits_of(plan: Plan) -> dict[str, int]:
    return {rule.key: rule.limit for rule in plan.rules}


def ask(principal: Principal = ALICE, **fields: Any) -> Call:
    return call(principal=principal, **{"most_tokens": 16, **fields})


def reserve(limiter: Limiter, **fields: Any) -> Reservation:
    found = limiter.reserve(ask(**fields), None)
    assert isinstance(found, Reservation)
    return found


# --- which rules


def test_a_call_is_under_the_limits_of_every_level() -> None:
    plan = plan_of(
        keys={"key-1": {"requests_per_minute": 1}},
        users={"alice": {"tokens_per_minute": 2}},
        teams={"research": {"concurrent_requests": 3}},
        organisations={"lab": {"cost_per_day": 4.5}},
        models={"m": {"tokens_per_month": 5}},
    )
    assert limits_of(plan) == {
        "key:key-1|requests|60": 1,
        "user:alice|lab|research|tokens|60": 2,
        "team:research|slots": 3,
        "organisation:lab|cost|day": 4_500_000,
        "model:m|tokens|month": 5,
    }


def test_users_of_one_name_in_two_teams_do_not_share_a_limit() -> None:
    allowances = {"default": {"user": {"requests_per_minute": 1}}}
    keys = [
        set(limits_of(plan_of(replace(ALICE, tenant=tenant, organisation=organisation), **allowances)))
        for tenant, organisation in [("a", "lab"), ("b", "lab"), ("a", "other")]
    ]
    assert len(keys[0] | keys[1] | keys[2]) == 3


def test_what_is_left_out_is_as_the_default_and_unlimited_lifts_it() -> None:
    plan = plan_of(
        default={"team": {"requests_per_minute": 10, "tokens_per_minute": 20, "concurrent_requests": 5}},
        teams={"research": {"requests_per_minute": 100, "tokens_per_minute": "unlimited"}},
    )
    assert limits_of(plan) == {"team:research|requests|60": 100, "team:research|slots": 5}


def test_limits_on_one_model_count_apart_and_besides() -> None:
    sections = {
        "default": {"key": {"models": {"m": {"requests_per_minute": 5}}}},
        "keys": {"key-1": {"requests_per_minute": 50}},
    }
    assert limits_of(plan_of(**sections)) == {"key:key-1|requests|60": 50, "key:key-1|model:m|requests|60": 5}
    assert limits_of(plan_of(model="other", **sections)) == {"key:key-1|requests|60": 50}


def test_a_key_without_a_user_is_under_no_users_limits() -> None:
    sections = {"default": {"user": {"requests_per_minute": 1}}}
    assert limits_of(plan_of(Principal("t", "k"), **sections)) == {}
    assert len(limits_of(plan_of(**sections))) == 1


@given(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8))
def test_no_two_parties_share_a_count(one: str, other: str) -> None:
    sections = {"default": {"team": {"requests_per_minute": 1, "models": {"m": {"requests_per_minute": 1}}}}}
    mine, others = (limits_of(plan_of(Principal(name, "k"), **sections)) for name in (one, other))
    assert len(mine) == 2
    assert (mine.keys() == others.keys()) is (one == other)
    assert one == other or not mine.keys() & others.keys()


def test_a_key_that_moves_to_another_team_is_under_its_limits_from_then() -> None:
    limiter = limiter_of(teams={"research": {"requests_per_minute": 1}, "sales": {"requests_per_minute": 2}})
    assert dict(reserve(limiter).headers())[b"x-ratelimit-limit-requests"] == b"1"
    moved = Principal("sales", "key-1")
    assert dict(reserve(limiter, principal=moved).headers())[b"x-ratelimit-limit-requests"] == b"2"


def test_shadow_goes_down_to_the_models_of_a_party() -> None:
    one = {"requests_per_minute": 1}
    sections = {"teams": {"research": {**one, "shadow": True, "models": {"m": one}}}}
    assert [rule.shadow for rule in plan_of(**sections).rules] == [True, True]
    sections["teams"]["research"]["models"] = {"m": {**one, "shadow": False}}
    assert [rule.shadow for rule in plan_of(**sections).rules] == [True, False]
    assert [rule.shadow for rule in plan_of(shadow=True, **sections).rules] == [True, True]


def test_without_limits_nothing_is_reserved() -> None:
    assert not allowances_of(Config())
    assert not limiter_of(models={"m": {"context": 4096}}, prices={"m": {"input": 1.0}})._allowances
    assert limiter_of(keys={"other": {"requests_per_minute": 1}}).reserve(ask(), None) is None


# --- how much a call needs


def worst(
    *, body: bytes = b"x" * 100, context: int | None = None, is_chat: bool = True, **fields: Any
) -> Any:
    envelope = ask(body=body, **fields).envelope
    return demand.worst_case(envelope, is_chat, FREE, context, context or 9000)


def test_a_prompt_is_taken_for_its_bytes_and_a_template() -> None:
    assert worst()[demand.INPUT] == 100 + demand.TEMPLATE_TOKENS
    assert worst(context=400)[demand.INPUT] == 400


def test_an_answer_is_taken_for_its_bound_times_its_number() -> None:
    assert worst(most_tokens=50, answers=3)[demand.OUTPUT] == 150
    assert worst(most_tokens=None, answers=2, context=400)[demand.OUTPUT] == 800
    assert worst(most_tokens=None)[demand.OUTPUT] == 9000


def test_a_prompt_and_its_answer_have_one_context_together() -> None:
    assert worst(most_tokens=None, answers=2, context=400)[demand.TOKENS] == 800
    assert (
        worst(body=b"x" * 10, most_tokens=5, context=4000)[demand.TOKENS] == 10 + demand.TEMPLATE_TOKENS + 5
    )


@pytest.mark.parametrize(
    "part", ['"image_url":{"url":"x"}', '"input_audio":{}', '"video_url":{}', '"file":{"file_data":"x"}']
)
def test_media_are_taken_for_the_whole_context(part: str) -> None:
    assert worst(body=b'{"content":[{%b}]}' % part.encode(), context=4096)[demand.INPUT] == 4096
    assert worst(body=b'{"content":[{%b}]}' % part.encode())[demand.INPUT] == 9000


def test_text_that_speaks_of_media_is_text() -> None:
    body = b'{"content":"send \\"image_url\\" and \\"input_audio\\", or base_url"}'
    assert worst(body=body)[demand.INPUT] == len(body) + demand.TEMPLATE_TOKENS


def test_many_prompts_may_each_be_as_long_as_the_context() -> None:
    assert worst(body=b"x" * 1000, context=300, is_chat=False, answers=2)[demand.INPUT] == 600


numbers = st.integers(0, 10**6)


@given(numbers, numbers, numbers, st.builds(Prices, numbers, numbers, numbers))
def test_what_was_used_within_the_bounds_never_costs_more_than_what_was_taken(
    prompt: int, output: int, cached: int, prices: Prices
) -> None:
    envelope = ask(body=b"x" * prompt, most_tokens=output).envelope
    most = demand.worst_case(envelope, True, prices, None, 1)
    real = demand.used(Usage(prompt, output, min(cached, prompt)), prices)
    cut = demand.interrupted(most, output // 2, prices)
    for amounts in (real, cut):
        assert all(0 <= use <= bound for use, bound in zip(amounts, most, strict=True))
    assert (
        cut[demand.COST] >= demand.used(Usage(prompt, output // 2), prices)[demand.COST]
        or prices.cached_input > prices.input
    )


def test_an_engine_that_counts_below_zero_gives_nobody_credit() -> None:
    assert demand.used(Usage(-5, -7, -1), Prices(1000, 1000, 1000)) == (1, 0, 0, 0, 0, 0)
    assert demand.used(Usage(10, 0, 50), Prices(3000, 1000, 0))[demand.COST] == 10


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        (UsageShape(-(10**30), -1), 0),
        (UsageShape(10**30, -(10**30)), MOST_TOKENS),
        (UsageShape(10**30, 10**30), 2 * MOST_TOKENS),
    ],
)
def test_whatever_an_engine_says_was_used_a_budget_counts_within_bounds(
    said: UsageShape, counted: int
) -> None:
    limit = 4 * MOST_TOKENS
    limiter = limiter_of(models={"m": {"tokens_per_day": limit}})
    reserve(limiter).settle(said.value())
    taken = limiter._counters.take([Rule("model:m|tokens|day", Unit.TOKENS, limit, Calendar.DAY)], [0], None)
    assert isinstance(taken, Taken)
    assert taken.left == [limit - counted]


# --- what callers are told


def test_what_could_never_fit_says_what_to_change() -> None:
    limiter = limiter_of(teams={"research": {"output_tokens_per_minute": 100}})
    with pytest.raises(ExceedsLimit, match="names no max_tokens") as caught:
        reserve(limiter, most_tokens=None)
    assert (caught.value.param, caught.value.status, caught.value.retry) == ("max_tokens", 400, False)
    with pytest.raises(
        ExceedsLimit, match=r"up to 200 output tokens.* limit of this team is 100 output tokens per"
    ):
        reserve(limiter, most_tokens=200)
    reserve(limiter, most_tokens=100)
    assert limiter.tally.refusals == {("team", "output_tokens_per_minute", "too_large"): 2}


def test_a_rate_says_when_and_a_budget_that_waiting_is_no_use() -> None:
    limiter = limiter_of(
        keys={"key-1": {"requests_per_minute": 1}}, organisations={"lab": {"tokens_per_day": 1000}}
    )
    reserve(limiter)
    with pytest.raises(QuotaExceeded, match=r"budget of this organisation.*1000 tokens per day"):
        reserve(limiter)
    again = limiter_of(keys={"key-1": {"requests_per_minute": 1}})
    reserve(again)
    with pytest.raises(RateLimited, match="limit of this key is reached: 1 requests per minute") as caught:
        reserve(again)
    assert caught.value.retry_after == -(-(caught.value.retry_after_ms or 0) // 1000)


def test_counters_that_cannot_be_asked_are_our_lack_and_not_the_callers() -> None:
    class Silent:
        def account(self, _: object) -> None:
            """All is asked for."""

        def take(self, *_: object) -> Unavailable:
            return Unavailable(0.2)

        def seed(self, *_: object) -> None:
            """Nothing is counted."""

    limits = allowances_of(Config.model_validate({"limits": {"keys": {"key-1": {"requests_per_minute": 1}}}}))
    with pytest.raises(LimitsUnavailable) as caught:
        reserve(Limiter(limits, Silent()))
    assert (caught.value.status, caught.value.retry_after, caught.value.retry) == (503, 1, True)


def test_headers_are_of_the_tightest_rate_and_of_no_budget_or_shadow() -> None:
    limiter = limiter_of(
        keys={"key-1": {"tokens_per_minute": 5000, "tokens_per_day": 4000}},
        teams={"research": {"output_tokens_per_minute": 300}},
        users={"alice": {"input_tokens_per_minute": 1000, "shadow": True}},
    )
    headers = dict(reserve(limiter).headers())
    assert headers == {
        b"x-ratelimit-limit-tokens": b"300",
        b"x-ratelimit-remaining-tokens": b"284",
        b"x-ratelimit-reset-tokens": b"1m0s",
    }


def test_after_the_end_headers_say_what_was_given_back() -> None:
    reservation = reserve(limiter_of(keys={"key-1": {"tokens_per_minute": 5000}}))
    reservation.settle(Usage(10, 5))
    reservation.release()
    assert dict(reservation.headers())[b"x-ratelimit-remaining-tokens"] == b"4985"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.02, b"20ms"),
        (1, b"1s"),
        (1.5, b"1.5s"),
        (59.9996, b"1m0s"),
        (60, b"1m0s"),
        (360, b"6m0s"),
        (3661, b"1h1m1s"),
    ],
)
def test_times_are_written_as_openai_does(seconds: float, text: bytes) -> None:
    assert duration(seconds) == text


def test_only_days_and_months_are_budgets() -> None:
    assert Rule("k", Unit.TOKENS, 1, Calendar.DAY).is_budget
    assert not Rule("k", Unit.TOKENS, 1, 60.0).is_budget
    assert not Rule("k", Unit.SLOTS, 1, None).is_budget
