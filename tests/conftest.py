"""Fixtures of the system tests, offered to every test. Python 3.6 reads this file too."""

import importlib.util

FIXTURE_MODULES = [
    "tests.system.microphone_fixtures",
    "tests.system.card_fixtures",
    "tests.system.broker_fixtures",
    "tests.system.browser",
]

pytest_plugins = [module for module in FIXTURE_MODULES if importlib.util.find_spec(module)]
