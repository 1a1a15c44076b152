"""The command ``nooks-lab``, a file for each of its commands.

What a command needs is imported in it, so that ``--help`` answers at once.
"""
