"""The command ``scoresde``.

Exit status: 0 done, 1 a component that does not conform, 2 wrong input, 3 stopped by a value that is not finite, 143 after SIGTERM or
Ctrl-C in training, sampling or likelihoods, with the state saved.
"""

import sys
import time
from typing import Any, NoReturn

import click

from .bench import bench
from .conform import conform
from .evaluation import evaluate
from .inspect import check, describe, experiments, plugins
from .latents import decode, encode, interpolate
from .report import report
from .scaffold import new_plugin
from .sweep import sweep
from .work import import_, likelihood, run, sample, train

_STATUS_DEFAULT, _STATUS_LOST = 2, 1
_PATIENCE = 20.0  # seconds


class Commands(click.Group):
    """The group of all commands, which prints an expected error as plain lines without a traceback; ``obj`` are the command's words."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.obj = tuple(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        from scoresde.registry import RegistryError

        from ..errors import NonFiniteError, StoppedError, UserError
        from ..processes import begin, rank, running

        begin()
        try:
            return super().invoke(ctx)
        except (UserError, RegistryError, NonFiniteError) as error:
            end(str(error), getattr(error, "status", _STATUS_DEFAULT))
        except StoppedError as error:
            end(str(error) if rank() == 0 else "", StoppedError.status)
        except RuntimeError as error:
            if (running() or 1) == 1 or not ("gloo" in str(error) or type(error).__module__.startswith("torch.distributed")):
                raise
            end("another process has ended: --resume goes on with what was saved", _STATUS_LOST)
        except (ZeroDivisionError, OverflowError):
            raise
        except ArithmeticError as error:
            end(str(error), NonFiniteError.status)
        except BrokenPipeError:  # click ends quietly where nobody reads on
            raise
        except OSError as error:
            end(f"{error.filename or 'file'}: {error.strerror or error}", _STATUS_DEFAULT)


def end(message: str, status: int) -> NoReturn:
    """Prints an error and exits. Of several processes the main one speaks: another waits for it to do so, which ends them all."""
    from ..processes import rank

    if message and rank():
        time.sleep(_PATIENCE)
        message = f"process {rank() + 1}: {message}"
    if message:
        click.echo(message, err=True)
    sys.exit(status)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="scoresde")
def main() -> None:
    """Score-based generative modelling through SDEs.

    \b
    Start here:
      scoresde experiments            what ships with the package
      scoresde run mixture-2d         seconds: samples of an exact mixture, as a scatter plot
      scoresde run digits             minutes: train, sample, inpaint, likelihoods
    """


for command in (
    run,
    train,
    sample,
    likelihood,
    evaluate,
    report,
    sweep,
    encode,
    decode,
    interpolate,
    import_,
    check,
    experiments,
    plugins,
    describe,
    conform,
    bench,
    new_plugin,
):
    main.add_command(command)
