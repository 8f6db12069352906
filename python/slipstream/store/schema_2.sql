-- Version 2. What an order's limit price was bound to: kept with the claim, so that a leg whose
-- line in the activity log died with its process can still be told whole.
ALTER TABLE leg ADD COLUMN reference INTEGER;
ALTER TABLE leg ADD COLUMN reference_px INTEGER;
ALTER TABLE leg ADD COLUMN reference_sequence INTEGER;
ALTER TABLE leg ADD COLUMN bound_ppm INTEGER;
ALTER TABLE leg ADD COLUMN book_sequence INTEGER;

-- The order in which intents became durable. recorded_ms tells when one was last worked on.
ALTER TABLE intent ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0;

UPDATE intent SET sequence = numbered.place
FROM (
    SELECT
        intent_id,
        row_number() OVER (
            ORDER BY coalesce(venue_ts_ms, recorded_ms), recorded_ms, intent_id
        ) AS place
    FROM intent
) AS numbered
WHERE numbered.intent_id = intent.intent_id;

CREATE UNIQUE INDEX intent_by_sequence ON intent (sequence);

-- Legs that waited for their lane: looked for in the log at every start, however old.
CREATE INDEX leg_waiting ON leg (intent_id, follower_id) WHERE status = 'waiting';

-- What the log tells of an intent and of its followers.
CREATE INDEX activity_by_intent ON activity (intent_id, follower_id) WHERE intent_id IS NOT NULL;

-- How many columns a staged row has: a cohort staged by version 1 has those of version 1.
ALTER TABLE staged_cohort ADD COLUMN column_count INTEGER NOT NULL DEFAULT 18;
