"""The command ``scoresde``.

Exit status: 0 done, 1 a component that does not conform, 2 wrong input, 3 stopped by a value that is not finite, 143 after SIGTERM or
Ctrl-C in training or likelihoods, with the state saved.
"""

import sys
from typing import Any

import click

from .conform import conform
from .inspect import check, describe, experiments, plugins
from .latents import decode, encode, interpolate
from .scaffold import new_plugin
from .work import import_, likelihood, run, sample, train

_STATUS_DEFAULT = 2


class Commands(click.Group):
    """The group of all commands, which prints an expected error as plain lines without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        from scoresde.registry import RegistryError

        from ..errors import NonFiniteError, StoppedError, UserError

        try:
            return super().invoke(ctx)
        except (UserError, RegistryError, NonFiniteError, StoppedError) as error:
            click.echo(str(error), err=True)
            sys.exit(getattr(error, "status", _STATUS_DEFAULT))
        except (ZeroDivisionError, OverflowError):
            raise
        except ArithmeticError as error:
            click.echo(str(error), err=True)
            sys.exit(NonFiniteError.status)
        except BrokenPipeError:  # click ends quietly where nobody reads on
            raise
        except OSError as error:
            click.echo(f"{error.filename or 'file'}: {error.strerror or error}", err=True)
            sys.exit(_STATUS_DEFAULT)


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
    encode,
    decode,
    interpolate,
    import_,
    check,
    experiments,
    plugins,
    describe,
    conform,
    new_plugin,
):
    main.add_command(command)
