"""The virtual filesystem: inodes, directory entries, mounts, open files, and the page cache."""
