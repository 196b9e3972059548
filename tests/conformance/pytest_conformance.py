"""A pytest plugin: writes the outcome of each test, and lets tests that need a Swarm share the lab's.

CONFORMANCE_RESULT is the file for lines of "outcome TAB test TAB reason", CONFORMANCE_PART is swarm or standalone.
"""

import os

import pytest

# From the best to the worst. A test has the worst outcome of its phases (set-up, call, tear-down).
OUTCOMES = ["passed", "xfailed", "skipped", "failed"]
results = {}


def outcome_of(report):
    if hasattr(report, "wasxfail"):
        return "passed" if report.passed else "xfailed"
    return report.outcome


def reason_of(report):
    if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
        return report.longrepr[2]
    crash = getattr(report.longrepr, "reprcrash", None)
    return crash.message if crash else str(report.longrepr or "")


def pytest_runtest_logreport(report):
    name = report.nodeid.removeprefix("tests/integration/")
    outcome = outcome_of(report)
    before = results.get(name, ("passed", ""))
    if name not in results or OUTCOMES.index(outcome) > OUTCOMES.index(before[0]):
        reason = "" if outcome == "passed" else " ".join(reason_of(report).split())[:400]
        results[name] = (outcome, reason)


def pytest_sessionfinish():
    with open(os.environ["CONFORMANCE_RESULT"], "w", encoding="utf-8") as file:
        for name, (outcome, reason) in results.items():
            file.write(f"{outcome}\t{name}\t{reason}\n")


@pytest.fixture(autouse=True, scope="session")
def use_the_labs_swarm():
    """In the lab's Swarm, initialising returns the existing one, and leaving does nothing."""
    from docker.api.swarm import SwarmApiMixin

    if os.environ["CONFORMANCE_PART"] == "swarm":
        SwarmApiMixin.init_swarm = lambda self, *_, **__: self.info()["Swarm"]["NodeID"]
        SwarmApiMixin.leave_swarm = lambda self, *_, **__: True
    yield
