-- What the ledger forgets, and what it looks up to tell a file that it has seen before.

ALTER TABLE rowlift.imports
    -- The shortest time that any try asked for; NULL: none asked, the server's holds.
    ADD COLUMN reject_retention_ms bigint,
    -- Rejected rows with smaller ordinals have no values any more.
    ADD COLUMN wiped_below bigint NOT NULL DEFAULT 0,
    -- No value is left.
    ADD COLUMN wiped boolean NOT NULL DEFAULT false;

CREATE INDEX imports_expire_idx ON rowlift.imports (expire_time);
CREATE INDEX imports_rejects_expire_idx ON rowlift.imports (rejects_expire_time) WHERE NOT wiped;
-- Imports that have not ended: those whose session died get their times from whoever forgets.
CREATE INDEX imports_open_idx ON rowlift.imports (id) WHERE state < 5;
CREATE INDEX imports_file_idx ON rowlift.imports (file_sha256, table_name, tenant, owner)
    WHERE state = 5 AND NOT validate_only;
