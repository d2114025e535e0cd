-- UNTESTED. For SQL Server 2019 or later, in a database whose collation ends in _UTF8 (VARCHAR columns hold UTF-8 then).
CREATE LOGIN netclnt_slave WITH PASSWORD = 'CHANGE-ME';
CREATE USER netclnt_slave FOR LOGIN netclnt_slave;
GRANT SELECT ON nc_state TO netclnt_slave;
GRANT SELECT ON nc_image TO netclnt_slave;
GRANT SELECT ON nc_version TO netclnt_slave;
GRANT SELECT ON nc_requirement TO netclnt_slave;
GRANT SELECT ON nc_channel TO netclnt_slave;
GRANT SELECT ON nc_event TO netclnt_slave;
GRANT SELECT ON nc_assignment TO netclnt_slave;
GRANT SELECT ON nc_subscription TO netclnt_slave;
GRANT SELECT, INSERT, UPDATE ON nc_server TO netclnt_slave;
GRANT INSERT ON nc_report TO netclnt_slave;
GRANT INSERT ON nc_report_image TO netclnt_slave;
