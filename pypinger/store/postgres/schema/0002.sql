-- oldest: 2
-- Who owns which task, in a narrow table of its own: thousands of tasks change hands at once, and their rows are wide.
-- `owner` is an instance's id, `epoch` the fencing token: each new owner raises it. `changed` finds what others changed;
-- no index has it, so that an update touches none. `unlisted`: since when no instance lists the task.
CREATE TABLE ownership (
    task bigint PRIMARY KEY REFERENCES task ON DELETE CASCADE,
    owner text,
    epoch bigint NOT NULL DEFAULT 0,
    unlisted timestamptz,
    changed xid8 NOT NULL DEFAULT pg_current_xact_id()
) WITH (fillfactor = 45);
INSERT INTO ownership (task, epoch) SELECT id, epoch FROM task;
ALTER TABLE task DROP COLUMN owner, DROP COLUMN epoch, DROP COLUMN unlisted;
