-- Schema 5 adds functions for what every delivery does. A function's plans are kept by the server's process, and so by a pooler's
-- connections; statements that a client sends are planned each time (docs/decisions/0054). They run with the caller's rights.

-- For the rest of a transaction: all names without a schema are pg_catalog's, and a plan is made once, for all values. So each statement
-- below is such that its plan goes by an index: it is kept while the ledger grows from nothing to millions of requests.
CREATE FUNCTION mailsudo.settle() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog', true), pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', true);
END $$;

-- Takes the lock of a request, or says who holds it. It may run twice. `known` is the token of a holder that is dead.
CREATE FUNCTION mailsudo.take_lock(
    request bytea, own bytea, its_holder text, its_node text, lasts bigint, known bytea,
    OUT is_taken boolean, OUT other_token bytea, OUT other_holder text
)
LANGUAGE plpgsql AS $$
BEGIN
    -- The lock need not be durable by itself: a commit of the record, which is, makes it so.
    PERFORM mailsudo.settle();
    PERFORM set_config('synchronous_commit', 'off', true);
    INSERT INTO mailsudo.locks AS held (id, token, holder, node, ends)
        VALUES (request, own, its_holder, its_node, clock_timestamp() + lasts * interval '1 second')
        ON CONFLICT (id) DO UPDATE SET token = own, holder = its_holder, node = its_node, ends = excluded.ends
        WHERE held.ends <= clock_timestamp() OR held.token = known;
    is_taken := FOUND;
    IF NOT is_taken THEN
        SELECT l.token, l.holder INTO other_token, other_holder FROM mailsudo.locks l
            WHERE l.id = request AND l.ends > clock_timestamp();
    END IF;
END $$;

-- Releases the lock of a request, if it is the one with this token.
CREATE FUNCTION mailsudo.release_lock(request bytea, own bytea) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mailsudo.settle();
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE mailsudo.locks SET ends = '-infinity' WHERE id = request AND token = own;
END $$;

-- What a transaction finds when it begins: the ledger, the server, the end of the audit chain, the user, and the request's record.
CREATE TYPE mailsudo.begun AS (
    version bigint, readable_from bigint, gateway text, watermark bigint, lost_until bigint, quiet_for bigint,
    stored_system_id text, stored_timeline text, system_id text, timeline text, standbys text, is_own boolean, newest_step bigint,
    number bigint, head bytea, until bigint, told boolean, counted_to bigint, id bytea, user_name text, command text, arguments text,
    signed bigint, first_seen bigint, state text, reason text, step bigint, run_as text, argv text, started bigint, finished bigint,
    result text, reply_to text, reply bytea, replied bigint, queue_id text, audit_lost bigint, holds_until bigint, token bytea,
    written bigint
);

-- Begins a transaction about a request: locks the one row of mailsudo.ledger, and then reads all that a decision needs. For this
-- transaction alone: no wait for a lock, and no open transaction of a node that has stopped, beyond `most` milliseconds; a commit
-- that is never cancelled half way; and at least local and standby durability. `own` is the token of a delivery that has the
-- request's lock, if it is held for `margin` more seconds.
CREATE FUNCTION mailsudo.begin_transaction(request bytea, its_user text, own bytea, margin bigint, most text) RETURNS mailsudo.begun
LANGUAGE plpgsql AS $$
DECLARE
    ledger mailsudo.ledger;
    begun mailsudo.begun;
