-- Times in REAL columns are seconds since the epoch, exactly as the daemon knows them.

-- Hosts that answered, so that blindness can be recognised after a restart.
CREATE TABLE host (
    name TEXT PRIMARY KEY,
    address TEXT,
    at REAL NOT NULL
) WITHOUT ROWID;

-- Row 1 while Py Pinger is blind, row 2 while its clock is wrong.
CREATE TABLE blindness (
    id INTEGER PRIMARY KEY CHECK (id IN (1, 2)),
    since REAL NOT NULL,
    words TEXT NOT NULL
);

-- A random text that each start writes, so that the file can be recognised while it is open.
ALTER TABLE life ADD COLUMN token TEXT;
