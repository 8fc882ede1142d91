-- Lists of an owner's imports, newest first, where other owners have many.

CREATE INDEX rowlift_imports_owner_idx ON rowlift_imports (owner, id);
