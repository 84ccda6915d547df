#!/usr/bin/env python3
"""Checks the licence of every crate in Cargo.lock against the allow-list in deny.toml.

Replaces `cargo deny check licenses` on machines without cargo-deny. Exceptions are not supported.
"""

import json
import re
import subprocess
import sys
import tomllib


def allowed(expression, allow):
    """Whether an SPDX expression can be met from `allow`. The old `MIT/Apache-2.0` means OR."""
    tokens = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))

    def alternatives():
        met = conjunction()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            met = conjunction() or met
        return met

    def conjunction():
        met = licence()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            met = licence() and met
        return met

    def licence():
        name = tokens.pop(0)
        if name == "(":
            met = alternatives()
            tokens.pop(0)
            return met
        if tokens and tokens[0] == "WITH":
            name = f"{name} WITH {tokens[1]}"
            del tokens[:2]
        return name in allow

    return alternatives()


with open("deny.toml", "rb") as file:
    allow = set(tomllib.load(file)["licenses"]["allow"])
metadata = subprocess.run(
    ["cargo", "metadata", "--format-version=1", "--locked"], check=True, stdout=subprocess.PIPE
)
packages = json.loads(metadata.stdout)["packages"]
refused = [p for p in packages if not allowed(p["license"] or "none", allow)]
for package in refused:
    print(f"{package['name']} {package['version']}: {package['license']} is not in deny.toml's allow-list")
print(f"{len(packages) - len(refused)} of {len(packages)} crates have a licence that deny.toml allows")
sys.exit(bool(refused))
