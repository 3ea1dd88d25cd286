-- The message that shows the alert, as its channel refers to it; of a reply that is the message it replies to. Null if
-- the delivery is not sent or the channel has no such references.
ALTER TABLE delivery ADD COLUMN reference TEXT;
CREATE INDEX delivery_reference ON delivery (reference) WHERE reference IS NOT NULL;
