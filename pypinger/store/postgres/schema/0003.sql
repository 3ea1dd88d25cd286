-- Which recipients were reached by a message that failed, in the channel's own form. Null if none, or if it knows none.
ALTER TABLE delivery ADD COLUMN progress text;
