"""``nooks-lab campaign`` with stand-in trials, as a process of its own: arguments are the command's."""

import sys

import stand_in

from nooks_lab.campaign import command
from nooks_lab.cli.main import main

if __name__ == "__main__":
    real = command.run_campaign
    command.run_campaign = lambda request, console: real(request, console, stand_in.slow_trial)
    main(sys.argv[1:])
