"""The kernel's interface for extensions, as a reference page made from its headers and declarations."""
