-- Accounts for a catalog in MariaDB. As an administrator, with passwords of your own in place of CHANGE-ME:
--   mariadb < mariadb.sql
-- then  netclnt init master --catalog 'odbc:DSN=netclnt-master;UID=netclnt_owner' …
-- then the second half:  mariadb netclnt < mariadb-slave.sql
CREATE DATABASE netclnt CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE USER 'netclnt_owner'@'localhost' IDENTIFIED BY 'CHANGE-ME';
GRANT ALL ON netclnt.* TO 'netclnt_owner'@'localhost';
