"""Wrappers: kernel functions as extensions call them, and extension functions as the kernel calls them.

A body always runs in the kernel's domain (paper, section 4.2).
"""
