"""How leadflow speaks HTTP: one form of error, and bodies with a limit."""

from shared.http.bodies import read_body
from shared.http.problems import Problem, install_problem_handlers, problem_responses

__all__ = ["Problem", "install_problem_handlers", "problem_responses", "read_body"]
