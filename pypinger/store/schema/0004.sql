-- The message that shows the alert, as its channel refers to it; of a reply that is the message it replies to. Null if
-- the delivery is not sent or the channel has no such references.
ALTER TABLE delivery ADD COLUMN reference TEXT;
CREATE INDEX delivery_reference ON delivery (reference) WHERE reference IS NOT NULL;

-- Row 1 while Py Pinger is blind, row 2 while its clock is wrong.
ALTER TABLE blindness RENAME TO blindness_before;
CREATE TABLE blindness (
    id INTEGER PRIMARY KEY CHECK (id IN (1, 2)),
    since REAL NOT NULL,
    words TEXT NOT NULL
);
INSERT INTO blindness SELECT id, since, words FROM blindness_before;
DROP TABLE blindness_before;
