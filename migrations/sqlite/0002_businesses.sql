-- The sample table. A table of that name that is there already is left as it is.

CREATE TABLE IF NOT EXISTS businesses (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL,
    category    TEXT,
    phone       TEXT,
    email       TEXT,
    address     TEXT,
    city        TEXT,
    country     TEXT,
    website     TEXT,
    description TEXT,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000Z', 'now')),
    updated_at  TIMESTAMPTZ NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000Z', 'now')),
    deleted_at  TIMESTAMPTZ
);

CREATE INDEX IF NOT EXISTS businesses_name_idx ON businesses (name);
CREATE INDEX IF NOT EXISTS businesses_category_idx ON businesses (category);
CREATE INDEX IF NOT EXISTS businesses_email_idx ON businesses (email);
CREATE INDEX IF NOT EXISTS businesses_city_idx ON businesses (city);
CREATE INDEX IF NOT EXISTS businesses_country_idx ON businesses (country);
CREATE INDEX IF NOT EXISTS businesses_deleted_at_idx ON businesses (deleted_at);
