-- Version 1. Prices, quantities and quote amounts are integers at 10**-8, targets are decimal
-- text of integers at 10**-18, *_ms are milliseconds since the epoch:
-- venue_ts_ms as the venue stamped them, recorded_ms by the database's own clock.

-- A row of this table without a venue names an intent known only by its legs (healing).
CREATE TABLE intent (
    intent_id       TEXT NOT NULL PRIMARY KEY,
    leader_id       TEXT NOT NULL,
    venue           TEXT,
    account         TEXT,
    symbol          TEXT,
    position_side   INTEGER,
    kind            TEXT,
    side            INTEGER,
    before_qty      INTEGER,
    after_qty       INTEGER,
    qty             INTEGER,
    px              INTEGER,
    leader_equity   INTEGER,
    leader_margin   INTEGER,
    venue_ts_ms     INTEGER,
    recorded_ms     INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER))
) STRICT, WITHOUT ROWID;

CREATE INDEX intent_by_time ON intent (recorded_ms);

-- Which intent a fill belongs to: what makes a fill seen twice trade once.
CREATE TABLE fill (
    fill_key        TEXT NOT NULL PRIMARY KEY,
    intent_id       TEXT NOT NULL REFERENCES intent (intent_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX fill_by_intent ON fill (intent_id);

-- How far an adapter has read a leader's history, in the adapter's own words.
CREATE TABLE cursor (
    leader_id       TEXT NOT NULL,
    symbol          TEXT NOT NULL,
    cursor          TEXT NOT NULL,
    PRIMARY KEY (leader_id, symbol)
) STRICT, WITHOUT ROWID;

-- The order ledger. One row per attempt at one leg; its key is the guard against a second order.
CREATE TABLE leg (
    intent_id       TEXT NOT NULL,
    follower_id     TEXT NOT NULL,
    leg             INTEGER NOT NULL,
    attempt         INTEGER NOT NULL,
    status          TEXT NOT NULL,
    symbol          TEXT NOT NULL,
    position_side   INTEGER NOT NULL,
    wanted_qty      INTEGER NOT NULL,
    reason          TEXT,
    observed        INTEGER,
    limit_value     INTEGER,
    client_order_id TEXT,
    claim_hash      BLOB,
    side            INTEGER,
    qty             INTEGER,
    limit_px        INTEGER,
    is_reduction    INTEGER,
    leg_end         TEXT,
    filled_qty      INTEGER,
    average_px      INTEGER,
    venue_order_id  TEXT,
    PRIMARY KEY (intent_id, follower_id, leg, attempt)
) STRICT, WITHOUT ROWID;

-- Small whatever the ledger's size: a leg leaves it when it ends.
CREATE INDEX leg_open ON leg (intent_id) WHERE status = 'claimed';

-- The newest state of each (follower, symbol): what a restart begins from.
CREATE TABLE lane (
    leader_id       TEXT NOT NULL,
    symbol          TEXT NOT NULL,
    follower_id     TEXT NOT NULL,
    intent_id       TEXT NOT NULL,
    lane            TEXT NOT NULL,
    PRIMARY KEY (leader_id, symbol, follower_id)
) STRICT, WITHOUT ROWID;

-- Large cohorts not spread over leg and lane yet: rows in one MessagePack value, oldest first.
CREATE TABLE staged_cohort (
    seq             INTEGER PRIMARY KEY,
    intent_id       TEXT NOT NULL,
    leader_id       TEXT NOT NULL,
    legs            BLOB NOT NULL
) STRICT;

-- What the operator ordered, oldest first.
CREATE TABLE control (
    seq             INTEGER PRIMARY KEY,
    ts_ms           INTEGER NOT NULL,
    action          TEXT NOT NULL,
    leader_id       TEXT,
    follower_id     TEXT,
    symbol          TEXT,
    is_all          INTEGER NOT NULL
) STRICT;

-- The activity log. hash = SHA-256(prev_hash || JSON array of the eight columns before it).
CREATE TABLE activity (
    seq             INTEGER PRIMARY KEY,
    ts_ms           INTEGER NOT NULL,
    kind            TEXT NOT NULL,
    leader_id       TEXT,
    follower_id     TEXT,
    intent_id       TEXT,
    reason          TEXT,
    payload         TEXT NOT NULL,
    prev_hash       BLOB NOT NULL,
    hash            BLOB NOT NULL
) STRICT;

CREATE TRIGGER activity_is_not_changed BEFORE UPDATE ON activity
BEGIN
    SELECT RAISE(ABORT, 'the activity log is append-only');
END;

CREATE TRIGGER activity_is_not_deleted BEFORE DELETE ON activity
BEGIN
    SELECT RAISE(ABORT, 'the activity log is append-only');
END;
