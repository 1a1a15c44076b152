"""The PC: an IA-32 CPU on Unicorn with our own paging, interrupts, clock, buses and devices.

Nothing here knows of a kernel.  Names are Intel's.
"""
