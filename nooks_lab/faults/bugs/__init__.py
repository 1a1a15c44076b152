"""A library of driver bugs, each a patch that a programmer could have made, with what brings it out.

Fifteen are those that the authors of Nooks put in by hand (paper, section 5.2.4), one is a bug that they found; the
kinds of the others are those that studies found in Linux's drivers.  A patch names its study:

- Chou et al.: A. Chou, J. Yang, B. Chelf, S. Hallem, D. Engler, "An Empirical Study of Operating Systems Errors",
  SOSP 2001.  Their checkers' names (Null, Lock, Block, ...) stand behind it.
- Palix et al.: N. Palix, G. Thomas, S. Saha, C. Calves, J. Lawall, G. Muller, "Faults in Linux: Ten Years Later",
  ASPLOS 2011, with the same kinds.
- Ryzhyk et al.: L. Ryzhyk, P. Chubb, I. Kuz, G. Heiser, "Dingo: Taming Device Drivers", EuroSys 2009, who sort
  drivers' defects into violations of the device's protocol, violations of the kernel's protocol, concurrency faults
  and generic programming faults.
- Kadav et al.: A. Kadav, M. Renzelmann, M. Swift, "Tolerating Hardware Device Failures in Software", SOSP 2009.
"""
