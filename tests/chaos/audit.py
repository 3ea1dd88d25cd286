"""
What the database itself notes of a run, whatever the instances say.

Triggers write to the schema ``audit``: which session made which instance, each change of a task's owner, each write of
a task by a session that does not own it, and each settlement. A session is known by its login, the name of a life.
"""

from __future__ import annotations

#: Run by the superuser in one transaction, once the tables are there.
STATEMENTS = (
    "CREATE SCHEMA audit",
    "CREATE TABLE audit.instance (id text PRIMARY KEY, life text NOT NULL, at timestamptz NOT NULL)",
    "CREATE TABLE audit.owned (number bigserial PRIMARY KEY, url text, epoch bigint, owner text, life text,"
    " at timestamptz NOT NULL)",
    "CREATE TABLE audit.stale (what text, key text, epoch bigint, owner text, life text, at timestamptz NOT NULL)",
    "CREATE TABLE audit.settled (alert text, channel text, outcome text, life text, at timestamptz NOT NULL)",
    # No row changes between the triggers and what they have missed.
    "LOCK TABLE instance, task, ownership, channel, delivery IN ACCESS EXCLUSIVE MODE",
    "INSERT INTO audit.instance SELECT id, name || '_1', clock_timestamp() FROM instance",
    "INSERT INTO audit.owned (url, epoch, owner, life, at) SELECT url, epoch, owner, name || '_1', '-infinity'"
    " FROM ownership JOIN task ON task.id = task JOIN instance ON instance.id = owner",
    """
    CREATE FUNCTION audit.owns(owner text) RETURNS boolean LANGUAGE sql SECURITY DEFINER AS $$
        SELECT EXISTS (SELECT 1 FROM audit.instance AS made JOIN public.instance USING (id)
            WHERE made.id = owner AND made.life = session_user)
    $$
    """,
    """
    CREATE FUNCTION audit.on_instance() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
        INSERT INTO audit.instance VALUES (NEW.id, session_user, clock_timestamp());
        RETURN NULL;
    END $$
    """,
    "CREATE TRIGGER audit AFTER INSERT ON instance FOR EACH ROW EXECUTE FUNCTION audit.on_instance()",
    """
    CREATE FUNCTION audit.on_owner() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
        INSERT INTO audit.owned (url, epoch, owner, life, at)
            SELECT url, NEW.epoch, NEW.owner, session_user, clock_timestamp() FROM public.task WHERE id = NEW.task;
        RETURN NULL;
    END $$
    """,
    "CREATE TRIGGER audit AFTER UPDATE ON ownership FOR EACH ROW"
    " WHEN (OLD.owner IS DISTINCT FROM NEW.owner OR OLD.epoch <> NEW.epoch) EXECUTE FUNCTION audit.on_owner()",
    """
    CREATE FUNCTION audit.on_state() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    DECLARE holder text; number bigint;
    BEGIN
        SELECT owner, epoch INTO holder, number FROM public.ownership WHERE task = NEW.id;
        IF NOT audit.owns(holder) THEN
            INSERT INTO audit.stale VALUES ('check', NEW.url, number, holder, session_user, clock_timestamp());
        END IF;
        RETURN NULL;
    END $$
    """,
    "CREATE TRIGGER audit AFTER UPDATE ON task FOR EACH ROW"
    " WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION audit.on_state()",
    """
    CREATE FUNCTION audit.on_outcome() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    DECLARE holder text; number bigint;
    BEGIN
        SELECT owner, epoch INTO holder, number FROM public.channel WHERE name = NEW.channel;
        IF NOT audit.owns(holder) THEN
            INSERT INTO audit.stale
                VALUES ('settlement', NEW.channel || ' ' || NEW.alert, number, holder, session_user, clock_timestamp());
        END IF;
        INSERT INTO audit.settled VALUES (NEW.alert, NEW.channel, NEW.outcome, session_user, clock_timestamp());
        RETURN NULL;
    END $$
    """,
    "CREATE TRIGGER audit AFTER UPDATE ON delivery FOR EACH ROW"
    " WHEN (OLD.outcome IS NULL AND NEW.outcome IS NOT NULL) EXECUTE FUNCTION audit.on_outcome()",
)
