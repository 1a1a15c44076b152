"""JupyterLab at the course's start page."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from nooks_lab.cli.app import app

_OVERRIDES = {
    "@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"markdown": "Markdown Preview"}},
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false"},
}
"""JupyterLab would open the start page in its editor, and lay a question about Jupyter news over it."""


@app.command()
def lab(
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
) -> None:
    """Open JupyterLab at the course's start page."""
    root = Path(__file__).parents[2]
    page = root / "course" / "README.md"
    if not page.is_file():
        raise FileNotFoundError(
            2, "the course is not there; run this from a clone of the repository", str(page)
        )
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}"]
    command.append(f"--LabApp.default_url=/lab/tree/{page.relative_to(root).as_posix()}")
    if not browser:
        command.append("--no-browser")
    # JupyterLab refuses to run as root, as one is in most containers, unless told so.
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    with tempfile.TemporaryDirectory(prefix="nooks-lab-") as config:
        overrides = Path(config, "labconfig", "default_setting_overrides.json")
        overrides.parent.mkdir()
        overrides.write_text(json.dumps(_OVERRIDES), encoding="utf-8")
        search = os.pathsep.join(filter(None, (config, os.environ.get("JUPYTER_CONFIG_PATH"))))
        server = subprocess.Popen(command, env=os.environ | {"JUPYTER_CONFIG_PATH": search})
        # Ctrl-C is the server's: it asks whether to stop, and then ends its kernels.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        code = server.wait()
    raise typer.Exit(code)
