"""Compares the results of a suite, test by test: at an engine directly, and through skep in front of that engine.

Fails if a test passes directly but not through skep, unless exceptions.txt gives a reason.
"""

import argparse
import pathlib
import sys


def read_results(path):
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {test: (outcome, reason) for outcome, test, reason in (line.split("\t", 2) for line in lines)}


def read_exceptions(path):
    """Lines of "SUITE/PART TEST — REASON"."""
    exceptions = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        key, dash, reason = line.partition(" — ")
        words = key.split()
        if len(words) != 2 or not dash or not reason.strip():
            sys.exit(f"{path.name}:{number}: not 'SUITE/PART TEST — REASON': {line}")
        exceptions[tuple(words)] = reason.strip()
    return exceptions


def passed(result):
    return result is not None and result[0] == "passed"


class Way:
    """The results of one suite in one of the two ways: "direct" or "agent"."""

    def __init__(self, folder, way):
        self.first = read_results(folder / f"{way}.tsv")
        self.again = read_results(folder / f"{way}.again.tsv")

    def passes(self, test):
        return passed(self.first.get(test)) or passed(self.again.get(test))

    def reason(self, test):
        outcome, reason = self.again.get(test) or self.first.get(test) or ("missing", "it did not run")
        return f"{outcome}: {reason}"


class Comparison:
    """One suite in one part."""

    def __init__(self, results, name, exceptions):
        self.name = name
        self.direct = Way(results / name, "direct")
        self.agent = Way(results / name, "agent")
        listed = {test for suite, test in exceptions if suite == name}
        self.worse = [test for test in self.direct.first if self.direct.passes(test) and not self.agent.passes(test)]
        self.better = [test for test in self.agent.first if self.agent.passes(test) and not self.direct.passes(test)]
        self.unsteady = [test for test, result in self.agent.first.items() if not passed(result) and self.agent.passes(test)]
        self.regressions = [test for test in self.worse if test not in listed]
        self.excepted = [test for test in self.worse if test in listed]
        self.unneeded = sorted(listed.difference(self.worse))

    def to_retry(self, way):
        if way == "agent":
            return self.worse
        return [test for test, (outcome, _) in self.direct.first.items() if outcome == "failed"]

    def row(self):
        count = [sum(map(way.passes, self.direct.first)) for way in (self.direct, self.agent)]
        return [self.name, len(self.direct.first), *count, len(self.excepted), len(self.regressions)]


def table(rows):
    head = ["suite", "tests", "pass directly", "pass through skep", "exceptions", "regressions"]
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = [
        "| " + " | ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))) + " |"
        for row in cells
    ]
    rule = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def document(comparisons, exceptions, versions, engines):
    used = [(c.name, test) for c in comparisons for test in c.excepted]
    lines = [
        "# Conformance",
        "",
        "The test suites of Docker clients, run against an engine directly and then through skep. A test that passes directly",
        "must pass through skep. `make conformance` runs them, and writes this page with `--write-docs`.",
        "[tests/conformance](../tests/conformance/README.md) describes the setup.",
        "",
        "- `swarm`: three nodes with `docker/stack.yml`. The direct run uses the manager's engine, the other run the agent there,",
        "  which answers for all nodes. `standalone`: one engine with one agent in front of it.",
        *(f"- Engine of {part}: {engine}." for part, engine in engines.items()),
        f"- docker-py: {versions['docker-py']}. bollard {versions['bollard']}.",
        "",
        table([c.row() for c in comparisons]),
        "",
        "Tests that do not pass directly need something that is missing: Docker Hub, a newer engine, a Swarm of one node.",
        "",
        "## Exceptions",
        "",
        "Tests that pass directly and cannot pass through skep.",
        "",
    ]
    lines += [f"- {name} `{test}`: {exceptions[name, test]}" for name, test in used] or ["None."]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=pathlib.Path, required=True)
    parser.add_argument("--exceptions", type=pathlib.Path)
    parser.add_argument("--docs", type=pathlib.Path, help="write this page as well")
    parser.add_argument("--again", choices=["direct", "agent"], help="only print the tests to retry this way")
    parser.add_argument("suites", nargs="+", metavar="SUITE/PART")
    arguments = parser.parse_args()
    exceptions = read_exceptions(arguments.exceptions) if arguments.exceptions else {}
    comparisons = [Comparison(arguments.results, name, exceptions) for name in arguments.suites]
    if arguments.again:
        for test in [test for c in comparisons for test in c.to_retry(arguments.again)]:
            print(test)
        return

    for c in comparisons:
        if not c.direct.first or not c.agent.first:
            sys.exit(f"{c.name} has not run both ways yet")
    print(table([c.row() for c in comparisons]))
    for c in comparisons:
        for test in c.regressions:
            print(f"\nREGRESSION {c.name} {test}\n  {c.agent.reason(test)}")
        for test in c.excepted:
            print(f"\nexception {c.name} {test}\n  {exceptions[c.name, test]}")
        for test in c.unsteady:
            print(f"\nwarning: {c.name} {test} passed through skep only on the retry\n  {c.agent.first[test][1]}")
        for test in c.better:
            print(f"\nnote: {c.name} {test} passes only through skep\n  directly {c.direct.reason(test)}")
        for test in c.unneeded:
            print(f"\nwarning: {c.name} {test} is in the list of exceptions but does not need to be")
    if arguments.docs:
        lines = (arguments.results / "versions.tsv").read_text(encoding="utf-8").splitlines()
        versions = dict(line.split("\t") for line in lines)
        parts = dict.fromkeys(c.name.split("/")[1] for c in comparisons)
        engines = {part: (arguments.results / f"engine.{part}").read_text(encoding="utf-8").strip() for part in parts}
        arguments.docs.write_text(document(comparisons, exceptions, versions, engines), encoding="utf-8")
    sys.exit(1 if any(c.regressions for c in comparisons) else 0)


main()
