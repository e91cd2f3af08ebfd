-- The ledger in PostgreSQL, schema 1. Times are seconds since 1970 by the clock of a node; a timestamptz is by the database's.
CREATE SCHEMA IF NOT EXISTS mailsudo;

-- One row. Its lock is what makes transactions exclude each other.
CREATE TABLE mailsudo.ledger (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    version bigint NOT NULL,
    readable_from bigint NOT NULL,
    gateway text NOT NULL,
    watermark bigint,
    lost_until bigint,
    quiet_until timestamptz,
    system_id text NOT NULL,
    timeline text NOT NULL
);

CREATE TABLE mailsudo.requests (
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    id bytea PRIMARY KEY CHECK (octet_length(id) = 32),
    user_name text NOT NULL,
    command text NOT NULL,
    arguments text NOT NULL,
    signed bigint NOT NULL,
    first_seen bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('waiting', 'refused', 'started', 'finished')),
    reason text,
    step bigint,
    run_as text,
    argv text,
    started bigint,
    finished bigint,
    result text,
    reply_to text,
    reply bytea,
    replied bigint,
    queue_id text,
    audit_lost bigint NOT NULL,
    holds_until bigint,
    hold_ends timestamptz,
    node text NOT NULL,
    token bytea NOT NULL,
    written bigint NOT NULL
);
CREATE UNIQUE INDEX requests_step ON mailsudo.requests (user_name, step);
CREATE INDEX requests_user ON mailsudo.requests (user_name, first_seen, seq);
CREATE INDEX requests_replied ON mailsudo.requests (replied) WHERE replied IS NOT NULL;
CREATE INDEX requests_open ON mailsudo.requests (first_seen) WHERE replied IS NULL;
CREATE INDEX requests_hold ON mailsudo.requests (command) WHERE hold_ends IS NOT NULL;

CREATE TABLE mailsudo.locks (
    id bytea PRIMARY KEY,
    token bytea NOT NULL,
    holder text NOT NULL,
    node text NOT NULL,
    ends timestamptz NOT NULL
);
CREATE INDEX locks_ends ON mailsudo.locks (ends);

CREATE TABLE mailsudo.lockouts (
    user_name text PRIMARY KEY, until bigint NOT NULL, told boolean NOT NULL, counted_to bigint NOT NULL
);

CREATE TABLE mailsudo.nodes (
    name text PRIMARY KEY,
    version text NOT NULL,
    digest text,
    clock bigint NOT NULL,
    last_seen timestamptz NOT NULL
);

-- What the role of deliver may remove: a few requests at a time, replied to and signed more than 7 days ago.
CREATE FUNCTION mailsudo.prune(before bigint, most bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    bound bigint := least(before, extract(epoch FROM now())::bigint - 7 * 86400);
    newest bigint;
    gone bigint;
BEGIN
    DELETE FROM mailsudo.locks WHERE id IN
        (SELECT id FROM mailsudo.locks WHERE ends < now() - interval '1 day' ORDER BY ends LIMIT most);
    IF NOT EXISTS (SELECT FROM mailsudo.requests WHERE replied < bound) THEN
        RETURN 0;
    END IF;
    PERFORM FROM mailsudo.ledger FOR UPDATE;
    WITH old AS (
        SELECT seq FROM mailsudo.requests WHERE replied < bound AND signed < bound ORDER BY replied, seq LIMIT most
    ), removed AS (
        DELETE FROM mailsudo.requests WHERE seq IN (SELECT seq FROM old) RETURNING signed
    )
    SELECT max(signed), count(*) INTO newest, gone FROM removed;
    UPDATE mailsudo.ledger SET watermark = greatest(watermark, newest) WHERE newest IS NOT NULL;
    RETURN gone;
END $$;
REVOKE ALL ON FUNCTION mailsudo.prune(bigint, bigint) FROM PUBLIC;
