-- Lists of an owner's imports, newest first, where other owners have many.

CREATE INDEX imports_owner_idx ON rowlift.imports (owner, id);
