"""The error of the installer. The installer runs without the rest of the project, so it has no tree of errors."""


class InstallerFault(Exception):
    """A plugin was not installed.

    Args:
        message: reason and remedy, in one line.
        exit_code: exit code of the program: 1 the bundle or the user says no, 2 wrong usage, 3 the engine failed,
            5 trouble on this machine.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
