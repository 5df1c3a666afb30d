"""Writes `zones.txt`, the current and future time zone rules, from the PyPI package `tzdata`:

    pip install --target /tmp/tzdata tzdata==2026.6
    PYTHONPATH=/tmp/tzdata python3 zones.py 2026-11-21 > zones.txt

The date is the first day for which the table holds, usually today. Zones that the table format cannot
describe are printed to standard error; the module's documentation names them.
"""
import io, re, struct, sys
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from importlib.resources import files
from zoneinfo import ZoneInfo

import tzdata

LOOKED_AT_YEARS = 15
OFFSET = r"(?:[A-Za-z]+|<[^>]+>)([-+]?[\d:]+)?"
RULE = re.compile(rf"{OFFSET}(?:{OFFSET},M([\d.]+)(?:/([-\d:]+))?,M([\d.]+)(?:/([-\d:]+))?)?")


def minutes(text):
    """Parses an offset: "-3:30" is -210 minutes."""
    hours, _, rest = text.lstrip("+-").partition(":")
    return (-1 if text.startswith("-") else 1) * (int(hours) * 60 + int(rest or 0))


def row(footer):
    """Returns the rule in minutes east of UTC. POSIX counts westward, with defaults of 60 and 02:00."""
    standard, summer, start, start_time, end, end_time = RULE.fullmatch(footer).groups()
    east = -minutes(standard)
    if start is None:
        return f"{east:+}"
    assert all(1 < int(change.split(".")[0]) < 12 for change in (start, end)), footer
    ahead = -minutes(summer) if summer else east + 60
    starts, ends = minutes(start_time or "2"), minutes(end_time or "2")
    return f"{east:+} {ahead:+} {start}/{starts} {end}/{ends}"


def footer_alone(footer):
    """Returns a zone that follows the footer alone, without history, for comparison with the real one."""
    head = b"TZif2" + bytes(15) + struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    block = head + struct.pack(">lbB", 0, 0, 0) + b"UTC\0"
    return ZoneInfo.from_file(io.BytesIO(block + block + f"\n{footer}\n".encode()))


def exception(name, real, footer, start):
    """Returns the suffix for a fixed offset from `start` until the footer applies; empty if there is none."""
    differs = lambda at: at.astimezone(real).utcoffset() != at.astimezone(footer).utcoffset()
    steps = [start + timedelta(hours=6 * step) for step in range(LOOKED_AT_YEARS * 365 * 4)]
    wrong = [at for at in steps if differs(at)]
    if not wrong:
        return ""
    until = wrong[-1]
    while differs(until):
        until += timedelta(minutes=15)
    offsets = {at.astimezone(real).utcoffset() for at in steps if at < until}
    if len(offsets) > 1:
        print(f"{name}: table is wrong from {wrong[0]} to {wrong[-1]}", file=sys.stderr)
        return ""
    return f" until {int(until.timestamp())} {offsets.pop() // timedelta(minutes=1):+}"


start = datetime.fromisoformat(sys.argv[1]).replace(tzinfo=timezone.utc)
rows, known = defaultdict(list), {}
for name in files(tzdata).joinpath("zones").read_text().split():
    if name == "Factory":  # Placeholder for an unset zone.
        continue
    data = files(tzdata).joinpath("zoneinfo", name).read_bytes()
    footer = data.rstrip(b"\n").rsplit(b"\n", 1)[1].decode()
    if data not in known:
        real = ZoneInfo.from_file(io.BytesIO(data))
        known[data] = row(footer) + exception(name, real, footer_alone(footer), start)
    rows[known[data]].append(name)

print(f"# tzdata {tzdata.IANA_VERSION}, holds from {sys.argv[1]}; written by zones.py")
for rule in sorted(rows, key=lambda rule: (int(rule.split()[0]), rule)):
    print(rule, *sorted(rows[rule]), sep="\n")
