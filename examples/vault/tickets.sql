-- The support desk's database: two companies in one table.
CREATE TABLE tickets (
  id text PRIMARY KEY,
  tenant text NOT NULL,
  subject text NOT NULL,
  customer text NOT NULL,
  status text NOT NULL CHECK (status IN ('open', 'closed'))
);
INSERT INTO tickets VALUES
  ('ACME-1', 'acme', 'Anvil arrived cracked', 'Ines Duarte', 'open'),
  ('ACME-2', 'acme', 'Rocket skates: only one', 'Tom Okafor', 'open'),
  ('ACME-3', 'acme', 'Invoice in the wrong name', 'Mia Lindqvist', 'open'),
  ('ACME-4', 'acme', 'Paint that is a tunnel', 'Ravi Nair', 'closed'),
  ('GLX-1', 'globex', 'Weather machine hums', 'Sara Haddad', 'open'),
  ('GLX-2', 'globex', 'Hammock delivery to the wrong gate', 'Paul Weiss', 'open'),
  ('GLX-3', 'globex', 'Volcano lease renewal', 'Lin Zhao', 'closed');

-- A reader of a company sees that company's rows, whatever its SQL says.
CREATE ROLE acme_reader NOLOGIN;
CREATE ROLE globex_reader NOLOGIN;
GRANT SELECT ON tickets TO acme_reader, globex_reader;
ALTER TABLE tickets ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_company ON tickets FOR SELECT USING (pg_has_role(current_user, tenant || '_reader', 'member'));

-- Vault makes readers and ends them; it reads no ticket itself. Its password is set apart from this file.
CREATE ROLE vault LOGIN CREATEROLE;
GRANT pg_signal_backend TO vault;
GRANT acme_reader, globex_reader TO vault WITH ADMIN OPTION;
