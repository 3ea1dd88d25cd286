-- Times in REAL columns are seconds since the epoch, exactly as the daemon knows them.

-- Hosts that answered, so that blindness can be recognised after a restart.
CREATE TABLE host (
    name TEXT PRIMARY KEY,
    address TEXT,
    at REAL NOT NULL
) WITHOUT ROWID;

-- One row while Py Pinger is blind.
CREATE TABLE blindness (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    since REAL NOT NULL,
    words TEXT NOT NULL
);

-- A random text that each start writes, so that the file can be recognised while it is open.
ALTER TABLE life ADD COLUMN token TEXT;