BEGIN
    PERFORM mailsudo.settle();
    PERFORM set_config('lock_timeout', most, true), set_config('idle_in_transaction_session_timeout', most, true),
        set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') = 'remote_apply'
            THEN 'remote_apply' ELSE 'on' END, true);
    SELECT l.* INTO ledger FROM mailsudo.ledger l FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- A statement of its own after the lock is held: it sees all that was committed before.
    SELECT ledger.version, ledger.readable_from, ledger.gateway, ledger.watermark, ledger.lost_until,
        ceil(extract(epoch FROM ledger.quiet_until - clock_timestamp()))::bigint, ledger.system_id, ledger.timeline,
        (SELECT c.system_identifier::text FROM pg_control_system() c), substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8),
        current_setting('synchronous_standby_names'),
        EXISTS (SELECT FROM mailsudo.locks l
            WHERE l.id = request AND l.token = own AND l.ends > clock_timestamp() + margin * interval '1 second'),
        (SELECT s.step FROM mailsudo.requests s WHERE s.user_name = its_user AND s.step IS NOT NULL ORDER BY s.step DESC LIMIT 1),
        chain.number, chain.head, o.until, o.told, o.counted_to, r.id, r.user_name, r.command, r.arguments, r.signed, r.first_seen,
        r.state, r.reason, r.step, r.run_as, r.argv, r.started, r.finished, r.result, r.reply_to, r.reply, r.replied, r.queue_id,
        r.audit_lost, r.holds_until, r.token, r.written
    INTO begun
    FROM (SELECT) AS one
    LEFT JOIN (SELECT t.number, t.head FROM
        (SELECT e.number, e.head FROM mailsudo.events e UNION ALL SELECT c.number, c.head FROM mailsudo.checkpoint c) AS t
        ORDER BY t.number DESC LIMIT 1) AS chain ON true
    LEFT JOIN mailsudo.lockouts o ON o.user_name = its_user
    LEFT JOIN mailsudo.requests r ON r.id = request;
    RETURN begun;
END $$;

-- Ends the transaction where something is not as it must be, such as a record that another delivery has changed.
CREATE FUNCTION mailsudo.require(is_so boolean) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF is_so IS NOT TRUE THEN
        RAISE EXCEPTION 'another delivery has changed it' USING ERRCODE = 'MS001';
    END IF;
END $$;

-- Writes a request's first record, if neither the request nor its step is recorded. Returns whether it did. `hold` is in seconds.
CREATE FUNCTION mailsudo.insert_request(
    id bytea, user_name text, command text, arguments text, signed bigint, first_seen bigint, state text, reason text, step bigint,
    run_as text, argv text, started bigint, finished bigint, result text, reply_to text, reply bytea, replied bigint, queue_id text,
    audit_lost bigint, holds_until bigint, hold bigint, node text, token bytea, written bigint
) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO mailsudo.requests (id, user_name, command, arguments, signed, first_seen, state, reason, step, run_as, argv, started,
        finished, result, reply_to, reply, replied, queue_id, audit_lost, holds_until, hold_ends, node, token, written)
    VALUES (id, user_name, command, arguments, signed, first_seen, state, reason, step, run_as, argv, started,
        finished, result, reply_to, reply, replied, queue_id, audit_lost, holds_until,
        clock_timestamp() + hold * interval '1 second', node, token, written)
    ON CONFLICT DO NOTHING;
    RETURN FOUND;
END $$;

-- Changes a record, if `old_token` is still the token of its last writer, and `old_written` what that has written. Returns whether
-- it did.
CREATE FUNCTION mailsudo.update_request(
    request bytea, new_state text, new_reason text, new_run_as text, new_argv text, new_started bigint, new_finished bigint,
    new_result text, new_reply_to text, new_reply bytea, new_replied bigint, new_audit_lost bigint, new_holds_until bigint,
    hold bigint, old_token bytea, old_written bigint, new_node text, new_token bytea, new_written bigint
) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE mailsudo.requests SET state = new_state, reason = new_reason, run_as = new_run_as, argv = new_argv,
        started = new_started, finished = new_finished, result = new_result, reply_to = new_reply_to, reply = new_reply,
        replied = new_replied, audit_lost = new_audit_lost, holds_until = new_holds_until,
        hold_ends = CASE WHEN hold IS NULL THEN NULL ELSE coalesce(hold_ends, clock_timestamp() + hold * interval '1 second') END,
        node = new_node, token = new_token, written = new_written
    -- By num_nonnulls, since `replied IS NULL` would choose the index of all that is open.
    WHERE id = request AND token = old_token AND written = old_written AND num_nonnulls(replied) = 0;
    RETURN FOUND;
END $$;

-- Adds to counters: one name on each line of `series`, and by how much on the same line of `rises`. All writers have the series in the
-- same order, so that two which write at once do not wait for each other.
CREATE FUNCTION mailsudo.count(series text, rises text, moment bigint) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
    INSERT INTO mailsudo.counters AS known (series, value, since)
        SELECT c.name, c.rise::bigint, moment
        FROM unnest(string_to_array(series, E'\n'), string_to_array(rises, E'\n')) AS c (name, rise)
    ON CONFLICT ON CONSTRAINT counters_pkey DO UPDATE SET value = known.value + excluded.value;
