#!/usr/bin/env python3
"""Which lines of include/ the tests run: prints each header's share and that of all, after the tests of the preset
coverage have run.

    cmake --preset coverage && cmake --build --preset coverage && ctest --preset coverage
    python3 tests/coverage.py build/coverage [--least 95] [--missed HEADER]

A line counts once, however many instantiations hold it; it is covered when one of them ran it. Templates that no test
instantiates have no lines, so what is missing altogether is not seen here.
"""
import argparse
import collections
import concurrent.futures
import json
import pathlib
import subprocess
import sys

INCLUDE = pathlib.Path(__file__).resolve().parent.parent / "include"


def lines_run(data_file):
    """{header: {line: whether it ran}} of one object file."""
    report = subprocess.run(["gcov", "--json-format", "--stdout", data_file.name], cwd=data_file.parent, check=True,
                            capture_output=True)
    headers = collections.defaultdict(dict)
    for file in json.loads(report.stdout)["files"]:
        path = pathlib.Path(file["file"])
        if INCLUDE in path.parents:
            ran = headers[str(path.relative_to(INCLUDE))]
            for line in file["lines"]:
                ran[line["line_number"]] = ran.get(line["line_number"], False) or line["count"] > 0
    return headers


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("build", type=pathlib.Path)
    arguments.add_argument("--least", type=float, default=0, help="percent of all lines below which the exit code is 1")
    arguments.add_argument("--missed", help="a header, whose lines that did not run are printed")
    a = arguments.parse_args()

    data_files = sorted(a.build.rglob("*.gcda"))
    if not data_files:
        sys.exit(f"{a.build} holds no .gcda file: have the tests of the preset coverage run?")
    headers = collections.defaultdict(dict)
    with concurrent.futures.ProcessPoolExecutor() as pool:
        for some in pool.map(lines_run, data_files):
            for header, ran in some.items():
                for line, did in ran.items():
                    headers[header][line] = headers[header].get(line, False) or did

    if a.missed:
        print(*(line for line, did in sorted(headers[a.missed].items()) if not did))
        return 0
    total = sum(map(len, headers.values()))
    covered = sum(sum(ran.values()) for ran in headers.values())
    for header, ran in sorted(headers.items(), key=lambda item: sum(item[1].values()) / len(item[1])):
        print(f"{100 * sum(ran.values()) / len(ran):6.1f} % of {len(ran):4} lines  {header}")
    print(f"{100 * covered / total:6.1f} % of {total} lines of {len(headers)} headers")
    return int(100 * covered / total < a.least)


if __name__ == "__main__":
    sys.exit(main())
