"""The street that the README's pictures show."""

import time

from tests.system.page_scene import UNCALIBRATED, Corner, Street


def publish_scene(publisher):
    """Three nodes: calibrated and sounding; uncalibrated, band-limited and faulty; offline."""
    now_s = time.time()
    harbour = Corner("harbour-gate", site="Harbour gate, north mast")
    market = Corner("market-square", calibration=UNCALIBRATED, bandwidth_hz=8000.0, site="Market square 7")
    school = Corner("school-lane", site="School lane, lamp 12")
    publisher.send(harbour.status(), harbour.status(source="mic"), harbour.info(now_s), harbour.health(now_s))
    publisher.send(market.status(), market.status(source="mic"), market.info(now_s))
    publisher.send(market.health(now_s, store_waiting=214, store_oldest_s=5400.0, temperature_c=71.0))
    publisher.send(school.status("offline"), school.status("offline", "mic"), school.info(now_s))
    heard = Street(
        harbour,
        now_s,
        7,
        [
            ("siren", 468, 42, 27),
            ("dog_bark", 301, 6, 16),
            ("drilling", 232, 64, 19),
            ("car_horn", 118, 3, 24),
            ("siren", 21, 40, 25),
        ],
        quiet_db=53.0,
    )
    publisher.send(*heard.messages())
    publisher.send(
        harbour.summary(now_s // 3600 * 3600 - 3600, 62.4, 65.8, 58.1, 52.9, 89.7, kind="summary_hour", length_s=3600.0)
    )
    publisher.send(harbour.state(now_s, ["siren"]))
    quieter = Street(
        market,
        now_s,
        11,
        [("street_music", 540, 190, 12), ("children_playing", 150, 60, 14)],
        quiet_db=49.0,
        gap=(280, 65),
    )
    publisher.send(*quieter.messages())
    publisher.send(market.state(now_s))
    late = [("engine_idling", 15400, 75.0), ("dog_bark", 9120, 8.4)]
    for number, (label, before_s, duration_s) in enumerate(late):
        start_s = now_s - before_s
        publisher.send(
            school.event(
                "late-%d" % number, "end", label, start_s, start_s + duration_s, replayed=True, laeq=63.3, lafmax=70.9
            )
        )
