"""What Aster's refusals mean, row by row of its table."""

import json

import pytest

from slipstream import errors
from slipstream.domain.outcome import Denied, Limited, Refused, RequestOutcome, Unknown
from slipstream.units import NS_PER_S
from slipstream.venues.aster import faults


def body(code: int, words: str = "words") -> bytes:
    return json.dumps({"code": code, "msg": words}).encode()


def kind_of(outcome: RequestOutcome) -> str:
    if isinstance(outcome, Refused):
        if outcome.is_resync:
            return "resync"
        return "shrink" if outcome.is_shrinkable else "refused"
    return type(outcome).__name__.lower()


@pytest.mark.parametrize(
    ("status", "raw", "meaning"),
    [
        (503, b"", "unknown"),
        (500, b"<html>", "unknown"),
        (502, body(-2019), "unknown"),
        (408, body(-1007), "unknown"),
        (400, body(-1006), "unknown"),
        (400, body(-1007), "unknown"),
        (400, body(-1001), "unknown"),
        (400, body(-1000, "An unknown error occurred"), "unknown"),
        (400, body(-4116), "unknown"),
        (400, b"", "unknown"),
        (403, b"<html>blocked</html>", "unknown"),
        (400, b'{"code":200,"msg":"success"}', "unknown"),
        (400, b'{"code":"-2019","msg":"text"}', "unknown"),
        (429, b"<html>", "limited"),
        (418, b"", "limited"),
        (429, body(-1003), "limited"),
        (400, body(-1015), "limited"),
        (400, body(-1000, "No agent found"), "denied"),
        (400, body(-1000, "Signature check failed"), "denied"),
        (400, body(-1022), "denied"),
        (401, body(-2014), "denied"),
        (401, body(-2015), "denied"),
        (403, body(-5050), "denied"),
        (400, body(-2018), "shrink"),
        (400, body(-2019), "shrink"),
        (400, body(-2027), "shrink"),
        (400, body(-2028), "shrink"),
        (400, body(-4005), "shrink"),
        (400, body(-4225), "resync"),
        (400, body(-2022), "resync"),
        (400, body(-4118), "resync"),
        (400, body(-4061), "resync"),
        (400, body(-1111), "refused"),
        (400, body(-1121), "refused"),
        (400, body(-2010), "refused"),
        (400, body(-4014), "refused"),
        (400, body(-4164), "refused"),
        (400, body(-5060), "refused"),
        (400, body(-987654), "refused"),
    ],
)
def test_each_refusal_has_its_meaning(status: int, raw: bytes, meaning: str) -> None:
    assert kind_of(faults.refusal(status, raw, pause_ns=5)) == meaning


def test_a_limit_carries_the_pause_and_a_refusal_its_code() -> None:
    limited = faults.refusal(429, body(-1003), pause_ns=7)
    assert isinstance(limited, Limited)
    assert limited.retry_after_ns == 7
    denied = faults.refusal(403, body(-5050), pause_ns=None)
    assert isinstance(denied, Denied)
    assert denied.code == -5050


def test_words_of_the_venue_are_cut() -> None:
    outcome = faults.refusal(400, body(-4014, "x" * 5_000), pause_ns=None)
    assert isinstance(outcome, Refused)
    assert len(outcome.reason) < 200


@pytest.mark.parametrize(
    ("status", "headers", "raw", "pause_ns"),
    [
        (429, {b"retry-after": b"3"}, b"", 3 * NS_PER_S),
        (429, {b"retry-after": b"soon"}, b"", 11),
        (429, {}, b"", 11),
        (418, {}, b"", 120 * NS_PER_S),
        (418, {}, body(-1003, "IP banned until 1700000004000."), 4 * NS_PER_S),
        (418, {}, body(-1003, "IP banned until 1600000000000."), 0),
        (429, {b"retry-after": b"999999"}, b"", 3 * 86_400 * NS_PER_S),
    ],
)
def test_the_pause_is_what_the_venue_says_or_the_next_minute(
    status: int, headers: dict[bytes, bytes], raw: bytes, pause_ns: int
) -> None:
    found = faults.pause_of(status, headers, raw, venue_ms=1_700_000_000_000, window_left_ns=11)
    assert found == pause_ns


@pytest.mark.parametrize(
    ("status", "raw", "kind"),
    [
        (400, body(-2013), errors.Rejected),
        (400, body(-1022), errors.Unauthorized),
        (429, b"", errors.RateLimited),
        (503, b"", errors.UnknownOutcome),
        (400, b"?", errors.UnknownOutcome),
    ],
)
def test_a_question_gets_the_error_of_its_kind(
    status: int, raw: bytes, kind: type[errors.VenueError]
) -> None:
    error = faults.error_of("GET /x", status, raw, pause_ns=9)
    assert type(error) is kind
    assert "GET /x" in str(error)
    if isinstance(error, errors.RateLimited):
        assert error.retry_after_ns == 9
    if isinstance(error, errors.Rejected):
        assert error.code == -2013


def test_an_unreadable_answer_of_success_is_not_a_limit() -> None:
    assert not faults.is_limited(200, body(-1003))
    assert faults.is_limited(400, body(-1015))
    assert not faults.is_limited(400, body(-2019))
    assert isinstance(faults.refusal(200, b"[]", pause_ns=None), Unknown)
