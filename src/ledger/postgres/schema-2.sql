-- Schema 2 adds requests that need approval, payloads, votes about requests, and notices to approvers.
ALTER TABLE mailsudo.requests DROP CONSTRAINT requests_state_check;
ALTER TABLE mailsudo.requests ADD CONSTRAINT requests_state_check CHECK (state IN
    ('waiting', 'refused', 'started', 'finished', 'pending', 'denied', 'lapsed', 'cancelled'));

-- What belongs to a request is removed with it, by mailsudo.prune.
CREATE TABLE mailsudo.approvals (
    id bytea PRIMARY KEY REFERENCES mailsudo.requests (id) ON DELETE CASCADE,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    until bigint NOT NULL,
    needed bigint NOT NULL,
    host text NOT NULL,
    reason text,
    exception text,
    is_open boolean NOT NULL
);
CREATE INDEX approvals_open ON mailsudo.approvals (until) WHERE is_open;

CREATE TABLE mailsudo.payloads (
    id bytea PRIMARY KEY REFERENCES mailsudo.requests (id) ON DELETE CASCADE,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    size bigint NOT NULL,
    content bytea
);

CREATE TABLE mailsudo.votes (
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    vote bytea PRIMARY KEY CHECK (octet_length(vote) = 32),
    request bytea NOT NULL REFERENCES mailsudo.requests (id) ON DELETE CASCADE,
    user_name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('approved', 'denied', 'withdrew', 'cancelled')),
    at bigint NOT NULL,
    words text
);
CREATE INDEX votes_request ON mailsudo.votes (request);

CREATE TABLE mailsudo.notices (
    request bytea NOT NULL REFERENCES mailsudo.requests (id) ON DELETE CASCADE,
    user_name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('ask', 'exception', 'lapsed')),
    sent bigint,
    PRIMARY KEY (request, kind, user_name)
);
