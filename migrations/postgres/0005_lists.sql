-- Lists of an owner's imports, newest first, where other owners have many. On a large ledger the
-- index is made by hand before, without keeping writers out: docs/OPERATIONS.md.

CREATE INDEX IF NOT EXISTS imports_owner_idx ON rowlift.imports (owner, id);
