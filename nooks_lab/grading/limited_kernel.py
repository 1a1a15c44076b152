"""An IPython kernel under resource limits; the sandbox starts it with ``python -m``."""

import resource
import sys

from ipykernel.kernelapp import launch_new_instance


def main(arguments: list[str]) -> None:
    """Set the limits, soft and hard, and run the kernel.

    Parameters
    ----------
    arguments : list of str
        Address space and file size in bytes, CPU time in seconds, then the kernel's own arguments.
    """
    memory, file_size, cpu = (int(text) for text in arguments[:3])
    limits = (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, file_size),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_CORE, 0),
    )
    for what, limit in limits:
        resource.setrlimit(what, (limit, limit))
    launch_new_instance(argv=arguments[3:])


if __name__ == "__main__":
    main(sys.argv[1:])
