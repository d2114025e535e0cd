-- UNTESTED. Db2 takes accounts from the operating system: create the user netclnt_slave there, then, in the catalog's
-- database (CREATE DATABASE … USING CODESET UTF-8 … PAGESIZE 32 K) and as the owner of the tables:
GRANT CONNECT ON DATABASE TO USER netclnt_slave;
GRANT SELECT ON nc_state TO USER netclnt_slave;
GRANT SELECT ON nc_image TO USER netclnt_slave;
GRANT SELECT ON nc_version TO USER netclnt_slave;
GRANT SELECT ON nc_requirement TO USER netclnt_slave;
GRANT SELECT ON nc_channel TO USER netclnt_slave;
GRANT SELECT ON nc_event TO USER netclnt_slave;
GRANT SELECT ON nc_assignment TO USER netclnt_slave;
GRANT SELECT ON nc_subscription TO USER netclnt_slave;
GRANT SELECT, INSERT, UPDATE ON nc_server TO USER netclnt_slave;
GRANT INSERT ON nc_report TO USER netclnt_slave;
GRANT INSERT ON nc_report_image TO USER netclnt_slave;
