-- Schema 3 adds counters, and indices in the order of recording for sysadmins' queries.
CREATE INDEX requests_seen ON mailsudo.requests (first_seen, seq);
CREATE INDEX requests_state ON mailsudo.requests (state, first_seen, seq) WHERE state NOT IN ('started', 'finished');

-- Numbers that never fall: those of requests outlive what is pruned. Free space in each page lets an update stay in its page.
CREATE TABLE mailsudo.counters (
    series text PRIMARY KEY, value bigint NOT NULL, since bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO mailsudo.counters (series, value, since)
    SELECT word, CASE word WHEN 'recorded' THEN (SELECT count(*) FROM mailsudo.requests) ELSE 0 END,
        extract(epoch FROM now())::bigint
    FROM unnest(ARRAY['recorded', 'pruned', 'replied', 'locked-out']) AS word;

CREATE OR REPLACE FUNCTION mailsudo.prune(before bigint, most bigint) RETURNS bigint
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
    UPDATE mailsudo.counters SET value = value + gone WHERE series = 'pruned' AND gone > 0;
    RETURN gone;
END $$;
REVOKE ALL ON FUNCTION mailsudo.prune(bigint, bigint) FROM PUBLIC;
