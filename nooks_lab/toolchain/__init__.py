"""From C to what the kernel needs of it: objects, struct layouts, prototypes, constants, source lines."""
