-- Version 1. The same tables as on SQLite, see schema.sql there for what they are. Text compares by
-- bytes; prices, quantities and quote amounts are integers at 10**-8, targets decimal text of
-- integers at 10**-18, *_ms milliseconds since the epoch, recorded_ms by the server's clock.

CREATE TABLE slipstream.about (
    is_only         BOOLEAN NOT NULL DEFAULT true PRIMARY KEY CHECK (is_only),
    version         BIGINT NOT NULL,
    -- Counts the processes that have opened it to write.
    writer_epoch    BIGINT NOT NULL
);

INSERT INTO slipstream.about (version, writer_epoch) VALUES (1, 0);

CREATE TABLE slipstream.intent (
    intent_id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    leader_id       TEXT COLLATE "C" NOT NULL,
    venue           TEXT COLLATE "C",
    account         TEXT COLLATE "C",
    symbol          TEXT COLLATE "C",
    position_side   BIGINT,
    kind            TEXT COLLATE "C",
    side            BIGINT,
    before_qty      BIGINT,
    after_qty       BIGINT,
    qty             BIGINT,
    px              BIGINT,
    leader_equity   BIGINT,
    leader_margin   BIGINT,
    venue_ts_ms     BIGINT,
    recorded_ms     BIGINT NOT NULL
        DEFAULT (floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint),
    -- The order in which intents became durable. recorded_ms tells when one was last worked on.
    sequence        BIGINT NOT NULL
);

CREATE UNIQUE INDEX intent_by_sequence ON slipstream.intent (sequence);

CREATE INDEX intent_by_time ON slipstream.intent (recorded_ms);

CREATE TABLE slipstream.fill (
    fill_key        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    intent_id       TEXT COLLATE "C" NOT NULL REFERENCES slipstream.intent (intent_id)
);

CREATE INDEX fill_by_intent ON slipstream.fill (intent_id);

CREATE TABLE slipstream.cursor (
    leader_id       TEXT COLLATE "C" NOT NULL,
    symbol          TEXT COLLATE "C" NOT NULL,
    cursor          TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (leader_id, symbol)
);

-- The order ledger. One row per attempt at one leg; its key is the guard against a second order.
CREATE TABLE slipstream.leg (
    intent_id       TEXT COLLATE "C" NOT NULL,
    follower_id     TEXT COLLATE "C" NOT NULL,
    leg             BIGINT NOT NULL,
    attempt         BIGINT NOT NULL,
    status          TEXT COLLATE "C" NOT NULL,
    symbol          TEXT COLLATE "C" NOT NULL,
    position_side   BIGINT NOT NULL,
    wanted_qty      BIGINT NOT NULL,
    reason          TEXT COLLATE "C",
    observed        BIGINT,
    limit_value     BIGINT,
    client_order_id TEXT COLLATE "C",
    claim_hash      BYTEA,
    side            BIGINT,
    qty             BIGINT,
    limit_px        BIGINT,
    is_reduction    BIGINT,
    leg_end         TEXT COLLATE "C",
    filled_qty      BIGINT,
    average_px      BIGINT,
    venue_order_id  TEXT COLLATE "C",
    reference       BIGINT,
    reference_px    BIGINT,
    reference_sequence BIGINT,
    bound_ppm       BIGINT,
    book_sequence   BIGINT,
    PRIMARY KEY (intent_id, follower_id, leg, attempt)
);

-- Small whatever the ledger's size: a leg leaves it when it ends.
CREATE INDEX leg_open ON slipstream.leg (intent_id) WHERE status = 'claimed';

-- Legs that waited for their lane: looked for in the log at every start, however old.
CREATE INDEX leg_waiting ON slipstream.leg (intent_id, follower_id) WHERE status = 'waiting';

CREATE TABLE slipstream.lane (
    leader_id       TEXT COLLATE "C" NOT NULL,
    symbol          TEXT COLLATE "C" NOT NULL,
    follower_id     TEXT COLLATE "C" NOT NULL,
    intent_id       TEXT COLLATE "C" NOT NULL,
    lane            TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (leader_id, symbol, follower_id)
);

CREATE TABLE slipstream.staged_cohort (
    seq             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    intent_id       TEXT COLLATE "C" NOT NULL,
    leader_id       TEXT COLLATE "C" NOT NULL,
    legs            BYTEA NOT NULL,
    column_count    BIGINT NOT NULL
);

CREATE TABLE slipstream.control (
    seq             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ts_ms           BIGINT NOT NULL,
    action          TEXT COLLATE "C" NOT NULL,
    leader_id       TEXT COLLATE "C",
    follower_id     TEXT COLLATE "C",
    symbol          TEXT COLLATE "C",
    is_all          BIGINT NOT NULL
);

-- The activity log. hash = SHA-256(prev_hash || JSON array of the eight columns before it).
CREATE TABLE slipstream.activity (
    seq             BIGINT NOT NULL PRIMARY KEY,
    ts_ms           BIGINT NOT NULL,
    kind            TEXT COLLATE "C" NOT NULL,
    leader_id       TEXT COLLATE "C",
    follower_id     TEXT COLLATE "C",
    intent_id       TEXT COLLATE "C",
    reason          TEXT COLLATE "C",
    payload         TEXT COLLATE "C" NOT NULL,
    prev_hash       BYTEA NOT NULL,
    hash            BYTEA NOT NULL
);

-- What the log tells of an intent and of its followers.
CREATE INDEX activity_by_intent ON slipstream.activity (intent_id, follower_id)
    WHERE intent_id IS NOT NULL;

CREATE FUNCTION slipstream.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION 'the activity log is append-only' USING ERRCODE = 'restrict_violation';
END;
$body$;

CREATE TRIGGER activity_is_not_changed BEFORE UPDATE OR DELETE ON slipstream.activity
    FOR EACH ROW EXECUTE FUNCTION slipstream.refuse_change();

CREATE TRIGGER activity_is_not_emptied BEFORE TRUNCATE ON slipstream.activity
    FOR EACH STATEMENT EXECUTE FUNCTION slipstream.refuse_change();
