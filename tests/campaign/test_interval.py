"""Wilson's interval has the published values, and the properties of an interval of a share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nooks_lab.campaign.interval import width, wilson

shares = st.integers(1, 5000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # R. G. Newcombe, Statistics in Medicine 17, 1998, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        # The paper's 313 of 317 eliminated crashes.
        (313, 317, 0.968, 0.995),
    ],
)
def test_published_values(successes, trials, low, high):
    digits = len(str(low).split(".")[1]) if low else 4
    assert [round(end, digits) for end in wilson(successes, trials)] == [low, high]


def test_without_a_trial_nothing_is_known():
    assert wilson(0, 0) == (0.0, 1.0)
    assert width(0, 0) == 1


@pytest.mark.parametrize(("successes", "trials"), [(-1, 5), (6, 5), (0, -1)])
def test_what_is_no_share_is_refused(successes, trials):
    with pytest.raises(ValueError, match="is no share"):
        wilson(successes, trials)


@given(shares)
def test_the_interval_holds_the_share_and_lies_between_0_and_1(share):
    successes, trials = share
    low, high = wilson(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    assert (low == 0) == (successes == 0)
    assert (high == 1) == (successes == trials)


@given(shares)
def test_failures_have_the_mirrored_interval(share):
    successes, trials = share
    low, high = wilson(successes, trials)
    assert wilson(trials - successes, trials) == pytest.approx((1 - high, 1 - low))


@given(shares, st.integers(2, 10))
def test_more_trials_of_the_same_share_narrow_it(share, times):
    successes, trials = share
    assert width(times * successes, times * trials) < width(successes, trials)
