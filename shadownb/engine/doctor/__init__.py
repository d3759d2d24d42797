"""Doctor: is this machine ready, what fits, what lies on its disk; freeing some of it; and an archive for a bug report.

::

    print(shadownb.doctor())  # %shadow doctor, shadownb doctor

None of it touches the network.
"""

from __future__ import annotations

from shadownb.engine.doctor.examination import doctor
from shadownb.engine.doctor.report import Line, Report

__all__ = ["Line", "Report", "doctor"]
