"""The object types of the kernel's interface, a file for each part of the kernel."""
