"""Tells how many inputs there were."""

from tests.fuzz.inputs import counts


def pytest_terminal_summary(terminalreporter):
    """A table after the results."""
    if counts:
        terminalreporter.section("hostile inputs")
        for target, count in sorted(counts.items()):
            terminalreporter.write_line("%-34s %8d" % (target, count))
        terminalreporter.write_line("%-34s %8d" % ("all", sum(counts.values())))