END $$;

-- What a request's record says after a commit, and for whom commits wait. It is called outside any transaction.
CREATE FUNCTION mailsudo.read_back(request bytea, OUT token bytea, OUT written bigint, OUT standbys text)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mailsudo.settle();
    SELECT r.token, r.written, current_setting('synchronous_standby_names') INTO token, written, standbys
        FROM mailsudo.requests r WHERE r.id = request;
END $$;

-- Marks a reply as sent, and counts it with its event if it was not marked before. It may run twice.
CREATE FUNCTION mailsudo.mark_replied(request bytea, moment bigint, lost bigint, said text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mailsudo.settle();
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM FROM mailsudo.ledger FOR UPDATE;
    UPDATE mailsudo.requests SET replied = moment, audit_lost = greatest(audit_lost, lost)
        WHERE id = request AND num_nonnulls(replied) = 0 AND state NOT IN ('waiting', 'started');
    IF FOUND THEN
        UPDATE mailsudo.counters SET value = value + 1 WHERE series = 'replied';
        INSERT INTO mailsudo.events (number, at, event, head)
            SELECT chain.number + 1, moment, said, sha256(chain.head || convert_to(said, 'UTF8'))
            FROM (SELECT t.number, t.head FROM
                (SELECT e.number, e.head FROM mailsudo.events e UNION ALL SELECT c.number, c.head FROM mailsudo.checkpoint c) AS t
                ORDER BY t.number DESC LIMIT 1) AS chain;
    END IF;
END $$;

-- Ends a delivery whose own reply was sent: marks it, releases the lock, notes that the node was seen, at most once in `often`
-- seconds. Returns whether there is something to prune: a request that was replied to before the moment `old`, or locks.
CREATE FUNCTION mailsudo.end_delivery(
    request bytea, moment bigint, lost bigint, said text, own bytea, its_node text, its_version text, often bigint, old bigint
) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mailsudo.mark_replied(request, moment, lost, said);
    UPDATE mailsudo.locks SET ends = '-infinity' WHERE id = request AND token = own;
    IF NOT EXISTS (SELECT FROM mailsudo.nodes n WHERE n.name = its_node AND n.version = its_version
        AND n.last_seen >= clock_timestamp() - often * interval '1 second') THEN
        INSERT INTO mailsudo.nodes AS known (name, version, clock, last_seen)
            VALUES (its_node, its_version, moment, clock_timestamp())
        ON CONFLICT (name) DO UPDATE SET version = excluded.version, clock = excluded.clock, last_seen = excluded.last_seen;
    END IF;
    -- What was released is removed some at a time.
    RETURN coalesce((SELECT min(r.replied) FROM mailsudo.requests r) < old, false)
        OR EXISTS (SELECT FROM mailsudo.locks l WHERE l.ends < now() - interval '1 day' ORDER BY l.ends OFFSET 20);
END $$;

-- A sysadmin's query for the runs of one command, however few. It takes the place of the index by `seq` alone, which only pruning read:
-- mailsudo.prune is as it was, but finds requests by `id`, and the oldest reply by its index: whether there is an older one than some
-- moment, a plan that is kept would look for in all of the table.
CREATE INDEX requests_command ON mailsudo.requests (command, first_seen, seq);
ALTER TABLE mailsudo.requests DROP CONSTRAINT requests_seq_key;
CREATE OR REPLACE FUNCTION mailsudo.prune(before bigint, most bigint, moment bigint, prefix text) RETURNS bigint
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
    -- The end is named twice: where a delivery has just taken such a lock again, only the first condition is tried anew on its row.
    DELETE FROM mailsudo.locks WHERE ends < now() - interval '1 day' AND id IN
        (SELECT id FROM mailsudo.locks WHERE ends < now() - interval '1 day' ORDER BY ends LIMIT most);
    IF coalesce((SELECT min(replied) FROM mailsudo.requests) >= bound, true) THEN
        RETURN 0;
    END IF;
    PERFORM FROM mailsudo.ledger FOR UPDATE;
    WITH old AS (
        SELECT id FROM mailsudo.requests WHERE replied < bound AND signed < bound ORDER BY replied, seq LIMIT most
    ), removed AS (
        DELETE FROM mailsudo.requests WHERE id IN (SELECT id FROM old) RETURNING signed
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

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA mailsudo FROM PUBLIC;
