"""kHTTPd for real browsers."""

from typing import Annotated

import typer

from nooks_lab.cli.app import app


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The host's port; 0 lets the host choose.")],
    native: Annotated[bool, typer.Option("--native", help="Without Nooks.")] = False,
    fault: Annotated[
        str, typer.Option(help="Which extension a fault is injected into: khttpd or e1000.")
    ] = "khttpd",
    address: Annotated[str, typer.Option(help="The host's address to listen on.")] = "127.0.0.1",
) -> None:
    """Let kHTTPd's machine code in a nook answer real browsers; the key f or a URL injects a fault."""
    from nooks_lab.serve import serve as run_serve

    def say(line: str) -> None:
        # Whoever reads a pipe needs the URL now.
        print(line, flush=True)

    served = run_serve(port, nooks=not native, fault=fault, address=address, say=say)
    typer.echo(
        f"{served.connections} connections, {served.faults} faults injected, {served.recoveries} recoveries"
    )
    raise typer.Exit(1 if served.died else 0)
