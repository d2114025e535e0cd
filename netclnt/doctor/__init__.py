"""The doctor: looks beforehand for what would end a run, changes nothing, and says what to type.

Each check is one question with one answer. What it looks at comes as arguments; it raises what the edges raise, and
:func:`examine` is the one place that makes a finding of that.
"""

from netclnt.doctor.checks import Check, Finding, Found, Result, examine
from netclnt.doctor.host import Host, host_checks
from netclnt.doctor.master import MasterPatient, Writer, master_checks
from netclnt.doctor.slave import SlavePatient, slave_checks

__all__ = [
    "Check",
    "Finding",
    "Found",
    "Host",
    "MasterPatient",
    "Result",
    "SlavePatient",
    "Writer",
    "examine",
    "host_checks",
    "master_checks",
    "slave_checks",
]
