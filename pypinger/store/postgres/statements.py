"""
The statements that :mod:`pypinger.store.postgres.tables` makes.

The parameter of most is JSON: an array of objects, one a row.
"""

from __future__ import annotations

CHANNELS = """
SELECT count(*) FROM channel JOIN json_to_recordset(%s::json) AS j (name text, epoch bigint)
ON channel.name = j.name AND channel.epoch = j.epoch WHERE channel.owner = %s
"""

SHAPE = """
INSERT INTO shape (digest, finding, seen) SELECT decode(digest, 'hex'), finding, seen
FROM json_to_recordset(%s::json) AS j (digest text, finding text, seen bigint)
ON CONFLICT (digest) DO UPDATE SET seen = greatest(shape.seen, excluded.seen)
RETURNING id, digest
"""

TASK = """
UPDATE task SET changed = pg_current_xact_id(), state = j.state, accounted = j.accounted, shape = j.shape,
    figure = j.figure, began = j.began, first = j.first, last = j.last, count = j.count, hour = j.hour,
    checks = j.checks, errors = j.errors, up = j.up, down = j.down, asleep = j.asleep, blind = j.blind,
    latency = j.latency, slowest = j.slowest
FROM json_to_recordset(%s::json) AS j (id bigint, epoch bigint, state text, accounted bigint, shape bigint,
    figure double precision, began double precision, first bigint, last bigint, count bigint, hour bigint,
    checks bigint, errors bigint, up bigint, down bigint, asleep bigint, blind bigint, latency bigint, slowest bigint)
WHERE task.id = j.id
"""

OWNED = """
    AND EXISTS (SELECT FROM ownership WHERE task = j.id AND ownership.epoch = j.epoch AND owner = %s)
"""

RUN = """
INSERT INTO run (task, first, length, count, shape, figure, began)
SELECT * FROM json_to_recordset(%s::json) AS j (task bigint, first bigint, length bigint, count bigint, shape bigint,
    figure double precision, began double precision)
ON CONFLICT DO NOTHING RETURNING task, first
"""

HOUR = """
INSERT INTO hour (task, hour, checks, errors, up, down, asleep, blind, latency, slowest)
SELECT * FROM json_to_recordset(%s::json) AS j (task bigint, hour bigint, checks bigint, errors bigint, up bigint,
    down bigint, asleep bigint, blind bigint, latency bigint, slowest bigint)
ON CONFLICT (task, hour) DO UPDATE SET checks = hour.checks + excluded.checks, errors = hour.errors + excluded.errors,
    up = hour.up + excluded.up, down = hour.down + excluded.down, asleep = hour.asleep + excluded.asleep,
    blind = hour.blind + excluded.blind, latency = hour.latency + excluded.latency,
    slowest = greatest(hour.slowest, excluded.slowest)
"""

VERDICT = """
INSERT INTO verdict (task, at, kind, explanation)
SELECT * FROM json_to_recordset(%s::json) AS j (task bigint, at bigint, kind text, explanation text)
"""

INCIDENT = """
INSERT INTO incident (id, task, started, opened, ended, kinds, explanation, alerts)
SELECT * FROM json_to_recordset(%s::json) AS j (id bigint, task bigint, started bigint, opened bigint, ended bigint,
    kinds text, explanation text, alerts integer)
ON CONFLICT (id) DO UPDATE SET ended = excluded.ended, kinds = excluded.kinds, alerts = excluded.alerts
"""

DELIVERY = """
INSERT INTO delivery (alert, channel, task, incident, at, body, attempts, not_before, words, progress)
SELECT * FROM json_to_recordset(%s::json) AS j (alert text, channel text, task bigint, incident bigint, at bigint,
    body text, attempts integer, not_before double precision, words text, progress text)
ON CONFLICT (alert, channel) DO UPDATE SET changed = pg_current_xact_id(), outcome = NULL, attempts = 0,
    not_before = 0, words = '', progress = excluded.progress
WHERE delivery.outcome = 'dead'
"""

SETTLE = """
UPDATE delivery SET attempts = j.attempts, not_before = j.not_before, words = j.words, progress = j.progress,
    outcome = j.outcome, settled = j.settled
FROM json_to_recordset(%s::json) AS j (alert text, channel text, attempts integer, not_before double precision,
    words text, progress text, outcome text, settled bigint)
WHERE delivery.alert = j.alert AND delivery.channel = j.channel AND delivery.outcome IS NULL
"""

REFERENCE = """
UPDATE delivery SET reference = j.reference
FROM json_to_recordset(%s::json) AS j (alert text, channel text, reference text)
WHERE delivery.alert = j.alert AND delivery.channel = j.channel
"""

HOST = """
INSERT INTO host (name, address, at)
SELECT * FROM json_to_recordset(%s::json) AS j (name text, address text, at double precision)
ON CONFLICT (name) DO UPDATE SET address = excluded.address, at = excluded.at WHERE host.at <= excluded.at
"""

BLIND = """
INSERT INTO blind (instance, start, "end")
SELECT CASE WHEN EXISTS (SELECT FROM instance WHERE id <> %s AND until > clock_timestamp() AND NOT blind) THEN %s
    ELSE '' END, j.start, j."end"
FROM json_to_recordset(%s::json) AS j (start bigint, "end" bigint)
"""

BLINDNESS = """
INSERT INTO blindness (instance, id, since, words)
SELECT * FROM json_to_recordset(%s::json) AS j (instance text, id integer, since double precision, words text)
"""
