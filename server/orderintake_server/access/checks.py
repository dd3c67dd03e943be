"""Why credentials are refused: the check, for the log; the problem, which the caller is told."""

from __future__ import annotations

from orderintake_server.errors import Problem


class CheckFailed(Exception):
    """Credentials failed a check; its text holds nothing of them."""

    def __init__(self, check: str, problem: Problem = Problem.INVALID) -> None:
        """Tell the log which check it was; the caller is told the problem only."""
        super().__init__(check)
        self.check = check
        self.problem = problem
