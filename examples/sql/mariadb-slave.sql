-- The account that all slaves share: it reads the offer and reports. Without the last three lines it can only read;
-- slaves then work all the same, and the master does not learn how they are.
CREATE USER 'netclnt_slave'@'%' IDENTIFIED BY 'CHANGE-ME';
GRANT SELECT ON nc_state TO 'netclnt_slave'@'%';
GRANT SELECT ON nc_image TO 'netclnt_slave'@'%';
GRANT SELECT ON nc_version TO 'netclnt_slave'@'%';
GRANT SELECT ON nc_requirement TO 'netclnt_slave'@'%';
GRANT SELECT ON nc_channel TO 'netclnt_slave'@'%';
GRANT SELECT ON nc_event TO 'netclnt_slave'@'%';
GRANT SELECT ON nc_assignment TO 'netclnt_slave'@'%';
GRANT SELECT ON nc_subscription TO 'netclnt_slave'@'%';
GRANT SELECT, INSERT, UPDATE ON nc_server TO 'netclnt_slave'@'%';
GRANT INSERT ON nc_report TO 'netclnt_slave'@'%';
GRANT INSERT ON nc_report_image TO 'netclnt_slave'@'%';
