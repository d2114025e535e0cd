"""Sites for the fault tests: those of the system tests."""

from tests.system.conftest import line, make_site, slow_site

__all__ = ["line", "make_site", "slow_site"]
