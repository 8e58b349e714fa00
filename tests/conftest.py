"""Fixtures of the system tests, offered to every test. Python 3.6 reads this file too."""

import importlib.util

from hypothesis import HealthCheck, settings

FIXTURE_MODULES = [
    "tests.system.microphone_fixtures",
    "tests.system.card_fixtures",
    "tests.system.broker_fixtures",
    "tests.system.browser",
]

# a busy machine is no fault of what is tested
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

pytest_plugins = [module for module in FIXTURE_MODULES if importlib.util.find_spec(module)]
