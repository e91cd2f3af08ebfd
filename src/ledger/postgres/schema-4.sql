-- Schema 4 adds the audit chain: its events, and where it begins. Nobody but the owner of the tables may change or remove an event.
CREATE TABLE mailsudo.events (
    number bigint PRIMARY KEY,
    at bigint NOT NULL,
    event text NOT NULL,
    head bytea NOT NULL CHECK (octet_length(head) = 32)
);

CREATE TABLE mailsudo.checkpoint (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    gateway text NOT NULL,
    number bigint NOT NULL,
    head bytea NOT NULL CHECK (octet_length(head) = 32),
    until bigint
);

-- A moment as it stands in an event.
CREATE FUNCTION mailsudo.moment(seconds bigint) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT to_char(to_timestamp(seconds) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
$$;

-- Begins the chain of the gateway whose ledger this is. Requests that are there already have no event.
CREATE FUNCTION mailsudo.begin_chain() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    first bytea;
    older bigint;
    moment bigint := extract(epoch FROM now())::bigint;
    said text;
BEGIN
    SELECT sha256(convert_to('mailsudo-audit-1' || chr(10) || gateway || chr(10), 'UTF8')) INTO first FROM mailsudo.ledger;
    IF first IS NULL OR EXISTS (SELECT FROM mailsudo.checkpoint) THEN
        RETURN;
    END IF;
    INSERT INTO mailsudo.checkpoint (gateway, number, head) SELECT gateway, 0, first FROM mailsudo.ledger;
    SELECT count(*) INTO older FROM mailsudo.requests;
    IF older > 0 THEN
        said := format(E'event: migrated\nat: %s\nrequests: %s\n', mailsudo.moment(moment), older);
        INSERT INTO mailsudo.events VALUES (1, moment, said, sha256(first || convert_to(said, 'UTF8')));
    END IF;
END $$;
REVOKE ALL ON FUNCTION mailsudo.begin_chain() FROM PUBLIC;
SELECT mailsudo.begin_chain();

-- As mailsudo.prune(before, most) was, and the oldest events go with the requests. `prefix` is how the
-- event begins that says so.
DROP FUNCTION mailsudo.prune(bigint, bigint);
CREATE FUNCTION mailsudo.prune(before bigint, most bigint, moment bigint, prefix text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    bound bigint := least(before, extract(epoch FROM now())::bigint - 7 * 86400);
    newest bigint;
    gone bigint;
    old_number bigint;
    old_until bigint;
    last_number bigint;
    last_head bytea;
    said text;
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
    UPDATE mailsudo.counters SET value = value + gone WHERE series = 'pruned' AND gone > 0;
    WITH first AS (
        SELECT e.number, e.at FROM mailsudo.events e ORDER BY e.number LIMIT most * 10
    ), stop AS (
        SELECT min(number) AS number FROM first WHERE first.at >= bound
    )
    SELECT max(first.number), max(first.at) INTO old_number, old_until FROM first, stop
        WHERE stop.number IS NULL OR first.number < stop.number;
    UPDATE mailsudo.checkpoint c SET number = e.number, head = e.head, until = greatest(c.until, old_until)
        FROM mailsudo.events e WHERE e.number = old_number;
    DELETE FROM mailsudo.events WHERE number <= old_number;
    SELECT c.number, c.head INTO old_number, last_head FROM mailsudo.checkpoint c;
    said := prefix || format(E'requests: %s\nbefore: %s\nthrough: %s\nhead: %s\n', gone, mailsudo.moment(bound), old_number,
        encode(last_head, 'hex'));
    SELECT tail.number, tail.head INTO last_number, last_head FROM
        (SELECT e.number, e.head FROM mailsudo.events e UNION ALL SELECT c.number, c.head FROM mailsudo.checkpoint c) AS tail
        ORDER BY tail.number DESC LIMIT 1;
    INSERT INTO mailsudo.events VALUES (last_number + 1, moment, said, sha256(last_head || convert_to(said, 'UTF8')));
    RETURN gone;
END $$;
REVOKE ALL ON FUNCTION mailsudo.prune(bigint, bigint, bigint, text) FROM PUBLIC;
