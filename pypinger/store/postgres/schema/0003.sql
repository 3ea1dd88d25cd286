-- What the channel notes of a message that failed, for the next attempt: who was reached, say. Null if nothing.
ALTER TABLE delivery ADD COLUMN progress text;
