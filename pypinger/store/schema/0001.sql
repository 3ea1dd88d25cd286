-- Times are milliseconds since the epoch in UTC, lengths of time milliseconds, latencies microseconds, hours whole
-- hours since the epoch. REAL columns hold seconds.

-- One row: when the daemon was last known to run.
CREATE TABLE life (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    alive INTEGER NOT NULL
);

-- The present: a task's state as JSON, the run that its latest check belongs to, and its present hour.
CREATE TABLE task (
    id INTEGER PRIMARY KEY,
    url TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    accounted INTEGER,
    shape INTEGER,
    figure REAL,
    first INTEGER,
    last INTEGER,
    count INTEGER,
    hour INTEGER,
    checks INTEGER,
    errors INTEGER,
    up INTEGER,
    down INTEGER,
    asleep INTEGER,
    blind INTEGER,
    latency INTEGER,
    slowest INTEGER
);

-- Pending and past deliveries. `outcome` is null while a delivery is pending.
CREATE TABLE delivery (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    alert TEXT NOT NULL,
    channel TEXT NOT NULL,
    task INTEGER,
    incident INTEGER,
    at INTEGER NOT NULL,
    body TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    not_before REAL NOT NULL,
    words TEXT NOT NULL,
    outcome TEXT,
    settled INTEGER,
    UNIQUE (alert, channel)
);
CREATE INDEX delivery_task ON delivery (task);
CREATE INDEX delivery_incident ON delivery (incident);
CREATE INDEX delivery_at ON delivery (at);
CREATE INDEX delivery_pending ON delivery (id) WHERE outcome IS NULL;
CREATE INDEX delivery_dead ON delivery (id) WHERE outcome = 'dead';

-- `kinds`: a JSON array. `ended` is null while the incident is open.
CREATE TABLE incident (
    id INTEGER PRIMARY KEY,
    task INTEGER NOT NULL,
    started INTEGER NOT NULL,
    opened INTEGER NOT NULL,
    ended INTEGER,
    kinds TEXT NOT NULL,
    explanation TEXT NOT NULL,
    alerts INTEGER NOT NULL
);
CREATE INDEX incident_task ON incident (task);
CREATE INDEX incident_ended ON incident (ended);

CREATE TABLE verdict (
    id INTEGER PRIMARY KEY,
    task INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    explanation TEXT NOT NULL
);
CREATE INDEX verdict_task ON verdict (task);
CREATE INDEX verdict_at ON verdict (at);

-- Findings as JSON without their figure (the lastrun of a report, the latency of a check without an answer), each
-- once. `seen` is when a run last had it, exact to a day.
CREATE TABLE shape (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    finding TEXT NOT NULL,
    seen INTEGER NOT NULL
);
CREATE INDEX shape_seen ON shape (seen);

-- Past runs: consecutive checks with the same finding. 1,000 tasks fill 13 million rows in 90 days.
CREATE TABLE run (
    task INTEGER NOT NULL,
    first INTEGER NOT NULL,
    length INTEGER NOT NULL,
    count INTEGER NOT NULL,
    shape INTEGER NOT NULL,
    figure REAL,
    PRIMARY KEY (task, first)
) WITHOUT ROWID;

-- Past hours. An hour that was blind as a whole has no row.
CREATE TABLE hour (
    task INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    checks INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    up INTEGER NOT NULL,
    down INTEGER NOT NULL,
    asleep INTEGER NOT NULL,
    blind INTEGER NOT NULL,
    latency INTEGER NOT NULL,
    slowest INTEGER NOT NULL,
    PRIMARY KEY (task, hour)
) WITHOUT ROWID;

CREATE TABLE blind (
    id INTEGER PRIMARY KEY,
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL
);
CREATE INDEX blind_end ON blind ("end");
