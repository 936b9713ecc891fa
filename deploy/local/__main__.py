"""`python -m deploy.local start|run|stop|status|reset|token|logs|service|exec`: what the Makefile calls."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from deploy.local import status
from deploy.local.processes import StartError
from deploy.local.stack import CHECKOUT, SERVICES, Stack
from deploy.local.state import BusyError, locked


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False)
    stack = Stack(options.dir, say=lambda what: console.print(what, soft_wrap=True, markup=False))
    try:
        return _run_command(options, stack, console)
    except StartError as failed:
        sys.stderr.write(f"{failed}\n")
        return 1
    except BusyError:
        sys.stderr.write("Another command is starting or stopping this stack; try again when it is done.\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted; `make status` shows what runs, `make stop` ends it.\n")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    parser.add_argument(
        "--dir",
        type=Path,
        default=CHECKOUT / ".local",
        help="the directory of the stack's data, keys, logs and ports (.local)",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    starting = commands.add_parser("start", help="start what is not running")
    starting.add_argument("--servers-only", action="store_true", help="only the database and the broker")
    commands.add_parser("run", help="start, publish a shop's day and show the results")
    commands.add_parser("stop", help="stop everything and keep the data")
    commands.add_parser("status", help="show what runs, with ports, memory, lag and row counts")
    commands.add_parser("reset", help="stop everything and delete the data")
    commands.add_parser("token", help="print a member's token").add_argument("member")
    logs = commands.add_parser("logs", help="follow the logs")
    logs.add_argument("name", nargs="?", choices=["postgres", "kafka", *SERVICES])
    service = commands.add_parser("service", help="run a service's own command against the stack: verify, redrive, …")
    service.add_argument("name", choices=SERVICES)
    service.add_argument("arguments", nargs=argparse.REMAINDER)
    executing = commands.add_parser("exec", help="run a program with the stack's addresses in its environment")
    executing.add_argument("program", nargs=argparse.REMAINDER)
    return parser


def _run_command(options: argparse.Namespace, stack: Stack, console: Console) -> int:
    match options.command:
        case "start":
            return start(stack, console, servers_only=options.servers_only)
        case "run":
            return run(stack, console)
        case "stop":
            return stop(stack, console)
        case "reset":
            return reset(stack, console)
        case "status":
            return 0 if status.show(stack, console) else 1
        case "token":
            console.print(stack.signer.member_token(options.member), soft_wrap=True)
            return 0
        case "service":
            return stack.service_command(options.name, options.arguments)
        case "exec":
            return stack.execute(options.program)
        case _:
            return follow_logs(stack, options.name)


def start(stack: Stack, console: Console, *, servers_only: bool) -> int:
    """Start every server and service that does not run."""
    with locked(stack.directory):
        if servers_only:
            stack.start_servers()
        else:
            stack.start()
    what = "Both servers run" if servers_only else "Everything runs"
    console.print(f"{what}. `source {_short(stack.env_file)}` sets addresses and a token.", soft_wrap=True)
    return 0


def run(stack: Stack, console: Console) -> int:
    """Start the stack, publish a shop's day and show the results. A running stack that has its day already stays as it
    is."""
    if stack.state.day_done and stack.running_services:
        console.print(
            f"A stack is running already, with its shop's day booked ({', '.join(stack.running_services)}). "
            "`make status` shows it, `make stop` ends it, `make reset` wipes it for a new run.",
            soft_wrap=True,
        )
        return 0
    with locked(stack.directory):
        stack.start()
        code = stack.execute([sys.executable, "-m", "deploy.shop", "day"])
        if code != 0:
            return code
        stack.state.day_done = True
        stack.state.save(stack.directory)
    console.print("\nEverything keeps running: `make status` shows it, `make stop` ends it.")
    return 0


def stop(stack: Stack, console: Console) -> int:
    """Stop what runs; the data stays for the next start."""
    with locked(stack.directory):
        ended = stack.stop()
    console.print(f"Stopped {', '.join(ended)}; the data stays." if ended else "Nothing was running.")
    return 0


def reset(stack: Stack, console: Console) -> int:
    """Stop what runs and delete the data."""
    with locked(stack.directory):
        stack.reset()
    console.print(f"Wiped {_short(stack.directory)}.")
    return 0


def follow_logs(stack: Stack, name: str | None) -> int:
    """Print the last lines of the logs, then each new line, until interrupted."""
    files = [stack.log(name)] if name else sorted((stack.directory / "logs").glob("*.log"))
    if not files:
        sys.stderr.write("There are no logs yet; `make start` begins them.\n")
        return 1
    return subprocess.run(["tail", "-n", "20", "-F", *map(str, files)], check=False).returncode


def _short(path: Path) -> str:
    """A path relative to the working directory if it lies in it, else as it is."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    sys.exit(main())
