# UNTESTED. For /etc/odbc.ini on a slave with IBM's Data Server Driver, registered in /etc/odbcinst.ini as "Db2".
#   catalog = "odbc:DSN=netclnt-master;UID=netclnt_slave"
[netclnt-master]
Driver = Db2
Hostname = master.example.com
Port = 50000
Database = NETCLNT
Protocol = TCPIP
