-- Answers that handlers give later, to whichever process they reach.
--
-- Why: a handler behind an HTTP address may take minutes, and says so; its answer comes by a request of its own, and not always to the
-- process that has the row in hand.
--
-- Locks: none but of what is new.
CREATE TABLE callback (
    id text CONSTRAINT callback_pk PRIMARY KEY,
    node_id bigint NOT NULL CONSTRAINT callback_node_id_fk REFERENCES node ON DELETE CASCADE,
    workflow text NOT NULL,
    item text NOT NULL,
    attempt smallint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    answered_at timestamptz,
    digest text,
    answer text
);
CREATE INDEX callback_node_id_ix ON callback (node_id) WHERE answer IS NOT NULL;
CREATE INDEX callback_expires_at_ix ON callback (expires_at);
COMMENT ON TABLE callback IS 'One row per attempt for whose answer somebody waits, or that was answered: from the hand-out until an hour after its end.';
COMMENT ON COLUMN callback.id IS 'Random; part of the token that the handler is given.';
COMMENT ON COLUMN callback.node_id IS 'The process that has the row in hand.';
COMMENT ON COLUMN callback.workflow IS 'The workflow that works the row.';
COMMENT ON COLUMN callback.item IS 'The key of the row, for people.';
COMMENT ON COLUMN callback.attempt IS 'Which attempt it is.';
COMMENT ON COLUMN callback.created_at IS 'When the row was handed out.';
COMMENT ON COLUMN callback.expires_at IS 'Until when an answer is waited for.';
COMMENT ON COLUMN callback.answered_at IS 'When the answer came.';
COMMENT ON COLUMN callback.digest IS 'SHA-256 of the answer, by which a repeat is known; NULL while there is none.';
COMMENT ON COLUMN callback.answer IS 'The answer, until the process that waits has taken it.';

CREATE TABLE callback_key (
    id smallint CONSTRAINT callback_key_pk PRIMARY KEY CONSTRAINT callback_key_id_ck CHECK (id = 1),
    key text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
REVOKE ALL ON callback_key FROM PUBLIC;
COMMENT ON TABLE callback_key IS 'What signs the tokens of callbacks: one row, which the first process that needs it makes.';
COMMENT ON COLUMN callback_key.id IS 'There is one.';
COMMENT ON COLUMN callback_key.key IS 'The secret. Without it tokens that are out are worth nothing, and a new one is made.';
COMMENT ON COLUMN callback_key.created_at IS 'When it was made.';
