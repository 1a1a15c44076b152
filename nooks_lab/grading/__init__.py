"""Exercises: released from solutions, checked by students, graded outside the student's process.

:func:`~nooks_lab.grading.release.release`, :func:`~nooks_lab.grading.check.check` and
:func:`~nooks_lab.grading.grade.grade` are what the command calls.  They are not imported here: the check
cells of a notebook, and every kernel that is graded, import this package and would wait for them.
"""
