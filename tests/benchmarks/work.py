"""The work that is measured: events in, one V2 call for up to 128 of them, one prediction each.

CloudEvents in binary mode, six headers, a key, JSON of 12 fields (about 250 bytes), 4 partitions; 8 features to the
model; predictions of about 150 bytes.
"""

from __future__ import annotations

import orjson

PARTITIONS = 4
_SPREAD = (
    0x9E3779B97F4A7C15F39CC0605CEDC835  # odd: different numbers give different ids, with the look of hashes
)
ROWS = 128
CALLS = 4
FIELDS = ("distance", "hour", "origin_code", "carrier_code", "temp", "wind", "visibility", "pressure")

BLUEPRINT = """
name: bench
streamlets:
  score:
    use: score
    with:
      model: delay
      servers: [ "http://127.0.0.1:{port}" ]
      protocol: v2
      inputs: {{ x: [distance, hour, origin_code, carrier_code, temp, wind, visibility, pressure] }}
      outputs: {{ delay_minutes: y }}
      batch: {{ max_events: 128, max_wait: 5ms }}
      concurrency: 4
topics:
  departures:  {{ consumers: [score.in], external: true, partitions: 4 }}
  predictions: {{ producers: [score.out], external: true, partitions: 4 }}
"""


def event(number: int) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Return (key, data, headers) of an input event; the same number gives the same event."""
    key = b"%c%c" % (65 + number % 16, 65 + number % 7)
    data = orjson.dumps(
        {
            "flight": number % 9000,
            "tailnum": f"N{number % 4000:05d}",
            "carrier": key.decode(),
            "origin": "JFK",
            "distance": 100.0 + number % 2500,
            "hour": number % 24,
            "origin_code": number % 3,
            "carrier_code": number % 16,
            "temp": 40.0 + number % 50 + 0.25,
            "wind": 3.0 + number % 20,
            "visibility": 10.0,
            "pressure": 1000.0 + number % 40,
        }
    )
    headers = [
        ("ce_id", b"%032x" % ((number + 1) * _SPREAD % (1 << 128))),
        ("content-type", b"application/json"),
        ("ce_source", b"/bench/source"),
        ("ce_specversion", b"1.0"),
        ("ce_type", b"flight.departure"),
        ("ce_time", b"2013-04-01T10:00:00Z"),
    ]
    return key, data, headers
