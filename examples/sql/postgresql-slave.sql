-- The account that all slaves share: it reads the offer and reports. Without the last three lines it can only read;
-- slaves then work all the same, and the master does not learn how they are.
CREATE ROLE netclnt_slave LOGIN PASSWORD :'slave_password';
GRANT SELECT ON nc_state, nc_image, nc_version, nc_requirement, nc_channel, nc_event, nc_assignment, nc_subscription TO netclnt_slave;
GRANT SELECT, INSERT, UPDATE ON nc_server TO netclnt_slave;
GRANT INSERT ON nc_report TO netclnt_slave;
GRANT INSERT ON nc_report_image TO netclnt_slave;
