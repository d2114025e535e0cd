-- Accounts for a catalog in PostgreSQL. As an administrator:
--   psql -v owner_password=… -v slave_password=… -f postgresql.sql
-- then  netclnt init master --catalog 'odbc:DSN=netclnt-master;UID=netclnt_owner' …
-- then, in the new database, the second half:  psql -d netclnt -v slave_password=… -f postgresql-slave.sql
CREATE ROLE netclnt_owner LOGIN PASSWORD :'owner_password';
CREATE DATABASE netclnt OWNER netclnt_owner ENCODING 'UTF8' TEMPLATE template0;
