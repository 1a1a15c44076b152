"""Wilson's score interval of a share (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927, pages 209 to 212)."""

import math

Z95 = 1.959963984540054
"""The standard normal distribution's 97.5% quantile: 95% of it lies between its negative and it."""


def wilson(successes: int, trials: int, z: float = Z95) -> tuple[float, float]:
    """Return the lower and upper end of the interval, between 0 and 1.

    Without a trial nothing is known: the interval is all of 0 to 1.

    Parameters
    ----------
    z : float
        The quantile that sets the confidence; 95% when not given.

    Raises
    ------
    ValueError
        When there are fewer trials than successes, or a negative number of either.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is no share")
    if not trials:
        return 0.0, 1.0
    share = successes / trials
    weight = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / weight
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / weight
    # At the ends the formula gives 0 and 1 exactly, but floats do not.
    low = centre - half if successes else 0.0
    high = centre + half if successes < trials else 1.0
    return max(0.0, low), min(1.0, high)


def width(successes: int, trials: int) -> float:
    """Return how wide the 95% interval is."""
    low, high = wilson(successes, trials)
    return high - low
