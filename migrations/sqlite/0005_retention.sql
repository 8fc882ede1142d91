-- What the ledger forgets, and what it looks up to tell a file that it has seen before.

-- The shortest time that any try asked for; NULL: none asked, the server's holds.
ALTER TABLE rowlift_imports ADD COLUMN reject_retention_ms INTEGER;
-- Rejected rows with smaller ordinals have no values any more.
ALTER TABLE rowlift_imports ADD COLUMN wiped_below INTEGER NOT NULL DEFAULT 0;
-- No value is left.
ALTER TABLE rowlift_imports ADD COLUMN wiped INTEGER NOT NULL DEFAULT 0;

CREATE INDEX rowlift_imports_expire_idx ON rowlift_imports (expire_time_ms);
CREATE INDEX rowlift_imports_rejects_expire_idx ON rowlift_imports (rejects_expire_time_ms)
    WHERE wiped = 0;
-- Imports that have not ended: those whose session died get their times from whoever forgets.
CREATE INDEX rowlift_imports_open_idx ON rowlift_imports (id) WHERE state = 2;
CREATE INDEX rowlift_imports_file_idx
    ON rowlift_imports (file_sha256, target_table, tenant, owner)
    WHERE state = 5 AND validate_only = 0;
