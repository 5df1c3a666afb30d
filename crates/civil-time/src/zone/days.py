"""Writes `days.txt`: starts of calendar days, computed with Python's zoneinfo, for the unit tests.

    pip install --target /tmp/tzdata tzdata==2026.6
    PYTHONPATH=/tmp/tzdata python3 days.py > days.txt

The search steps by minutes, so that it shares no logic with the code under test. Each line has a zone,
a date, and the Unix time in seconds at which that date begins.
"""
import random
import zoneinfo
from datetime import date, datetime, timedelta, timezone

import tzdata

LAST = date(2028, 12, 30)
# Zones with changes at midnight, by less or more than an hour, or otherwise unusual.
CHANGING = """
Africa/Cairo America/Asuncion America/Chicago America/Godthab America/New_York America/Nuuk
America/Santiago America/Scoresbysund America/St_Johns Antarctica/Troll Asia/Beirut Asia/Gaza
Asia/Jerusalem Atlantic/Azores Australia/Adelaide Australia/Lord_Howe Australia/Sydney Europe/Berlin
Europe/Chisinau Europe/Dublin Europe/London Pacific/Auckland Pacific/Chatham Pacific/Easter
Pacific/Norfolk
""".split()
# Zones whose rule in the table took effect in 2026.
RECENT = "Africa/Casablanca America/Edmonton America/Havana America/Vancouver America/Winnipeg".split()
STEADY = """
America/Sao_Paulo Asia/Kabul Asia/Kathmandu Asia/Kolkata Asia/Shanghai Asia/Tokyo Australia/Eucla
Etc/GMT+12 Pacific/Apia Pacific/Kiritimati Pacific/Marquesas UTC
""".split()


def begins(zone, day):
    """Returns the first minute whose local date is `day` or later."""
    at = datetime(day.year, day.month, day.day, tzinfo=timezone.utc) - timedelta(hours=15)
    while at.astimezone(zone).date() < day:
        at += timedelta(minutes=1)
    return int(at.timestamp())


def days(zone, first):
    """Yields the days around each clock change."""
    noon = lambda day: datetime(day.year, day.month, day.day, 12, tzinfo=timezone.utc)
    offset = lambda day: noon(day).astimezone(zone).utcoffset()
    day = first
    while day < LAST:
        if offset(day) != offset(day + timedelta(days=1)):
            # Noon in UTC is up to 14 hours from local noon: the change is on one of these days.
            yield from (day, day + timedelta(days=1), day + timedelta(days=2))
        day += timedelta(days=1)


zoneinfo.reset_tzpath(to=[])
chance = random.Random(2026)
print(f"# tzdata {tzdata.IANA_VERSION}; written by days.py")
for name in sorted(CHANGING + RECENT + STEADY):
    zone = zoneinfo.ZoneInfo(name)
    first = date(2026, 11, 22) if name in RECENT else date(2026, 1, 2)
    found = set(list(days(zone, first))[:9])
    found |= {first + timedelta(days=chance.randrange((LAST - first).days)) for _ in range(2)}
    for day in sorted(found):
        print(name, day, begins(zone, day))
