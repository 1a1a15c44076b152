"""What all tests share: hypothesis runs the same examples every time, without a clock."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "lab",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("lab")
