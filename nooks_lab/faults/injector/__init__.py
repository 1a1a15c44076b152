"""The fault injector: programming errors emulated in the machine code of a loaded extension (paper, section 5.1).

The paper's authors adapted an injector that Wee Teck Ng and Peter Chen had written for the Rio file cache.  It
changes single instructions so as to emulate common programming errors.  Here each class of errors is a small class
of its own that says which instructions qualify and what becomes of them; :func:`choose` draws the faults of a trial
from the extension's unrelocated text and a seed alone, so that native and Nooks get the same ones; :class:`Injection`
writes them into guest memory and says afterwards which of them the CPU has run.
"""

from nooks_lab.faults.injector.catalogue import CLASSES, PAPER_CLASSES, UnknownFaultClass
from nooks_lab.faults.injector.injection import Injection, prepare
from nooks_lab.faults.injector.placement import Placement
from nooks_lab.faults.injector.plan import NothingQualifies, PlannedFault, choose
from nooks_lab.faults.injector.record import FaultRecord

__all__ = [
    "CLASSES",
    "PAPER_CLASSES",
    "FaultRecord",
    "Injection",
    "NothingQualifies",
    "Placement",
    "PlannedFault",
    "UnknownFaultClass",
    "choose",
    "prepare",
]
