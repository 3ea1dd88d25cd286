-- Silences given by hand, until their end; times are seconds since the epoch.
CREATE TABLE silence (
    id TEXT PRIMARY KEY,
    selector TEXT NOT NULL,
    start REAL NOT NULL,
    until REAL NOT NULL,
    reason TEXT NOT NULL,
    by TEXT NOT NULL
) WITHOUT ROWID;
